"""The columns of features: which types the service knows, values on their way into a column, and out to JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from ellipsis_local.errors import ArgumentError
from ellipsis_local.vector import is_json, is_text, json_field, value_type

TYPES = ("string", "integer", "float", "boolean", "datetime", "date", "json")
"""The first five are seen in the client; date and json are for columns of files that are such."""

Where = Callable[[int], str]
"""From the position of a value in a list to words for the feature that it belongs to."""


def refused(text: str, value: Any = None) -> ArgumentError:
    """The error for features that were given."""
    return ArgumentError(text, argument="features", value=value)


def logical_type(field: Any) -> str:
    """Which of TYPES an Arrow field is."""
    from pyarrow import types

    kind = value_type(field.type)
    if is_json(field) or types.is_nested(kind):
        return "json"
    for name, test in (
        ("boolean", types.is_boolean), ("integer", types.is_integer), ("float", types.is_floating),
        ("float", types.is_decimal), ("datetime", types.is_timestamp), ("date", types.is_date),
    ):  # fmt: skip
        if test(kind):
            return name
    return "string"


def inferred(name: str, values: Sequence[Any], where: Where) -> str | None:
    """The type of a property that nobody declared, by its values; None where all are null."""
    found: str | None = None
    for position, value in enumerate(values):
        if value is None:
            continue
        kind = _kind(name, value, where(position))
        if found is None or {found, kind} == {"integer", "float"}:
            found = "float" if found is not None else kind
        elif kind != found:
            raise disagrees(name, where(position), value, found)
    return found


def _kind(name: str, value: Any, place: str) -> str:
    for kinds, known in ((bool, "boolean"), (int, "integer"), (float, "float"), (str, "string")):
        if isinstance(value, kinds):
            return known
    known = "values are text, numbers, booleans or null, unless the property was added with type 'json'"
    raise refused(f"property {name!r} of {place} is a {type(value).__name__}; {known}", value)


def new_field(name: str, type: str | None, values: Sequence[Any]) -> Any:
    """An Arrow field for a property that no file has yet. None, of which nothing is known, is a column of nulls."""
    import pyarrow as pa

    if type is None:
        return pa.field(name, pa.null())
    if type == "json":
        return json_field(name)
    if type == "datetime":
        return pa.field(name, pa.timestamp("us", tz="UTC" if any(map(_has_zone, values)) else None))
    kinds = {"string": pa.string(), "integer": pa.int64(), "float": pa.float64(), "boolean": pa.bool_()}
    return pa.field(name, kinds.get(type, pa.date32()))


def _has_zone(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def array_of(field: Any, values: Sequence[Any], where: Where) -> Any:
    """JSON values as an Arrow array for a column; its type is the field's, or a wider one where they need that.

    Wider: integers that the field's width cannot hold become int64, text that is no category makes it a column of text.
    """
    import pyarrow as pa

    kind, logical = value_type(field.type), logical_type(field)
    plain = [
        None if value is None else _converted(field, logical, value, where(position))
        for position, value in enumerate(values)
    ]
    if logical == "datetime":
        return _moments(plain, kind)
    try:
        return pa.array(plain, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        if logical == "integer" and kind != pa.uint64() and all(value is None or is_long(value) for value in plain):
            return pa.array(plain, pa.int64())
        wrong = next(position for position in range(len(plain)) if not is_taken(plain[: position + 1], kind))
        raise disagrees(field.name, where(wrong), values[wrong], str(kind)) from error


def is_taken(values: Sequence[Any], kind: Any) -> bool:
    import pyarrow as pa

    try:
        pa.array(values, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def disagrees(name: str, place: str, value: Any, wanted: str) -> ArgumentError:
    text = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return refused(f"property {name!r} of {place} is {text}, and this property is of type {wanted}", value)


def _converted(field: Any, logical: str, value: Any, place: str) -> Any:
    """One value as what pyarrow takes for a column of this type."""
    name = field.name
    if logical == "json":
        return _nested(field, value, place)
    kind = _kind(name, value, place)
    if logical == "string" and is_text(field.type) and kind == "string":
        return _text(name, value, place)
    if logical == "integer" and (kind == "integer" or (kind == "float" and value.is_integer())):
        # A frame with nulls sends its integers as floats.
        return int(value)
    if logical == "float" and finite(value):
        return Decimal(str(value)) if str(field.type).startswith("decimal") else float(value)
    if logical == "boolean" and kind == "boolean":
        return value
    if logical in ("datetime", "date") and kind == "string":
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None and (logical == "datetime" or moment.time() == time(0)):
            return moment if logical == "datetime" else moment.date()
    raise disagrees(name, place, value, f"{logical} ({field.type})" if logical == "string" else logical)


def is_long(value: int) -> bool:
    return -(2**63) <= value < 2**63


def finite(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _text(name: str, value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refused(f"property {name!r} of {place} is no valid text: {value!r}", value) from error
    return value


def _nested(field: Any, value: Any, place: str) -> Any:
    if not is_text(field.type):
        return value
    try:
        return _text(field.name, json.dumps(value, ensure_ascii=False, allow_nan=False), place)
    except (TypeError, ValueError, RecursionError) as error:
        raise disagrees(field.name, place, value, "json") from error


def _moments(values: Sequence[datetime | None], kind: Any) -> Any:
    """Datetimes for a column; a time without a zone is UTC, and becomes so in a column without zones."""
    import pyarrow as pa

    aware = [None if one is None else one.replace(tzinfo=one.tzinfo or UTC).astimezone(UTC) for one in values]
    array = pa.array(aware, pa.timestamp("us", tz="UTC"))
    if kind.tz is None:
        array = array.cast(pa.timestamp("us"))
    return array.cast(kind, safe=False)


def json_values(field: Any, column: Any) -> list[Any]:
    """A column as JSON: NaN and infinities are null, times ISO text, bytes hexadecimal, nested values as they are."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    logical = logical_type(field)
    if logical == "json" and is_text(kind):
        return [None if one is None else _loaded(one) for one in column.to_pylist()]
    if logical in ("integer", "boolean") or is_text(kind) or pa.types.is_null(kind):
        return list(column.to_pylist())
    return [plain(one) for one in column.to_pylist()]


def _loaded(text: str) -> Any:
    try:
        return plain(json.loads(text))
    except (ValueError, RecursionError):
        return text


def plain(value: Any) -> Any:
    """A value of any column as JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return plain(float(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value)
