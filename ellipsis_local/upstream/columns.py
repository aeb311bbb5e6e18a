"""The types of a vector's columns, out of GeoJSON, which knows text, numbers and booleans only.

A column takes the narrowest type that holds all its values: bool, int64, float64, else text. Where the service tells
that a property is a date and all its values are, it is a timestamp in UTC; where it tells a number, whole numbers are
floats, too. Objects and lists become JSON text. (Our choice; the service does not say what its frames hold.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ellipsis_local.errors import UpstreamError

DATES = frozenset({"date", "datetime", "timestamp", "time"})
FLOATS = frozenset({"float", "double", "number", "real", "area", "distance"})
INTEGERS = frozenset({"integer", "int", "long"})
BOOLEANS = frozenset({"boolean", "bool"})
INT64 = 2**63


@dataclass
class _Seen:
    """What has been seen in one column."""

    told: str
    kinds: set[str] = field(default_factory=set)
    dates: bool = True

    def add(self, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            kind = "bool"
        elif isinstance(value, int):
            kind = "int" if -INT64 <= value < INT64 else "text"
        elif isinstance(value, float):
            kind = "float"
        elif isinstance(value, str):
            kind = "text"
        else:
            kind = "json"
        self.kinds.add(kind)
        if self.dates and self.told in DATES:
            self.dates = kind == "text" and moment(value) is not None

    @property
    def type(self) -> str:
        told = {"float": FLOATS, "int": INTEGERS, "bool": BOOLEANS, "date": DATES}
        named = next((name for name, names in told.items() if self.told in names), "text")
        if not self.kinds:
            return named
        if named == "date" and self.dates:
            return "date"
        if self.kinds == {"bool"}:
            return "bool"
        if self.kinds <= {"int", "float"}:
            return "float" if "float" in self.kinds or named == "float" else "int"
        return "text"


def moment(text: str) -> datetime | None:
    """A time in UTC; None where the text is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class Columns:
    """The columns of a layer: told ones first, then in the order in which they occur."""

    def __init__(self, told: Mapping[str, str | None]) -> None:
        self._seen = {name: _Seen((kind or "").lower()) for name, kind in told.items() if is_text(name)}

    def look(self, properties: Mapping[str, Any]) -> None:
        """Take the properties of one feature into account; UpstreamError for a name that cannot be written."""
        for name, value in properties.items():
            seen = self._seen.get(name)
            if seen is None:
                if not is_text(name):
                    raise UpstreamError(f"a feature has a property whose name is no text: {name!r}")
                seen = self._seen[name] = _Seen("")
            seen.add(value)

    @property
    def names(self) -> list[str]:
        return list(self._seen)

    def free_name(self, wanted: str) -> str:
        """`wanted`, or the like of it that no column has."""
        while wanted in self._seen:
            wanted = f"{wanted}_"
        return wanted

    def fields(self) -> list[Any]:
        """pyarrow fields, in the order of `names`."""
        import pyarrow

        types = {
            "bool": pyarrow.bool_(), "int": pyarrow.int64(), "float": pyarrow.float64(), "text": pyarrow.string(),
            "date": pyarrow.timestamp("us", tz="UTC"),
        }  # fmt: skip
        return [pyarrow.field(name, types[seen.type]) for name, seen in self._seen.items()]

    def arrays(self, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
        """One pyarrow array per column of the properties of some features."""
        import pyarrow

        rows = list(rows)
        made = []
        for field_, seen in zip(self.fields(), self._seen.values(), strict=True):
            values = [converted(row.get(field_.name), seen.type) for row in rows]
            made.append(pyarrow.array(values, field_.type))
        return made


def is_text(name: str) -> bool:
    """Whether a name can be written: JSON can hold halves of characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def converted(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        return float(value)
    if kind == "date":
        return moment(value)
    if kind == "text":
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()
    return value
