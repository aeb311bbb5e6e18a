"""How raster files are opened: which drivers may, with which options and names, and what they must not refer to."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ellipsis_local.errors import LayerError
from ellipsis_local.formats import HEADS, MEMBERS
from ellipsis_local.gdal_errors import reading

OPTIONS: dict[str, Any] = {
    # A truncated JPEG is otherwise grey and no error; a mask of an object we write stays inside the file.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_PAM_ENABLED": True,
    # A layer is a file: nothing that a file names is fetched, no program in it is run. No address ends so, and what
    # does not go through GDAL's virtual files finds nobody at the proxy.
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "nothing",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTP_TIMEOUT": 1,
    "GDAL_HTTP_MAX_RETRY": 0,
    "GDAL_VRT_ENABLE_PYTHON": False,
}
SUFFIXES = {
    ".tif", ".tiff", ".gtiff", ".vrt", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".webp", ".asc", ".img", ".bil",
    ".bip", ".bsq", ".dat", ".hgt", ".dem", ".nc",
}  # fmt: skip
ALIASES: dict[str, tuple[str, str]] = {
    "tif": ("tif", ".tif"), "tiff": ("tif", ".tif"), "geotiff": ("tif", ".tif"), "gtiff": ("tif", ".tif"),
    "cog": ("tif", ".tif"), "jp2": ("jp2", ".jp2"), "jpeg2000": ("jp2", ".jp2"), "png": ("png", ".png"),
    "jpg": ("jpg", ".jpg"), "jpeg": ("jpg", ".jpg"), "asc": ("asc", ".asc"), "img": ("img", ".img"),
    "webp": ("webp", ".webp"), "vrt": ("vrt", ".vrt"), "nc": ("nc", ".nc"),
}  # fmt: skip
"""The names that the client's `fileFormat` may have: what they mean here, and the suffix of a file without one."""
OTHER_DRIVERS = {
    "VRT", "netCDF", "ENVI", "EHdr", "ERS", "SRTMHGT", "USGSDEM", "GSAG", "GSBG", "GS7BG", "SAGA", "RST", "PCIDSK",
    "RMF", "RRASTER",
}  # fmt: skip
"""What is opened besides those that are recognised by how they begin. Not what takes any text for
a grid (XYZ), nor what does not tell its files (ILWIS)."""
NAMES = {
    "GTiff": "tif", "COG": "tif", "JP2OpenJPEG": "jp2", "JPEG": "jpg", "AAIGrid": "asc", "HFA": "img", "netCDF": "nc",
}  # fmt: skip
VSIZIP = "/vsizip/"
BESIDE = ":::BASE:::"


def format_of(driver: str) -> str:
    """What the catalogue calls the format of a driver."""
    return NAMES.get(driver, driver.lower())


@contextlib.contextmanager
def opened(location: str | Path, *, contained: bool = False, **options: Any) -> Iterator[Any]:
    """A rasterio dataset, open for reading in an environment of its own; see `open_dataset`."""
    import rasterio

    with rasterio.Env(**OPTIONS), open_dataset(location, contained=contained, **options) as dataset:
        yield dataset


def open_dataset(location: str | Path, *, contained: bool = False, **options: Any) -> Any:
    """A rasterio dataset; the caller has OPTIONS set, and closes it.

    `contained`: what is in the file, or in the zip that it lies in, and nothing else; LayerError where it refers to
    more. Files that are uploaded have no business with others of this machine.
    """
    import rasterio

    location = str(location)
    contained = contained or location.startswith(VSIZIP)
    driver = driver_of(location)
    if driver is None and contained:
        text = "is no layer that is known here, none of the formats that hold all of it in one file"
        raise LayerError.of(location, f"{text}: {', '.join(HEADS)}")
    dataset = rasterio.open(location, driver=driver, **options)
    try:
        if driver is None and dataset.driver not in OTHER_DRIVERS:
            raise LayerError.of(location, f"is {dataset.driver}, which is no layer that is known here")
        check_overviews(dataset, location, contained)
        if contained:
            check_references(dataset, location)
    except BaseException:
        dataset.close()
        raise
    return dataset


