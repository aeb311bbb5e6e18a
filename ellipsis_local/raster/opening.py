"""How raster files are opened: which drivers may, with which options, and what a file must not refer to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ellipsis_local.errors import LayerError
from ellipsis_local.formats.safety import HEADS, MEMBERS

__all__ = ["OPTIONS", "opened"]

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
VSIZIP = "/vsizip/"
# What is opened besides those that `screening.HEADS` recognises. Not what takes any text for a grid (XYZ).
OTHERS = {
    "VRT", "netCDF", "ENVI", "EHdr", "ERS", "SRTMHGT", "USGSDEM", "GSAG", "GSBG", "GS7BG", "SAGA", "RST", "PCIDSK",
    "RMF", "RRASTER", "ILWIS",
}  # fmt: skip
BESIDE = ":::BASE:::"


@contextlib.contextmanager
def opened(location: str | Path, *, contained: bool = False, **options: Any) -> Iterator[Any]:
    """A rasterio dataset, open for reading, without a warning.

    `contained`: what is in the file, or in the zip that it lies in, and nothing else; LayerError where it refers to
    more. Files that are uploaded have no business with others of this machine.
    """
    import rasterio

    location = str(location)
    contained = contained or location.startswith(VSIZIP)
    driver = driver_of(location)
    if driver is None and contained:
        raise LayerError(
            f"{location} is no layer that is known here, none of the formats that hold all of it in one file: "
            f"{', '.join(HEADS)}",
            source=location,
        )
    with rasterio.Env(**OPTIONS), rasterio.open(location, driver=driver, **options) as dataset:
        if driver is None and dataset.driver not in OTHERS:
            raise LayerError(f"{location} is {dataset.driver}, which is no layer that is known here", source=location)
        check_overviews(dataset, location, contained)
        if contained:
            check_references(dataset, location)
        yield dataset


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
            raise LayerError(
                f"{location} names a file of overviews, {name[:80]!r}, in its metadata; remove that, and build the "
                "overviews in the file itself",
                source=location,
            )


def check_references(dataset: Any, location: str) -> None:
    """LayerError where GDAL takes anything for a part of the raster that lies outside of it."""
    folder = location.rpartition("/")[0] + "/"
    for name in dataset.files:
        if name not in location and not (location.startswith(VSIZIP) and name.startswith(folder)):
            raise LayerError(
                f"{location} refers to another file, {PurePosixPath(name).name!r}; convert it to one GeoTIFF",
                source=location,
            )
