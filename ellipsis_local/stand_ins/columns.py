"""Columns of a stand-in: the types that there are, by their names, and values of them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pyarrow as pa

from ellipsis_local.errors import LayerWarning
from ellipsis_local.notices import warn
from ellipsis_local.stand_ins.draws import Draws

WORDS = {
    "text": "string", "str": "string", "string": "string", "int": "int64", "integer": "int64", "float": "double",
    "number": "double", "double": "double", "bool": "bool", "boolean": "bool", "date": "date32[day]",
    "datetime": "timestamp[ms]",
}  # fmt: skip
"""What types are called, besides Arrow's own names."""
KINDS = 8
"""How many texts a column of texts holds."""
FROM, DAYS, DAY = 16_436, 3_650, 86_400
"""The first day of dates, 2015-01-01, counted from 1970; how many may follow; its seconds."""


def arrow_type(text: str) -> Any:
    """The type of that name; None where it is none that can be made up."""
    text = WORDS.get(text, text)
    if found := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", text):
        return pa.timestamp(found[1], found[2])
    if found := re.fullmatch(r"decimal128\((\d+), (\d+)\)", text):
        return pa.decimal128(int(found[1]), int(found[2]))
    if found := re.fullmatch(r"(?:large_)?list<[^:]+: (.+)>", text):
        inner = arrow_type(found[1].removesuffix(" not null"))
        return None if inner is None else pa.list_(inner)
    if found := re.fullmatch(r"dictionary<values=(\w+), indices=\w+, ordered=\d>", text):
        return pa.dictionary(pa.int32(), pa.type_for_alias(found[1]))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return None


def make_column(name: str, text: str, draws: Draws, count: int) -> Any:
    kind = arrow_type(text)
    found = None if kind is None else _values(name, kind, draws, count)
    if found is None:
        warn(f"column {name!r} of the stand-in is empty: values of {text} are not invented", LayerWarning)
        return pa.nulls(count, kind or pa.string())
    return found


def _values(name: str, kind: Any, draws: Draws, count: int) -> Any:
    types = pa.types
    if types.is_dictionary(kind):
        return _values(name, kind.value_type, draws, count).dictionary_encode().cast(kind)
    if types.is_list(kind):
        inner = _values(name, kind.value_type, draws, 2 * count)
        return (
            None if inner is None else pa.ListArray.from_arrays(pa.array(range(0, 2 * count + 1, 2), pa.int32()), inner)
        )
    if types.is_boolean(kind):
        return pa.array(draws.uniform(count) < 0.5)
    if types.is_floating(kind):
        return pa.array(draws.uniform(count) * 100).cast(kind, safe=False)
    if types.is_decimal(kind):
        whole = 10 ** min(kind.precision, 4)
        return pa.array([Decimal(int(one)).scaleb(-kind.scale) for one in draws.below(whole, count)], kind)
    if types.is_date(kind):
        return pa.array((FROM + draws.below(DAYS, count)).astype("int32")).cast(pa.date32()).cast(kind)
    if types.is_timestamp(kind):
        seconds = (FROM + draws.below(DAYS, count)) * DAY + draws.below(DAY, count)
        return pa.array(seconds).cast(pa.timestamp("s", kind.tz)).cast(kind)
    if types.is_duration(kind):
        return pa.array(draws.below(DAY, count)).cast(pa.duration("s")).cast(kind)
    if types.is_time(kind):
        return pa.array(draws.below(DAY, count).astype("int32")).cast(pa.time32("s")).cast(kind)
    numbers = draws.below(100, count)
    if types.is_integer(kind):
        return pa.array(numbers).cast(kind)
    texts = [f"{name} {1 + one % KINDS}" for one in numbers.tolist()]
    if types.is_string(kind) or types.is_large_string(kind):
        return pa.array(texts, kind)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return pa.array([one.encode() for one in texts], kind)
    return None
