"""Raster files: what the store asks of them, what it notes of them, and arrays written as GeoTIFF."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.formats.limits import check_raster, few
from ellipsis_local.formats.tiff import check_whole, missing_bytes
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.raster.opening import OPTIONS, opened
from ellipsis_local.types import RasterFile

__all__ = [
    "OPTIONS", "ArraySource", "check_nodata", "convert", "files_of", "inspect", "opened", "subdataset", "write_array",
]  # fmt: skip

# Read whole what is not a TIFF and smaller than this; larger ones by their first and last blocks.
SMALL = 64 * 1024**2
TILE = 256
RAW_DRIVERS = {"ENVI", "EHdr", "ERS", "RRASTER"}


def files_of(path: Path, *, contained: bool = False) -> tuple[Path, ...]:
    """The files that GDAL reads for the raster at `path`: itself first, then sidecars, or a VRT's sources."""
    with reading(path), opened(path, contained=contained) as dataset:
        # Some versions of GDAL give the sources of a VRT as it spells them, with `..`.
        found = [Path(os.path.normpath(name)) for name in dataset.files]
    return (path, *(name for name in found if name.is_file() and not name.samefile(path)))


def subdataset(path: Path, layer: str | None, *, contained: bool = False) -> str:
    """What rasterio opens: the file, or one of several rasters in it, by the end of its name."""
    with reading(path), opened(path, contained=contained) as dataset:
        several = list(dataset.subdatasets)
        if dataset.count and layer is None:
            return str(path)
    names = [name.rsplit(":", 1)[-1].strip('"') for name in several]
    if layer in names:
        return str(several[names.index(layer)])
    if not several:
        if layer is None:
            raise LayerError(f"{path} has no band", source=str(path))
        raise LayerError(f"{path} holds one raster and no layer named {layer!r}", source=str(path))
    raise LayerError(f"{path} holds {len(several)} rasters; pass layer= with one of {few(names)}", source=str(path))


def check_nodata(nodata: Any, dtype: str) -> float | int | None:
    """The nodata value as a plain number; ArgumentError where no pixel of `dtype` could have it."""
    if nodata is None:
        return None
    if isinstance(nodata, bool) or not isinstance(nodata, int | float | np.integer | np.floating):
        raise ArgumentError("nodata must be of type float", argument="nodata", value=nodata)
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


def check_georeference(dataset: Any, source: str) -> None:
    if dataset.transform.is_identity:
        if dataset.gcps[0] or dataset.rpcs:
            raise LayerError(
                f"{source} is placed by ground control points or RPCs only; warp it first, with gdalwarp or "
                "rasterio.warp.reproject, and add the result",
                source=source,
            )
        raise LayerError(f"{source} has no georeference: its pixels lie nowhere on earth", source=source)
    if not all(map(math.isfinite, dataset.transform)) or dataset.transform.is_degenerate:
        raise LayerError(f"{source} has a transform that maps no area: {tuple(dataset.transform)[:6]}", source=source)


