"""What nodes return to be added to a layer, opened before it is: readable, in agreement, without holes and overlaps.

Only what the files say of themselves is read, no pixel and no feature.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from ellipsis_local.computes.records import Record, Records
from ellipsis_local.errors import LayerError, OutputWarning
from ellipsis_local.formats.tiff import check_whole
from ellipsis_local.gdal_errors import reading
from ellipsis_local.notices import warn
from ellipsis_local.raster.opening import opened
from ellipsis_local.types import Extent
from ellipsis_local.vector import file_info, layers_of

__all__ = ["Output", "check_outputs", "check_results", "places"]

MOST_FINDINGS = 8
MOST_NODES = 6
ALIGNED = 0.01
"""By how much of a pixel the grids of two files may be apart and still be one."""
FAMILIES = {"Point": 0, "MultiPoint": 0, "LineString": 1, "MultiLineString": 1, "Polygon": 2, "MultiPolygon": 2}
NAMES = ("points", "lines", "polygons")


@dataclass(frozen=True)
class Output:
    """One node's file, and the partition that it was made of."""

    node: int
    path: Path
    crs: str | None = None
    """Of the partitions; None without layers."""
    cell: Extent | None = None
    """The node's, without overlap; None without layers."""
    windows: tuple[Extent, ...] = ()
    """What the node holds of each raster layer, without overlap."""
    pixel: float = 0.0
    """The size of the layers' pixels, where there is one size only."""
    overlap: float = 0.0


@dataclass(frozen=True)
class Grid:
    """What one raster file says of itself."""

    crs: str
    transform: Any
    extent: Extent
    bands: int
    dtype: str
    nodata: str

    @property
    def pixel(self) -> tuple[float, float]:
        t = self.transform
        return float((t.a**2 + t.d**2) ** 0.5), float((t.b**2 + t.e**2) ** 0.5)


@dataclass(frozen=True)
class Sheet:
    """What one vector file says of itself."""

    crs: str
    features: int
    columns: Mapping[str, str]
    """Name to dtype."""
    shape: str


def check_results(records: Records, files: Sequence[Path], kind: Literal["raster", "vector"], *, strict: bool) -> None:
    """`check_outputs` for result files of any computes, as `results.result_path` gives them."""
    by_compute: dict[str, list[Path]] = {}
    for file in files:
        by_compute.setdefault(file.parent.parent.name, []).append(file)
    for compute_id, found in by_compute.items():
        place = places(records.get(compute_id))
        nodes = {node.outcome.file: node for node in records.nodes(compute_id) if node.outcome is not None}
        known = [nodes[file.name] for file in found if file.name in nodes]
        outputs = [
            place(node.node, node.extent, found[0].parent / str(node.outcome.file))
            for node in known
            if node.outcome is not None
        ]
        # Results of earlier executions are in the order of their nodes, which nothing tells any more.
        former = [Output(number, file) for number, file in enumerate(file for file in found if file.name not in nodes)]
        for group in (outputs, former):
            if group:
                check_outputs(group, kind, strict=strict)


