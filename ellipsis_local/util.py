"""`ellipsis.util`: write rasters and vectors the way functions and scripts do with the client."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

from ellipsis_local import arguments
from ellipsis_local.api_functions import attach
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError

__all__ = ["saveRaster", "saveVector"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def saveRaster(
    r: Any,
    epsg: int,
    targetFile: str | PathLike[str] | BinaryIO,
    extent: dict[str, float] | None = None,
    transform: Any = None,
) -> Any:
    """Write an array as an LZW-compressed GeoTIFF (seen in the client).

    Parameters
    ----------
    r : ndarray (bands, height, width)
    epsg : int
    targetFile : str or BytesIO
        A memory file is returned.
    extent : dict, optional
        ``{'xMin', 'xMax', 'yMin', 'yMax'}`` in units of the CRS, where there is no `transform`.
    transform : affine.Affine, optional

    Examples
    --------
    >>> import numpy as np
    >>> from affine import Affine
    >>> ones = np.ones((1, 20, 30))
    >>> el.util.saveRaster(ones, 3857, 'ones.tif', transform=Affine(10, 0, 0, 0, -10, 200))
    >>> Path('ones.tif').exists()
    True
    """
    import numpy as np
    from affine import Affine

    from ellipsis_local.raster.write import save_array

    if extent is None and transform is None:
        raise ArgumentError("You must provide either an extent or a transform", argument="transform", value=None)
    if type(r) is not np.ndarray:
        raise ArgumentError(f"r must be a numpy array, not {type(r).__name__}", argument="r", value=r)
    if r.ndim != 3:
        raise ArgumentError(f"r must be 3 dimensional: (bands, height, width), not {r.shape}", argument="r", value=r)
    if transform is None:
        assert extent is not None  # noqa: S101
        missing = [key for key in ("xMin", "xMax", "yMin", "yMax") if key not in extent]
        if missing:
            raise ArgumentError(f"extent lacks {', '.join(missing)}", argument="extent", value=extent)
        dx, dy = (extent["xMax"] - extent["xMin"]) / r.shape[2], (extent["yMax"] - extent["yMin"]) / r.shape[1]
        transform = Affine(dx, 0.0, extent["xMin"], 0.0, -dy, extent["yMax"])
    save_array(targetFile, r, f"EPSG:{arguments.integer('epsg', epsg)}", transform)
    return None if isinstance(targetFile, str | PathLike) else targetFile


def saveVector(targetFile: str | PathLike[str] | BinaryIO, features: Any) -> Any:
    """Write a GeoDataFrame as a GeoPackage (seen in the client); a memory file is returned.

    Examples
    --------
    >>> import geopandas as gpd
    >>> places = gpd.GeoDataFrame({'name': ['a']}, geometry=gpd.points_from_xy([5], [52]), crs=4326)
    >>> el.util.saveVector('places.gpkg', places)
    >>> Path('places.gpkg').exists()
    True
    """
    import geopandas

    if not isinstance(features, geopandas.GeoDataFrame):
        raise invalid("features", features, f"must be a geopandas dataframe, not {type(features).__name__}")
    features.to_file(targetFile, driver="GPKG")
    return None if isinstance(targetFile, str | PathLike) else targetFile


attach("util")
