"""Frames of features compared by content: which rows are only here, only there, and which changed how.

Equal rows are paired by hash; of the rest those within the tolerances, near each other or alike in all but numbers.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError
from ellipsis_local.testing.rasters import bytes_of, check_tolerance
from ellipsis_local.vector import recognised

FORMS = "a GeoDataFrame or DataFrame, the path or the bytes of a GeoPackage, GeoJSON or GeoParquet, or GeoJSON"
MOST_SHOWN = 5
MOST_LETTERS = 90


@dataclass(frozen=True)
class FrameDifference:
    lines: tuple[str, ...]
    here: tuple[int, ...] = ()
    """Row numbers of the actual frame that have no equal."""
    there: tuple[int, ...] = ()
    """Row numbers of the expected frame that have none."""


@dataclass(frozen=True)
class Checks:
    """What is compared, and how closely: the options of `assert_frame_equal`."""

    tolerance: float = 0.0
    rtol: float = 0.0
    atol: float = 0.0
    order: bool = False
    column_order: bool = False
    dtype: bool = False
    crs: bool = True
    geometry_type: bool = True
    ignore: Collection[str] = ()


@dataclass
class Table:
    """A frame's cells as plain values, and its shapes normalised, both by row."""

    columns: list[str]
    cells: list[tuple[Any, ...]]
    shapes: Any
    """Array of geometries (None where missing), or None without a geometry column."""
    keys: list[tuple[Hashable, Hashable]]
    """The cells and the shape of each row."""

    def row(self, number: int) -> dict[str, Any]:
        cells = dict(zip(self.columns, self.cells[number], strict=True))
        return cells if self.shapes is None else cells | {"geometry": self.shapes[number]}


def assert_frame_equal(
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
) -> None:
    """Assert that two frames hold the same features, in any order.

    Parameters
    ----------
    actual, expected : frame
        A GeoDataFrame or DataFrame; the path of a file that geopandas reads; bytes or a `BytesIO` of a GeoPackage,
        GeoJSON or GeoParquet; or a GeoJSON dictionary.
    tolerance : float
        By how much each coordinate may be apart, in units of the CRS. Where a ring starts, which way round it runs and
        the order of the parts do not matter.
    rtol, atol : float
        Other numbers may be apart by ``atol + rtol * abs(expected)``.
    check_order : bool
        Whether the rows have to come in the same order. The index is never looked at.
    check_column_order : bool
        Whether the columns have to.
    check_dtype : bool
        Whether the columns' dtypes have to be the same: files keep few of them.
    check_crs : bool
        Whether the CRS has to be the same. A frame without one agrees with any.
    check_geometry_type : bool
        Whether a polygon differs from a multipolygon of that one polygon (GeoPackages often hold the latter).
    ignore : collection of str
        Columns that are not looked at.

    Raises
    ------
    AssertionError
        With everything that differs: columns, CRS, rows only here, rows only there, and values that changed.
    ArgumentError
        For something that is no frame, or a tolerance that is negative or not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> wells = pd.DataFrame({'depth': [3.5, 4.0]})
    >>> el.testing.assert_frame_equal(wells, wells[::-1])
    >>> el.testing.assert_frame_equal(wells, wells + 1)
    Traceback (most recent call last):
        ...
    AssertionError: the frames differ (actual, then expected)
      only in actual: 2 rows
        ...
    """
    checks = Checks(
        check_tolerance("tolerance", tolerance), check_tolerance("rtol", rtol), check_tolerance("atol", atol),
        check_order, check_column_order, check_dtype, check_crs, check_geometry_type, ignore,
    )  # fmt: skip
    difference = compare_frames(as_frame(actual, "actual"), as_frame(expected, "expected"), checks)
    if difference is not None:
        raise AssertionError("\n  ".join(["the frames differ (actual, then expected)", *difference.lines]))


