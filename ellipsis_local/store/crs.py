"""One way of writing a CRS, and the answer to whether it can be used."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ellipsis_local.errors import ArgumentError, LayerError

__all__ = ["crs_text", "epsg_text", "to_wgs84"]

NO_CRS = "has no CRS; pass epsg=… to say which it is in"


def crs_text(value: Any, source: str) -> str:
    """A CRS as `AUTHORITY:CODE` where that says exactly the same, and as WKT2 otherwise.

    `value` is whatever pyproj or rasterio takes. LayerError where it is missing, unknown, or tied to no place on earth
    (a local or a geocentric CRS), because such a layer cannot be brought into the CRS of a call.
    """
    from pyproj.exceptions import CRSError

    if value is None or (isinstance(value, str) and not value.strip()):
        raise LayerError(f"{source} {NO_CRS}", source=source)
    try:
        # rasterio's CRS speaks WKT, and pyproj's rule for objects would lose its name.
        given = value.to_wkt() if hasattr(value, "to_wkt") else value
        name, text = _known(given) if isinstance(given, str) else _known.__wrapped__(given)
    except (CRSError, TypeError, ValueError) as error:
        raise LayerError(f"{source} has a CRS that cannot be read: {error}", source=source) from error
    if text is None:
        raise LayerError(
            f"{source} is in the CRS {name!r}, which is tied to no place on a map; pass epsg=… to say its own",
            source=source,
        )
    return text


@lru_cache(maxsize=256)
def _known(given: Any) -> tuple[str, str | None]:
    """Name and text of a CRS, no text where it is tied to no place. Kept: layers share a few, and PROJ is slow."""
    import pyproj

    crs = pyproj.CRS.from_user_input(given)
    if not (crs.is_geographic or crs.is_projected):
        return crs.name, None
    authority = crs.to_authority(min_confidence=70)
    if authority is not None:
        short = ":".join(authority)
        # They differ in the order of axes, which is longitude first here in any case.
        short = "EPSG:4326" if short == "OGC:CRS84" else short
        if pyproj.CRS.from_user_input(short).equals(crs, ignore_axis_order=True):
            return crs.name, short
    return crs.name, str(crs.to_wkt())


def epsg_text(epsg: Any) -> str:
    """`EPSG:CODE` of the override; ArgumentError, in the client's wording, where it is no number or no known code."""
    import pyproj
    from pyproj.exceptions import CRSError

    if isinstance(epsg, bool) or not isinstance(epsg, int):
        raise ArgumentError("epsg must be of type int", argument="epsg", value=epsg)
    try:
        crs = pyproj.CRS.from_epsg(int(epsg))
    except CRSError as error:
        raise ArgumentError(f"epsg: there is no EPSG code {epsg}", argument="epsg", value=epsg) from error
    try:
        return crs_text(crs, f"EPSG:{epsg}")
    except LayerError as error:
        raise ArgumentError(f"epsg: {error}", argument="epsg", value=epsg) from error


def to_wgs84(crs: str, extent: tuple[float, float, float, float], source: str) -> Any:
    """A rectangle (x_min, y_min, x_max, y_max) in `crs` as a shapely geometry in EPSG:4326, longitude first.

    The envelope of its densified outline; two boxes where it crosses the antimeridian.
    """
    import math

    import pyproj
    import shapely

    from ellipsis_local.store.foreign import reading

    with reading(source, "has bounds that EPSG:4326 cannot express"):
        change = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        west, south, east, north = change.transform_bounds(*extent, densify_pts=21)
    if not all(map(math.isfinite, (west, south, east, north))):
        raise LayerError(f"{source} lies outside the area that its CRS is made for", source=source)
    if west > east:
        return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
    return shapely.box(west, south, east, north)
