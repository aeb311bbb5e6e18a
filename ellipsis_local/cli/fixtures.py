"""Where the shipped fixture layers are."""

from __future__ import annotations

from pathlib import Path

import ellipsis_local
from ellipsis_local.errors import LayerError

__all__ = ["fixtures_folder"]


def fixtures_folder() -> Path:
    """In an installed package its `_fixtures`; in a checkout the folder `fixtures` beside the package."""
    package = Path(ellipsis_local.__file__).parent
    for folder in (package / "_fixtures", package.parent / "fixtures"):
        if (folder / "catalog.toml").is_file():
            return folder
    raise LayerError(f"the fixture layers are missing from {package}; install ellipsis-local again")
