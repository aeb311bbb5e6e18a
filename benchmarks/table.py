"""The table on stdout and the facts of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from measuring import Row

__all__ = ["machine", "render"]

HEADER = ("row", "median", "lowest – highest", "compared with", "its median", "ratio", "goal", "met")
PACKAGES = ("numpy", "rasterio", "geopandas", "shapely", "pyarrow", "uv", "virtualenv")


def render(rows: Sequence[Row]) -> str:
    """Markdown, with columns aligned."""
    lines = [HEADER, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    texts = [f"| {' | '.join(line)} |" for line in padded]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {row.name}: {row.note}" for row in rows if row.note]
    return "\n".join(texts + (["", *notes] if notes else []))


def _cells(row: Row) -> tuple[str, ...]:
    goal = ""
    if row.limit is not None:
        goal = f"< {_number(row.limit, row.unit)}" if row.ratio is None else f"≤ {row.limit:.3g}×"
    return (
        row.name,
        _number(row.value, row.unit),
        f"{_number(min(row.values), row.unit)} – {_number(max(row.values), row.unit)}",
        row.baseline,
        _number(median(row.baseline_values), row.unit) if row.baseline_values else "",
        "" if row.ratio is None else f"{row.ratio:.2f}×",
        goal,
        {None: "", True: "yes", False: "no"}[row.met],
    )


def _number(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:.3g} {unit}"
    return f"{value * 1000:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def machine() -> dict[str, Any]:
    """What a figure depends on; no names and no paths."""
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "load before": round(os.getloadavg()[0], 2),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory GB"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = None
    return facts
