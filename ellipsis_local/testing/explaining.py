"""Why a job depends on the cut, in words: what differs, where the partitions meet, and what usually does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from ellipsis_local.computes.specification import Planning
from ellipsis_local.errors import EllipsisLocalError, NodeError
from ellipsis_local.testing.rasters import show_extent
from ellipsis_local.testing.runs import Run
from ellipsis_local.testing.seams import (
    Crossing,
    Line,
    crossings,
    empty_nodes,
    features_of,
    holdings,
    lines_of,
    near,
    owners,
)
from ellipsis_local.testing.values import Mismatch, short

__all__ = ["Disagreement", "explain"]

MOST_FINDINGS = 5
MOST_LINES_TRIED = 6
MOST_ROWS = 3
MOST_NODES = 12
CLOSE = 16.0
"""Differing pixels that all lie within so many of a border come about there."""


@dataclass(frozen=True)
class Disagreement:
    """One way of cutting under which the job gives something else than on one node, or fails."""

    nodes: int
    planning: Planning
    run: Run | None
    """None where a node failed."""
    value: Any
    findings: tuple[Mismatch, ...]
    error: Exception | None

    @property
    def name(self) -> str:
        return f"nodes={self.nodes}, cut={self.planning.cut!r}, features={self.planning.features!r}"


def explain(
    wrong: Sequence[Disagreement],
    reference: Run,
    agreed: Sequence[str],
    differs: Callable[[int, Planning], Disagreement | None],
    picture: str | PathLike[str] | bool | None,
) -> str:
    """The text of the AssertionError; `differs` runs the job under one more way of cutting."""
    first = wrong[0]
    share = f"{len(wrong)} of {len(wrong) + len(agreed)} ways"
    text = [f"the result depends on how the layers are cut: it differs from that of one node under {share}", ""]
    text += [first.name, *_indented(_what(first))]
    run = first.run or _cells(first, reference)
    lines = lines_of(run.extents)
    seams = _seams(first, lines, differs)
    whole = features_of(reference)
    crossing = crossings(whole, (seams or lines)[:MOST_NODES])
    text += ["", f"partitions ({run.crs})", *_indented(_some(list(holdings(run)), MOST_NODES))]
    if first.run is not None and all(found.raster is None and found.rows is None for found in first.findings):
        text += ["", "what they return", *_indented(_returned(first.run, reference))]
    text += ["", "seam", *_indented(_where(first, run, lines, seams, crossing, whole))]
    text += ["", "ways that differ", *_indented(one.name for one in wrong)]
    if agreed:
        text += ["ways that agree", *_indented(agreed)]
    text += ["", *_advice(wrong, agreed, run, crossing)]
    if picture is not False:
        from ellipsis_local.testing.picture import draw

        try:
            text += ["", f"picture: {draw(first, run, reference, whole, seams or lines, crossing, picture)}"]
        except OSError as error:
            text += ["", f"no picture: {error}"]
    return "\n".join(text)


def _indented(lines: Any) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _some(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def _what(found: Disagreement) -> Iterator[str]:
    error = found.error
    if isinstance(error, NodeError):
        yield f"fails on node {error.node}, and does not on one node:"
        yield from _indented((error.details or str(error)).strip().splitlines()[-12:])
        # How to run that node again.
        yield from getattr(error, "__notes__", ())[:1]
    elif error is not None:
        yield f"reduce fails, and does not on the result of one node: {type(error).__name__}: {error}"
    for finding in found.findings[:MOST_FINDINGS]:
        yield from finding.lines
    if len(found.findings) > MOST_FINDINGS:
        yield f"and {len(found.findings) - MOST_FINDINGS} more places differ"


def _returned(run: Run, reference: Run) -> Iterator[str]:
    """Each node's contribution, where that can be told in a line."""
    yield from _some([f"node {node}: {short(result)}" for node, result in enumerate(run.results)], MOST_NODES)
    yield f"one node alone: {short(reference.results[0])}"


def _cells(found: Disagreement, reference: Run) -> Run:
    """The partitions of a run that failed, without its results."""
    emulator, how = reference.emulator, found.planning
    layers = [emulator.store.timestamp(*layer) for layer in reference.layers]
    cut = how.plan(emulator.partitions, layers, found.nodes, emulator.settings)
    return replace(reference, nodes=found.nodes, planning=how, results=[], cut=cut)


