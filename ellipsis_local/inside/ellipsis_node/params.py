"""What the function receives: the node's partition of every layer, and the files."""

from __future__ import annotations

import copy
import io
import mmap
import threading
from typing import Any, Callable

__all__ = ["answer_vector", "make_params"]

_frames: dict[str, Any] = {}
"""Frames stay loaded, because reading one costs a hundred times its copy."""


def make_params(
    parts: list[dict[str, Any]], files: list[list[str]], frames: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Fresh values, so that what one call changes the next does not see; `frames` keeps those that were read."""
    params: dict[str, Any] = {}
    for part in parts:
        params[part["id"]] = (
            _raster(part) if part["type"] == "raster" else _vector(part, _frames if frames is None else frames)
        )
    for path_id, location in files:
        with open(location, "rb") as file:
            params[path_id] = io.BytesIO(file.read())
    return params


def _raster(part: dict[str, Any]) -> dict[str, Any]:
    import affine
    import numpy

    shape, dtype = tuple(part["shape"]), numpy.dtype(part["dtype"])
    if 0 in shape:
        raster = numpy.empty(shape, dtype)
    else:
        with open(part["path"], "rb") as file:
            # Copy on write: nothing is read before it is used, and no write reaches the file.
            mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        raster = numpy.ndarray(shape, dtype, mapped, part["offset"])
    nodata = part["nodata"]
    return {
        "raster": raster,
        "transform": affine.Affine(*part["transform"]),
        "extent": dict(part["extent"]),
        "crs": part["crs"],
        "nodata": float("nan") if nodata == "nan" else nodata,
    }


def _vector(part: dict[str, Any], frames: dict[str, Any]) -> Any:
    """A copy of the node's frame."""
    import geopandas

    frame = frames.get(part["path"])
    if frame is None:
        # The file spells the CRS out; scripts compare its short name.
        frame = geopandas.read_parquet(part["path"]).set_crs(part["crs"], allow_override=True)
        frames[part["path"]] = frame
    own = frame.copy()
    for name in own.columns:
        # A copied column of objects still shares its lists, arrays and dicts.
        if own[name].dtype == object and any(not isinstance(item, IMMUTABLE) for item in own[name]):
            own[name] = own[name].map(copy.deepcopy)
    object.__setattr__(own, "_answers_vector", True)
    return own


IMMUTABLE = (str, bytes, int, float, type(None))


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
