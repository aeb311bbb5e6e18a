"""What two runs of a job made, compared whatever it is: numbers, arrays, rasters, frames, and any nesting of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from ellipsis_local.errors import ArgumentError
from ellipsis_local.testing.frame_diff import FrameDifference, compare_frames
from ellipsis_local.testing.frames import as_frame, is_frame
from ellipsis_local.testing.mosaics import join_rasters
from ellipsis_local.testing.rasters import (
    Raster,
    RasterDifference,
    as_raster,
    bytes_of,
    compare_rasters,
    is_raster_dict,
    is_tiff,
)

FEATURES = (b"SQLi", b"PAR1")
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
    """What the nodes returned as one value: rasters as their mosaic, frames one after the other.

    Raises
    ------
    ArgumentError
        Where they are neither, so that it takes a `reduce` to make one value of them.
    """
    whole = _whole(results)
    if whole is not None:
        return whole
    raise ArgumentError(
        "reduce is needed: the nodes return neither rasters nor frames, which are put together without "
        f"({', '.join(sorted({type(result).__name__ for result in results}))})",
        argument="reduce",
    )


def _whole(results: Sequence[Any]) -> Any:
    """One raster, or one frame, of what the nodes return; None where it is neither."""
    forms = [_form(result, f"what node {node} returns") for node, result in enumerate(results)]
    rasters = [form for form in forms if isinstance(form, Raster)]
    if rasters and len(rasters) == len(forms):
        return join_rasters(rasters, "the mosaic")
    if forms and all(is_frame(form) for form in forms):
        import pandas as pd

        return pd.concat([form for form in forms if len(form)] or forms[:1], ignore_index=True)
    return None


def _form(value: Any, name: str = "a result") -> Any:
    """Rasters as `Raster`, features as a frame, all else as it is."""
    if is_raster_dict(value):
        return as_raster(value, name)
    data = bytes_of(value)
    if is_tiff(data):
        return as_raster(value, name)
    if data is not None and (data[:4] in FEATURES or data[:1] == b"{"):
        return as_frame(value, name)
    return value if data is None else data


def compare(actual: Any, expected: Any, rtol: float, atol: float, place: str = "value") -> Iterator[Mismatch]:
    """Where two values differ, in the order of the expected one's parts."""
    actual, expected = _form(actual), _form(expected)
    if isinstance(expected, Raster) or isinstance(actual, Raster):
        yield from _rasters(actual, expected, rtol, atol, place)
    elif is_frame(expected) or is_frame(actual):
        yield from _frames(actual, expected, rtol, atol, place)
    elif isinstance(expected, Mapping) and isinstance(actual, Mapping):
        yield from _mappings(actual, expected, rtol, atol, place)
    elif _listed(expected) and _listed(actual):
        yield from _lists(actual, expected, rtol, atol, place)
    elif not _same(actual, expected, rtol, atol):
        yield Mismatch((f"{place}: {_told(actual, expected)}",))


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _rasters(actual: Any, expected: Any, rtol: float, atol: float, place: str) -> Iterator[Mismatch]:
    if not (isinstance(actual, Raster) and isinstance(expected, Raster)):
        yield Mismatch((f"{place}: {_told(actual, expected)}",))
        return
    difference = compare_rasters(actual, expected, rtol=rtol, atol=atol)
    if difference is not None:
        yield Mismatch((f"{place}: the rasters differ", *_indented(difference.lines)), raster=difference)


def _frames(actual: Any, expected: Any, rtol: float, atol: float, place: str) -> Iterator[Mismatch]:
    if not (is_frame(actual) and is_frame(expected)):
        yield Mismatch((f"{place}: {_told(actual, expected)}",))
        return
    difference = compare_frames(actual, expected, tolerance=atol, rtol=rtol, atol=atol)
    if difference is not None:
        lines = (f"{place}: the frames differ", *_indented(difference.lines))
        yield Mismatch(lines, rows=_features(actual, expected, difference))


def _features(actual: Any, expected: Any, difference: FrameDifference) -> Any:
    """The features that are on one side only, with their shapes; None where there are none with a shape."""
    import geopandas as gpd
    import pandas as pd

    parts = [
        frame.iloc[list(rows)]
        for frame, rows in ((actual, difference.here), (expected, difference.there))
        if isinstance(frame, gpd.GeoDataFrame) and rows
    ]
    return pd.concat(parts) if parts else None


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _mappings(
    actual: Mapping[Any, Any], expected: Mapping[Any, Any], rtol: float, atol: float, place: str
) -> Iterator[Mismatch]:
    for key in actual:
        if key not in expected:
            yield Mismatch((f"{place}[{key!r}]: is not in the value of one node",))
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
    if isinstance(actual, np.ndarray) or isinstance(expected, np.ndarray):
        return _same_arrays(np.asarray(actual), np.asarray(expected), rtol, atol)
    if isinstance(expected, AbstractSet) and isinstance(actual, AbstractSet):
        return set(actual) == set(expected)
    if _is_number(actual) and _is_number(expected):
        if isinstance(actual, int | np.integer) and isinstance(expected, int | np.integer):
            return bool(actual == expected)
        return bool(np.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True))
    if type(actual).__name__ != type(expected).__name__:
        return False
    if hasattr(expected, "geom_type"):
        import shapely

        return bool(shapely.equals_exact(shapely.normalize(actual), shapely.normalize(expected), atol))
    same = actual == expected
    return bool(same) if isinstance(same, bool | np.bool_) else bool(np.all(same))


def _same_arrays(actual: Any, expected: Any, rtol: float, atol: float) -> bool:
    if actual.shape != expected.shape:
        return False
    if actual.dtype.kind in "biu" and expected.dtype.kind in "biu":
        return bool((actual == expected).all())
    if actual.dtype.kind in "biufc" and expected.dtype.kind in "biufc":
        return bool(np.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True).all())
    return bool((actual == expected).all())


def _is_number(value: Any) -> bool:
    numbers = isinstance(value, int | float | complex | np.integer | np.floating | np.complexfloating)
    return numbers and not isinstance(value, bool)


def _told(actual: Any, expected: Any) -> str:
    if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray):
        return _arrays(actual, expected)
    text = f"{short(actual)}, with one node {short(expected)}"
    if _is_number(actual) and _is_number(expected) and not isinstance(actual - expected, complex):
        apart = float(actual - expected)
        share = f", {apart / float(expected):+.3%}" if expected and math.isfinite(apart) else ""
        text += f" ({apart:+.6g}{share})" if math.isfinite(apart) else ""
    return text


def _arrays(actual: Any, expected: Any) -> str:
    if actual.shape != expected.shape:
        return f"an array of shape {actual.shape}, with one node {expected.shape}"
    both = actual.dtype.kind in "biufc" and expected.dtype.kind in "biufc"
    wrong = ~np.isclose(actual, expected, equal_nan=True) if both else actual != expected
    if not wrong.any():
        return "arrays that differ by less than is shown"
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} numbers differ, the first at {list(first)}: {actual[first]}, with one "
        f"node {expected[first]}"
    )


def short(value: Any) -> str:
    """A value for people, in a line."""
    data = bytes_of(value)
    text = " ".join(repr(value).split()) if data is None else f"{len(data)} bytes"
    if isinstance(value, Raster):
        text = f"a raster {value.values.shape}"
    elif is_frame(value):
        text = f"a frame of {len(value)} rows"
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