def read_pages(data: bytes, shape: tuple[int, int]) -> Any:
    """The bands of a TIFF in memory, (bands, *shape); some writers make a page of every band.

    LayerError where it is no TIFF of this shape. No other driver reads it: what is no TIFF must not be taken for
    something that refers to other files.
    """
    import numpy as np
    import rasterio
    from rasterio.io import MemoryFile

    # A world file beside it, because rasterio warns of pixels that lie nowhere.
    folder = uuid.uuid4().hex
    with (
        reading("it", "cannot be read as a TIFF"),
        MemoryFile(data, dirname=folder, filename="pages.tif") as memory,
        MemoryFile(b"2\n0\n0\n-2\n0\n0\n", dirname=folder, filename="pages.tfw"),
    ):
        with memory.open(driver="GTiff") as dataset:
            if dataset.shape != shape:
                raise LayerError(f"{dataset.height} × {dataset.width} pixels instead of {shape[0]} × {shape[1]}")
            pages = [name for name in dataset.subdatasets if name.startswith("GTIFF_DIR:")]
            if not pages or dataset.count != 1:
                return dataset.read()
        with contextlib.ExitStack() as stack:
            found = [stack.enter_context(rasterio.open(name)) for name in pages]
            if any(page.shape != shape or page.count != 1 for page in found):
                raise LayerError("its pages differ in size")
            return np.stack([page.read(1) for page in found])


@contextlib.contextmanager
def any_raster(source: Any) -> Iterator[Any]:
    """A rasterio dataset of the user's own: a path, or the bytes of a file. LayerError where it cannot be read."""
    import rasterio
    from rasterio.io import MemoryFile

    with reading("it"), contextlib.ExitStack() as stack:
        if isinstance(source, bytes):
            yield stack.enter_context(stack.enter_context(MemoryFile(source)).open())
        else:
            yield stack.enter_context(rasterio.open(source))


def is_dataset(value: Any) -> bool:
    """Whether it is a rasterio dataset that can be read."""
    from rasterio.io import DatasetReader, DatasetWriter

    return isinstance(value, DatasetReader) and not isinstance(value, DatasetWriter)


def crs_of(value: Any) -> Any:
    """rasterio's CRS of whatever says one; LayerError where it says none."""
    from rasterio.crs import CRS

    known = value if isinstance(value, str | int | dict) or not hasattr(value, "to_wkt") else value.to_wkt()
    with reading("the CRS"):
        return CRS.from_user_input(known)


def block_cache(size: int) -> Any:
    """An environment of GDAL that keeps so many bytes of decoded blocks."""
    import rasterio

    return rasterio.Env(GDAL_CACHEMAX=size, GDAL_DISABLE_READDIR_ON_OPEN="FALSE")


def driver_of(location: str) -> str | None:
    """The one driver that may open a raster, by how it begins; None where its content does not say."""
    if location.startswith(VSIZIP):
        return MEMBERS[PurePosixPath(location).suffix.lower()]
    path = Path(location)
    if not path.is_file():
        # One of several rasters in a file: GPKG:FILE:TABLE.
        prefix = location.partition(":")[0]
        return prefix if prefix in HEADS else None
    with path.open("rb") as file:
        head = file.read(512)
    return next((driver for driver, fits in HEADS.items() if fits(head)), None)


def check_overviews(dataset: Any, location: str, contained: bool) -> None:
    """LayerError where the metadata name a file of overviews: GDAL would open it, whatever and wherever it is."""
    for key, name in dataset.tags(ns="OVERVIEWS").items():
        if key.upper() != "OVERVIEW_FILE":
            continue
        beside = name.startswith(BESIDE) and not set(name.removeprefix(BESIDE)) & set("/\\:<")
        if contained or not beside:
            way_out = "remove that, and build the overviews in the file itself"
            raise LayerError.of(location, f"names a file of overviews, {name[:80]!r}, in its metadata; {way_out}")


def check_references(dataset: Any, location: str) -> None:
    """LayerError where GDAL takes anything for a part of the raster that lies outside of it."""
    folder = location.rpartition("/")[0] + "/"
    for name in dataset.files:
        if name not in location and not (location.startswith(VSIZIP) and name.startswith(folder)):
            other = PurePosixPath(name).name
            raise LayerError.of(location, f"refers to another file, {other!r}; convert it to one GeoTIFF")
