"""Ids and dates as the catalogue keeps them: canonical UUID text, and UTC times that know their zone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid5

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError

NAMESPACE = UUID("5e2b1f1c-93d4-5c0e-8f6a-0d1c7a4b9e35")
"""Fixed for ever: the ids of fixture folders come from it, and scripts write them down."""


def as_uuid(argument: str, value: Any) -> str:
    """The canonical lower-case form of an id; ArgumentError, in the client's wording, where it is none."""
    if isinstance(value, str | UUID):
        with contextlib.suppress(ValueError):
            return str(UUID(str(value)))
    raise invalid(argument, value, "must be of type string and be a uuid")


def optional_uuid(argument: str, value: Any) -> str | None:
    return None if value is None else as_uuid(argument, value)


def made_id(*names: str) -> str:
    """The same id on every machine for the same names: UUIDv5 of them, joined by a line break."""
    return str(uuid5(NAMESPACE, "\n".join(names)))


def utc(argument: str, value: Any) -> datetime:
    """`value` in UTC. A time without a zone counts as UTC (the client sends it so); a day is its start."""
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise invalid(argument, value, f"{value} is outside the years 1 to 9999 in UTC") from None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return utc(argument, datetime.fromisoformat(value))
    raise invalid(argument, value, "must be of type datetime")


def date_range(value: Any, now: datetime) -> tuple[datetime, datetime]:
    """The dates of a timestamp: of {'from', 'to'} or (from, to), of one date, or `now` where `value` is None."""
    if value is None:
        return now, now
    if isinstance(value, tuple) and len(value) == 2:
        value = {"from": value[0], "to": value[1]}
    if not isinstance(value, Mapping):
        moment = utc("date", value)
        return moment, moment
    if set(value) != {"from", "to"}:
        raise invalid("date", value, "must be a dictionary with properties from and to that should be of type datetime")
    start, end = utc("dateFrom", value["from"]), utc("dateTo", value["to"])
    if start > end:
        raise ArgumentError(f"date: from ({start}) is later than to ({end})", argument="date", value=value)
    return start, end


def wire_date(moment: datetime) -> str:
    """A time as the client parses it: UTC, with a fraction and a Z (seen in the client)."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    # Not strftime, which writes early years with fewer digits than strptime wants.
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def to_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    return datetime.fromisoformat(text)
