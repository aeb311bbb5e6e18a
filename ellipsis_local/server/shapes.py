"""Answers about paths, as the client reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ellipsis_local.answers import path_answer
from ellipsis_local.drive import Drive, page_of
from ellipsis_local.emulator import Emulator
from ellipsis_local.types import PathRecord

__all__ = ["page", "path_json", "paths_json"]


def path_json(emulator: Emulator, drive: Drive, record: PathRecord) -> dict[str, Any]:
    """One path, with what the asking user may do with it."""
    return path_answer(emulator, record, drive)


def paths_json(emulator: Emulator, drive: Drive, records: Sequence[PathRecord], start: str | None) -> dict[str, Any]:
    """One page of paths."""
    return page(records, start, lambda record: record.id, lambda record: path_json(emulator, drive, record))


def page(
    entries: Sequence[Any], start: str | None, name: Callable[[Any], str], shape: Callable[[Any], Any]
) -> dict[str, Any]:
    """A page in the shape of all lists (seen in the client)."""
    found, following = page_of(entries, start, name)
    return {"result": [shape(entry) for entry in found], "nextPageStart": following}
