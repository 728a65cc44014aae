"""The adapter bundle: the raw files of a LoRA adapter and a manifest with their SHA-256 digests.

The digest of the manifest is kept in MLflow's database, the bundle in its artifact store. A bundle
is used only when both agree, so that whoever can write to the artifact store alone cannot change
what is served. Nothing in a bundle is ever unpickled.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from thumbwheel.errors import ModelError

__all__ = ["build_bundle", "find_flaw"]

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_MANIFEST = "manifest.json"
_SAFE_SUFFIXES = frozenset({".json", ".md", ".safetensors", ".txt"})


def build_bundle(adapter: Path, into: Path, about: Mapping[str, str]) -> str:
    """Copy a peft adapter's files into an empty directory, beside a manifest.

    Args:
        adapter: A directory that peft saved.
        into: An existing, empty directory.
        about: What the manifest says about the adapter.

    Returns:
        The SHA-256 of the manifest: the bundle's identity.

    Raises:
        ModelError: The adapter lacks one of its two files.
    """
    files = {}
    for name in _ADAPTER_FILES:
        try:
            shutil.copyfile(adapter / name, into / name)
        except OSError as error:
            raise ModelError(
                f"the adapter {adapter} has no readable {name} ({error.strerror}); "
                "save it with peft's save_pretrained, as safetensors"
            ) from error
        files[name] = {"sha256": _sha256(into / name), "bytes": (into / name).stat().st_size}
    manifest = json.dumps({"about": dict(about), "files": files}, indent=2, sort_keys=True)
    (into / _MANIFEST).write_text(manifest + "\n", encoding="utf-8")
    return _sha256(into / _MANIFEST)


def find_flaw(bundle: Path, digest: str) -> str | None:
    """Compare a bundle, byte for byte, with the one whose manifest has this SHA-256.

    Returns:
        None when they are the same; otherwise the first difference, as the rest of a sentence
        that begins with the bundle's name.
    """
    manifest = bundle / _MANIFEST
    if not manifest.is_file():
        return f"has no {_MANIFEST}"
    if _sha256(manifest) != digest:
        return f"has a {_MANIFEST} that differs from the registered one"
    listed: dict[str, dict[str, object]] = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    for path in sorted(bundle.iterdir()):
        if path.suffix not in _SAFE_SUFFIXES or path.is_symlink() or not path.is_file():
            return f"holds {path.name!r}, which is not a safetensors, JSON or text file"
        if path.name not in listed and path != manifest:
            return f"holds {path.name!r}, which its manifest does not list"
    for name, entry in listed.items():
        if not (bundle / name).is_file():
            return f"lacks {name}"
        if _sha256(bundle / name) != entry["sha256"]:
            return f"has a {name} that differs from its SHA-256 in the manifest"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