def _seams(
    first: Disagreement, lines: list[Line], differs: Callable[[int, Planning], Disagreement | None]
) -> list[Line]:
    """The lines at which the result differs when the layers are cut there alone, in two."""
    if len(lines) <= 1:
        return lines
    found = []
    tried: dict[tuple[str, float], bool] = {}
    for line in lines:
        place = line.axis, line.position
        if place not in tried:
            if len(tried) == MOST_LINES_TRIED:
                continue
            try:
                tried[place] = differs(2, replace(first.planning, tree=line.tree)) is not None
            except EllipsisLocalError:
                tried[place] = False
        if tried[place]:
            found.append(line)
    return found


def _where(
    first: Disagreement,
    run: Run,
    lines: list[Line],
    seams: list[Line],
    crossing: list[Crossing],
    whole: dict[str, Any],
) -> Iterator[str]:
    if len(lines) > 1 and seams:
        yield "cut in two at one of these lines alone, the result differs as well:"
        yield from _some([f"  {line}" for line in seams], MOST_NODES)
    elif len(lines) > 1:
        yield "cut in two at any one of its lines, the result is right: it takes several cuts"
    elif lines:
        yield f"the partitions meet at {lines[0]}"
    for finding in first.findings:
        if finding.raster is not None and finding.raster.extent is not None:
            yield from _of_pixels(finding, run, lines)
        if finding.rows is not None:
            yield from _of_rows(finding.rows, seams or lines)
    for one in crossing:
        yield f"{len(one.rows)} of {len(whole[one.layer])} features of {one.layer} lie on {one.line}:"
        yield from _some([f"  {_shown(label, row)}" for label, row in one.rows.iterrows()], MOST_ROWS)
    if whole and not crossing:
        yield "no feature lies on it"


def _of_pixels(finding: Mismatch, run: Run, lines: list[Line]) -> Iterator[str]:
    difference = finding.raster
    if difference is None or difference.extent is None:
        return
    yield f"the pixels that differ lie within {show_extent(difference.extent, run.crs)}"
    by_node = owners(difference, run.extents)
    if by_node:
        yield "  " + ", ".join(f"node {node}: {count} of them" for node, count in list(by_node.items())[:MOST_NODES])
    found = near(difference, lines)
    if found is not None and found[1] <= CLOSE:
        yield f"  all at most {found[1]:.0f} pixels from a border:"
        yield from _some([f"    {line}" for line in found[0]], MOST_NODES)


def _of_rows(rows: Any, lines: list[Line]) -> Iterator[str]:
    import shapely

    on = rows.geometry.intersects(shapely.MultiLineString([line.ends for line in lines]))
    yield f"{int(on.sum())} of the {len(rows)} rows that differ lie on it"


def _shown(label: Any, row: Any) -> str:
    cells = [f"{name}={value!r}" for name, value in row.items() if not hasattr(value, "geom_type")]
    shape = next((value for value in row if hasattr(value, "geom_type")), None)
    where = f"{shape.geom_type} {show_extent_of(shape)}" if shape is not None else ""
    return f"row {label}: {', '.join([*cells[:4], where])}"


def show_extent_of(shape: Any) -> str:
    """Where a geometry lies, for people."""
    west, south, east, north = shape.bounds
    return f"x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}"


def _advice(
    wrong: Sequence[Disagreement], agreed: Sequence[str], run: Run, crossing: Sequence[Crossing]
) -> Iterator[str]:
    """What usually does it, as far as it can be told."""
    twice = {one.planning.features for one in wrong} == {"intersecting"}
    pixels = any(finding.raster is not None for finding in wrong[0].findings)
    if twice and any("'once'" in name for name in agreed):
        yield (
            "it differs only where a feature comes to every partition that it touches: recognise features by an id and "
            "take each once, or, if the job counts on one partition for each, pass features=('once',)"
        )
    elif pixels:
        yield (
            "pixels near a border see no neighbours beyond it: give the nodes an overlap (setting overlap) and cut the "
            "result back; or a statistic of the partition (its mean, its range) stands for one of the whole layer"
        )
    elif wrong[0].error is None:
        yield (
            "what partitions give must be put together by what can be added: sums and counts in place of means, "
            "minimum and maximum in place of ranks; rows, columns and indexes begin anew in each partition"
        )
    empty = empty_nodes(run)
    if empty:
        yield f"node {', '.join(map(str, empty))} holds nothing of a layer: its minimum, mean or first row is none"
    if crossing and not twice:
        yield "a feature on a border is whole in its partition, and what lies beside it may be in the other"
