"""What two runs of a job made, compared whatever it is: numbers, arrays, rasters, frames, and any nesting of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import shapely
from affine import Affine

from ellipsis_local.errors import ArgumentError
from ellipsis_local.raster.grid import apply
from ellipsis_local.testing.frames import Checks, as_frame, compare_frames, is_number, shortened
from ellipsis_local.testing.rasters import (
    Raster,
    RasterDifference,
    as_raster,
    bytes_of,
    compare_rasters,
    is_raster,
    show_transform,
)

FEATURES = (b"SQLi", b"PAR1")
FORMS = (Raster, pd.DataFrame)
"""What is never equal to a value of another kind."""
NUMBERS = "biufc"
MOST_LETTERS = 80


@dataclass(frozen=True)
class Mismatch:
    """One place at which two values differ."""

    lines: tuple[str, ...]
    """For people; the first names the place in the value."""
    raster: RasterDifference | None = None
    rows: Any = None
    """A frame of the features that are on one side only, where they are features."""


def joined(results: Sequence[Any]) -> Any:
    """What the nodes returned as one value, rasters as their mosaic, frames one after the other; else ArgumentError."""
    whole = _whole(results)
    if whole is None:
        kinds = ", ".join(sorted({type(result).__name__ for result in results}))
        text = "reduce is needed: the nodes return neither rasters nor frames, which are put together without"
        raise ArgumentError(f"{text} ({kinds})", argument="reduce")
    return whole


def _whole(results: Sequence[Any]) -> Any:
    forms = [_form(result, f"what node {node} returns") for node, result in enumerate(results)]
    if forms and all(isinstance(form, Raster) for form in forms):
        return join_rasters(forms, "the mosaic")
    if forms and all(isinstance(form, pd.DataFrame) for form in forms):
        return pd.concat([form for form in forms if len(form)] or forms[:1], ignore_index=True)
    return None


def join_rasters(rasters: list[Raster], name: str) -> Raster:
    """Their mosaic, later ones on top where valid, as in the store; ValueError where grids or types differ."""
    full = [raster for raster in rasters if raster.values.size] or rasters[:1]
    first = full[0]
    for raster in full[1:]:
        for what, one, other in (
            ("bands", raster.values.shape[0], first.values.shape[0]),
            ("dtype", raster.values.dtype, first.values.dtype),
            ("CRS", raster.crs, first.crs),
        ):
            if one != other:
                raise ValueError(f"{what} of {raster.name} is {one}, and of {first.name} {other}")
    places = [_first_pixel(raster, first) for raster in full]
    top, left = min(row for row, _ in places), min(col for _, col in places)
    height = max(row + raster.values.shape[1] for raster, (row, _) in zip(full, places, strict=True)) - top
    width = max(col + raster.values.shape[2] for raster, (_, col) in zip(full, places, strict=True)) - left
    values = np.zeros((first.values.shape[0], height, width), first.values.dtype)
    valid = np.zeros(values.shape, bool)
    for raster, (row, col) in zip(full, places, strict=True):
        rows, cols = raster.values.shape[1:]
        window = (slice(None), slice(row - top, row - top + rows), slice(col - left, col - left + cols))
        values[window] = np.where(raster.valid | ~valid[window], raster.values, values[window])
        valid[window] |= raster.valid
    t = first.transform
    x, y = apply(t, left, top)
    return replace(first, name=name, values=values, valid=valid, transform=Affine(t.a, t.b, x, t.d, t.e, y))


def _first_pixel(raster: Raster, first: Raster) -> tuple[int, int]:
    """Row and column of its first pixel on the grid of the first."""
    one, other = raster.transform, first.transform
    col, row = apply(~other, one.c, one.f)
    pixel = max(abs(value) for value in (other.a, other.b, other.d, other.e))
    same = np.allclose((one.a, one.b, one.d, one.e), (other.a, other.b, other.d, other.e), rtol=0, atol=1e-6 * pixel)
    if not same or max(abs(col - round(col)), abs(row - round(row))) > 0.01:
        raise ValueError(
            f"{raster.name} lies on another grid than {first.name}: transform {show_transform(one)} and "
            f"{show_transform(other)}"
        )
    return round(row), round(col)


def _form(value: Any, name: str = "a result") -> Any:
    """Rasters as `Raster`, features as a frame, all else as it is."""
    if is_raster(value):
        return as_raster(value, name)
    data = bytes_of(value)
    if data is None:
        return value
    return as_frame(value, name) if data[:4] in FEATURES or data[:1] == b"{" else data


def compare(actual: Any, expected: Any, rtol: float, atol: float, place: str = "value") -> Iterator[Mismatch]:
    """Where two values differ, in the order of the expected one's parts."""
    actual, expected = _form(actual), _form(expected)
    if isinstance(actual, Raster) and isinstance(expected, Raster):
        yield from _rasters(actual, expected, rtol, atol, place)
    elif isinstance(actual, pd.DataFrame) and isinstance(expected, pd.DataFrame):
        yield from _frames(actual, expected, rtol, atol, place)
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        yield from _mappings(actual, expected, rtol, atol, place)
    elif isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        yield from _lists(actual, expected, rtol, atol, place)
    elif isinstance(actual, FORMS) or isinstance(expected, FORMS) or not _same(actual, expected, rtol, atol):
        yield Mismatch((f"{place}: {_told(actual, expected)}",))


