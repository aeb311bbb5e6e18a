"""Pixels of a stand-in: smooth fields, the bands of which go together as those of one scene do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from affine import Affine

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import LayerWarning
from ellipsis_local.notices import warn
from ellipsis_local.raster.files import RasterArray, check_nodata
from ellipsis_local.stand_ins.draws import Draws
from ellipsis_local.stand_ins.schema import LayerSchema

MOST_PIXELS = 2**23
"""Of all bands; a stand-in is for trying out."""
PLAUSIBLE = {
    "uint8": (1, 254), "int8": (-100, 100), "uint16": (100, 10_000), "int16": (-100, 4_000), "uint32": (1, 100_000),
    "int32": (-1_000, 100_000), "uint64": (1, 100_000), "int64": (-1_000, 100_000),
}  # fmt: skip
"""Lowest and highest value by dtype; floats and complex numbers go from 0 to 1."""
MISSING = 20
"""One pixel of so many has the nodata value, where there is one."""


def make_raster(schema: LayerSchema, draws: Draws, *, exact: bool) -> RasterArray:
    """The pixels on their grid; where these are too many, ArgumentError if the grid is to be `exact`, else fewer."""
    width, height = size_of(schema)
    if width * height * len(schema.bands) > MOST_PIXELS:
        count = f"{width} × {height} pixels of {len(schema.bands)} bands"
        if exact:
            text = f"{schema.resolution} makes {count} of the extent; give a coarser one, or a smaller extent"
            raise invalid("resolution", schema.resolution, f"{text}: a stand-in has at most {MOST_PIXELS:,} values")
        coarser = math.sqrt(width * height * len(schema.bands) / MOST_PIXELS) * 1.01
        warn(f"the layer has {count}; the stand-in has pixels {coarser:.3g} times as large", LayerWarning)
        across, down = schema.resolution
        schema = replace(schema, resolution=(across * coarser, down * coarser))
        width, height = size_of(schema)
    low, high = schema.value_range or PLAUSIBLE.get(schema.dtype, (0, 1))
    array = np.empty((len(schema.bands), height, width), schema.dtype)
    ground = draws.field(height, width)
    for band in array:
        share = (ground * 3 + draws.field(height, width)) / 4
        if band.dtype.kind in "iu":
            band[:] = np.minimum(np.floor(low + share * (high - low + 1)), high)
        else:
            band[:] = low + share * (high - low)
    if schema.nodata is not None:
        array[array == schema.nodata] = low if low != schema.nodata else high
        holes = draws.field(height, width)
        array[:, holes <= np.sort(holes, axis=None)[holes.size // MISSING]] = schema.nodata
    across, down = schema.resolution
    transform = Affine(across, 0, schema.extent.x_min, 0, -down, schema.extent.y_max)
    return RasterArray(array, transform, schema.crs, check_nodata(schema.nodata, schema.dtype))


def size_of(schema: LayerSchema) -> tuple[int, int]:
    """Columns and rows."""
    across, down = schema.resolution
    return max(1, round(schema.extent.width / across)), max(1, round(schema.extent.height / down))
