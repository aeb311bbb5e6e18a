"""Libraries that only an extra of this package brings."""

from __future__ import annotations

import importlib
from typing import Any

from ellipsis_local.errors import MissingExtraError


def optional_module(name: str, *, extra: str, purpose: str) -> Any:
    """The module `name`, imported; MissingExtraError where its library is not installed, with what brings it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = name.partition(".")[0]
        if error.name != library:
            raise
        way_out = f"pip install 'ellipsis-local[{extra}]'"
        raise MissingExtraError(f"{purpose} needs {library}, which is not installed: {way_out}", extra=extra) from error
