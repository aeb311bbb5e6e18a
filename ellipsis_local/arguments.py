"""Argument checks for the public functions, in the client's own words where it has any (seen in the client)."""

from __future__ import annotations

import json
import numbers
import os
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from ellipsis_local.errors import ArgumentError

T = TypeVar("T")
MOST_SHOWN = 80
"""Characters of a value in an error."""


def invalid(name: str, value: Any, text: str) -> ArgumentError:
    """The error for an argument's value; its text begins with the argument's name."""
    return ArgumentError(f"{name} {text}", argument=name, value=value)


def shown(value: Any) -> str:
    """The beginning of its `repr`, without making the whole one of a list of millions."""
    if isinstance(value, dict):
        value = dict(islice(value.items(), MOST_SHOWN))
    elif isinstance(value, list | tuple | str | bytes):
        value = value[:MOST_SHOWN]
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}…"


def _fail(name: str, value: Any, text: str) -> ArgumentError:
    return invalid(name, value, f"{text}, not {shown(value)}")


def string(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _fail(name, value, "must be of type string")
    return value


def optional_string(name: str, value: Any) -> str | None:
    return None if value is None else string(name, value)


def path_text(name: str, value: Any) -> str | None:
    """A file path: a string as in the client, or anything os.fspath takes."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise _fail(name, value, "must be of type string")
    return os.fsdecode(value)


def token(value: Any) -> str:
    text = string("token", value)
    if not text.strip():
        raise invalid("token", value, "must not be empty; log in with account.logIn")
    return text


def optional_token(value: Any) -> str | None:
    return None if value is None else token(value)


def uuid_text(name: str, value: Any) -> str:
    """The id as it was given; UUIDs of any version and spelling are accepted."""
    try:
        uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise _fail(name, value, "must be of type string and be a uuid") from None
    return str(value)


def optional_uuid(name: str, value: Any) -> str | None:
    return None if value is None else uuid_text(name, value)


def _listed(name: str, value: Any, called: str, fits: Callable[[Any], bool] = lambda _: True) -> list[Any]:
    try:
        items = None if isinstance(value, str | bytes | Mapping) else list(value)
    except TypeError:
        raise _fail(name, value, "must be an iterable") from None
    if items is None or not all(map(fits, items)):
        raise _fail(name, value, f"must be a list of {called}")
    return items


def uuid_list(name: str, value: Any) -> list[str]:
    given = () if value is None else value
    return [uuid_text(f"{name}[{i}]", item) for i, item in enumerate(_listed(name, given, "uuids"))]


def string_list(name: str, value: Any) -> list[str]:
    return [] if value is None else _listed(name, value, "strings", lambda item: type(item) is str)


def limited(name: str, values: list[T], most: int) -> list[T]:
    """The list, if it has no more entries."""
    if len(values) > most:
        raise invalid(name, values, f"must have at most {most} entries, not {len(values):,}")
    return values


def dict_list(name: str, value: Any) -> list[dict[str, Any]]:
    return _listed(name, value, "dictionaries", lambda item: isinstance(item, dict))


def boolean(name: str, value: Any) -> bool:
    if "bool" not in type(value).__name__:
        raise _fail(name, value, "must be of type boolean")
    return bool(value)


def _check_number(name: str, value: Any, kind: Any, called: str) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
        raise _fail(name, value, f"must be of type {called}")


def integer(name: str, value: Any) -> int | None:
    _check_number(name, value, numbers.Integral, "int")
    return None if value is None else int(value)


def number(name: str, value: Any) -> float | None:
    _check_number(name, value, numbers.Real, "float")
    return None if value is None else float(value)


def json_value(name: str, value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise _fail(name, value, "must be json serializable") from None
    return value


def date_range(name: str, value: Any) -> tuple[datetime, datetime] | None:
    """``{'from': datetime, 'to': datetime}``."""
    if value is None:
        return None
    if not isinstance(value, dict) or not {"from", "to"} <= set(value):
        raise _fail(name, value, "must be a dictionary with properties from and to that should be of type datetime")
    for key in ("from", "to"):
        if not isinstance(value[key], datetime):
            raise _fail(f"{name}[{key!r}]", value[key], "must be of type datetime")
    return value["from"], value["to"]
