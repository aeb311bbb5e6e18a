"""Vectors that hurt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ellipsis_local import layers

__all__ = [
    "antimeridian",
    "column_missing_in_one_partition",
    "duplicate_ids",
    "empty_vector",
    "features_over_every_border",
    "floats_that_are_whole",
    "invalid_polygons",
    "mixed_geometry_types",
    "null_attributes",
    "points_in_one_place",
    "polygons_with_holes",
    "smaller_than_a_pixel",
    "zero_area",
]

LEFT, TOP = 500_000.0, 6_000_000.0
WIDTH, HEIGHT = 320.0, 240.0
"""Of the area that the layers cover, in metres: that of the rasters."""


def _frame(columns: Mapping[str, Any], shapes: Sequence[Any], crs: str = "EPSG:3857") -> Any:
    import geopandas as gpd

    return gpd.GeoDataFrame(dict(columns), geometry=list(shapes), crs=crs)


def _boxes(count: int, side: float) -> list[Any]:
    """Squares in rows of eight, 40 m apart, from the north-west on."""
    import shapely

    places = [(LEFT + 10 + 40 * (i % 8), TOP - 10 - 40 * (i // 8)) for i in range(count)]
    return [shapely.box(x, y - side, x + side, y) for x, y in places]


def empty_vector() -> dict[str, str]:
    """Columns `id` and `value`, and no feature. Catches first rows, minima and means of nothing, and results that lack
    their columns where there is no row.
    """
    import numpy as np

    frame = _frame({"id": np.array([], "int64"), "value": np.array([], "float64")}, [])
    return layers.add(frame, name="empty")


def column_missing_in_one_partition() -> dict[str, str]:
    """Two files in one timestamp: the features in the west have a column `height`, those in the east have none, so that
    it is empty there. Catches means and comparisons of a column without a look at what is missing, and partitions in
    which all of it is.
    """
    from ellipsis_local.emulator import current_emulator

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
    import shapely

    across = [shapely.box(LEFT, TOP - 40 * i - 30, LEFT + WIDTH, TOP - 40 * i - 20) for i in range(6)]
    along = [shapely.box(LEFT + 50 * i + 20, TOP - HEIGHT, LEFT + 50 * i + 30, TOP) for i in range(6)]
    return layers.add(_frame({"id": range(12)}, [*across, *along]), name="over every border")


def antimeridian() -> dict[str, str]:
    """Islands at 180 degrees, in EPSG:4326: one west of it, one east of it, and one on both sides, a multipolygon of
    two halves. Catches extents, centroids and distances that go all the way round the world.
    """
    import shapely

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
    import shapely

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
    import shapely

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
    import shapely

    flat = [shapely.Polygon([(b[0], b[1]), (b[2], b[3]), (b[0], b[1])]) for b in (box.bounds for box in _boxes(8, 20))]
    proper = _boxes(24, 20)[8:]
    columns = {"id": range(24), "people": [float(10 + i) for i in range(24)]}
    return layers.add(_frame(columns, [*flat, *proper]), name="zero area")


def invalid_polygons() -> dict[str, str]:
    """Bow ties, whose outline crosses itself, among proper squares. Catches overlays, which raise a topology error, and
    areas, in which the halves cancel each other (make_valid first).
    """
    import shapely

    ties = [
        shapely.Polygon([(w, s), (e, n), (e, s), (w, n), (w, s)])
        for w, s, e, n in (box.bounds for box in _boxes(8, 20))
    ]  # fmt: skip
    return layers.add(_frame({"id": range(24)}, [*ties, *_boxes(24, 20)[8:]]), name="invalid")


def points_in_one_place() -> dict[str, str]:
    """Five points, all in one place: one partition has them all, the others have none. Catches partitions without
    features: minima of nothing, first rows, division by a count of zero.
    """
    import shapely

    point = shapely.Point(LEFT + 100, TOP - 100)
    return layers.add(_frame({"id": range(5), "value": [4.0, 2.0, 8.0, 6.0, 5.0]}, [point] * 5), name="one place")


def floats_that_are_whole() -> dict[str, str]:
    """A column `class` of floats that are all whole, as a table program leaves them. Catches keys such as '1.0' that no
    look-up table has, and types guessed from what a partition happens to hold.
    """
    classes = [float(1 + i % 3) for i in range(24)]
    return layers.add(_frame({"id": range(24), "class": classes}, _boxes(24, 20)), name="whole floats")
