"""Mappings from the exports of other tools to Thumbwheel's event format.

- `langfuse`, `open_webui`, `openai_chat`, `tensorzero`: one tool each.
"""
