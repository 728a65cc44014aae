"""Built-in plugins, each through the public hooks."""
