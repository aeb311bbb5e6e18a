"""Which row of one frame is which row of another, whatever the order.

Equal rows are paired by hash. Of those left, rows within the tolerances are paired: candidates lie near each other, or,
without geometry, agree in everything but numbers. What is left then differs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely

from ellipsis_local.testing.rasters import check_tolerance

MOST_SHOWN = 5
MOST_LETTERS = 90


@dataclass(frozen=True)
class FrameDifference:
    """How one frame differs from another."""

    lines: tuple[str, ...]
    """For people."""
    here: tuple[int, ...] = ()
    """Row numbers of the actual frame that have no equal."""
    there: tuple[int, ...] = ()
    """Row numbers of the expected frame that have none."""


@dataclass(frozen=True)
class Tolerances:
    """What still counts as equal."""

    tolerance: float
    rtol: float
    atol: float
    single: bool
    """A part is the same as a collection of that one part."""

    @property
    def exact(self) -> bool:
        return self.tolerance == self.rtol == self.atol == 0


@dataclass
class Table:
    """A frame's cells as plain values, and its shapes normalised, both by row."""

    columns: list[str]
    cells: list[tuple[Any, ...]]
    shapes: Any
    """Array of geometries (None where missing), or None without a geometry column."""
    keys: list[Hashable]


def compare_frames(
    actual: Any,
    expected: Any,
    *,
    tolerance: float = 0.0,
    rtol: float = 0.0,
    atol: float = 0.0,
    check_order: bool = False,
    check_column_order: bool = False,
    check_dtype: bool = False,
    check_crs: bool = True,
    check_geometry_type: bool = True,
    ignore: Collection[str] = (),
) -> FrameDifference | None:
    """How two frames differ, None where they do not; see `assert_frame_equal`."""
    loose = Tolerances(
        check_tolerance("tolerance", tolerance), check_tolerance("rtol", rtol), check_tolerance("atol", atol),
        single=not check_geometry_type,
    )  # fmt: skip
    ignored = {ignore} if isinstance(ignore, str) else set(ignore)
    one, other = _columns(actual, ignored), _columns(expected, ignored)
    lines = list(_of_columns(one, other, actual, expected, order=check_column_order, dtype=check_dtype))
    if check_crs:
        lines += _of_crs(actual, expected)
    if len(actual) != len(expected):
        lines.append(f"rows: {len(actual)}, expected {len(expected)}")
    shared = [name for name in other if name in one]
    a, b = _table(actual, shared, loose), _table(expected, shared, loose)
    pairs = _in_order(a, b, loose) if check_order else _in_any_order(a, b, loose)
    here, there = pairs
    lines += _of_rows(a, b, here, there, in_order=check_order)
    return FrameDifference(tuple(lines), tuple(here), tuple(there)) if lines else None


def _geometry(frame: Any) -> str | None:
    name = getattr(frame, "_geometry_column_name", None)
    return name if name in frame.columns else None


def _columns(frame: Any, ignored: set[str]) -> list[str]:
    """Names in their order; the geometry is called so, whatever its name, which files do not keep."""
    geometry = _geometry(frame)
    return ["geometry" if name == geometry else str(name) for name in frame.columns if name not in ignored]


def _of_columns(
    one: list[str], other: list[str], actual: Any, expected: Any, *, order: bool, dtype: bool
) -> Iterator[str]:
    for text, names in (
        ("columns that are not expected", [name for name in one if name not in other]),
        ("columns that are missing", [name for name in other if name not in one]),
    ):
        if names:
            yield f"{text}: {', '.join(names)}"
    if order and sorted(one) == sorted(other) and one != other:
        yield f"order of the columns: {', '.join(one)}, expected {', '.join(other)}"
    for name in other if dtype else ():
        if name in one:
            a, b = _column(actual, name).dtype, _column(expected, name).dtype
            if a != b:
                yield f"dtype of column {name!r}: {a}, expected {b}"


def _of_crs(actual: Any, expected: Any) -> Iterator[str]:
    a, b = getattr(actual, "crs", None), getattr(expected, "crs", None)
    if a is not None and b is not None and a != b:
        yield f"CRS: {a.to_string()[:MOST_LETTERS]}, expected {b.to_string()[:MOST_LETTERS]}"


