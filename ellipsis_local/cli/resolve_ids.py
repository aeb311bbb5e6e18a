"""What a person may write for an id: a layer's name, the beginning of a compute's id."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ellipsis_local.errors import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from ellipsis_local.computes.records import Record, Records

OVER = ("stopped", "errored")


def find_layer(records: Iterable[Any], text: str) -> str:
    """The path id that `text` is, or is the name of."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    found = [record for record in records if record.name == text]
    if len(found) == 1:
        return str(found[0].id)
    if found:
        ids = ", ".join(record.id for record in found)
        raise ArgumentError(f"several layers are named {text!r}: {ids}; give the id", argument="layer", value=text)
    missing = f"there is no layer {text!r} in this home; `layers list` shows what there is"
    raise NotFoundError(missing, argument="layer", value=text)


def every_compute(records: Records) -> Iterator[Record]:
    """All computes, newest first."""
    start: str | None = None
    while True:
        page, start = records.page(None, start)
        yield from page
        if start is None:
            return


def find_compute(records: Records, text: str) -> Record:
    """The compute with this id or beginning of an id."""
    try:
        return records.get(text)
    except NotFoundError:
        found = [record for record in every_compute(records) if record.id.startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        several = f"{len(found)} computes begin with {text!r}: give more of the id"
        raise ArgumentError(several, argument="computeId", value=text)
    missing = f"there is no compute {text!r} in this home; `computes list` shows what there is"
    raise NotFoundError(missing, argument="computeId", value=text)
