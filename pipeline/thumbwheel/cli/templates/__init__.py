"""What the command line writes for a user to start from.

- `config`: the configuration of `thumbwheel init`.
- `plugin`: the plugin and its test of `thumbwheel plugins new`.
- `plugin_files`: where these are written, and how a configuration names a plugin in a file.
"""