def _column(frame: Any, name: str) -> Any:
    geometry = _geometry(frame)
    if name == "geometry" and geometry is not None:
        return frame[geometry]
    return frame.iloc[:, [str(one) for one in frame.columns].index(name)]


def _table(frame: Any, columns: list[str], loose: Tolerances) -> Table:
    shapes = None
    if "geometry" in columns and _geometry(frame) is not None:
        shapes = _normal(np.asarray(_column(frame, "geometry"), object), loose)
    others = [name for name in columns if shapes is None or name != "geometry"]
    cells = list(zip(*([_plain(value) for value in _column(frame, name)] for name in others), strict=True))
    cells = cells or [()] * len(frame)
    marks = [None] * len(frame) if shapes is None else list(shapely.to_wkb(shapes))
    return Table(others, cells, shapes, list(zip(cells, marks, strict=True)))


def _normal(shapes: Any, loose: Tolerances) -> Any:
    """One form of each geometry: where rings start, how they run, the order of parts."""
    shapes = shapely.normalize(shapes)
    if loose.single:
        alone = np.isin(shapely.get_type_id(shapes), (4, 5, 6)) & (shapely.get_num_geometries(shapes) == 1)
        shapes[alone] = shapely.get_geometry(shapes[alone], 0)
    return shapes


