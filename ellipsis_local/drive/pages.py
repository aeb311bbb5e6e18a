"""Lists in pages: the id of the first entry of the next page continues a list (seen in the client)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ellipsis_local.errors import ArgumentError

__all__ = ["PAGE", "page_of"]

PAGE = 50
"""Entries per page (documented for computes, taken for all lists)."""

T = TypeVar("T")


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
            raise ArgumentError(
                f"pageStart {start} is not (any longer) in this list; begin again without it",
                argument="pageStart", value=start,
            )  # fmt: skip
    end = first + size
    return entries[first:end], name(entries[end]) if end < len(entries) else None
