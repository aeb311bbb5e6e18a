"""What is noted of a raster file when it is added, out of one look into it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.arguments import invalid
from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning
from ellipsis_local.formats import check_raster, check_whole, few
from ellipsis_local.gdal_errors import reading
from ellipsis_local.notices import warn
from ellipsis_local.raster.grid import corners_extent
from ellipsis_local.raster.opening import opened
from ellipsis_local.raster.validity import is_same, masks_of
from ellipsis_local.types import Extent, RasterFile

SMALL = 64 * 1024**2
"""Bytes of pixels up to which what is no TIFF is read whole; of larger files the first and last blocks are."""
NOTHING_SAID: dict[str, set[Any]] = {"scales": {1.0}, "offsets": {0.0}, "units": {None, ""}}
"""Of a band: its values are as they are."""
SIDECARS = {".xml", ".ovr", ".msk"}
RAW_DRIVERS = {"ENVI", "EHdr", "ERS", "RRASTER"}


class Inspected(NamedTuple):
    file: RasterFile
    parts: tuple[Path, ...]
    """The files that GDAL reads for it: itself first, then sidecars, or a VRT's sources."""
    driver: str


def inspect(
    location: str | Path,
    *,
    source: str,
    layer: str | None = None,
    epsg: int | None = None,
    nodata: float | None = None,
    contained: bool = False,
) -> Inspected:
    """Look at the raster that lies at `location`; it is opened once, and once more where it holds several.

    Messages call it `source`; `layer` names one of several rasters in it, by the end of its name; `epsg` and `nodata`
    count in the place of what the file says; `contained`: it must not refer to other files. LayerError without a CRS, a
    band, a georeference or readable pixels, and with bands of several dtypes (our choice).
    """
    location = str(location)
    if Path(location).is_file():
        check_whole(Path(location))
    with reading(source), opened(location, contained=contained) as dataset:
        parts = parts_of(dataset, location)
        for part in parts[1:]:
            check_whole(part)
        chosen = subdataset(dataset, location, source, layer)
        if chosen == location:
            return Inspected(facts(dataset, location, source, epsg, nodata, parts), parts, str(dataset.driver))
    with reading(source), opened(chosen, contained=contained) as dataset:
        return Inspected(facts(dataset, chosen, source, epsg, nodata, ()), parts, str(dataset.driver))


def parts_of(dataset: Any, location: str) -> tuple[Path, ...]:
    path = Path(location)
    if not path.is_file():
        return ()
    # Some versions of GDAL give the sources of a VRT as it spells them, with `..`.
    beside = [Path(os.path.normpath(name)) for name in dataset.files]
    return (path, *(name for name in beside if name.is_file() and not name.samefile(path)))


def subdataset(dataset: Any, location: str, source: str, layer: str | None) -> str:
    """What rasterio opens: the file, or one of several rasters in it, by the end of its name."""
    several = list(dataset.subdatasets)
    if dataset.count and layer is None:
        return location
    names = [name.rsplit(":", 1)[-1].strip('"') for name in several]
    if layer in names:
        return str(several[names.index(layer)])
    if not several:
        if layer is None:
            raise LayerError.of(source, "has no band")
        raise LayerError.of(source, f"holds one raster and no layer named {layer!r}")
    raise LayerError.of(source, f"holds {len(several)} rasters; pass layer= with one of {few(names)}")


def facts(
    dataset: Any, location: str, source: str, epsg: int | None, nodata: float | None, parts: tuple[Path, ...]
) -> RasterFile:
    """What an open dataset says of itself, after the overrides; see `inspect`."""
    if dataset.count < 1:
        raise LayerError.of(source, "has no band")
    check_raster(dataset, source)
    check_georeference(dataset, source)
    crs = epsg_text(epsg) if epsg is not None else crs_text(dataset.crs, source)
    dtype = check_dtype(dataset, source)
    if parts:
        check_end(dataset, parts, source)
    check_pixels(dataset, source)
    return RasterFile(
        location=location,
        content="",
        crs=crs,
        transform=tuple(dataset.transform)[:6],
        width=dataset.width,
        height=dataset.height,
        bands=dataset.count,
        dtype=dtype,
        nodata=effective_nodata(dataset, source, nodata, dtype),
        block=tuple(dataset.block_shapes[0]),
        descriptions=tuple(dataset.descriptions),
        mask=masks_of(dataset).name,
        **band_notes(dataset),
    )


def band_notes(dataset: Any) -> dict[str, Any]:
    """Scales, offsets and units of the bands of an open dataset; empty where they say nothing."""
    said = {name: tuple(getattr(dataset, name)) for name in NOTHING_SAID}
    return {name: () if set(values) <= NOTHING_SAID[name] else values for name, values in said.items()}


def sized(file: RasterFile) -> RasterFile:
    """A file of which a record of version 0.1.0 does not tell the size, with it."""
    if file.width:
        return file
    with reading(file.location), opened(file.location) as dataset:
        return replace(file, width=dataset.width, height=dataset.height, block=tuple(dataset.block_shapes[0]))


