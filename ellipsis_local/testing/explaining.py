"""Why a job depends on the cut, in words: what differs, where the partitions meet, and what usually does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import shapely

from ellipsis_local.computes.specification import Planning
from ellipsis_local.errors import EllipsisLocalError, MissingExtraError, NodeError
from ellipsis_local.partitions import Tree
from ellipsis_local.testing import seams
from ellipsis_local.testing.job import Run
from ellipsis_local.testing.picture import draw
from ellipsis_local.testing.rasters import RasterDifference, show_extent
from ellipsis_local.testing.seams import Crossing, Line
from ellipsis_local.testing.values import Mismatch, indented, short
from ellipsis_local.types import Extent

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
    run: Run
    reference: Run
    findings: tuple[Mismatch, ...]
    error: Exception | None = None
    value: Any = None
    """Of the job so cut, where nothing failed."""

    @property
    def name(self) -> str:
        return way(self.nodes, self.planning)

    @property
    def unit(self) -> str:
        """What the function runs on."""
        return "node" if self.planning.shards is None else "shard"


class CutDependenceError(AssertionError):
    """The result depends on the cut; its text is that of `explain`."""

    def __init__(self, text: str, wrong: Sequence[Disagreement], tried: Sequence[str], reference: Any) -> None:
        super().__init__(text)
        self.wrong = tuple(wrong)
        self.tried = tuple(tried)
        self.reference = reference
        """The value of one node."""


def way(nodes: int, planning: Planning) -> str:
    if planning.shards is not None:
        size, buffer = planning.shards.size, planning.shards.buffer
        return f"nodes={nodes}, cut='shards', shard_size={size}, shard_buffer={buffer}"
    return f"nodes={nodes}, cut={planning.cut!r}, features={planning.features!r}"


Differs = Callable[[int, Planning], Disagreement | None]
"""Runs the job under one more way of cutting."""


def explain(
    wrong: Sequence[Disagreement], agreed: Sequence[str], differs: Differs, picture: str | PathLike[str] | bool | None
) -> str:
    first = wrong[0]
    reference, unit = first.reference, first.unit
    share = f"{len(wrong)} of {len(wrong) + len(agreed)} ways"
    text = [f"the result depends on how the layers are cut: it differs from that of one {unit} under {share}", ""]
    text += [first.name, *indented(_what(first))]
    lines = seams.lines_of(first.run.extents)
    found = _seams(first, lines, differs)
    whole = seams.features_of(reference)
    crossing = seams.crossings(whole, (found or lines)[:MOST_NODES])
    text += ["", f"partitions ({first.run.crs})", *indented(_some(list(seams.holdings(first.run, unit)), MOST_NODES))]
    if first.run.results and all(one.raster is None and one.rows is None for one in first.findings):
        returned = [f"{unit} {number}: {short(result)}" for number, result in enumerate(first.run.results)]
        alone = f"one {unit} alone: {short(reference.results[0])}"
        text += ["", "what they return", *indented([*_some(returned, MOST_NODES), alone])]
    text += ["", "seam", *indented(_where(first, lines, found, crossing, whole))]
    text += ["", "ways that differ", *indented(one.name for one in wrong)]
    if agreed:
        text += ["ways that agree", *indented(agreed)]
    text += ["", *_advice(wrong, agreed, crossing)]
    if picture is not False:
        try:
            text += ["", f"picture: {draw(first, reference, whole, found or lines, crossing, picture)}"]
        except (OSError, MissingExtraError) as error:
            text += ["", f"no picture: {error}"]
    return "\n".join(text)


def _some(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def _what(found: Disagreement) -> Iterator[str]:
    error = found.error
    if isinstance(error, NodeError):
        yield f"fails on {found.unit} {error.node}, and does not on one {found.unit}:"
        yield from indented((error.details or str(error)).strip().splitlines()[-12:])
        # How to run that node again.
        yield from getattr(error, "__notes__", ())[:1]
    elif error is not None:
        yield f"reduce fails, and does not on the result of one {found.unit}: {type(error).__name__}: {error}"
    for finding in found.findings[:MOST_FINDINGS]:
        yield from finding.lines
    if len(found.findings) > MOST_FINDINGS:
        yield f"and {len(found.findings) - MOST_FINDINGS} more places differ"


def _seams(first: Disagreement, lines: list[Line], differs: Differs) -> list[Line]:
    """The lines at which the result differs when the layers are cut there alone, in two."""
    if len(lines) <= 1 or first.planning.shards is not None:
        return lines
    tried: dict[Tree, bool] = {}
    for tree in list(dict.fromkeys(line.tree for line in lines))[:MOST_LINES_TRIED]:
        try:
            tried[tree] = differs(2, replace(first.planning, tree=tree)) is not None
        except EllipsisLocalError:
            tried[tree] = False
    return [line for line in lines if tried.get(line.tree)]


def _where(
    first: Disagreement, lines: list[Line], found: list[Line], crossing: list[Crossing], whole: dict[str, Any]
) -> Iterator[str]:
    if first.planning.shards is not None:
        meters = f"{first.run.cut.overlap:g} m" if first.run.cut.overlap else "a tenth of their width"
        yield f"neighbours have {meters} on each side of these lines in common:"
        yield from _some([f"  {line}" for line in lines], MOST_NODES)
    elif len(lines) > 1 and found:
        yield "cut in two at one of these lines alone, the result differs as well:"
        yield from _some([f"  {line}" for line in found], MOST_NODES)
    elif len(lines) > 1:
        yield "cut in two at any one of its lines, the result is right: it takes several cuts"
    elif lines:
        yield f"the partitions meet at {lines[0]}"
    for finding in first.findings:
        if finding.raster is not None and finding.raster.extent is not None:
            yield from _of_pixels(finding.raster, finding.raster.extent, first.run, lines, first.unit)
        if finding.rows is not None:
            on = finding.rows.geometry.intersects(shapely.MultiLineString([line.ends for line in found or lines]))
            yield f"{int(on.sum())} of the {len(finding.rows)} rows that differ lie on it"
    for one in crossing:
        yield f"{len(one.rows)} of {len(whole[one.layer])} features of {one.layer} lie on {one.line}:"
        yield from _some([f"  {_shown(label, row)}" for label, row in one.rows.iterrows()], MOST_ROWS)
    if whole and not crossing:
        yield "no feature lies on it"


def _of_pixels(difference: RasterDifference, extent: Extent, run: Run, lines: list[Line], unit: str) -> Iterator[str]:
    yield f"the pixels that differ lie within {show_extent(extent, run.crs)}"
    by_node = seams.owners(difference, run.extents)
    if by_node:
        yield "  " + ", ".join(f"{unit} {node}: {count} of them" for node, count in list(by_node.items())[:MOST_NODES])
    found = seams.near(difference, lines)
    if found is not None and found[1] <= CLOSE:
        yield f"  all at most {found[1]:.0f} pixels from a border:"
        yield from _some([f"    {line}" for line in found[0]], MOST_NODES)


def _shown(label: Any, row: Any) -> str:
    cells = [f"{name}={value!r}" for name, value in row.items() if not hasattr(value, "geom_type")]
    shape = next((value for value in row if hasattr(value, "geom_type")), None)
    where = f"{shape.geom_type} {show_extent(Extent(*shape.bounds))}" if shape is not None else ""
    return f"row {label}: {', '.join([*cells[:4], where])}"


def _advice(wrong: Sequence[Disagreement], agreed: Sequence[str], crossing: Sequence[Crossing]) -> Iterator[str]:
    """What usually does it, as far as it can be told."""
    if all(one.planning.shards is not None for one in wrong):
        yield (
            "shards have a buffer in common, so that sums and counts take twice what lies in it, and features come to "
            "every shard that they touch: take each pixel by its place, and each feature by an id, once, in reduce; "
            "at the edge of the rasters shards go on with nodata or 0, and a frame has only the columns that occur in "
            "it. A job that is for exact partitions alone passes cuts=EXACT_CUTS"
        )
        return
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
    empty = seams.empty_nodes(wrong[0].run)
    if empty:
        yield f"node {', '.join(map(str, empty))} holds nothing of a layer: its minimum, mean or first row is none"
    if crossing and not twice:
        yield "a feature on a border is whole in its partition, and what lies beside it may be in the other"