def as_frame(value: Any, name: str) -> Any:
    if isinstance(value, pd.DataFrame):
        return value
    source: bytes | Path | None = bytes_of(value)
    if isinstance(value, Mapping) and value.get("type") in ("FeatureCollection", "Feature"):
        source = json.dumps(value).encode()
    elif isinstance(value, str | os.PathLike):
        source = Path(value)
        if not source.is_file():
            raise invalid(name, value, f"is no file: {os.fspath(value)!r}")
    if source is None:
        raise invalid(name, value, f"must be {FORMS}, not {type(value).__name__}")
    try:
        return recognised(source)
    except Exception as error:
        shown = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
        raise ArgumentError(f"{name} cannot be read as features ({shown}): {error}", argument=name) from error


def compare_frames(actual: Any, expected: Any, checks: Checks) -> FrameDifference | None:
    ignored = {checks.ignore} if isinstance(checks.ignore, str) else set(checks.ignore)
    one, other = _columns(actual, ignored), _columns(expected, ignored)
    lines = list(_of_columns(one, other, actual, expected, checks))
    crs: list[Any] = [getattr(frame, "crs", None) for frame in (actual, expected)]
    if checks.crs and None not in crs and crs[0] != crs[1]:
        lines.append(f"CRS: {crs[0].to_string()[:MOST_LETTERS]}, expected {crs[1].to_string()[:MOST_LETTERS]}")
    if len(actual) != len(expected):
        lines.append(f"rows: {len(actual)}, expected {len(expected)}")
    shared = [name for name in other if name in one]
    a, b = _table(actual, shared, checks), _table(expected, shared, checks)
    here, there = _in_order(a, b, checks) if checks.order else _in_any_order(a, b, checks)
    lines += _of_rows(a, b, here, there, in_order=checks.order)
    return FrameDifference(tuple(lines), tuple(here), tuple(there)) if lines else None


def _geometry(frame: Any) -> str | None:
    name = getattr(frame, "_geometry_column_name", None)
    return name if name in frame.columns else None


def _columns(frame: Any, ignored: set[str]) -> list[str]:
    """Names in their order; the geometry is called so, whatever its name, which files do not keep."""
    geometry = _geometry(frame)
    return ["geometry" if name == geometry else str(name) for name in frame.columns if name not in ignored]


def _of_columns(one: list[str], other: list[str], actual: Any, expected: Any, checks: Checks) -> Iterator[str]:
    for text, names in (
        ("columns that are not expected", [name for name in one if name not in other]),
        ("columns that are missing", [name for name in other if name not in one]),
    ):
        if names:
            yield f"{text}: {', '.join(names)}"
    if checks.column_order and sorted(one) == sorted(other) and one != other:
        yield f"order of the columns: {', '.join(one)}, expected {', '.join(other)}"
    for name in other if checks.dtype else ():
        if name in one:
            a, b = _column(actual, name).dtype, _column(expected, name).dtype
            if a != b:
                yield f"dtype of column {name!r}: {a}, expected {b}"


def _column(frame: Any, name: str) -> Any:
    if name == "geometry" and (geometry := _geometry(frame)) is not None:
        return frame[geometry]
    return frame.iloc[:, [str(one) for one in frame.columns].index(name)]


def _table(frame: Any, columns: list[str], checks: Checks) -> Table:
    shapes = None
    if "geometry" in columns and _geometry(frame) is not None:
        shapes = _normal(np.asarray(_column(frame, "geometry"), object), checks)
    others = [name for name in columns if shapes is None or name != "geometry"]
    cells = list(zip(*([_plain(value) for value in _column(frame, name)] for name in others), strict=True))
    cells = cells or [()] * len(frame)
    marks = [None] * len(frame) if shapes is None else list(shapely.to_wkb(shapes))
    return Table(others, cells, shapes, list(zip(cells, marks, strict=True)))


def _normal(shapes: Any, checks: Checks) -> Any:
    """One form of each geometry: where rings start, how they run, the order of parts."""
    shapes = shapely.normalize(shapes)
    if not checks.geometry_type:
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