def own_facts(path: Path) -> tuple[int | None, float | None]:
    """EPSG code and nodata value that a raster file has itself; LayerError where it cannot be read."""
    with reading(path), opened(path, contained=True) as dataset:
        return (None if dataset.crs is None else dataset.crs.to_epsg()), dataset.nodata


def extent_of(file: RasterFile) -> Extent:
    return corners_extent(file.transform, file.width, file.height)


def effective_nodata(dataset: Any, source: str, given: float | None, dtype: str) -> float | int | None:
    if given is not None:
        if isinstance(given, int | float) and not possible(given, dtype):
            # The client's own script gives -1 for bytes, as files do: see below.
            warn(f"{source}: noDataValue={given!r} cannot occur in {dtype}, so no pixel is missing", LayerWarning)
            return None
        return check_nodata(given, dtype)
    values = dataset.nodatavals
    if any(not is_same(value, values[0]) for value in values[1:]):
        text = f"has a different nodata value per band {values}; pass noDataValue=… with the one that counts"
        raise LayerError.of(source, text)
    # A nodata tag that no pixel can have (-9999 in bytes) means that none is missing.
    return check_nodata(values[0], dtype) if values[0] is not None and possible(values[0], dtype) else None


def check_nodata(nodata: Any, dtype: str) -> float | int | None:
    """The nodata value as a plain number; ArgumentError where no pixel of `dtype` could have it."""
    if nodata is None:
        return None
    if isinstance(nodata, bool) or not isinstance(nodata, int | float | np.integer | np.floating):
        raise invalid("nodata", nodata, "must be of type float")
    value = nodata.item() if isinstance(nodata, np.generic) else nodata
    if not possible(value, dtype):
        raise ArgumentError(f"nodata={nodata!r} cannot occur in a raster of {dtype}", argument="nodata", value=nodata)
    return int(value) if np.dtype(dtype).kind in "iu" else float(value)


def possible(value: float, dtype: str) -> bool:
    """Whether a pixel of `dtype` can hold `value`."""
    kind = np.dtype(dtype)
    if kind.kind in "fc":
        real = np.finfo(kind)
        return not math.isfinite(value) or abs(value) <= float(real.max) * (1 + 1e-7)
    limits = np.iinfo(kind)
    return math.isfinite(value) and float(value).is_integer() and limits.min <= value <= limits.max


def check_points(dataset: Any, source: str) -> None:
    """LayerError where ground control points or RPCs place it, whatever is said of its CRS."""
    points, _ = dataset.gcps
    if dataset.transform.is_identity and (points or dataset.rpcs):
        what = f"{len(points)} ground control points" if points else "RPCs"
        option, argument = ("-tps", "gcps") if points else ("-rpc", "rpcs")
        warp = f"gdalwarp {option} -t_srs EPSG:… in.tif out.tif, or rasterio.warp.reproject with {argument}=…"
        text = f"is placed by {what} only, which give no grid; warp it first ({warp}) and add the result"
        raise LayerError.of(source, text)


def check_georeference(dataset: Any, source: str) -> None:
    """LayerError where its transform places it nowhere."""
    check_points(dataset, source)
    if dataset.transform.is_identity:
        way_out = "give it a transform and a CRS (gdal_translate -a_ullr … -a_srs EPSG:…, or rasterio)"
        raise LayerError.of(source, f"has no georeference: its pixels lie nowhere on earth; {way_out}")
    if not all(map(math.isfinite, dataset.transform)) or dataset.transform.is_degenerate:
        raise LayerError.of(source, f"has a transform that maps no area: {tuple(dataset.transform)[:6]}")


def check_dtype(dataset: Any, source: str) -> str:
    """The one dtype of all bands, as what reading them gives."""
    if len(set(dataset.dtypes)) != 1:
        several = f"has bands of several dtypes ({', '.join(dataset.dtypes)})"
        raise LayerError.of(source, f"{several}; a layer has one: convert it (gdal_translate -ot Float32 …)")
    dtype = {"complex_int16": "complex64"}.get(dataset.dtypes[0], dataset.dtypes[0])
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = None
    if known is None or known.kind not in "iufc":
        text = f"has pixels of {dtype}, which cannot be computed with; convert it (gdal_translate -ot …)"
        raise LayerError.of(source, text)
    return str(known)


def check_pixels(dataset: Any, source: str) -> None:
    """Read what a truncated or undecodable file fails at: the first and last block of each band, or all if small."""
    from rasterio.windows import Window

    whole = Window(0, 0, dataset.width, dataset.height)
    itemsize = 16 if "complex" in dataset.dtypes[0] else np.dtype(dataset.dtypes[0]).itemsize
    small = dataset.width * dataset.height * itemsize * dataset.count <= SMALL
    with reading(source, "cannot be read to its end; it is truncated or damaged"):
        for band, (rows, columns) in enumerate(dataset.block_shapes, start=1):
            if small and dataset.driver != "GTiff":
                dataset.read(band)
                continue
            last = (dataset.height - 1) // rows * rows, (dataset.width - 1) // columns * columns
            for row, column in ((0, 0), last):
                # A format without blocks names the whole raster as one; a row of it is enough.
                window = Window(column, row, columns, min(rows, 256)).intersection(whole)
                dataset.read(band, window=window)


