"""Answers about paths and lists in pages, as the client reads them.

The id of the next page's first entry continues a list (seen in the client).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ellipsis_local.answers import path_answer
from ellipsis_local.arguments import invalid
from ellipsis_local.drive import Drive
from ellipsis_local.emulator import Emulator
from ellipsis_local.types import PathRecord

PAGE = 50
"""Entries per page (documented for computes, taken for all lists)."""

T = TypeVar("T")


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


def page_of(
    entries: Sequence[T], start: str | None, name: Callable[[T], str], size: int = PAGE
) -> tuple[Sequence[T], str | None]:
    """The page that begins with the entry named `start`, and the name of the next page's first entry.

    ArgumentError where there is no such entry (any more).
    """
    first = 0
    if start is not None:
        places = (index for index, entry in enumerate(entries) if name(entry) == start.lower())
        first = next(places, -1)
        if first < 0:
            raise invalid("pageStart", start, f"{start} is not (any longer) in this list; begin again without it")
    end = first + size
    return entries[first:end], name(entries[end]) if end < len(entries) else None
