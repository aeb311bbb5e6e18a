"""The demo's picture: on the left what the nodes got, on the right what they made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local.crs import transform_extent
from ellipsis_local.html_parts import escaped
from ellipsis_local.raster.opening import any_raster
from ellipsis_local.raster.write import png_bytes
from ellipsis_local.svg_map import INK, SvgMap
from ellipsis_local.types import Extent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ellipsis_local.cli.demo_job import Row

MERCATOR = "EPSG:3857"
NDVI_COLOURS = (
    (0.0, "#2b5d8a"), (0.16, "#9fb8c8"), (0.24, "#e6dccb"), (0.42, "#d9c27c"), (0.6, "#a8bf5e"), (0.8, "#4f9a4a"),
    (1.0, "#12512c"),
)  # fmt: skip
NDVI_RANGE = (-0.4, 0.9)
NDVI_WORDS = "NDVI: below 0 water, about 0.2 built-up or bare, above 0.6 dense green"
MOST_LABELLED = 12
"""With more partitions there is room for the number of each only."""
WIDTH, MARGIN, HEAD, FOOT = 720, 24, 84, 76
"""Of each map and around them, in pixels."""


def draw(fixtures: Path, ndvi: Path, rows: list[Row], target: Path) -> None:
    """Write the picture to `target`, an SVG."""
    frame = extent_in_mercator(fixtures / "scene_2024.tif")
    whole = frame
    for row in rows:
        whole = whole.union(cell_of(row))
    left, right = SvgMap(whole, WIDTH), SvgMap(whole, WIDTH)
    left.image(relief(fixtures), extent_in_mercator(fixtures / "dem.tif"))
    left.image(true_colour(fixtures), frame)
    draw_vectors(left, fixtures)
    right.image(ndvi_colours(ndvi), extent_in_mercator(ndvi))
    few = len(rows) <= MOST_LABELLED
    for one in (left, right):
        for row in rows:
            # dark on light: seen on any ground
            one.rectangle(cell_of(row), stroke="#fff", stroke_width=3.4)
            one.rectangle(cell_of(row), stroke=INK, stroke_width=1.4)
    for row in rows:
        held = [f"{row.value[name]} {name}" for name in ("buildings", "trees", "parcels")]
        mean = "no pixels" if row.ndvi is None else f"NDVI {row.ndvi:.2f}"
        for one, lines in ((left, held), (right, [mean])):
            x, y = max(row.extent["xMin"], frame.x_min), min(row.extent["yMax"], frame.y_max)
            inset = 0.01 * frame.width
            one.label(x + inset, y - inset, [f"node {row.node}", *lines] if few else [str(row.node)])
    target.write_text(page(left, right, len(rows), whole), encoding="utf-8")


def page(left: SvgMap, right: SvgMap, count: int, whole: Extent) -> str:
    """Both maps with their titles and the key of the colours."""
    other = WIDTH + 2 * MARGIN
    below = HEAD + left.height
    stops = "".join(f'<stop offset="{place:g}" stop-color="{colour}"/>' for place, colour in NDVI_COLOURS)
    span = f"x {whole.x_min:,.0f} to {whole.x_max:,.0f}, y {whole.y_min:,.0f} to {whole.y_max:,.0f} in {MERCATOR}"
    texts = (
        (MARGIN, 34, 22, "bold", f"One valley in {count} partitions"),
        (
            MARGIN,
            HEAD - 14,
            14,
            "normal",
            "What each node receives: elevation, scene, buildings, roads, trees, parcels",
        ),
        (other, HEAD - 14, 14, "normal", "What the nodes return, joined in one layer: NDVI"),
        (MARGIN, below + 22, 12, "normal", span),
        (other, below + 52, 12, "normal", f"{NDVI_RANGE[0]:g} to {NDVI_RANGE[1]:g}; {NDVI_WORDS}"),
    )
    words = "".join(
        f'<text x="{x}" y="{y:.0f}" font-size="{size}" font-weight="{weight}">{escaped(text)}</text>'
        for x, y, size, weight, text in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH + 3 * MARGIN}" height="{below + FOOT:.0f}" '
        f'font-family="system-ui, sans-serif" fill="{INK}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<linearGradient id="ndvi">{stops}</linearGradient>'
        f'<rect x="{other}" y="{below + 14:.0f}" width="{WIDTH}" height="18" fill="url(#ndvi)"/>'
        f"{words}{left.element(MARGIN, HEAD)}{right.element(other, HEAD)}</svg>\n"
    )


def cell_of(row: Row) -> Extent:
    return Extent(*(row.extent[side] for side in ("xMin", "yMin", "xMax", "yMax")))


def extent_in_mercator(path: Path) -> Extent:
    with any_raster(path) as source:
        extent = transform_extent(source.crs.to_string(), MERCATOR, Extent(*source.bounds))
    assert extent is not None  # noqa: S101 - it is our own
    return extent


def true_colour(fixtures: Path) -> bytes:
    import numpy as np

    with any_raster(fixtures / "scene_2024.tif") as source:
        colours = source.read([3, 2, 1]).astype("float32")
    there = (colours != 0).any(axis=0)
    low, high = np.percentile(colours[:, there], (1, 98))
    return as_png((np.clip((colours - low) / (high - low), 0, 1) ** 0.75), there)


def relief(fixtures: Path) -> bytes:
    """The elevation, lit from the north-west: it reaches a little past the scene."""
    import numpy as np

    with any_raster(fixtures / "dem.tif") as source:
        down, right = np.gradient(source.read(1).astype("float32"))
    light = (1 + 0.25 * (down + right)) / np.sqrt(1 + 0.12 * (down**2 + right**2))
    shade = np.clip(0.35 + 0.35 * light, 0, 1)
    return as_png(np.stack([shade] * 3), np.ones(shade.shape, bool))


def ndvi_colours(path: Path) -> bytes:
    import numpy as np

    with any_raster(path) as source:
        data = source.read(1, masked=True)
    share = (data.filled(0) - NDVI_RANGE[0]) / (NDVI_RANGE[1] - NDVI_RANGE[0])
    places = [place for place, _ in NDVI_COLOURS]
    channels = [[int(colour[i : i + 2], 16) / 255 for _, colour in NDVI_COLOURS] for i in (1, 3, 5)]
    return as_png(np.stack([np.interp(share, places, channel) for channel in channels]), ~np.ma.getmaskarray(data))


def as_png(colours: NDArray[Any], there: NDArray[Any]) -> bytes:
    """Red, green and blue from 0 to 1, transparent where nothing is there."""
    import numpy as np

    return png_bytes(np.concatenate([np.rint(colours * 255), there[None] * 255]).astype("uint8"))


def draw_vectors(picture: SvgMap, fixtures: Path) -> None:
    import geopandas

    names = ("roads.geojson", "buildings.gpkg", "trees.fgb")
    roads, buildings, trees = (
        geopandas.read_file(fixtures / name).to_crs(MERCATOR).dropna(subset="geometry") for name in names
    )
    large = roads["class"].isin(("primary", "secondary"))
    for chosen, width in ((~large, 1), (large, 2.4)):
        picture.shapes(roads.geometry[chosen], fill="none", stroke="#ffd35c", stroke_width=width)
    picture.shapes(buildings.geometry, fill="#e4572e")
    picture.shapes(trees.geometry, size=1.2, fill="#b7f59a")
