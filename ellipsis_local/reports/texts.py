"""Numbers as a person reads them, in a terminal and on a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.filesize import decimal

if TYPE_CHECKING:
    from ellipsis_local.reports.facts import NodeFacts


def crs_name(crs: str | None) -> str:
    """A code as it is, of a WKT its name."""
    if crs is None:
        return "no CRS"
    return crs if len(crs) < 30 else crs.split('"')[1] if '"' in crs else crs[:30]


def bytes_text(number: float) -> str:
    """Decimal units, as the limit of small results is told."""
    return decimal(round(number))


def extent_text(low: float, high: float) -> str:
    """One axis of an extent, with as many decimals as tell its length: whole metres, parts of degrees."""
    length = abs(high - low) or 1.0
    if not math.isfinite(length):
        return f"{low:g} – {high:g}"
    decimals = max(0, 2 - math.floor(math.log10(length)))
    return f"{low:.{decimals}f} – {high:.{decimals}f}"


COLUMNS = (
    ("node", True), ("state", False), ("x", False), ("y", False), ("pixels", True), ("features", True),
    ("seconds", True), ("peak memory", True), ("result", True), ("log lines", True),
)  # fmt: skip


def columns(unit: str) -> tuple[tuple[str, bool], ...]:
    """`COLUMNS` of what the function runs on; each with whether it holds numbers."""
    return ((unit, True), *COLUMNS[1:])


def cells(node: NodeFacts) -> tuple[str, ...]:
    """A node's row under `COLUMNS`; empty is what is not known."""
    extent = node.extent
    state = node.state if node.failure is None else f"failed ({node.failure})"
    return (
        str(node.node),
        state if node.machine is None else f"{state} on {node.machine}",
        "" if extent is None else extent_text(extent["xMin"], extent["xMax"]),
        "" if extent is None else extent_text(extent["yMin"], extent["yMax"]),
        "" if node.pixels is None else f"{node.pixels:,}",
        "" if node.features is None else f"{node.features:,}",
        "" if node.seconds is None else f"{node.seconds:.2f}",
        "" if node.peak_memory is None else bytes_text(node.peak_memory),
        "" if node.result_size is None else bytes_text(node.result_size),
        str(node.log_lines),
    )
