"""A base in memory, and an adapter for it."""

from pathlib import Path

import pytest
from tiny import build_tiny_adapter

from thumbwheel.language_model import LoadedBase, load_base


@pytest.fixture(scope="module")
def adapter_dir(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return build_tiny_adapter(tmp_path_factory.mktemp("adapter"), tiny_model, seed=1)


@pytest.fixture
def base(tiny_model: Path) -> LoadedBase:
    return load_base(tiny_model)
