"""The demo's picture: on the left what the nodes got, on the right what they made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local.crs import transform_extent
from ellipsis_local.raster.opening import any_raster
from ellipsis_local.testing.picture import INK, STYLE, dress
from ellipsis_local.types import Extent

if TYPE_CHECKING:
    from ellipsis_local.cli.demo_job import Row

MERCATOR = "EPSG:3857"
NDVI_COLOURS = (
    (0.0, "#2b5d8a"), (0.16, "#9fb8c8"), (0.24, "#e6dccb"), (0.42, "#d9c27c"), (0.6, "#a8bf5e"), (0.8, "#4f9a4a"),
    (1.0, "#12512c"),
)  # fmt: skip
NDVI_RANGE = (-0.4, 0.9)
MOST_LABELLED = 12
"""With more partitions there is room for the number of each only."""


def draw(fixtures: Path, ndvi: Path, rows: list[Row], target: Path) -> None:
    """Write the picture to `target`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(14, 6.9), dpi=130, layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_ground(left, fixtures)
        frame = draw_scene(left, fixtures)
        draw_vectors(left, fixtures)
        draw_ndvi(figure, right, ndvi)
        for axes in (left, right):
            draw_borders(axes, rows)
            limit(axes, rows, frame)
            dress(axes, MERCATOR)
            axes.locator_params(nbins=5)
        few = len(rows) <= MOST_LABELLED
        for row in rows:
            held = f"{row.value['buildings']} buildings\n{row.value['trees']} trees\n{row.value['parcels']} parcels"
            label(left, row, held if few else "", frame)
            label(right, row, "" if not few else "no pixels" if row.ndvi is None else f"NDVI {row.ndvi:.2f}", frame)
        left.set_ylabel("y in EPSG:3857", fontsize=8)
        left.set_title("What each node receives: elevation, scene, buildings, roads, trees, parcels", loc="left")
        right.set_title("What the nodes return, joined in one layer: NDVI", loc="left")
        figure.suptitle(f"One valley in {len(rows)} partitions", fontsize=14, fontweight="bold")
        figure.savefig(target)


def read_scene(fixtures: Path) -> tuple[Any, tuple[float, float, float, float]]:
    """True colour and opacity (height, width, 4) from 0 to 1, and left, right, bottom, top as matplotlib has them."""
    import numpy as np

    with any_raster(fixtures / "scene_2024.tif") as source:
        blue, green, red = source.read([1, 2, 3]).astype("float32")
        bounds = source.bounds
    picture = np.dstack([red, green, blue])
    missing = (picture == 0).all(axis=2)
    low, high = np.percentile(picture[~missing], (1, 98))
    picture = np.clip((picture - low) / (high - low), 0, 1) ** 0.75
    return np.dstack([picture, ~missing]), (bounds.left, bounds.right, bounds.bottom, bounds.top)


def draw_ground(axes: Any, fixtures: Path) -> None:
    """The elevation as shaded relief: it reaches a little past the scene."""
    from matplotlib.colors import LightSource

    with any_raster(fixtures / "dem.tif") as source:
        height = source.read(1)
        ground = transform_extent(source.crs.to_string(), MERCATOR, Extent(*source.bounds))
    assert ground is not None  # noqa: S101 - it is our own
    shade = LightSource(315, 45).hillshade(height, vert_exag=4, dx=14, dy=14)
    axes.imshow(
        shade, extent=(ground.x_min, ground.x_max, ground.y_min, ground.y_max), cmap="gray", vmin=-0.4, vmax=1.1
    )


def draw_scene(axes: Any, fixtures: Path) -> tuple[float, float, float, float]:
    picture, extent = read_scene(fixtures)
    axes.imshow(picture, extent=extent, interpolation="nearest")
    return extent


def draw_vectors(axes: Any, fixtures: Path) -> None:
    import geopandas

    names = ("roads.geojson", "buildings.gpkg", "trees.fgb")
    roads, buildings, trees = (geopandas.read_file(fixtures / name).to_crs(MERCATOR) for name in names)
    widths = [1.6 if kind in ("primary", "secondary") else 0.7 for kind in roads["class"]]
    roads.plot(ax=axes, color="#ffd35c", linewidth=widths)
    buildings.plot(ax=axes, facecolor="#e4572e", edgecolor="none")
    trees.plot(ax=axes, color="#b7f59a", markersize=2.2, linewidth=0)


def draw_ndvi(figure: Any, axes: Any, path: Path) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    with any_raster(path) as source:
        data, bounds = source.read(1, masked=True), source.bounds
    colours = LinearSegmentedColormap.from_list("ndvi", NDVI_COLOURS)
    shown = axes.imshow(
        data, extent=(bounds.left, bounds.right, bounds.bottom, bounds.top), cmap=colours,
        vmin=NDVI_RANGE[0], vmax=NDVI_RANGE[1], interpolation="nearest",
    )  # fmt: skip
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("NDVI: below 0 water, about 0.2 built-up or bare, above 0.6 dense green")


def draw_borders(axes: Any, rows: list[Row]) -> None:
    from matplotlib.patches import Rectangle

    for row in rows:
        left, bottom, right, top = (row.extent[side] for side in ("xMin", "yMin", "xMax", "yMax"))
        # dark on light: seen on any ground
        for colour, line in (("white", 3.4), (INK, 1.4)):
            axes.add_patch(
                Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor=colour, linewidth=line)
            )


def limit(axes: Any, rows: list[Row], frame: tuple[float, float, float, float]) -> None:
    extents = [row.extent for row in rows]
    left, right = min(e["xMin"] for e in extents), max(e["xMax"] for e in extents)
    bottom, top = min(e["yMin"] for e in extents), max(e["yMax"] for e in extents)
    margin = 0.012 * (right - left)
    axes.set_xlim(min(left, frame[0]) - margin, max(right, frame[1]) + margin)
    axes.set_ylim(min(bottom, frame[2]) - margin, max(top, frame[3]) + margin)


def label(axes: Any, row: Row, text: str, frame: tuple[float, float, float, float]) -> None:
    """The node's number and a few words, in its upper left corner."""
    extent = row.extent
    x = max(extent["xMin"], frame[0]) + 0.015 * (frame[1] - frame[0])
    y = min(extent["yMax"], frame[3]) - 0.018 * (frame[3] - frame[2])
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": INK, "alpha": 0.9, "linewidth": 0.8}
    words = f"node {row.node}\n{text}" if text else str(row.node)
    axes.text(x, y, words, va="top", ha="left", fontsize=8, fontweight="bold", linespacing=1.25, bbox=box)