def _plain(value: Any) -> Any:
    """A cell as something that has a hash, equal where the content is; None for everything missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray | list | tuple):
        return tuple(_plain(one) for one in value)
    if isinstance(value, dict):
        return tuple(sorted((str(key), _plain(one)) for key, one in value.items()))
    if isinstance(value, shapely.Geometry):
        return shapely.normalize(value).wkb
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _in_any_order(a: Table, b: Table, loose: Tolerances) -> tuple[list[int], list[int]]:
    """Row numbers that have no equal, of the one and of the other."""
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(b.keys):
        waiting[key].append(row)
    here = []
    for row, key in enumerate(a.keys):
        rows = waiting.get(key)
        if rows:
            rows.pop()
        else:
            here.append(row)
    there = sorted(row for rows in waiting.values() for row in rows)
    if loose.exact or not here or not there:
        return here, there
    taken: set[int] = set()
    left = []
    for row, candidates in _candidates(a, b, here, there, loose):
        match = next((other for other in candidates if other not in taken and _close(a, b, row, other, loose)), None)
        if match is None:
            left.append(row)
        else:
            taken.add(match)
    return left, [row for row in there if row not in taken]


def _candidates(
    a: Table, b: Table, here: list[int], there: list[int], loose: Tolerances
) -> Iterator[tuple[int, list[int]]]:
    """For each row that is left, rows of the other that may be meant."""
    if a.shapes is not None and b.shapes is not None:
        tree = shapely.STRtree(shapely.box(*shapely.bounds(b.shapes[there]).T))
        missing = [row for row in there if shapely.is_missing(b.shapes[row]) or shapely.is_empty(b.shapes[row])]
        for row in here:
            shape, margin = a.shapes[row], loose.tolerance
            if shape is None or shape.is_empty:
                yield row, missing
            else:
                west, south, east, north = shape.bounds
                box = shapely.box(west - margin, south - margin, east + margin, north + margin)
                yield row, sorted(there[i] for i in tree.query(box))
        return
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row in there:
        groups[_without_numbers(b.cells[row])].append(row)
    for row in here:
        yield row, groups[_without_numbers(a.cells[row])]


def _without_numbers(cells: tuple[Any, ...]) -> Hashable:
    return tuple("number" if _is_number(cell) else cell for cell in cells)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _close(a: Table, b: Table, row: int, other: int, loose: Tolerances) -> bool:
    same_shape = a.shapes is None or b.shapes is None or _same_shape(a.shapes[row], b.shapes[other], loose)
    return same_shape and not any(
        not _same_cell(x, y, loose) for x, y in zip(a.cells[row], b.cells[other], strict=True)
    )


def _same_cell(x: Any, y: Any, loose: Tolerances) -> bool:
    if _is_number(x) and _is_number(y):
        return bool(x == y) or abs(x - y) <= loose.atol + loose.rtol * abs(y)
    if isinstance(x, tuple) and isinstance(y, tuple):
        return len(x) == len(y) and all(_same_cell(one, other, loose) for one, other in zip(x, y, strict=True))
    return bool(x == y)


def _same_shape(x: Any, y: Any, loose: Tolerances) -> bool:
    if x is None or y is None:
        return x is y
    if x.geom_type != y.geom_type or x.is_empty != y.is_empty or shapely.get_dimensions(x) != shapely.get_dimensions(y):
        return False
    if shapely.equals_exact(x, y, loose.tolerance):
        return True
    # Where coordinates are a little apart, rings may start elsewhere; the number of coordinates must be the same.
    return (
        loose.tolerance > 0
        and shapely.get_num_coordinates(x) == shapely.get_num_coordinates(y)
        and shapely.hausdorff_distance(x, y) <= loose.tolerance
        and shapely.hausdorff_distance(shapely.boundary(x), shapely.boundary(y)) <= loose.tolerance
    )


def _in_order(a: Table, b: Table, loose: Tolerances) -> tuple[list[int], list[int]]:
    count = min(len(a.keys), len(b.keys))
    wrong = [row for row in range(count) if a.keys[row] != b.keys[row] and not _close(a, b, row, row, loose)]
    return wrong + list(range(count, len(a.keys))), wrong + list(range(count, len(b.keys)))


def _of_rows(a: Table, b: Table, here: list[int], there: list[int], *, in_order: bool) -> Iterator[str]:
    """What is said of rows: those that changed in a few cells, those only here, those only there."""
    changed = _changed(a, b, here, there, in_order=in_order)
    if changed:
        yield f"values: {len(changed)} {'row differs' if len(changed) == 1 else 'rows differ'}"
    for row, other in changed[:MOST_SHOWN]:
        yield f"  row {row}{'' if row == other else f' (expected: row {other})'}: {'; '.join(_what(a, b, row, other))}"
    if len(changed) > MOST_SHOWN:
        yield f"  and {len(changed) - MOST_SHOWN} more"
    for text, table, rows in (
        ("only in actual", a, [row for row in here if row not in {one for one, _ in changed}]),
        ("only in expected", b, [row for row in there if row not in {other for _, other in changed}]),
    ):
        if rows:
            yield f"{text}: {len(rows)} {'row' if len(rows) == 1 else 'rows'}"
            yield from (f"  row {row}: {_shown(table, row)}" for row in rows[:MOST_SHOWN])
        if len(rows) > MOST_SHOWN:
            yield f"  and {len(rows) - MOST_SHOWN} more"


def _changed(a: Table, b: Table, here: list[int], there: list[int], *, in_order: bool) -> list[tuple[int, int]]:
    """Rows that are plainly meant to be the same: of one place, or the same in all columns but the shape."""
    if in_order:
        return [(row, row) for row in here if row in set(there)]
    found: list[tuple[int, int]] = []
    free = list(there)
    for part in (0, 1) if a.shapes is not None and b.shapes is not None else ():
        # 1, the mark of the shape, first.
        known: dict[Hashable, list[int]] = defaultdict(list)
        for other in free:
            known[b.keys[other][1 - part]].append(other)  # type: ignore[index]
        for row in here:
            rows = known.get(a.keys[row][1 - part])  # type: ignore[index]
            if rows and row not in {one for one, _ in found}:
                found.append((row, rows.pop(0)))
        free = [other for other in free if other not in {two for _, two in found}]
    return sorted(found)


def _what(a: Table, b: Table, row: int, other: int) -> Iterator[str]:
    for name, x, y in zip(a.columns, a.cells[row], b.cells[other], strict=True):
        if x != y:
            yield f"{name} is {_short(x)}, expected {_short(y)}"
    if a.shapes is not None and b.shapes is not None:
        x, y = a.shapes[row], b.shapes[other]
        if shapely.to_wkb(x) != shapely.to_wkb(y):
            yield f"geometry is {_short(x)}, expected {_short(y)}"


def _shown(table: Table, row: int) -> str:
    texts = [f"{name}={_short(cell)}" for name, cell in zip(table.columns, table.cells[row], strict=True)]
    if table.shapes is not None:
        texts.append(_short(table.shapes[row]))
    return ", ".join(texts)


def _short(value: Any) -> str:
    text = (
        shapely.to_wkt(value, rounding_precision=6, trim=True) if isinstance(value, shapely.Geometry) else repr(value)
    )
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
