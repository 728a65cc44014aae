"""Where feedback events come from.

- `files`, `http`, `kafka`, `mlflow`: connectors.
- `mappings`: the exports of other tools.
- `chat`: chats and ratings as these tools write them.
"""
