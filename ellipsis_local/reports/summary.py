"""The report as an object: plain data, a table for terminals, a page."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local import arguments
from ellipsis_local.errors import StoreError
from ellipsis_local.folium_maps import frame_map
from ellipsis_local.home import Home
from ellipsis_local.reports.facts import Facts, NodeFacts, imbalance, read_facts
from ellipsis_local.reports.findings import Finding, Fit, findings_of, fitting
from ellipsis_local.reports.page import fragment, page
from ellipsis_local.reports.texts import bytes_text, cells, columns

if TYPE_CHECKING:
    from rich.table import Table

    from ellipsis_local.computes.records import Record
    from ellipsis_local.emulator import Emulator

WIDTH = 120
STATE_COLOURS = {"completed": "#2e7d32", "failed": "#c81e2d", "executing": "#0b6fb8"}
OTHER = "#6b6b6b"


def report_of(emulator: Emulator, record: Record) -> Report:
    return Report(read_facts(emulator, record))


@dataclass(frozen=True)
class Report:
    """How the nodes of one compute did in its last execution; see `ellipsis_local.report`."""

    facts: Facts

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What stands out, problems first."""
        return findings_of(self.facts)

    @property
    def fits(self) -> Fit:
        """The number of nodes and the `largeResult` that would fit; None where the execution does not tell."""
        return fitting(self.facts, self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, ready for JSON: bytes, seconds, extents in the compute's CRS; None is what is not known."""
        facts = self.facts
        sizes = [node.result_size for node in facts.completed if node.result_size is not None]
        peaks = [node.peak_memory for node in facts.nodes if node.peak_memory is not None]
        return {
            "id": facts.id,
            "status": facts.status,
            "execution": facts.execution,
            "crs": facts.crs,
            "largeResult": facts.large,
            "unit": facts.unit,
            "nodes": [_node_dict(node) for node in facts.nodes],
            "total": {
                "completed": len(facts.completed),
                "failed": len(facts.failed),
                "seconds": sum(facts.seconds) if facts.seconds else None,
                "longestSeconds": max(facts.seconds, default=None),
                "imbalance": None if facts.failed else imbalance([node.seconds for node in facts.nodes]),
                "pixelImbalance": imbalance([node.pixels for node in facts.nodes]),
                "featureImbalance": imbalance([node.features for node in facts.nodes]),
                "resultSize": sum(sizes) if sizes else None,
                "peakMemory": max(peaks, default=None),
                "logLines": sum(node.log_lines for node in facts.nodes),
            },
            "machine": {"cores": facts.cores, "memory": facts.memory},
            "findings": [{"code": one.code, "level": one.level, "text": one.text} for one in self.findings],
            "fits": {"nodes": self.fits.nodes, "largeResult": self.fits.large_result},
        }

    def to_geodataframe(self) -> Any:
        """A GeoDataFrame with a row per node: the fields of `to_dict()['nodes']`, and its partition as the geometry.

        In the compute's CRS; a node without an extent has no geometry (our own function).
        """
        import geopandas
        from shapely import box

        rows = self.to_dict()["nodes"]
        extents = [row.pop("extent") for row in rows]
        sides = ("xMin", "yMin", "xMax", "yMax")
        boxes = [None if extent is None else box(*(extent[side] for side in sides)) for extent in extents]
        return geopandas.GeoDataFrame(rows, geometry=boxes, crs=self.facts.crs)

    def explore(self, **options: Any) -> Any:
        """An interactive map of the partitions for a notebook, coloured by state; see `ellipsis_local.layers.explore`.

        Our own function, with the options of ``GeoDataFrame.explore``: `column` ('seconds', 'pixels', …), `m` a map to
        draw on, `tiles`. It needs the extra `[explore]`, without which there is a MissingExtraError; nodes without an
        extent are not on it.
        """
        frame = self.to_geodataframe().dropna(subset="geometry")
        if not options.keys() & {"column", "color"}:
            options["color"] = frame["state"].map(lambda state: STATE_COLOURS.get(state, OTHER)).tolist()
        return frame_map(frame, options)

    def table(self) -> Table:
        from rich import box
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for name, right in columns(self.facts.unit):
            made.add_column(name, justify="right" if right else "left", no_wrap=True)
        for node in self.facts.nodes:
            made.add_row(*cells(node))
        return made

    def totals(self) -> str:
        """What the completed nodes come to, in a line; empty where none completed."""
        total = self.to_dict()["total"]
        if total["seconds"] is None:
            return ""
        parts = [f"{total['seconds']:.2f} s in all", f"longest {total['longestSeconds']:.2f} s"]
        for name, key in (("seconds", "imbalance"), ("pixels", "pixelImbalance"), ("features", "featureImbalance")):
            parts += [] if total[key] is None else [f"imbalance of {name} {total[key]:.2f}"]
        for name, key in (("results", "resultSize"), ("peak memory", "peakMemory")):
            parts += [] if total[key] is None else [f"{name} {bytes_text(total[key])}"]
        return ", ".join(parts)

    def advice(self) -> str:
        """What would fit, as arguments of createCompute; empty where the execution does not tell."""
        told = [] if self.fits.nodes is None else [f"nodes={self.fits.nodes}"]
        told += [] if self.fits.large_result is None else [f"largeResult={self.fits.large_result}"]
        return f"What would fit: {', '.join(told)}" if told else ""

    def lines(self) -> list[str]:
        told = [self.totals(), *(f"{one.level}: {one.text}" for one in self.findings), self.advice()]
        return [line for line in told if line]

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        # In a notebook rich would write to the cell, and not to the file.
        console = Console(file=out, width=WIDTH, highlight=False, color_system=None, force_jupyter=False)
        facts = self.facts
        console.print(f"{facts.id}  {facts.status}, execution {facts.execution}", markup=False, soft_wrap=True)
        console.print(self.table())
        for line in self.lines():
            console.print(line, markup=False, soft_wrap=True)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def __repr__(self) -> str:
        return f"<Report of compute {self.facts.id}, execution {self.facts.execution}>"

    def html(self) -> str:
        """One page that needs nothing else: styles and map are in it, no scripts, no network."""
        return page(self)

    def _repr_html_(self) -> str:
        return fragment(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, whole or not at all; its path.

        Raises
        ------
        ArgumentError
            A path that is none, or a folder.
        StoreError
            A file that cannot be written.
        """
        text = arguments.path_text("path", path)
        if not text or Path(text).is_dir():
            raise arguments.invalid("path", path, f"must be the name of a file, not {path!r}")
        target = Path(text).absolute()
        try:
            with Home.publish_file(target) as draft:
                draft.write_text(self.html(), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"path {text!r} cannot be written: {error.strerror or error}") from error
        return target


def _node_dict(node: NodeFacts) -> dict[str, Any]:
    """Its fields, named as the service names such things: ``peakMemory``; whether it was uploaded is left out."""
    named = {re.sub("_(.)", lambda match: match[1].upper(), name): value for name, value in vars(node).items()}
    del named["upload"]
    return named