def _in_any_order(a: Table, b: Table, checks: Checks) -> tuple[list[int], list[int]]:
    """Row numbers that have no equal, of the one and of the other."""
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(b.keys):
        waiting[key].append(row)
    here = []
    for row, key in enumerate(a.keys):
        if rows := waiting.get(key):
            rows.pop()
        else:
            here.append(row)
    there = sorted(row for rows in waiting.values() for row in rows)
    if checks.tolerance == checks.rtol == checks.atol == 0 or not here or not there:
        return here, there
    taken: set[int] = set()
    left = []
    for row, candidates in _candidates(a, b, here, there, checks):
        match = next((other for other in candidates if other not in taken and _close(a, b, row, other, checks)), None)
        if match is None:
            left.append(row)
        else:
            taken.add(match)
    return left, [row for row in there if row not in taken]


def _candidates(
    a: Table, b: Table, here: list[int], there: list[int], checks: Checks
) -> Iterator[tuple[int, list[int]]]:
    """For each row that is left, rows of the other that may be meant."""
    if a.shapes is not None and b.shapes is not None:
        tree = shapely.STRtree(shapely.box(*shapely.bounds(b.shapes[there]).T))
        missing = [row for row in there if shapely.is_missing(b.shapes[row]) or shapely.is_empty(b.shapes[row])]
        for row in here:
            shape, margin = a.shapes[row], checks.tolerance
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
    return tuple("number" if is_number(cell) else cell for cell in cells)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex | np.number) and not isinstance(value, bool)


def _close(a: Table, b: Table, row: int, other: int, checks: Checks) -> bool:
    same_shape = a.shapes is None or b.shapes is None or _same_shape(a.shapes[row], b.shapes[other], checks)
    return same_shape and _same_cell(a.cells[row], b.cells[other], checks)


def _same_cell(x: Any, y: Any, checks: Checks) -> bool:
    if is_number(x) and is_number(y):
        return bool(x == y or abs(x - y) <= checks.atol + checks.rtol * abs(y))
    if isinstance(x, tuple) and isinstance(y, tuple):
        return len(x) == len(y) and all(_same_cell(one, other, checks) for one, other in zip(x, y, strict=True))
    return bool(x == y)


def _same_shape(x: Any, y: Any, checks: Checks) -> bool:
    if x is None or y is None:
        return x is y
    if x.geom_type != y.geom_type or x.is_empty != y.is_empty or shapely.get_dimensions(x) != shapely.get_dimensions(y):
        return False
    if shapely.equals_exact(x, y, checks.tolerance):
        return True
    # Where coordinates are a little apart, rings may start elsewhere; the number of coordinates must be the same.
    return (
        checks.tolerance > 0
        and shapely.get_num_coordinates(x) == shapely.get_num_coordinates(y)
        and shapely.hausdorff_distance(x, y) <= checks.tolerance
        and shapely.hausdorff_distance(shapely.boundary(x), shapely.boundary(y)) <= checks.tolerance
    )


def _in_order(a: Table, b: Table, checks: Checks) -> tuple[list[int], list[int]]:
    count = min(len(a.keys), len(b.keys))
    wrong = [row for row in range(count) if a.keys[row] != b.keys[row] and not _close(a, b, row, row, checks)]
    return wrong + list(range(count, len(a.keys))), wrong + list(range(count, len(b.keys)))


def _of_rows(a: Table, b: Table, here: list[int], there: list[int], *, in_order: bool) -> Iterator[str]:
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
            known[b.keys[other][1 - part]].append(other)
        for row in here:
            rows = known.get(a.keys[row][1 - part])
            if rows and row not in {one for one, _ in found}:
                found.append((row, rows.pop(0)))
        free = [other for other in free if other not in {two for _, two in found}]
    return sorted(found)


def _what(a: Table, b: Table, row: int, other: int) -> Iterator[str]:
    expected = b.row(other)
    for name, value in a.row(row).items():
        if _plain(value) != _plain(expected[name]):
            yield f"{name} is {_short(value)}, expected {_short(expected[name])}"


def _shown(table: Table, row: int) -> str:
    return ", ".join(
        _short(cell) if isinstance(cell, shapely.Geometry) else f"{name}={_short(cell)}"
        for name, cell in table.row(row).items()
    )


def _short(value: Any) -> str:
    shape = isinstance(value, shapely.Geometry)
    return shortened(shapely.to_wkt(value, rounding_precision=6, trim=True) if shape else repr(value), MOST_LETTERS)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