def _rasters(actual: Raster, expected: Raster, rtol: float, atol: float, place: str) -> Iterator[Mismatch]:
    difference = compare_rasters(actual, expected, rtol, atol)
    if difference is not None:
        yield Mismatch((f"{place}: the rasters differ", *indented(difference.lines)), raster=difference)


def _frames(actual: Any, expected: Any, rtol: float, atol: float, place: str) -> Iterator[Mismatch]:
    import geopandas as gpd

    difference = compare_frames(actual, expected, Checks(atol, rtol, atol))
    if difference is not None:
        features = [
            frame.iloc[list(rows)]
            for frame, rows in ((actual, difference.here), (expected, difference.there))
            if isinstance(frame, gpd.GeoDataFrame) and rows
        ]
        lines = (f"{place}: the frames differ", *indented(difference.lines))
        yield Mismatch(lines, rows=pd.concat(features) if features else None)


def indented(lines: Iterable[object]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _mappings(
    actual: Mapping[Any, Any], expected: Mapping[Any, Any], rtol: float, atol: float, place: str
) -> Iterator[Mismatch]:
    yield from (
        Mismatch((f"{place}[{key!r}]: is not in the value of one node",)) for key in actual if key not in expected
    )
    for key, value in expected.items():
        if key in actual:
            yield from compare(actual[key], value, rtol, atol, f"{place}[{key!r}]")
        else:
            yield Mismatch((f"{place}[{key!r}]: is missing; one node gives {short(value)}",))


def _lists(actual: Sequence[Any], expected: Sequence[Any], rtol: float, atol: float, place: str) -> Iterator[Mismatch]:
    if len(actual) != len(expected):
        try:
            # One per node, as they came: together they are one.
            whole, other = _whole(actual), _whole(expected)
        except ValueError as error:
            yield Mismatch((f"{place}: {error}",))
            return
        if whole is not None and other is not None:
            yield from compare(whole, other, rtol, atol, place)
            return
        yield Mismatch((f"{place}: {len(actual)} entries, with one node {len(expected)}",))
    for index, (one, other) in enumerate(zip(actual, expected, strict=False)):
        yield from compare(one, other, rtol, atol, f"{place}[{index}]")


def _same(actual: Any, expected: Any, rtol: float, atol: float) -> bool:
    arrays = isinstance(actual, np.ndarray) or isinstance(expected, np.ndarray)
    if arrays or (is_number(actual) and is_number(expected)):
        return _same_arrays(np.asarray(actual), np.asarray(expected), rtol, atol)
    if isinstance(expected, AbstractSet) and isinstance(actual, AbstractSet):
        return set(actual) == set(expected)
    if type(actual).__name__ != type(expected).__name__:
        return False
    if isinstance(expected, shapely.Geometry):
        return bool(shapely.equals_exact(shapely.normalize(actual), shapely.normalize(expected), atol))
    return bool(np.all(actual == expected))


def _same_arrays(actual: Any, expected: Any, rtol: float, atol: float) -> bool:
    if actual.shape != expected.shape:
        return False
    kinds = {actual.dtype.kind, expected.dtype.kind}
    if kinds <= set(NUMBERS) and not kinds <= set("biu"):
        return bool(np.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True).all())
    return bool((actual == expected).all())


def _told(actual: Any, expected: Any) -> str:
    if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray):
        return _arrays(actual, expected)
    text = f"{short(actual)}, with one node {short(expected)}"
    if is_number(actual) and is_number(expected) and not isinstance(actual - expected, complex):
        apart = float(actual - expected)
        share = f", {apart / float(expected):+.3%}" if expected and math.isfinite(apart) else ""
        text += f" ({apart:+.6g}{share})" if math.isfinite(apart) else ""
    return text


def _arrays(actual: Any, expected: Any) -> str:
    if actual.shape != expected.shape:
        return f"an array of shape {actual.shape}, with one node {expected.shape}"
    both = actual.dtype.kind in NUMBERS and expected.dtype.kind in NUMBERS
    wrong = ~np.isclose(actual, expected, equal_nan=True) if both else actual != expected
    if not wrong.any():
        return "arrays that differ by less than is shown"
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} numbers differ, the first at {list(first)}: {actual[first]}, with one "
        f"node {expected[first]}"
    )


def short(value: Any) -> str:
    data = bytes_of(value)
    if isinstance(value, Raster):
        return f"a raster {value.values.shape}"
    if isinstance(value, pd.DataFrame):
        return f"a frame of {len(value)} rows"
    return shortened(" ".join(repr(value).split()) if data is None else f"{len(data)} bytes", MOST_LETTERS)
