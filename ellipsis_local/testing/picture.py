"""The picture of a difference: the partitions, what of the layers lies there, and in red what differs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local.extras import optional_module

if TYPE_CHECKING:
    from ellipsis_local.testing.explaining import Disagreement
    from ellipsis_local.testing.job import Run
    from ellipsis_local.testing.seams import Crossing, Line

WRONG = "#c62828"
GROUND = "#9aa5b1"
INK = "#1d2430"
STYLE: dict[Any, Any] = {"font.size": 9, "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK}
"""matplotlib's."""
MOST_PIXELS = 1000
"""A raster is thinned out to so many rows and columns for the ground of the picture."""
MOST_FEATURES = 5000
MOST_NUMBERS = 40


new_folder: ContextVar[Callable[[], Path]] = ContextVar(
    "ellipsis_local_pictures", default=lambda: Path(tempfile.mkdtemp(prefix="ellipsis_local-invariance-"))
)
"""Makes a folder that stays when the test is over; the pytest plugin sets one of the run's own."""


def draw(
    found: Disagreement,
    reference: Run,
    whole: dict[str, Any],
    seams: Sequence[Line],
    crossing: Sequence[Crossing],
    target: Any,
) -> Path:
    mpl = optional_module("matplotlib", extra="plot", purpose="the picture of a difference")
    from matplotlib.figure import Figure

    path = _path(target)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 7.5), dpi=110, layout="constrained")
        axes = figure.subplots()
        _draw_rasters(axes, reference)
        for frame in whole.values():
            _draw_features(axes, frame.iloc[:MOST_FEATURES], GROUND, 0.8)
        for one in crossing:
            _draw_features(axes, one.rows.iloc[:MOST_FEATURES], "#ef6c00", 1.6)
        for finding in found.findings:
            if finding.rows is not None:
                _draw_features(axes, finding.rows.iloc[:MOST_FEATURES], WRONG, 1.8)
            if finding.raster is not None and finding.raster.pixels is not None:
                _draw_pixels(axes, finding.raster)
        _draw_cells(axes, found.run, seams)
        _dress(axes, found.run.crs)
        axes.set_ylabel("y", fontsize=8)
        axes.set_title(f"differs from one node: {found.name}", loc="left")
        figure.savefig(path)
    return path


def _dress(axes: Any, crs: str) -> None:
    """The axes of a map."""
    axes.set_aspect("equal")
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.tick_params(labelsize=7)
    axes.set_xlabel(f"x in {crs}", fontsize=8)


def _path(target: Any) -> Path:
    if target is None or target is True:
        return new_folder.get()() / "difference.png"
    path = Path(target)
    path = path if path.suffix.lower() == ".png" else path / "difference.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _draw_rasters(axes: Any, reference: Run) -> None:
    """The first raster's first band, in grey."""
    import numpy as np

    for part in reference.partitioning.parts[0]:
        if part.type == "raster" and 0 not in part.shape:
            step = max(1, *(-(-size // MOST_PIXELS) for size in part.shape[1:]))
            band = np.load(part.path, mmap_mode="r")[0, ::step, ::step]
            if band.dtype.kind == "c":
                band = np.abs(band)
            extent = part.extent
            axes.imshow(
                np.asarray(band, float), cmap="Greys", alpha=0.6, interpolation="nearest",
                extent=(extent["xMin"], extent["xMax"], extent["yMin"], extent["yMax"]),
            )  # fmt: skip
            return


def _draw_features(axes: Any, frame: Any, colour: str, width: float) -> None:
    import shapely
    from matplotlib.collections import LineCollection

    shapes = shapely.get_parts(frame.geometry.to_numpy())
    kinds = shapely.get_type_id(shapes)
    lines = []
    for shape in shapes[(kinds == 3)]:
        lines += [shapely.get_coordinates(ring) for ring in (shape.exterior, *shape.interiors)]
    lines += [shapely.get_coordinates(shape) for shape in shapes[(kinds == 1) | (kinds == 2)]]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=width))
    points = shapely.get_coordinates(shapes[kinds == 0])
    axes.scatter(points[:, 0], points[:, 1], s=8 * width, c=colour, linewidths=0)
    axes.autoscale_view()


def _draw_pixels(axes: Any, difference: Any) -> None:
    import numpy as np
    from matplotlib.colors import ListedColormap

    height, width = difference.pixels.shape
    transform = difference.transform
    left, top = transform.c, transform.f
    right, bottom = left + width * transform.a, top + height * transform.e
    axes.imshow(
        np.ma.masked_equal(difference.pixels.astype("uint8"), 0), cmap=ListedColormap([WRONG]), alpha=0.9,
        extent=(left, right, bottom, top), interpolation="nearest", zorder=3,
    )  # fmt: skip


def _draw_cells(axes: Any, run: Run, seams: Sequence[Line]) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    for node, cell in enumerate(run.extents):
        axes.add_patch(
            Rectangle((cell.x_min, cell.y_min), cell.width, cell.height, fill=False, edgecolor=INK, lw=0.9, zorder=4)
        )
        if len(run.extents) <= MOST_NUMBERS:
            axes.annotate(
                f"node {node}", (cell.x_min, cell.y_max), xytext=(3, -10), textcoords="offset points", fontsize=7
            )
    axes.add_collection(LineCollection([line.ends for line in seams], colors="#1565c0", linewidths=2.2, zorder=5))
    west, south = min(cell.x_min for cell in run.extents), min(cell.y_min for cell in run.extents)
    east, north = max(cell.x_max for cell in run.extents), max(cell.y_max for cell in run.extents)
    axes.set_xlim(west - 0.02 * (east - west), east + 0.02 * (east - west))
    axes.set_ylim(south - 0.02 * (north - south), north + 0.02 * (north - south))
