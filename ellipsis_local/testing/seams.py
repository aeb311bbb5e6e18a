"""Where partitions meet: the lines between them, what of the layers lies on these, and what each partition holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely

from ellipsis_local.partitions import Tree
from ellipsis_local.raster.grid import apply
from ellipsis_local.testing.job import Run
from ellipsis_local.testing.rasters import RasterDifference, show_extent
from ellipsis_local.types import Extent
from ellipsis_local.vector import read_partition


class Line(NamedTuple):
    """A stretch of a border between partitions, in units of their CRS."""

    axis: str
    """``x``: the line has one x."""
    position: float
    low: float
    high: float

    def __str__(self) -> str:
        other = "y" if self.axis == "x" else "x"
        return f"{self.axis} = {self.position:.10g} ({other} from {self.low:.10g} to {self.high:.10g})"

    @property
    def tree(self) -> Tree:
        """The cut in two along this line, prolonged for ever."""
        return ("x" if self.axis == "x" else "y", self.position, None, None)

    @property
    def ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        if self.axis == "x":
            return (self.position, self.low), (self.position, self.high)
        return (self.low, self.position), (self.high, self.position)


class Crossing(NamedTuple):
    """Features of one layer that lie on a line."""

    layer: str
    line: Line
    rows: Any
    """A GeoDataFrame."""


def lines_of(extents: Sequence[Extent]) -> list[Line]:
    """The lines at which partitions touch, each once, the longest first."""
    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for a, b in permutations(extents, 2):
        low, high = max(a.y_min, b.y_min), min(a.y_max, b.y_max)
        if a.x_max == b.x_min and low < high:
            found.setdefault(("x", a.x_max), []).append((low, high))
        low, high = max(a.x_min, b.x_min), min(a.x_max, b.x_max)
        if a.y_max == b.y_min and low < high:
            found.setdefault(("y", a.y_max), []).append((low, high))
    lines = [Line(axis, position, *span) for (axis, position), spans in found.items() for span in _merged(spans)]
    return sorted(lines, key=lambda line: (line.low - line.high, line.axis, line.position))


def _merged(spans: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    low, high = min(spans)
    for start, end in sorted(spans)[1:]:
        if start <= high:
            high = max(high, end)
        else:
            yield low, high
            low, high = start, end
    yield low, high


def features_of(run: Run) -> dict[str, Any]:
    """The features of each vector layer as the nodes of a run received them, one frame per layer."""
    found: dict[str, list[Any]] = {}
    for node in run.partitioning.parts:
        for part in node:
            if part.type == "vector":
                found.setdefault(part.id, []).append(read_partition(part.path))
    return {layer: pd.concat(frames, ignore_index=True) for layer, frames in found.items()}


def crossings(whole: dict[str, Any], lines: Sequence[Line]) -> list[Crossing]:
    found = [
        Crossing(layer, line, frame[frame.geometry.intersects(shapely.LineString(line.ends))])
        for layer, frame in whole.items()
        for line in lines
    ]
    return [one for one in found if len(one.rows)]


def holdings(run: Run, unit: str) -> Iterator[str]:
    """Per partition: where it is, and how many pixels or features of each layer it holds."""
    for node, extent in enumerate(run.extents):
        held = [
            f"{part.shape[1]} x {part.shape[2]} pixels" if part.type == "raster" else f"{part.rows} features"
            for part in run.partitioning.parts[node]
        ]
        yield f"{unit} {node}: {show_extent(extent)}, {', '.join(held)}"


def empty_nodes(run: Run) -> list[int]:
    return [
        node
        for node, parts in enumerate(run.partitioning.parts)
        if any(0 in part.shape if part.type == "raster" else part.rows == 0 for part in parts)
    ]


def _centres(pixels: Any, transform: Any) -> tuple[Any, Any]:
    rows, cols = pixels.nonzero()
    return apply(transform, cols + 0.5, rows + 0.5)


def owners(difference: RasterDifference, extents: Sequence[Extent]) -> dict[int, int]:
    """How many of the differing pixels each partition holds, of those that hold any."""
    if difference.pixels is None or difference.transform is None:
        return {}
    x, y = _centres(difference.pixels, difference.transform)
    counts = {
        node: int(((x >= e.x_min) & (x < e.x_max) & (y >= e.y_min) & (y < e.y_max)).sum())
        for node, e in enumerate(extents)
    }
    return {node: count for node, count in counts.items() if count}


def near(difference: RasterDifference, lines: Sequence[Line]) -> tuple[list[Line], float] | None:
    """The lines that differing pixels lie nearest to, and how many pixels the farthest of them is from its own."""
    if difference.pixels is None or difference.transform is None or not difference.pixels.any() or not lines:
        return None
    transform = difference.transform
    x, y = _centres(difference.pixels, transform)
    width = float(np.hypot(transform.a, transform.d))
    height = float(np.hypot(transform.b, transform.e))
    apart = []
    for line in lines:
        along, across = (y, x) if line.axis == "x" else (x, y)
        step, other = (width, height) if line.axis == "x" else (height, width)
        beside = np.maximum(np.maximum(line.low - along, along - line.high), 0) / other
        apart.append(np.maximum(np.abs(across - line.position) / step, beside))
    distances = np.array(apart)
    nearest = distances.argmin(axis=0)
    return [lines[i] for i in sorted(set(nearest.tolist()))], float(np.ceil(distances.min(axis=0).max()))
