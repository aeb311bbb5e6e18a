"""Features of a stand-in: points anywhere in the extent, polygons side by side, lines of a few bends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from ellipsis_local.errors import LayerWarning
from ellipsis_local.notices import warn
from ellipsis_local.stand_ins.columns import make_column
from ellipsis_local.stand_ins.draws import Draws
from ellipsis_local.stand_ins.schema import MOST_FEATURES, LayerSchema


def make_features(schema: LayerSchema, draws: Draws) -> Any:
    """An Arrow table of the columns, and `geometry`."""
    count = schema.features
    if count > MOST_FEATURES:
        warn(f"the layer has {count:,} features; the stand-in has {MOST_FEATURES:,}", LayerWarning)
        count = MOST_FEATURES
    columns = {name: make_column(name, kind, draws, count) for name, kind in schema.columns.items()}
    shapes = make_shapes(schema, draws, count)
    wkb = pa.array(shapely.to_wkb(shapes, flavor="iso", byte_order=1), pa.binary())
    return pa.table({**columns, "geometry": wkb})


def make_shapes(schema: LayerSchema, draws: Draws, count: int) -> Any:
    """Geometries of the types of the layer in turn, one per cell of a grid of bent lines; points anywhere."""
    side = max(1, math.isqrt(max(0, count - 1)) + 1)
    rows, columns = np.divmod(np.arange(count), side)
    bends = (draws.uniform(2, side + 1, side + 1) - 0.5) / 2
    # The outer edges stay where they are.
    bends[:, [0, -1]] = bends[:, :, [0, -1]] = 0
    x = schema.extent.x_min + (np.arange(side + 1) + bends[0]) / side * schema.extent.width
    y = schema.extent.y_max - (np.arange(side + 1)[:, np.newaxis] + bends[1]) / side * schema.extent.height
    corners = ((1, 0), (1, 1), (0, 1), (0, 0))
    cells = np.stack([[x[rows + i, columns + j], y[rows + i, columns + j]] for i, j in corners], axis=-1)
    cells = np.moveaxis(cells, 0, -1)
    u, v = draws.uniform(2, count)
    points = np.column_stack(
        [schema.extent.x_min + u * schema.extent.width, schema.extent.y_min + v * schema.extent.height]
    )
    makers = {"Polygon": (shapely.polygons, cells), "LineString": (shapely.linestrings, cells),
              "Point": (shapely.points, points)}  # fmt: skip
    several = {"Polygon": shapely.multipolygons, "LineString": shapely.multilinestrings, "Point": shapely.multipoints}
    shapes = np.empty(count, object)
    for turn, kind in enumerate(schema.geometries):
        own = slice(turn, None, len(schema.geometries))
        single = kind.removeprefix("Multi")
        make, coordinates = makers[single]
        made = make(coordinates[own]) if len(coordinates[own]) else []
        shapes[own] = made if kind == single else [several[single]([one]) for one in made]
    return shapes
