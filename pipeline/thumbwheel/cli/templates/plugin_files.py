"""Plugin files: which plugin a path means, and a new one to begin with."""

import ast
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from thumbwheel.cli.templates.plugin import PLUGIN, TEST
from thumbwheel.errors import InputError, PluginError
from thumbwheel.plugin import PLUGINS_GROUP, installed

__all__ = ["NewPlugin", "plugin_use", "write_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """What was written.

    Attributes:
        plugin: The plugin's file.
        test: Its test.
        use: How it is named in a configuration beside it, and on the command line.
    """

    plugin: Path
    test: Path
    use: str


def plugin_use(text: str) -> str:
    """Return how a configuration anywhere would name a plugin given on the command line.

    Args:
        text: An entry-point name, `path/to/file.py:Class`, or `path/to/file.py` if that defines one
            plugin. A path is relative to the working directory.

    Raises:
        PluginError: The file is not there, is not Python, or does not define just one plugin.
    """
    path_text, _, class_name = text.rpartition(":")
    if text.endswith(".py"):
        path_text, class_name = text, ""
    if not path_text.endswith(".py"):
        return text
    path = Path(path_text).resolve()
    return f"{path}:{class_name or _only_class(path)}"


def write_plugin(name: str, folder: Path) -> NewPlugin:
    """Write a plugin that works, and a test of it.

    Args:
        name: The file's name and, in capitals, the class's: lower-case words joined by `_`.
        folder: Where; made if it is not there.

    Raises:
        InputError: The name cannot be one, is taken, or a file is there already.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(
            f"{name!r:.100} cannot name a plugin; take lower-case words joined by _, such as "
            "concise_wins"
        )
    plugin, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for path in (plugin, test):
        if path.exists():
            raise InputError(f"{path} is there already; take another name, or another --dir")
    if name in installed(PLUGINS_GROUP):
        raise InputError(f"a plugin {name!r} is installed already; take another name")
    if name.startswith("test"):
        raise InputError(f"a file {name}.py would be taken for a test; take another name")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise InputError(f"a file {name}.py would hide another Python module; take another name")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    folder.mkdir(parents=True, exist_ok=True)
    for path, template in ((plugin, PLUGIN), (test, TEST)):
        text = template.replace("{name}", name).replace("{Class}", class_name)
        path.write_text(text, encoding="utf-8")
    return NewPlugin(plugin, test, f"{plugin}:{class_name}")


def _only_class(path: Path) -> str:
    """Return the only dataclass of a file, without running it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise PluginError(f"cannot read the plugin file {path}: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise PluginError(f"the plugin file {path} is not Python: {error}") from error
    classes = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(map(_is_dataclass, node.decorator_list))
    ]
    if len(classes) != 1:
        raise PluginError(
            f"{path} defines {', '.join(classes) or 'no plugin (a class with @dataclass)'}; name "
            f"the one that is meant, {path.name}:Class"
        )
    return classes[0]


def _is_dataclass(decorator: ast.expr) -> bool:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    return ast.unparse(decorator).endswith("dataclass")
