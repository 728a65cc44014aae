"""Mappings from the exports of other tools to Thumbwheel's event format, one tool a module."""
