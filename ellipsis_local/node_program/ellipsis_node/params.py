"""What the function receives: the node's partition of every layer, and the files."""

from __future__ import annotations

import copy
import datetime
import decimal
import io
import json
import mmap
import threading
from typing import Any, Callable, Sequence

from .records import NodeFile, Part, RasterPart, VectorPart

_frames: dict[str, Any] = {}
"""Frames stay loaded, because reading one costs a hundred times its copy."""


def make_params(
    parts: Sequence[Part], files: Sequence[NodeFile], frames: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Fresh values, so that what one call changes the next does not see; `frames` keeps those that were read."""
    params: dict[str, Any] = {}
    for part in parts:
        params[part.id] = (
            _raster(part) if isinstance(part, RasterPart) else _vector(part, _frames if frames is None else frames)
        )
    for given in files:
        with open(given.location, "rb") as file:
            params[given.id] = io.BytesIO(file.read())
    return params


def _raster(part: RasterPart) -> dict[str, Any]:
    """The raster of a part.

    With ``'mask'`` (bool, True where a pixel is valid), ``'scales'``, ``'offsets'`` and ``'units'`` (one per band) only
    where the layer has them.
    """
    import affine

    found = {
        "raster": _mapped(part.path, part.shape, part.dtype, part.offset),
        "transform": affine.Affine(*part.transform),
        "extent": dict(part.extent),
        "crs": part.crs,
        "nodata": float("nan") if part.nodata == "nan" else part.nodata,
    }
    if part.mask is not None and part.mask_shape is not None:
        found["mask"] = _mapped(part.mask, part.mask_shape, "?", part.offset)
    for name in ("scales", "offsets", "units"):
        if getattr(part, name):
            found[name] = getattr(part, name)
    return found


def _mapped(path: str, shape: tuple[int, ...], dtype: str, offset: int) -> Any:
    """The array in a file. Copy on write: nothing is read before it is used, and no write reaches the file."""
    import numpy

    if 0 in shape:
        return numpy.empty(shape, dtype)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return numpy.ndarray(shape, dtype, mapped, offset)


def _vector(part: VectorPart, frames: dict[str, Any]) -> Any:
    """A copy of the node's frame."""
    if part.path not in frames:
        frames[part.path] = _loaded(part)
    frame, mutable = frames[part.path]
    own = _copied(frame)
    for name in mutable:
        # A copied column of objects still shares its lists, arrays and dicts.
        own[name] = own[name].map(copy.deepcopy)
    object.__setattr__(own, "_answers_vector", True)
    return own


def _loaded(part: VectorPart) -> tuple[Any, list[str]]:
    """The node's frame, and its columns with cells that can be changed: looked for once, there may be many cells."""
    import geopandas
    from pyarrow import parquet

    # The file spells the CRS out; scripts compare its short name.
    frame = geopandas.read_parquet(part.path).set_crs(part.crs, allow_override=True)
    for field in parquet.read_schema(part.path):
        if (field.metadata or {}).get(b"ellipsis_local:type") == b"json":
            cells = [json.loads(text) if isinstance(text, str) else None for text in frame[field.name]]
            column = frame[field.name].astype(object)
            column[:] = cells
            frame[field.name] = column
    objects = [name for name in frame.columns if frame[name].dtype == object]
    return frame, [name for name in objects if not {type(cell) for cell in frame[name]} <= IMMUTABLE]


def _copied(frame: Any) -> Any:
    """A copy that shares nothing that can be changed.

    Where pandas copies a column when it is written to (from release 3 on), only extension arrays, which hand out
    themselves, are copied now.
    """
    import pandas

    if int(pandas.__version__.partition(".")[0]) < 3:
        return frame.copy()
    own = frame.copy(deep=False)
    for name in own.columns:
        if pandas.api.types.is_extension_array_dtype(own[name].dtype):
            own[name] = own[name].copy()
    return own


IMMUTABLE = {
    str, bytes, int, float, bool, type(None), datetime.date, datetime.time, datetime.datetime, datetime.timedelta,
    decimal.Decimal,
}  # fmt: skip


def answer_vector() -> Callable[[], None]:
    """Let the frames that functions receive answer ``['vector']`` with themselves, until the returned callable ends it.

    Scripts write both ``params[id]`` and ``params[id]['vector']``, and the client's validators accept nothing but
    exactly a GeoDataFrame, so that a subclass is no way. Several may ask for it at a time; the last one's end leaves
    the class as it was.
    """
    import geopandas

    ended = False

    def end() -> None:
        nonlocal ended
        with _asking:
            if not ended:
                ended = True
                _askers.pop()()

    with _asking:
        # The first one's is the last to be taken off.
        _askers.append(_nothing if _askers else _patch(geopandas.GeoDataFrame))
    return end


def _nothing() -> None:
    pass


_asking = threading.RLock()
_askers: list[Callable[[], None]] = []


def _patch(frames: Any) -> Callable[[], None]:
    """Change the class; the value undoes it."""
    original = frames.__getitem__

    def get_item(self: Any, key: Any) -> Any:
        asked = isinstance(key, str) and key == "vector" and getattr(self, "_answers_vector", False)
        if asked and "vector" not in self.columns:
            return self
        return original(self, key)

    def undo() -> None:
        if frames.__getitem__ is get_item:
            frames.__getitem__ = original

    frames.__getitem__ = get_item
    return undo