def check_dtype(dataset: Any, source: str) -> str:
    """The one dtype of all bands, as what reading them gives."""
    if len(set(dataset.dtypes)) != 1:
        raise LayerError(
            f"{source} has bands of several dtypes ({', '.join(dataset.dtypes)}); a layer has one", source=source
        )
    dtype = {"complex_int16": "complex64"}.get(dataset.dtypes[0], dataset.dtypes[0])
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = None
    if known is None or known.kind not in "iufc":
        raise LayerError(f"{source} has pixels of {dtype}, which cannot be computed with", source=source)
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
            for row, column in (
                (0, 0),
                ((dataset.height - 1) // rows * rows, (dataset.width - 1) // columns * columns),
            ):
                # A format without blocks names the whole raster as one; a row of it is enough.
                window = Window(column, row, columns, min(rows, 256)).intersection(whole)
                dataset.read(band, window=window)


def check_end(dataset: Any, path: Path, source: str) -> None:
    """LayerError where a format whose readers invent the missing rest (PNG, raw bytes beside a header) is cut short."""
    missing = 0
    with reading(source):
        size = path.stat().st_size
        if dataset.driver == "PNG":
            with path.open("rb") as file:
                file.seek(max(0, size - 4096))
                missing = 0 if b"IEND" in file.read() else 1
        elif dataset.driver in RAW_DRIVERS and dataset.tags(ns="ENVI").get("file_compression", "0") == "0":
            pixel = np.dtype(dataset.dtypes[0]).itemsize
            missing = max(0, dataset.width * dataset.height * dataset.count * pixel - size)
    if missing:
        raise LayerError(f"{source} is truncated: at least {missing:,} bytes are missing at its end", source=source)


def inspect(
    location: str | Path,
    *,
    source: str,
    content: str = "",
    epsg: int | None = None,
    nodata: float | None = None,
    parts: tuple[Path, ...] = (),
    contained: bool = False,
) -> RasterFile:
    """What is known of the raster that rasterio opens at `location`, after the overrides.

    Parameters
    ----------
    source : str
        What messages call it.
    parts : tuple of Path
        Its files on disk, each checked for truncation.
    contained : bool
        It must not refer to other files.

    Raises
    ------
    LimitError
        More pixels, bands or bytes of a block than `ellipsis_local.formats.limits` takes.
    LayerError
        Without a CRS, a band, a georeference or readable pixels, and with bands of several dtypes. Our choice: the
        service's own checks are not documented.
    ArgumentError
        For an override that is impossible.
    """
    for part in parts:
        check_whole(part)
    with reading(source), opened(location, contained=contained) as dataset:
        if dataset.count < 1:
            raise LayerError(f"{source} has no band", source=source)
        check_raster(dataset, source)
        crs = epsg_text(epsg) if epsg is not None else crs_text(dataset.crs, source)
        check_georeference(dataset, source)
        dtype = check_dtype(dataset, source)
        if parts:
            check_end(dataset, Path(dataset.files[0]), source)
        check_pixels(dataset, source)
        values = dataset.nodatavals
        if nodata is None and any(not same(value, values[0]) for value in values[1:]):
            raise LayerError(
                f"{source} has a different nodata value per band {values}; pass nodata=… with the one that counts",
                source=source,
            )
        effective = check_nodata(nodata, dtype)
        if nodata is None and values[0] is not None and possible(values[0], dtype):
            # A nodata tag that no pixel can have (-9999 in bytes) means that none is missing.
            effective = check_nodata(values[0], dtype)
        return RasterFile(
            location=str(location),
            content=content,
            crs=crs,
            transform=tuple(dataset.transform)[:6],
            width=dataset.width,
            height=dataset.height,
            bands=dataset.count,
            dtype=dtype,
            nodata=effective,
            block=tuple(dataset.block_shapes[0]),
            descriptions=tuple(dataset.descriptions),
        )


def same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def creation_options(dtype: str, width: int, height: int) -> dict[str, Any]:
    """How we write GeoTIFF: tiled, deflate with the predictor of the dtype, BigTIFF where it may be needed."""
    kind = np.dtype(dtype)
    predictor = {"f": 3 if kind.itemsize in (4, 8) else 1, "c": 1}.get(kind.kind, 2)
    options: dict[str, Any] = {"compress": "deflate", "predictor": predictor, "BIGTIFF": "IF_SAFER"}
    if width >= TILE or height >= TILE:
        options |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    return options


def convert(source: Path | str, target: Path) -> None:
    """The raster at `source`, of any format, as a GeoTIFF: pixels, CRS, nodata, colours and descriptions kept."""
    import rasterio.shutil

    with reading(source), opened(source) as dataset:
        check_raster(dataset, str(source))
        options = creation_options(check_dtype(dataset, str(source)), dataset.width, dataset.height)
    with writing(target), opened(source) as dataset:
        rasterio.shutil.copy(dataset, str(target), driver="GTiff", **options)
        if missing_bytes(target):
            raise OSError("the file was not written to its end: no space left on device")


class ArraySource(NamedTuple):
    """A checked raster object: an array (bands, height, width) with its place on earth."""

    array: NDArray[Any]
    transform: Any
    crs: str
    nodata: float | None

    def content(self) -> str:
        """Hash of the pixels and all that goes with them; no file format or version in it."""
        digest = hashlib.sha256()
        facts = [self.array.shape, str(self.array.dtype), tuple(self.transform)[:6], self.crs, repr(self.nodata)]
        digest.update(json.dumps(facts).encode())
        for band in self.array:
            digest.update(np.ascontiguousarray(band).data)
        return digest.hexdigest()


KEYS = {"raster", "transform", "crs", "nodata", "extent"}


def array_source(value: Mapping[str, Any], *, epsg: Any = None, nodata: Any = None) -> ArraySource:
    """Check a dictionary {'raster', 'transform', 'crs', 'nodata'?}, the way functions of the service receive it.

    `raster` is (bands, height, width) or (height, width); `transform` an Affine or its first six coefficients
    (a, b, c, d, e, f); `crs` anything that pyproj takes. 'extent' is allowed and follows from the others.
    """
    unknown = set(value) - KEYS
    if unknown or "raster" not in value or "transform" not in value:
        raise ArgumentError(
            "a raster object is a dictionary with the keys raster, transform, crs and, where pixels are missing, nodata"
            + (f"; not {', '.join(map(repr, sorted(map(str, unknown))))}" if unknown else ""),
            argument="source",
            value=sorted(map(str, value)),
        )
    nodata = nodata if nodata is not None else value.get("nodata")
    crs = epsg_text(epsg) if epsg is not None else crs_text(value.get("crs"), "the raster object")
    array = checked_array(value["raster"], nodata)
    return ArraySource(array, checked_transform(value["transform"]), crs, check_nodata(nodata, str(array.dtype)))


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


def checked_transform(value: Any) -> Any:
    from affine import Affine

    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (6, 9) or not all(map(math.isfinite, numbers)):
        raise ArgumentError(
            "transform must be an affine.Affine or its six coefficients a, b, c, d, e, f",
            argument="transform",
            value=value,
        )
    transform = Affine(*numbers[:6])
    if transform.is_identity or transform.is_degenerate:
        raise ArgumentError(
            f"transform {tuple(transform)[:6]} places the pixels nowhere on earth", argument="transform", value=value
        )
    return transform


def write_array(target: Path, source: ArraySource) -> None:
    """Write a checked raster object as GeoTIFF at `target`; StoreError where that fails."""
    import rasterio

    bands, height, width = source.array.shape
    dtype = str(source.array.dtype)
    with writing(target):
        with rasterio.Env(), rasterio.open(
            target, "w", driver="GTiff", width=width, height=height, count=bands, dtype=dtype, crs=source.crs,
            transform=source.transform, nodata=source.nodata, **creation_options(dtype, width, height),
        ) as dataset:  # fmt: skip
            dataset.write(source.array)
        # GDAL flushes while it closes, where a full disk is no exception.
        if missing_bytes(target):
            raise OSError("the file was not written to its end: no space left on device")
