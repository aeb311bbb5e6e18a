"""What nodes return to be added to a layer: readable, in agreement, without holes and overlaps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from ellipsis_local import crs
from ellipsis_local.computes.records import Record, Records
from ellipsis_local.errors import LayerError, OutputWarning
from ellipsis_local.notices import warn
from ellipsis_local.progress import OnProgress, Progress, Reporter
from ellipsis_local.raster.grid import apply, corners_extent, inverse
from ellipsis_local.store import LayerStore, NewFile
from ellipsis_local.types import Extent, RasterFile, Timestamp, VectorFile

MOST_FINDINGS = 8
MOST_NODES = 6
ALIGNED = 0.01
"""By how much of a pixel the grids of two files may be apart and still be one."""
FAMILIES = {"Point": "points", "LineString": "lines", "Polygon": "polygons", "GeometryCollection": "collections"}
FORMS = {"raster": "tif", "vector": "gpkg"}
WANTED = {"tif": "a GeoTIFF with a CRS", "gpkg": "a GeoPackage of one layer with a CRS"}


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
    unit: str = "node"
    """What the file is of: a node, or a shard."""


def add_results(
    store: LayerStore,
    records: Records,
    files: Sequence[Path],
    path_id: str,
    timestamp: Timestamp,
    *,
    strict: bool,
    report: OnProgress,
) -> None:
    """`add_outputs` for result files of any computes, as `results.result_path` gives them."""
    by_compute: dict[str, list[Path]] = {}
    for file in files:
        by_compute.setdefault(file.parent.parent.name, []).append(file)
    groups = []
    for compute_id, found in by_compute.items():
        place = places(records.get(compute_id))
        nodes = {node.outcome.file: node for node in records.nodes(compute_id) if node.outcome is not None}
        known = [(nodes[file.name], file) for file in found if file.name in nodes]
        # Results of earlier executions are in the order of their nodes, which nothing tells any more.
        former = [Output(number, file) for number, file in enumerate(file for file in found if file.name not in nodes)]
        groups += [[place(node.node, node.extent, file) for node, file in known], former]
    add_outputs(store, path_id, timestamp.id, groups, FORMS[timestamp.type], strict=strict, report=report, order=files)


def places(record: Record) -> Callable[[int, Mapping[str, float] | None, Path], Output]:
    """What makes an `Output` of a node's number, extent and file, by what the record tells of the partitions."""
    request, unit = record.spec.cut, record.spec.unit
    if request is None:
        return lambda node, _, path: Output(node, path)
    grids = [plan.grid for plan in request.rasters]
    sizes = {max(grid.dx, grid.dy) for grid in grids}
    pixel = sizes.pop() if len(sizes) == 1 else 0.0

    def place(node: int, extent: Mapping[str, float] | None, path: Path) -> Output:
        if extent is None:
            return Output(node, path, unit=unit)
        cell = Extent(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
        windows = [(grid, grid.window(cell)) for grid in grids]
        held = tuple(grid.extent_of(window) for grid, window in windows if window.pixels)
        return Output(node, path, request.crs, cell, held, pixel, request.overlap, unit)

    return place


def add_outputs(
    store: LayerStore,
    path_id: str,
    timestamp_id: str,
    groups: Sequence[Sequence[Output]],
    form: str,
    *,
    strict: bool,
    report: OnProgress,
    order: Sequence[Path] | None = None,
) -> tuple[str, ...]:
    """Add files, all or none, and tell what is wrong with groups of them that are to make one layer; their ids.

    The timestamp is active then: scripts show it without activating it (inferred).
    """
    outputs = {output.path: output for group in groups for output in group}
    files = list(outputs) if order is None else order

    def check(details: Sequence[RasterFile | VectorFile]) -> None:
        found = dict(zip(files, details, strict=True))
        for group in groups:
            check_outputs(group, found, strict=strict)

    reporter = Reporter(report)

    def count(step: Progress) -> None:
        reporter.count("adding files", step.done, len(files), "files")

    new = [NewFile(file, f"{file.name}.{form}", form) for file in files]
    try:
        return store.add_files(path_id, timestamp_id, new, progress=count, check=check, activate=True)
    except LayerError as error:
        output = next((outputs[file] for file in files if str(file) == error.source), None)
        if output is None:
            raise
        # What follows tells whoever adds the file how to do it, and not who writes it.
        reason = str(error).replace(f"{output.path} ", "it ").partition("; ")[0]
        size = output.path.stat().st_size if output.path.is_file() else 0
        what = f"{output.unit} {output.node} returned a file that cannot be added as {WANTED[form]} ({size:,} bytes)"
        raise LayerError(f"{what}: {reason}; nothing was added", source=error.source) from error


def check_outputs(outputs: Sequence[Output], details: Mapping[Path, RasterFile | VectorFile], *, strict: bool) -> None:
    """Hold what was found in files that are to make one layer against each other, and against their partitions."""
    grids = {output: found for output in outputs if isinstance(found := details[output.path], RasterFile)}
    sheets = {output: found for output in outputs if isinstance(found := details[output.path], VectorFile)}
    for what in ("bands", "dtype"):
        for odd in _told(what, {node: getattr(grid, what) for node, grid in grids.items()}):
            raise LayerError(f"the rasters of a layer have one number of bands and one dtype: {odd}; nothing was added")
    findings = [*(_of_grids(grids) if grids else ()), *_of_places(outputs, grids), *_of_sheets(sheets)]
    if not findings:
        return
    shown = findings[:MOST_FINDINGS]
    more = [f"and {len(findings) - len(shown)} more"] if len(findings) > len(shown) else []
    text = f"what the {outputs[0].unit}s return does not make one layer:"
    text += "".join(f"\n  {line}" for line in [*shown, *more])
    if strict:
        raise LayerError(f"{text}\nnothing was added (strict=True)")
    warn(text, OutputWarning)


def _nodes(outputs: Sequence[Output]) -> str:
    more = f" and {len(outputs) - MOST_NODES} more" if len(outputs) > MOST_NODES else ""
    numbers = ", ".join(str(output.node) for output in outputs[:MOST_NODES])
    return f"{outputs[0].unit}{'s' if len(outputs) > 1 else ''} {numbers}{more}"


def _odd(values: Mapping[Output, Any]) -> tuple[Any, dict[Any, list[Output]]]:
    """What most nodes have, and the nodes of everything else."""
    usual = Counter(values.values()).most_common(1)[0][0] if values else None
    others: dict[Any, list[Output]] = {}
    for node, value in values.items():
        if value != usual:
            others.setdefault(value, []).append(node)
    return usual, others


def _told(what: str, values: Mapping[Output, Any]) -> Iterator[str]:
    usual, others = _odd(values)
    for value, nodes in others.items():
        yield f"{what} {value} on {_nodes(nodes)}, and {usual} on the others"


def _of_grids(grids: Mapping[Output, RasterFile]) -> Iterator[str]:
    yield from _told("CRS", {node: _short(grid.crs) for node, grid in grids.items()})
    missing = {node: grid.nodata for node, grid in grids.items()}
    yield from _told("nodata", {node: "none" if value is None else f"{value:.10g}" for node, value in missing.items()})
    usual, _ = _odd({node: grid.crs for node, grid in grids.items()})
    same = {node: grid for node, grid in grids.items() if grid.crs == usual}
    sizes = {node: tuple(float(f"{size:.9g}") for size in _pixel(grid)) for node, grid in same.items()}
    yield from _told("pixel size", {node: f"{x:g} x {y:g}" for node, (x, y) in sizes.items()})
    size, _ = _odd(sizes)
    same = {node: grid for node, grid in same.items() if sizes[node] == size}
    first = next(iter(same.values()))
    for node, grid in same.items():
        column, row = apply(inverse(first.transform), grid.transform[2], grid.transform[5])
        x, y = column - round(column), row - round(row)
        if max(abs(x), abs(y)) > ALIGNED:
            yield (
                f"{node.unit} {node.node}'s pixels lie off the grid of the others by {x:.2g} and {y:.2g} pixels "
                "(across, down): write with the transform of its own params, or one computed from it"
            )


def _pixel(grid: RasterFile) -> tuple[float, float]:
    """Width and height, in units of the CRS."""
    a, b, _, d, e, _ = grid.transform
    return math.hypot(a, d), math.hypot(b, e)


def _short(crs: str) -> str:
    return crs if len(crs) <= 40 else f"{crs[:39]}…"


def _of_places(outputs: Sequence[Output], grids: Mapping[Output, RasterFile]) -> Iterator[str]:
    """Holes and overlaps: files that do not cover the partition of their node, or reach beyond it."""
    for output in outputs:
        grid = grids.get(output)
        # Without pixels of a layer a partition is no area that has to be covered.
        if grid is None or output.cell is None or not output.windows or not crs.same(grid.crs, output.crs or ""):
            continue
        extent, own = corners_extent(grid.transform, grid.width, grid.height), max(_pixel(grid))
        # A grid of the function's own need not begin at the edge of the partition.
        margin = own / 2 if abs(own - output.pixel) <= ALIGNED * own else own
        allowed = reduce(Extent.union, (output.cell, *output.windows)).buffer(output.overlap)
        if not any(_covers(extent, one, margin) for one in (*output.windows, output.cell)):
            need = min(output.windows, key=lambda one: one.width * one.height)
            yield (
                f"{output.unit} {output.node}'s file leaves a hole: it covers {_span(extent)}, and its partition is "
                f"{_span(need)}; write all of it, nodata where there is nothing, with the transform of its own params"
            )
        elif not _covers(allowed, extent, margin):
            yield (
                f"{output.unit} {output.node}'s file reaches beyond its partition, over what other {output.unit}s "
                f"return: it covers {_span(extent)}, and its partition is {_span(output.cell)}; cut it back"
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


def _of_sheets(sheets: Mapping[Output, VectorFile]) -> Iterator[str]:
    yield from _told("CRS", {node: _short(sheet.crs) for node, sheet in sheets.items()})
    usual, others = _odd({node: frozenset(sheet.fields) for node, sheet in sheets.items()})
    for columns, nodes in others.items():
        more, less = sorted(columns - usual), sorted(usual - columns)
        parts = [f"{verb} {', '.join(names)}" for verb, names in (("more", more), ("not", less)) if names]
        yield (
            f"columns on {_nodes(nodes)} are not those of the others: {'; '.join(parts)}; "
            "give every node's frame the same, also where it is empty"
        )
    # An empty frame says nothing of what its columns hold.
    full = {node: sheet for node, sheet in sheets.items() if sheet.features}
    types = {node: dict(zip(sheet.fields, sheet.types, strict=True)) for node, sheet in full.items()}
    for name in sorted(usual or ()):
        yield from _told(f"column {name!r} is", {node: known[name] for node, known in types.items() if name in known})
    shapes = {
        node: {FAMILIES.get(kind.removeprefix("Multi"), "curves") for kind in sheet.geometries}
        for node, sheet in full.items()
    }
    yield from _told("geometries are", {node: kinds.pop() for node, kinds in shapes.items() if len(kinds) == 1})
