"""The local layer store: what the service's web site and uploads are for, without a token.

Not part of the client: this is how layers get here, under the ids that scripts have written in them.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.answers import path_answer
from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError

__all__ = ["add", "export", "get", "list", "load", "remove"]


def add(
    source: Any,
    pathId: str | None = None,
    timestampId: str | None = None,
    *,
    name: str | None = None,
    type: str | None = None,
    date: dict[str, Any] | None = None,
    description: str | None = None,
    epsg: int | None = None,
    noDataValue: float | None = None,
    layer: str | None = None,
    replace: bool = False,
) -> dict[str, str]:
    """Add a raster or vector layer, under given ids or new ones.

    The same content under the same ids again changes nothing, so that a script can be run twice.

    Parameters
    ----------
    source : path, GeoDataFrame or dict
        A file that rasterio or pyogrio reads (GeoTIFF, GeoPackage, GeoJSON, Shapefile also zipped, FlatGeobuf,
        GeoParquet, …), which is copied; a GeoDataFrame; or ``{'raster': ndarray (bands, height, width) or (height,
        width), 'transform': Affine, 'crs': …}``, optionally with 'nodata'.
    pathId, timestampId : str, optional
        UUIDs to add it under: those written in the scripts. A new timestamp under a known path is another date of
        that layer.
    name, description : str, optional
    type : {'raster', 'vector'}, optional
        Where a file could be read as either.
    date : dict, optional
        ``{'from': datetime, 'to': datetime}``; now where None.
    epsg : int, optional
        The CRS, in place of the file's.
    noDataValue : float, optional
        The nodata value, in place of the file's.
    layer : str, optional
        Which layer of a file that holds several.
    replace : bool
        Replace the files of a timestamp that holds others.

    Returns
    -------
    dict
        ``{'pathId': …, 'timestampId': …}``, as createCompute takes it.

    Raises
    ------
    LayerError
        For a file or object that is no usable layer: unreadable, without CRS, bands or geometries.
    ArgumentError
        For ids that are malformed, or taken by something else.

    Warns
    -----
    LayerWarning
        Where features have no geometry: they are left out.
    """
    if type not in (None, "raster", "vector"):
        raise ArgumentError(f"type must be 'raster' or 'vector', not {type!r}", argument="type", value=type)
    path_id, timestamp_id = current_emulator().store.add(
        source,
        path_id=arguments.optional_uuid("pathId", pathId),
        timestamp_id=arguments.optional_uuid("timestampId", timestampId),
        name=arguments.optional_string("name", name),
        type=type,
        date=arguments.date_range("date", date),
        description=arguments.optional_string("description", description),
        epsg=arguments.integer("epsg", epsg),
        nodata=arguments.number("noDataValue", noDataValue),
        layer=arguments.optional_string("layer", layer),
        replace=arguments.boolean("replace", replace),
    )
    return {"pathId": path_id, "timestampId": timestamp_id}


def load(folder: str | PathLike[str]) -> dict[str, Any]:
    """Add a folder of layers.

    With a ``catalog.toml`` names and ids come from it; without one every layer file below the folder is added under
    ids made from its relative path, the same on every machine.

    Returns
    -------
    dict
        Per name ``{'pathId': …, 'timestampId': …}`` (of its last timestamp), and `timestamps`, all of them, for
        layers with several; a plain file has its `pathId` only.
    """
    text = arguments.path_text("folder", folder)
    assert text is not None  # noqa: S101
    return current_emulator().store.load(text)


def list() -> Any:
    """All layers of the home: a list of dicts as `get` gives them."""
    emulator = current_emulator()
    return [path_answer(emulator.store, record) for record in emulator.store.list()]


def get(pathId: str) -> dict[str, Any]:
    """One layer: what `path.get` shows of it."""
    emulator = current_emulator()
    return path_answer(emulator.store, emulator.store.path(arguments.uuid_text("pathId", pathId)))


def remove(pathId: str, timestampId: str | None = None) -> None:
    """Remove a layer, or one of its timestamps, and its files."""
    current_emulator().store.remove(
        arguments.uuid_text("pathId", pathId), arguments.optional_uuid("timestampId", timestampId)
    )


def export(pathId: str, timestampId: str, filePath: str | PathLike[str]) -> None:
    """Write a timestamp to one file: several rasters as their mosaic, several vectors one after the other.

    Parameters
    ----------
    pathId, timestampId : str
    filePath : str
        Its ending tells the format: .tif for rasters; .gpkg, .geojson, .fgb, .parquet, .shp for vectors. Written
        whole or not at all; an existing file is replaced.
    """
    path_id, timestamp_id = arguments.uuid_text("pathId", pathId), arguments.uuid_text("timestampId", timestampId)
    target = arguments.path_text("filePath", filePath)
    assert target is not None  # noqa: S101
    current_emulator().store.export(path_id, timestamp_id, target)
