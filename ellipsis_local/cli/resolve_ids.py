"""What a person may write: a layer's name or the beginning of a compute's id for an id, 7d for a time."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from ellipsis_local.errors import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from ellipsis_local.computes.records import Record, Records

OVER = ("stopped", "errored")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> float:
    """Seconds of 30s, 10m, 2h, 7d or 2w; a number alone is one of days."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([smhdw]?)", str(text).strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration such as 30s, 10m, 2h, 7d or 2w")
    return float(match[1]) * SECONDS[match[2] or "d"]


def find_layer(records: Iterable[Any], text: str) -> str:
    """The path id that `text` is, or is the name of."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    found = [record for record in records if record.name == text]
    several = f"several layers are named {text!r}: {', '.join(record.id for record in found)}; give the id"
    return str(_only(found, "layer", several, "layer", text).id)


def _only(found: list[Any], what: str, several: str, argument: str, text: str) -> Any:
    if len(found) == 1:
        return found[0]
    if found:
        raise ArgumentError(several, argument=argument, value=text)
    missing = f"there is no {what} {text!r} in this home; `{what}s list` shows what there is"
    raise NotFoundError(missing, argument=argument, value=text)


def every_compute(records: Records) -> Iterator[Record]:
    """All computes, newest first."""
    start: str | None = None
    while True:
        page, start = records.page(None, start)
        yield from page
        if start is None:
            return


def find_compute(records: Records, text: str) -> Record:
    try:
        return records.get(text)
    except NotFoundError:
        found = [record for record in every_compute(records) if record.id.startswith(text.lower())]
    several = f"{len(found)} computes begin with {text!r}: give more of the id"
    record: Record = _only(found, "compute", several, "computeId", text)
    return record
