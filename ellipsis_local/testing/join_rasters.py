"""What the nodes made of one raster, put together again as the store would: later ones on top where they are valid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from affine import Affine

from ellipsis_local.raster.grid import apply
from ellipsis_local.testing.rasters import Raster, show_transform


def join_rasters(rasters: list[Raster], name: str) -> Raster:
    """Their mosaic; ValueError where they differ in bands, dtype, CRS or grid."""
    full = [raster for raster in rasters if raster.values.size] or rasters[:1]
    first = full[0]
    for raster in full[1:]:
        for what, one, other in (
            ("bands", raster.values.shape[0], first.values.shape[0]),
            ("dtype", raster.values.dtype, first.values.dtype),
            ("CRS", raster.crs, first.crs),
        ):
            if one != other:
                raise ValueError(f"{what} of {raster.name} is {one}, and of {first.name} {other}")
    places = [_place(raster, first) for raster in full]
    top, left = min(row for row, _ in places), min(col for _, col in places)
    height = max(row + raster.values.shape[1] for raster, (row, _) in zip(full, places, strict=True)) - top
    width = max(col + raster.values.shape[2] for raster, (_, col) in zip(full, places, strict=True)) - left
    values = np.zeros((first.values.shape[0], height, width), first.values.dtype)
    valid = np.zeros(values.shape, bool)
    for raster, (row, col) in zip(full, places, strict=True):
        rows, cols = raster.values.shape[1:]
        window = (slice(None), slice(row - top, row - top + rows), slice(col - left, col - left + cols))
        values[window] = np.where(raster.valid | ~valid[window], raster.values, values[window])
        valid[window] |= raster.valid
    t = first.transform
    x, y = apply(t, left, top)
    return replace(first, name=name, values=values, valid=valid, transform=Affine(t.a, t.b, x, t.d, t.e, y))


def _place(raster: Raster, first: Raster) -> tuple[int, int]:
    """Row and column of its first pixel on the grid of the first."""
    one, other = raster.transform, first.transform
    col, row = apply(~other, one.c, one.f)
    pixel = max(abs(value) for value in (other.a, other.b, other.d, other.e))
    same = np.allclose((one.a, one.b, one.d, one.e), (other.a, other.b, other.d, other.e), rtol=0, atol=1e-6 * pixel)
    if not same or max(abs(col - round(col)), abs(row - round(row))) > 0.01:
        raise ValueError(
            f"{raster.name} lies on another grid than {first.name}: transform {show_transform(one)} and "
            f"{show_transform(other)}"
        )
    return round(row), round(col)
