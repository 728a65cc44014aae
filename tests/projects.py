"""The configuration of a small project, for every test that needs one."""

from collections.abc import Sequence

__all__ = ["configuration"]


def configuration(
    *sections: str,
    project: str = "p",
    source: str = "export",
    path: str = "events.jsonl",
    keys: str = "",
    plugins: Sequence[str] = ("all_pairs",),
) -> str:
    """Return a configuration that reads one file.

    Args:
        *sections: What else is in it, as TOML.
        project: The project's name.
        source: The source's name.
        path: The file.
        keys: Further keys of the source, as TOML.
        plugins: The plugins by name.
    """
    listed = "".join(f'[[plugins]]\nuse = "{name}"\n' for name in plugins)
    return f"""project = "{project}"
home = "home"
[model]
path = "model"
[[sources]]
name = "{source}"
connector = "file"
options.path = "{path}"
{keys}
{listed}
{"".join(sections)}"""