def check_end(dataset: Any, parts: tuple[Path, ...], source: str) -> None:
    """LayerError where a format whose readers invent the missing rest (PNG, raw bytes beside a header) is cut short."""
    missing = 0
    with reading(source):
        path = max(parts, key=lambda part: (part.suffix not in SIDECARS, part.stat().st_size))
        size = path.stat().st_size
        if dataset.driver == "PNG":
            with path.open("rb") as file:
                file.seek(max(0, size - 4096))
                missing = 0 if b"IEND" in file.read() else 1
        elif dataset.driver in RAW_DRIVERS and dataset.tags(ns="ENVI").get("file_compression", "0") == "0":
            pixel = np.dtype(dataset.dtypes[0]).itemsize
            missing = max(0, dataset.width * dataset.height * dataset.count * pixel - size)
    if missing:
        raise LayerError.of(source, f"is truncated: at least {missing:,} bytes are missing at its end")


class RasterArray(NamedTuple):
    """A checked raster object: an array (bands, height, width) with its place on earth."""

    array: NDArray[Any]
    transform: Any
    crs: str
    nodata: float | None
    mask: NDArray[np.bool_] | None = None
    """(height, width): which pixels are there; all where None."""

    def content(self) -> str:
        """Hash of the pixels and all that goes with them; no file format or version in it."""
        digest = hashlib.sha256()
        facts = [self.array.shape, str(self.array.dtype), tuple(self.transform)[:6], self.crs, repr(self.nodata)]
        digest.update(json.dumps(facts).encode())
        for band in self.array:
            digest.update(np.ascontiguousarray(band).data)
        if self.mask is not None:
            digest.update(np.ascontiguousarray(self.mask).data)
        return digest.hexdigest()


KEYS = {"raster", "transform", "crs", "nodata", "extent", "mask", "scales", "offsets", "units"}


def raster_array(value: Mapping[str, Any], *, epsg: Any = None, nodata: Any = None) -> RasterArray:
    """Check a dictionary {'raster', 'transform', 'crs', 'nodata'?, 'mask'?}, as functions of the service receive it.

    The other keys of what a function receives are allowed: 'extent' follows, and what is said of bands is not kept.
    """
    unknown = set(value) - KEYS
    if unknown or "raster" not in value or "transform" not in value:
        text = "a raster object is a dictionary with the keys raster, transform, crs and, where pixels are missing, "
        text += "nodata or mask" + (f"; not {', '.join(map(repr, sorted(map(str, unknown))))}" if unknown else "")
        raise ArgumentError(text, argument="source", value=sorted(map(str, value)))
    nodata = nodata if nodata is not None else value.get("nodata")
    crs = epsg_text(epsg) if epsg is not None else crs_text(value.get("crs"), "the raster object")
    array = checked_array(value["raster"], nodata)
    transform = checked_transform(value["transform"])
    mask = checked_mask(value.get("mask"), array)
    return RasterArray(array, transform, crs, check_nodata(nodata, str(array.dtype)), mask)


def checked_array(array: Any, nodata: Any) -> NDArray[Any]:
    def error(text: str) -> ArgumentError:
        return ArgumentError(f"raster {text}", argument="raster", value=getattr(array, "shape", None))

    if not isinstance(array, np.ndarray):
        raise error(f"must be a numpy.ndarray, not {type(array).__name__}")
    kind = array.dtype
    if kind.kind == "b":
        raise error("is of bool, which GeoTIFF does not know; pass it .astype('uint8')")
    if kind == np.float16:
        raise error("is of float16, which few readers of GeoTIFF know; pass it .astype('float32')")
    if kind.kind not in "iufc" or kind.itemsize > (16 if kind.kind == "c" else 8):
        raise error(f"is of {kind}, which is no pixel; pass integers, floats or complex numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise error(f"must be of shape (bands, height, width) or (height, width), none of them 0, not {array.shape}")
    if isinstance(array, np.ma.MaskedArray):
        if nodata is None and np.ma.is_masked(array):
            raise error("is masked; pass nodata as well, the value that masked pixels are to have")
        array = np.asarray(array.filled(nodata) if nodata is not None else array.data)
    array = np.asarray(array if array.ndim == 3 else array[np.newaxis])
    native: NDArray[Any] = array.astype(kind.newbyteorder("="), copy=False)
    return native


def checked_mask(mask: Any, array: NDArray[Any]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != array.shape[1:]:
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        text = f"must be an array of bool of shape (height, width) = {array.shape[1:]}, not {got}; what is missing "
        raise invalid("mask", got, f"{text}in some bands only is told by a nodata value")
    return mask


def checked_transform(value: Any) -> Any:
    from affine import Affine

    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (6, 9) or not all(map(math.isfinite, numbers)):
        raise invalid("transform", value, "must be an affine.Affine or its six coefficients a, b, c, d, e, f")
    transform = Affine(*numbers[:6])
    if transform.is_identity or transform.is_degenerate:
        raise invalid("transform", value, f"{tuple(transform)[:6]} places the pixels nowhere on earth")
    return transform
