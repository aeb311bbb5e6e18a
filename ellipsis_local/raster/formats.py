"""Formats of rasters, by GDAL's names of their drivers."""

from __future__ import annotations

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


def format_of(driver: str) -> str:
    """What the catalogue calls the format of a driver."""
    return NAMES.get(driver, driver.lower())
