"""Where feedback events come from."""
