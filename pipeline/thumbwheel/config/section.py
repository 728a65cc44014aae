"""What every section is, and the types of options that several have."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

__all__ = ["ConfigPath", "Name", "Section"]


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base_dir", Path())
    return (base / path.expanduser()).resolve()


ConfigPath = Annotated[Path, AfterValidator(_resolve)]
"""A path option, relative to the configuration file. Connectors and plugins use it too."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
