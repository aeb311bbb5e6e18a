"""Layers that hurt: each adds itself to the emulator in use, and its note says which bug it catches.

>>> layer = ellipsis_local.testing.layers.all_nodata()
>>> compute_id = ellipsis_local.compute.createCompute(layers=[layer], token=token, nodes=2)['id']

All are small, lie in EPSG:3857 unless their note says otherwise, and hold the same wherever and whenever they are made.
`all` gives them all, to parametrize a test with; `NOTES` their notes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from ellipsis_local.testing.layers.rasters import (
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
from ellipsis_local.testing.layers.vectors import (
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

__all__ = [
    "NOTES",
    "all",
    "all_nodata",
    "antimeridian",
    "bands_31",
    "column_missing_in_one_partition",
    "duplicate_ids",
    "empty_vector",
    "features_over_every_border",
    "floats_that_are_whole",
    "gap_between_files",
    "invalid_polygons",
    "mixed_geometry_types",
    "nan_raster",
    "negative_extent",
    "nodata_is_zero",
    "null_attributes",
    "one_pixel",
    "one_row",
    "points_in_one_place",
    "polygons_with_holes",
    "rotated",
    "smaller_than_a_pixel",
    "uint8_bright",
    "zero_area",
    "zero_is_valid",
]

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


def all(type: str | None = None) -> tuple[Layer, ...]:  # noqa: A001 - reads well as layers.all
    """The functions that add a layer, of `type` 'raster' or 'vector', or of both.

    >>> @pytest.mark.parametrize('layer', testing.layers.all('raster'), ids=lambda layer: layer.__name__)
    """
    from ellipsis_local.errors import ArgumentError

    if type not in (None, "raster", "vector"):
        raise ArgumentError(f"type must be 'raster' or 'vector', not {type!r}", argument="type", value=type)
    return (RASTERS if type != "vector" else ()) + (VECTORS if type != "raster" else ())
