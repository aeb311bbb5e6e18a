"""What a node received, to look at: of rasters a picture, and per band the values; of vectors the first rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ellipsis_local.computes.inputs import found_inputs
from ellipsis_local.computes.records import Record
from ellipsis_local.computes.replay_inputs import read_node_inputs
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import EllipsisLocalError, NotFoundError
from ellipsis_local.imagery.default_style import COLOURS, draw, stretch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ellipsis_local.partitions import Part

MOST_PIXELS = 4 * 2**20
"""Of a band that are looked at; of more every n-th row and column."""
SIDE = 256
"""Of a picture, in pixels at most."""
ROWS = 10


def parts_of(emulator: Emulator, record: Record, node: int) -> tuple[Sequence[Part], str]:
    """The parts of a node, or why there are none."""
    kept = read_node_inputs(emulator.home.compute(record.id), node)
    if kept is not None:
        return kept.parts, ""
    try:
        given = found_inputs(record.spec, emulator.partitions, emulator.store)
    except EllipsisLocalError as error:
        return (), str(error)
    if given is None:
        return (), "The cut is not in the cache any more; the next execution makes it again."
    return (given[0][node] if given[0] else ()), ""


def read_inputs(emulator: Emulator, record: Record, node: int) -> tuple[list[dict[str, Any]], str]:
    parts, problem = parts_of(emulator, record, node)
    return [raster_input(part) if part.type == "raster" else vector_input(part) for part in parts], problem


def raster_input(part: Any) -> dict[str, Any]:
    pixels, valid, every = read_pixels(part, MOST_PIXELS)
    bands = []
    for number, (band, there) in enumerate(zip(pixels, valid, strict=True), start=1):
        values = band[there]
        least, most = (values.min().item(), values.max().item()) if values.size else (None, None)
        bands.append({"number": number, "min": least, "max": most, "missing": 1 - values.size / max(band.size, 1)})
    return {"type": "raster", "id": part.id, "shape": part.shape, "dtype": str(pixels.dtype), "crs": part.crs,
            "nodata": part.nodata, "bands": bands, "every": every}  # fmt: skip


def read_pixels(part: Any, most: int) -> tuple[NDArray[np.generic], NDArray[np.bool_], int]:
    """The bands, where they are valid, and of how many rows and columns one was taken."""
    import numpy as np

    pixels: Any = np.load(part.path, mmap_mode="r")
    every = max(1, math.ceil(math.sqrt(math.prod(pixels.shape[1:]) / most)))
    pixels = np.asarray(pixels[:, ::every, ::every])
    if part.mask is not None:
        mask = np.load(part.mask, mmap_mode="r")[..., ::every, ::every]
        return pixels, np.broadcast_to(mask, pixels.shape), every
    valid = np.ones(pixels.shape, dtype=bool)
    if part.nodata == "nan":
        valid = ~np.isnan(pixels)
    elif part.nodata is not None:
        valid = pixels != part.nodata
    return pixels, valid, every


def vector_input(part: Any) -> dict[str, Any]:
    from ellipsis_local.vector import read_partition

    frame = read_partition(part.path)
    head = frame.head(ROWS)
    columns = [str(name) for name in head.columns]
    rows = [[text if len(text := str(value)) <= 80 else f"{text[:79]}…" for value in row] for row in head.values]
    return {"type": "vector", "id": part.id, "rows": part.rows, "crs": part.crs, "columns": columns, "head": rows}


def picture(emulator: Emulator, record: Record, node: int, layer: int) -> bytes:
    """The raster that a node received, drawn as its layer would be, with a stretch of its own."""
    import numpy as np

    from ellipsis_local.raster.write import png_bytes

    parts, problem = parts_of(emulator, record, node)
    part: Any = parts[layer] if layer < len(parts) else None
    if part is None or part.type != "raster" or "c" in part.dtype:
        raise NotFoundError(problem or f"layer {layer} of node {node} has no picture", argument="layer", value=layer)
    pixels, valid, _ = read_pixels(part, SIDE * SIDE)
    shown = COLOURS if len(pixels) >= COLOURS else 1
    image = np.where(valid, pixels, 0)[:shown]
    there = valid.any(axis=0)
    ranges = tuple(stretch(band[ok & np.isfinite(band)].astype(float)) for band, ok in zip(image, valid, strict=False))
    mask = np.where(there, 1, 0).astype(image.dtype)
    return png_bytes(draw(np.concatenate([image, mask[np.newaxis]]), ranges))
