"""The property filter of featuresByExtent.

The service's own form is not documented. Ours is a list of {'key', 'operator', 'value'}, all of which must hold:
key a property, operator one of =, !=, <, >, <=, >=, value a JSON scalar of the property's type. Null is equal to null
only, and neither less nor more than anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.errors import ArgumentError
from ellipsis_local.features.columns import array_of, logical_type
from ellipsis_local.vector import value_type

OPERATORS = {
    "=": "equal", "!=": "not_equal", "<": "less", ">": "greater", "<=": "less_equal", ">=": "greater_equal",
}  # fmt: skip
FORM = "propertyFilter is a list of {'key': …, 'operator': one of " + ", ".join(OPERATORS) + ", 'value': …}"


@dataclass(frozen=True)
class Condition:
    """One entry of the filter."""

    key: str
    operator: str
    value: Any


def checked_filter(value: Any, known: Collection[str]) -> tuple[Condition, ...]:
    """The conditions; ArgumentError for another form, an unknown operator, or a property that is none of `known`."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise wrong(f"{FORM}, not {type(value).__name__}", value)
    found = []
    for position, one in enumerate(value):
        place = f"propertyFilter[{position}]"
        if not isinstance(one, Mapping) or set(one) != {"key", "operator", "value"}:
            raise wrong(f"{place}: {FORM}", one)
        condition = Condition(one["key"], one["operator"], one["value"])
        if not isinstance(condition.operator, str) or condition.operator not in OPERATORS:
            raise wrong(f"{place}: operator must be one of {', '.join(OPERATORS)}, not {condition.operator!r}", one)
        if not isinstance(condition.key, str) or condition.key not in known:
            listing = ", ".join(map(repr, known)) or "none"
            raise wrong(f"{place}: there is no property {condition.key!r}; there are {listing}", one)
        if condition.value is None and condition.operator not in ("=", "!="):
            raise wrong(f"{place}: null can be compared by = and != only", one)
        found.append(condition)
    return tuple(found)


def wrong(text: str, value: Any) -> ArgumentError:
    return ArgumentError(text, argument="propertyFilter", value=value)


def matching(conditions: Collection[Condition], fields: Mapping[str, Any], table: Any) -> NDArray[np.bool_]:
    """Which rows of a table fulfil all conditions; a property that this file does not have is null in it."""
    keep = np.ones(len(table), bool)
    for condition in conditions:
        keep &= _matches(condition, fields.get(condition.key), table)
    return keep


def _matches(condition: Condition, field: Any, table: Any) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    negative = condition.operator == "!="
    if field is None or pa.types.is_null(field.type):
        return np.full(len(table), negative != (condition.value is None))
    column = table[condition.key]
    if pa.types.is_dictionary(column.type):
        column = column.cast(value_type(column.type))
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    if condition.value is None:
        missing = np.asarray(pc.is_null(column).to_numpy(), dtype=bool)
        return ~missing if negative else missing
    scalar = _scalar(condition, field, column.type)
    try:
        found = getattr(pc, OPERATORS[condition.operator])(column, scalar)
    except pa.ArrowException as error:
        raise wrong(
            f"propertyFilter: {condition.key!r} is of a type that cannot be compared", condition.value
        ) from error
    return np.asarray(pc.fill_null(found, negative).to_numpy(), dtype=bool)


def _scalar(condition: Condition, field: Any, kind: Any) -> Any:
    import pyarrow as pa

    if logical_type(field) == "json":
        raise wrong(
            f"propertyFilter: {condition.key!r} holds nested values; only null can be asked of it", condition.value
        )
    value = condition.value
    if pa.types.is_integer(kind) and isinstance(value, float) and not value.is_integer():
        return pa.scalar(value)
    return array_of(pa.field(field.name, kind), [value], lambda _: "propertyFilter")[0]
