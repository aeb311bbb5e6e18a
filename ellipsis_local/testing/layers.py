"""Layers that hurt: each adds itself to the emulator in use, and its note says which bug it catches.

>>> layer = el.testing.layers.all_nodata()
>>> compute_id = el.compute.createCompute(layers=[layer], token=token, nodes=2)['id']

All are small, lie in EPSG:3857 unless their note says otherwise, and hold the same wherever and whenever they are made.
`all` gives them all, to parametrize a test with; `NOTES` their notes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from ellipsis_local import layers
from ellipsis_local.arguments import invalid
from ellipsis_local.emulator import current_emulator

LEFT, TOP, PIXEL = 500_000.0, 6_000_000.0, 10.0
ROWS, COLS = 24, 32
WIDTH, HEIGHT = COLS * PIXEL, ROWS * PIXEL
"""Of the area that the layers cover, in metres."""


def _add(
    name: str, values: NDArray[Any], transform: Affine | None = None, nodata: float | None = None
) -> dict[str, str]:
    source = {"raster": values, "transform": transform or _grid(), "crs": "EPSG:3857", "nodata": nodata}
    return layers.add(source, name=name)


def _grid(left: float = LEFT, top: float = TOP) -> Affine:
    return Affine(PIXEL, 0, left, 0, -PIXEL, top)


def _ramp(dtype: str = "float32") -> NDArray[Any]:
    """Values from 1 that grow to the east and to the south, so that every partition has another mean."""
    rows, cols = np.mgrid[:ROWS, :COLS]
    return np.asarray(1 + rows * 2 + cols, dtype)


def all_nodata() -> dict[str, str]:
    """Two float bands, nodata -9999, and no valid pixel. Catches means and ratios of nothing (NaN, division by zero),
    -9999 taken for a value, and reduce steps that expect a number from every node.
    """
    return _add("all nodata", np.full((2, ROWS, COLS), -9999, "float32"), nodata=-9999)


def nan_raster() -> dict[str, str]:
    """Floats of which the western third is NaN, and no nodata value is declared. Catches sums, minima and comparisons
    that one NaN spoils (use numpy's nan functions), and masks made from the nodata value alone.
    """
    values = _ramp()
    values[:, : COLS // 3] = np.nan
    return _add("NaN", values)


def nodata_is_zero() -> dict[str, str]:
    """Unsigned 16-bit values of at least 1; the eastern half is 0, which is nodata. Catches means and minima that count
    nodata, and partitions of nothing else.
    """
    values = _ramp("uint16")
    values[:, COLS // 2 :] = 0
    return _add("nodata is zero", values, nodata=0)


def zero_is_valid() -> dict[str, str]:
    """Bytes of which a third is 0, a value like any other; nodata is 255, in the last column. Catches `values > 0` and
    truth values in place of a look at the nodata value.
    """
    values = (np.mgrid[:ROWS, :COLS].sum(axis=0) % 3 * 10).astype("uint8")
    values[:, -1] = 255
    return _add("zero is valid", values, nodata=255)


def uint8_bright() -> dict[str, str]:
    """Two bands of bytes from 150 to 250. Catches sums and differences of bands that overflow (200 + 200 is 144, 150 -
    200 is 206 in bytes): convert to float before any arithmetic.
    """
    ramp = _ramp()
    return _add("bright bytes", np.stack([150 + ramp, 250 - ramp]).astype("uint8"))


def one_pixel() -> dict[str, str]:
    """One pixel. Catches squeezed arrays that lose their axes, gradients and windows that need neighbours, statistics
    that need two values, and more nodes than there are pixels, which createCompute refuses.
    """
    return _add("one pixel", np.array([[7.0]], "float32"))


def one_row() -> dict[str, str]:
    """One row of 40 pixels. Catches vertical neighbourhoods and gradients, and `squeeze`, which drops that axis."""
    return _add("one row", np.arange(40, dtype="float32")[np.newaxis])


def bands_31() -> dict[str, str]:
    """31 bands, each of its own number. Catches band numbers that were written for three or four bands, and arrays
    taken for (height, width, bands).
    """
    return _add("31 bands", np.arange(1, 32, dtype="uint8")[:, np.newaxis, np.newaxis] * np.ones((1, 6, 8), "uint8"))


def negative_extent() -> dict[str, str]:
    """A ramp in the south-west of the world, where x and y are below zero. Catches rows and columns computed with
    `int`, which rounds towards zero, `abs` of coordinates, and extents that are filled up from 0.
    """
    return _add("negative extent", _ramp(), _grid(-7_000_005.0, -4_000_005.0))


def rotated() -> dict[str, str]:
    """A ramp on a grid that is turned by 30 degrees, nodata 0: the nodes receive it warped to north-up, with nodata in
    the corners. Catches pixel counts and means that take the corners for data, and code that expects the file's own
    grid.
    """
    angle = math.radians(30)
    across, down = PIXEL * math.cos(angle), PIXEL * math.sin(angle)
    return _add("rotated", _ramp(), Affine(across, -down, LEFT, -down, -across, TOP), nodata=0)


def gap_between_files() -> dict[str, str]:
    """A timestamp of two files with a gap of 8 columns between them, and no nodata value. Catches means that count the
    gap, which comes as zeros, and code that takes a timestamp for one file.
    """
    ramp = _ramp()
    layer = _add("gap between files", ramp[:, :12])
    east = {"raster": ramp[:, 20:], "transform": _grid(LEFT + 20 * PIXEL), "crs": "EPSG:3857"}
    current_emulator().store.add_files(layer["pathId"], layer["timestampId"], [(east, "east.tif")])
    return layer


def _frame(columns: Mapping[str, Any], shapes: Sequence[Any], crs: str = "EPSG:3857") -> Any:
    import geopandas as gpd

    return gpd.GeoDataFrame(dict(columns), geometry=list(shapes), crs=crs)


def _boxes(count: int, side: float) -> list[Any]:
    """Squares in rows of eight, 40 m apart, from the north-west on."""
    places = [(LEFT + 10 + 40 * (i % 8), TOP - 10 - 40 * (i // 8)) for i in range(count)]
    return [shapely.box(x, y - side, x + side, y) for x, y in places]


def empty_vector() -> dict[str, str]:
    """Columns `id` and `value`, and no feature. Catches first rows, minima and means of nothing, and results that lack
    their columns where there is no row.
    """
    return layers.add(_frame({"id": np.array([], "int64"), "value": np.array([], "float64")}, []), name="empty")


def column_missing_in_one_partition() -> dict[str, str]:
    """Two files in one timestamp: the features in the west have a column `height`, those in the east have none, so that
    it is empty there. Catches means and comparisons of a column without a look at what is missing, and partitions in
    which all of it is.
    """
    boxes = _boxes(48, 20)
    west = [i for i in range(48) if i % 8 < 4]
    east = [i for i in range(48) if i % 8 >= 4]
    columns = {"id": west, "height": [float(3 + i % 5) for i in west]}
    layer = layers.add(_frame(columns, [boxes[i] for i in west]), name="column missing in the east")
    other = _frame({"id": east}, [boxes[i] for i in east])
    current_emulator().store.add_files(layer["pathId"], layer["timestampId"], [(other, "east.parquet")])
    return layer


def features_over_every_border() -> dict[str, str]:
    """Twelve bars, six from west to east and six from north to south, each over the whole area: whatever the cut, each
    border is crossed. Catches features that are counted, or measured, once per partition that they touch.
    """
    across = [shapely.box(LEFT, TOP - 40 * i - 30, LEFT + WIDTH, TOP - 40 * i - 20) for i in range(6)]
    along = [shapely.box(LEFT + 50 * i + 20, TOP - HEIGHT, LEFT + 50 * i + 30, TOP) for i in range(6)]
    return layers.add(_frame({"id": range(12)}, [*across, *along]), name="over every border")


def antimeridian() -> dict[str, str]:
    """Islands at 180 degrees, in EPSG:4326: one west of it, one east of it, and one on both sides, a multipolygon of
    two halves. Catches extents, centroids and distances that go all the way round the world.
    """
    shapes = [
        shapely.box(178.5, -17.5, 179.5, -16.5),
        shapely.box(-179.5, -17.5, -178.5, -16.5),
        shapely.MultiPolygon([shapely.box(179.8, -18.5, 180, -18), shapely.box(-180, -18.5, -179.8, -18)]),
    ]
    return layers.add(_frame({"id": range(3), "name": ["west", "east", "both"]}, shapes, "EPSG:4326"), name="180°")


def mixed_geometry_types() -> dict[str, str]:
    """Points, lines, polygons, several of each, and a collection, in one layer. Catches `.x`, `.exterior` and `.area`
    on whatever comes, and files that hold one type only.
    """
    x, y = LEFT, TOP
    line = shapely.LineString([(x + 60, y - 20), (x + 100, y - 60)])
    shapes = [
        shapely.Point(x + 20, y - 20),
        shapely.MultiPoint([(x + 30, y - 200), (x + 40, y - 210)]),
        line,
        shapely.MultiLineString([[(x + 150, y - 30), (x + 190, y - 30)], [(x + 150, y - 50), (x + 190, y - 50)]]),
        shapely.box(x + 200, y - 100, x + 240, y - 60),
        shapely.MultiPolygon([shapely.box(x + west, y - 30, x + west + 20, y - 10) for west in (250, 280)]),
        shapely.GeometryCollection([shapely.Point(x + 300, y - 200), shapely.box(x + 260, y - 230, x + 280, y - 210)]),
    ]  # fmt: skip
    return layers.add(_frame({"id": range(len(shapes))}, shapes), name="mixed types")


def null_attributes() -> dict[str, str]:
    """Names, whole numbers, floats and dates of which every third is missing. Catches text methods on None, whole
    numbers that became floats because of a gap, and groups that lose the rows without a key.
    """
    import pandas as pd

    count = 24
    columns = {
        "id": range(count),
        "name": [None if i % 3 == 0 else f"name {i % 4}" for i in range(count)],
        "storeys": pd.array([None if i % 3 == 1 else i % 5 for i in range(count)], dtype="Int64"),
        "height": [math.nan if i % 3 == 2 else 2.5 * (i % 5) for i in range(count)],
        "built": pd.Series([None if i % 3 == 0 else pd.Timestamp(2000 + i, 1, 1) for i in range(count)]),
    }
    return layers.add(_frame(columns, _boxes(count, 20)), name="null attributes")


def duplicate_ids() -> dict[str, str]:
    """24 features of which each two share an `id`, in opposite corners. Catches features taken for copies of each other
    by an id that is none, joins that multiply rows, and dictionaries by id that forget every other feature.
    """
    count = 24
    columns = {"id": [min(i, count - 1 - i) for i in range(count)], "value": [float(i) for i in range(count)]}
    return layers.add(_frame(columns, _boxes(count, 20)), name="duplicate ids")


def polygons_with_holes() -> dict[str, str]:
    """Squares of 30 m with a hole of 20 m, in which lies a square of 10 m of its own. Catches areas of the outline,
    points that are in a polygon by its outline only, and holes that get lost on the way.
    """
    outer = _boxes(24, 30)
    holed = [box.difference(box.buffer(-5, join_style="mitre")) for box in outer]
    inner = [shapely.box(*box.buffer(-10, join_style="mitre").bounds) for box in outer]
    kinds = ["ring"] * len(holed) + ["inside"] * len(inner)
    return layers.add(_frame({"id": range(48), "kind": kinds}, [*holed, *inner]), name="holes")


def smaller_than_a_pixel() -> dict[str, str]:
    """Squares of 2 m off the centres of pixels of 10 m. Catches rasterising by centres, which misses all of them
    (all_touched does not), and zonal statistics of no pixel.
    """
    return layers.add(_frame({"id": range(48)}, _boxes(48, 2)), name="smaller than a pixel")


def zero_area() -> dict[str, str]:
    """Polygons without area, lines without length, among proper ones. Catches divisions by area or length, and weights
    that sum to zero.
    """
    flat = [shapely.Polygon([(b[0], b[1]), (b[2], b[3]), (b[0], b[1])]) for b in (box.bounds for box in _boxes(8, 20))]
    proper = _boxes(24, 20)[8:]
    columns = {"id": range(24), "people": [float(10 + i) for i in range(24)]}
    return layers.add(_frame(columns, [*flat, *proper]), name="zero area")


def invalid_polygons() -> dict[str, str]:
    """Bow ties, whose outline crosses itself, among proper squares. Catches overlays, which raise a topology error, and
    areas, in which the halves cancel each other (make_valid first).
    """
    ties = [
        shapely.Polygon([(w, s), (e, n), (e, s), (w, n), (w, s)])
        for w, s, e, n in (box.bounds for box in _boxes(8, 20))
    ]  # fmt: skip
    return layers.add(_frame({"id": range(24)}, [*ties, *_boxes(24, 20)[8:]]), name="invalid")


def points_in_one_place() -> dict[str, str]:
    """Five points, all in one place: one partition has them all, the others have none. Catches partitions without
    features: minima of nothing, first rows, division by a count of zero.
    """
    point = shapely.Point(LEFT + 100, TOP - 100)
    return layers.add(_frame({"id": range(5), "value": [4.0, 2.0, 8.0, 6.0, 5.0]}, [point] * 5), name="one place")


def floats_that_are_whole() -> dict[str, str]:
    """A column `class` of floats that are all whole, as a table program leaves them. Catches keys such as '1.0' that no
    look-up table has, and types guessed from what a partition happens to hold.
    """
    classes = [float(1 + i % 3) for i in range(24)]
    return layers.add(_frame({"id": range(24), "class": classes}, _boxes(24, 20)), name="whole floats")


Layer = Callable[..., dict[str, str]]

RASTERS: tuple[Layer, ...] = (
    all_nodata,
    bands_31,
    gap_between_files,
    nan_raster,
    negative_extent,
    nodata_is_zero,
    one_pixel,
    one_row,
    rotated,
    uint8_bright,
    zero_is_valid,
)
VECTORS: tuple[Layer, ...] = (
    antimeridian,
    column_missing_in_one_partition,
    duplicate_ids,
    empty_vector,
    features_over_every_border,
    floats_that_are_whole,
    invalid_polygons,
    mixed_geometry_types,
    null_attributes,
    points_in_one_place,
    polygons_with_holes,
    smaller_than_a_pixel,
    zero_area,
)

NOTES: dict[str, str] = {layer.__name__: " ".join((inspect.getdoc(layer) or "").split()) for layer in RASTERS + VECTORS}
"""By name: what is in the layer, and the bug that it catches."""

__all__ = ["NOTES", "all", *NOTES]


def all(type: str | None = None) -> tuple[Layer, ...]:  # noqa: A001 - reads well as layers.all
    """The functions that add a layer, of `type` 'raster' or 'vector', or of both.

    In a test: ``@pytest.mark.parametrize('layer', testing.layers.all('raster'), ids=lambda layer: layer.__name__)``.

    >>> len(el.testing.layers.all('raster'))
    11
    """
    if type not in (None, "raster", "vector"):
        raise invalid("type", type, f"must be 'raster' or 'vector', not {type!r}")
    return (RASTERS if type != "vector" else ()) + (VECTORS if type != "raster" else ())
