"""Answers in pages; the id of the next page's first entry continues a list (seen in the client)."""

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


def paths_json(emulator: Emulator, drive: Drive, records: Sequence[PathRecord], start: str | None) -> dict[str, Any]:
    found, following = page_of(records, start, lambda record: record.id)
    shown = emulator.store.catalogue.still_here(found, lambda record: path_answer(emulator, record, drive))
    return {"result": shown, "nextPageStart": following}


def page(
    entries: Sequence[Any], start: str | None, name: Callable[[Any], str], shape: Callable[[Any], Any]
) -> dict[str, Any]:
    found, following = page_of(entries, start, name)
    return {"result": [shape(entry) for entry in found], "nextPageStart": following}


def page_of(
    entries: Sequence[T], start: str | None, name: Callable[[T], str], size: int = PAGE
) -> tuple[Sequence[T], str | None]:
    """The page that begins with the entry named `start`, and the name of the next page's first entry."""
    names = [name(entry) for entry in entries]
    if start is not None and start.lower() not in names:
        raise invalid("pageStart", start, f"{start} is not (any longer) in this list; begin again without it")
    first = 0 if start is None else names.index(start.lower())
    end = first + size
    return entries[first:end], names[end] if end < len(names) else None