def places(record: Record) -> Callable[[int, Mapping[str, float] | None, Path], Output]:
    """What makes an `Output` of a node's number, extent and file, by what the record tells of the partitions."""
    request = record.spec.cut
    if request is None:
        return lambda node, _, path: Output(node, path)
    grids = [plan.grid for plan in request.rasters]
    sizes = {max(grid.dx, grid.dy) for grid in grids}
    pixel = sizes.pop() if len(sizes) == 1 else 0.0

    def place(node: int, extent: Mapping[str, float] | None, path: Path) -> Output:
        if extent is None:
            return Output(node, path)
        cell = Extent(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
        windows = [(grid, grid.window(cell)) for grid in grids]
        held = tuple(grid.extent_of(window) for grid, window in windows if window.pixels)
        return Output(node, path, request.crs, cell, held, pixel, request.overlap)

    return place


def check_outputs(outputs: Sequence[Output], kind: Literal["raster", "vector"], *, strict: bool) -> None:
    """Open the files that nodes returned, and tell what is wrong with them before any is added.

    Raises
    ------
    LayerError
        Naming the node: a file that cannot be read as a raster or vector, or has no CRS; rasters of several numbers of
        bands or dtypes, which no layer holds. With `strict` also for all of which it warns.

    Warns
    -----
    OutputWarning
        Naming the nodes: files in several CRSs, on several grids, with several nodata values, columns or types of
        geometry; rasters that leave a hole in their partition or reach beyond it.
    """
    if kind == "raster":
        grids = {output.node: _grid(output) for output in outputs}
        _refuse(grids, "bands", lambda grid: grid.bands)
        _refuse(grids, "dtype", lambda grid: grid.dtype)
        findings = [*_of_grids(grids), *_of_places(outputs, grids)]
    else:
        findings = list(_of_sheets({output.node: _sheet(output) for output in outputs}))
    if not findings:
        return
    shown = findings[:MOST_FINDINGS]
    more = [f"and {len(findings) - len(shown)} more"] if len(findings) > len(shown) else []
    text = "what the nodes return does not make one layer:" + "".join(f"\n  {line}" for line in [*shown, *more])
    if strict:
        raise LayerError(f"{text}\nnothing was added (strict=True)")
    warn(text, OutputWarning)


# ----- reading --------------------------------------------------------------------------------------------------------


def _grid(output: Output) -> Grid:
    name = f"node {output.node} returned a file that"
    with _reading(output, name, "a GeoTIFF"), opened(output.path) as source:
        _check_driver(name, output, source.driver, "GTiff")
        check_whole(output.path)
        if source.crs is None:
            raise LayerError(f"{name} has no CRS; write it with crs=params[…]['crs']", source=str(output.path))
        bounds = source.bounds
        x, y = sorted((bounds.left, bounds.right)), sorted((bounds.bottom, bounds.top))
        dtypes = ", ".join(dict.fromkeys(source.dtypes))
        return Grid(
            source.crs.to_string(), source.transform, Extent(x[0], y[0], x[1], y[1]), source.count, dtypes,
            "none" if source.nodata is None else f"{source.nodata:.10g}",
        )  # fmt: skip


def _sheet(output: Output) -> Sheet:
    name = f"node {output.node} returned a file that"
    with _reading(output, name, "a GeoPackage"):
        layers = layers_of(output.path)
        if len(layers) != 1:
            what = "no layer with geometries" if not layers else f"{len(layers)} layers ({', '.join(layers[:4])})"
            raise LayerError(f"{name} holds {what}; write one", source=str(output.path))
        info = file_info(output.path, layers[0])
        _check_driver(name, output, str(info["driver"]), "GPKG")
        if not info["crs"]:
            raise LayerError(f"{name} has no CRS; set it, as with set_crs or crs=", source=str(output.path))
        columns = dict(zip(map(str, info["fields"]), map(str, info["dtypes"]), strict=True))
        return Sheet(str(info["crs"]), int(info["features"]), columns, str(info["geometry_type"]))


def _check_driver(name: str, output: Output, driver: str, wanted: str) -> None:
    if driver != wanted:
        text = f"{name} is {driver}, where {wanted} is expected; write with driver={wanted!r}"
        raise LayerError(text, source=str(output.path))


@contextlib.contextmanager
def _reading(output: Output, name: str, form: str) -> Iterator[None]:
    """LayerError that names the node, for whatever the libraries raise inside."""
    try:
        with reading(output.path):
            yield
    except LayerError as failure:
        if str(failure).startswith(name):
            raise
        size = output.path.stat().st_size if output.path.is_file() else 0
        raise LayerError(
            f"{name} cannot be read as {form} ({size:,} bytes): {str(failure).replace(str(output.path), 'it')}; "
            "nothing was added",
            source=str(output.path),
        ) from failure


# ----- agreement ------------------------------------------------------------------------------------------------------


def _nodes(nodes: Sequence[int]) -> str:
    more = f" and {len(nodes) - MOST_NODES} more" if len(nodes) > MOST_NODES else ""
    return f"node{'s' if len(nodes) > 1 else ''} {', '.join(map(str, nodes[:MOST_NODES]))}{more}"


def _odd(values: Mapping[int, Any]) -> tuple[Any, dict[Any, list[int]]]:
    """What most nodes have, and the nodes of everything else."""
    usual = Counter(values.values()).most_common(1)[0][0] if values else None
    others: dict[Any, list[int]] = {}
    for node, value in values.items():
        if value != usual:
            others.setdefault(value, []).append(node)
    return usual, others


def _told(what: str, values: Mapping[int, Any]) -> Iterator[str]:
    usual, others = _odd(values)
    for value, nodes in others.items():
        yield f"{what} {value} on {_nodes(nodes)}, and {usual} on the others"


def _refuse(grids: Mapping[int, Grid], what: str, ask: Callable[[Grid], Any]) -> None:
    for text in _told(what, {node: ask(grid) for node, grid in grids.items()}):
        raise LayerError(f"the rasters of a layer have one number of bands and one dtype: {text}; nothing was added")


def _of_grids(grids: Mapping[int, Grid]) -> Iterator[str]:
    yield from _told("CRS", {node: _short(grid.crs) for node, grid in grids.items()})
    yield from _told("nodata", {node: grid.nodata for node, grid in grids.items()})
    usual, _ = _odd({node: grid.crs for node, grid in grids.items()})
    same = {node: grid for node, grid in grids.items() if grid.crs == usual}
    sizes = {node: tuple(float(f"{size:.9g}") for size in grid.pixel) for node, grid in same.items()}
    yield from _told("pixel size", {node: f"{x:g} x {y:g}" for node, (x, y) in sizes.items()})
    size, _ = _odd(sizes)
    same = {node: grid for node, grid in same.items() if sizes[node] == size}
    first = next(iter(same.values()))
    away = {node: _off(grid, first) for node, grid in same.items()}
    off = {node: (x, y) for node, (x, y) in away.items() if max(abs(x), abs(y)) > ALIGNED}
    for node, (x, y) in off.items():
        yield (
            f"node {node}'s pixels lie off the grid of the others by {x:.2g} and {y:.2g} pixels (across, down): "
            "write with the transform of its own params, or one computed from it"
        )


def _off(grid: Grid, first: Grid) -> tuple[float, float]:
    to_pixels, x, y = ~first.transform, grid.transform.c, grid.transform.f
    col = to_pixels.a * x + to_pixels.b * y + to_pixels.c
    row = to_pixels.d * x + to_pixels.e * y + to_pixels.f
    return col - round(col), row - round(row)


def _short(crs: str) -> str:
    return crs if len(crs) <= 40 else f"{crs[:39]}…"


def _of_places(outputs: Sequence[Output], grids: Mapping[int, Grid]) -> Iterator[str]:
    """Holes and overlaps: files that do not cover the partition of their node, or reach beyond it."""
    for output in outputs:
        grid = grids[output.node]
        # Without pixels of a layer a partition is no area that has to be covered.
        if output.cell is None or not output.windows or not _same_crs(grid.crs, output.crs or ""):
            continue
        own = max(grid.pixel)
        # A grid of the function's own need not begin at the edge of the partition.
        margin = own / 2 if abs(own - output.pixel) <= ALIGNED * own else own
        allowed = reduce(Extent.union, (output.cell, *output.windows)).buffer(output.overlap)
        if not any(_covers(grid.extent, one, margin) for one in (*output.windows, output.cell)):
            need = min(output.windows, key=lambda one: one.width * one.height)
            yield (
                f"node {output.node}'s file leaves a hole: it covers {_span(grid.extent)}, and its partition is "
                f"{_span(need)}; write all of it, nodata where there is nothing, with the transform of its own params"
            )
        elif not _covers(allowed, grid.extent, margin):
            yield (
                f"node {output.node}'s file reaches beyond its partition, over what other nodes return: it covers "
                f"{_span(grid.extent)}, and its partition is {_span(output.cell)}; cut it back"
            )


def _covers(one: Extent, other: Extent, margin: float) -> bool:
    return (
        one.x_min <= other.x_min + margin
        and one.y_min <= other.y_min + margin
        and one.x_max >= other.x_max - margin
        and one.y_max >= other.y_max - margin
    )


def _span(extent: Extent) -> str:
    return f"x {extent.x_min:.10g} to {extent.x_max:.10g}, y {extent.y_min:.10g} to {extent.y_max:.10g}"


def _same_crs(one: str, other: str) -> bool:
    from rasterio.crs import CRS

    return one == other or bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def _of_sheets(sheets: Mapping[int, Sheet]) -> Iterator[str]:
    yield from _told("CRS", {node: _short(sheet.crs) for node, sheet in sheets.items()})
    usual, others = _odd({node: frozenset(sheet.columns) for node, sheet in sheets.items()})
    for columns, nodes in others.items():
        more, less = sorted(columns - usual), sorted(usual - columns)
        parts = [f"{verb} {', '.join(names)}" for verb, names in (("more", more), ("not", less)) if names]
        yield (
            f"columns on {_nodes(nodes)} are not those of the others: {'; '.join(parts)}; "
            "give every node's frame the same, also where it is empty"
        )
    # An empty frame says nothing of what its columns hold.
    full = {node: sheet for node, sheet in sheets.items() if sheet.features}
    for name in sorted(usual or ()):
        kinds = {node: sheet.columns[name] for node, sheet in full.items() if name in sheet.columns}
        yield from _told(f"column {name!r} is", kinds)
    shapes = {node: FAMILIES.get(sheet.shape.split(" ")[-1].removesuffix("Z").strip()) for node, sheet in full.items()}
    known = {node: NAMES[shape] for node, shape in shapes.items() if shape is not None}
    yield from _told("geometries are", known)
