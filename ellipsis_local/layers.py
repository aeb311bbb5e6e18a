"""The local layer store: what the service's web site and uploads are for, without a token.

Not part of the client: this is how layers get here, under the ids that scripts have written in them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.answers import path_answer, pull_answer
from ellipsis_local.emulator import current_emulator, working
from ellipsis_local.errors import LayerError, LayerWarning
from ellipsis_local.folium_maps import frame_map, image_map
from ellipsis_local.ids import as_uuid
from ellipsis_local.layer_tables import Layer, Layers, features_frame, layers_frame
from ellipsis_local.notices import warn
from ellipsis_local.settings import same_service
from ellipsis_local.stand_ins import (
    LOCK_FILE,
    SEED,
    LayerSchema,
    LockedLayer,
    add_stand_in,
    known_here,
    make_schema,
    read_lock,
    schema_of,
    write_lock,
)
from ellipsis_local.tracebacks import short_traceback
from ellipsis_local.types import Extent

__all__ = ["add", "explore", "export", "get", "invent", "list", "load", "lock", "open", "pull", "remove"]


@short_traceback
@working("adding a layer")
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
    source : path, GeoDataFrame, DataArray or dict
        A file that rasterio or pyogrio reads (GeoTIFF, GeoPackage, GeoJSON, Shapefile also zipped, FlatGeobuf,
        GeoParquet, …), which is copied; a GeoDataFrame; or ``{'raster': ndarray (bands, height, width) or (height,
        width), 'transform': Affine, 'crs': …}``, optionally with 'nodata'; or a DataArray of xarray as rioxarray has
        them, with a CRS (extra `[xarray]`).
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

    Examples
    --------
    >>> import numpy as np
    >>> from affine import Affine
    >>> pixels = {'raster': np.ones((2, 20, 30)), 'transform': Affine(10, 0, 0, 0, -10, 200), 'crs': 'EPSG:3857'}
    >>> layer = el.layers.add(pixels, name='ones')
    >>> el.layers.get(layer['pathId'])['raster']['format']
    'float64'
    """
    if type not in (None, "raster", "vector"):
        raise arguments.invalid("type", type, f"must be 'raster' or 'vector', not {type!r}")
    if "xarray" in sys.modules:
        from ellipsis_local.raster.dataarray import is_dataarray, raster_of

        source = raster_of(source) if is_dataarray(source) else source
    emulator = current_emulator()
    path_id, timestamp_id = emulator.store.add(
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
        progress=emulator.report,
    )
    return {"pathId": path_id, "timestampId": timestamp_id}


@short_traceback
@working("adding layers")
def load(folder: str | PathLike[str] | None = None, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Add a folder of layers.

    With a ``catalog.toml`` names and ids come from it; without one every layer file below the folder is added under
    ids made from its relative path, the same on every machine.

    Parameters
    ----------
    folder : path, optional
        Where None the invented valley that is shipped with the package.
    names : list of str, optional
        Of a ``catalog.toml`` these layers only.

    Returns
    -------
    dict
        Per name ``{'pathId': …, 'timestampId': …}`` (of its last timestamp), and `timestamps`, all of them, for
        layers with several; a plain file has its `pathId` only.

    Examples
    --------
    >>> sorted(el.layers.load(names=['dem', 'trees']))
    ['dem', 'trees']
    """
    chosen = None if names is None else arguments.string_list("names", names)
    emulator = current_emulator()
    return emulator.store.load(arguments.path_text("folder", folder), progress=emulator.report, names=chosen)


@short_traceback
@working("pulling")
def pull(
    pathId: str,
    timestampIds: str | Iterable[str] | None = None,
    *,
    fromUrl: str | None = None,
    token: str | None = None,
    extent: dict[str, float] | None = None,
    epsg: int = 4326,
    replace: bool = False,
    insecure: bool = False,
    progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """Bring a layer, a file, or a folder with all below it from another service into the home, under its own ids.

    The other service is the hosted one, or ``ellipsis-local serve`` of another home. What is here already stays, and a
    pull that broke off goes on where it was. A timestamp appears here when all of it is there.

    Of a raster the original files are taken, where the account may download them, else its tiles at native zoom, as one
    GeoTIFF in EPSG:3857. Of a vector, with an extent, or where features were changed one by one, or where its files may
    not be downloaded, all features are taken page by page, in EPSG:4326; else its original files.

    Parameters
    ----------
    pathId : str
        Of a raster, vector, folder or file there.
    timestampIds : str or list of str, optional
        Of a raster or vector; all where None.
    fromUrl : str, optional
        The address of the service, up to and including /v3; the setting `upstream` where None. Plain http is for this
        machine only, unless `insecure`.
    token : str, optional
        What account.logIn there returned. Where None: the setting `upstream_token`, if the address is that of the
        setting `upstream`, or there is no such setting.
    extent : dict, optional
        ``{'xMin', 'yMin', 'xMax', 'yMax'}``, in units of `epsg`: only the pixels and features that touch it. Pixels
        keep the grid of the file that they are of.
    epsg : int
        The CRS of `extent`; longitude first where that has degrees.
    replace : bool
        Put what is there now in the place of what an earlier pull, or `add`, brought here. Files that were pulled
        before are not fetched again.
    insecure : bool
        Take plain http to another machine: whoever carries it can read the token and change the layers.
    progress : callable, optional
        Gets an object with `what`, `done`, `total` (or None) and `unit` ('bytes', 'tiles', 'pages', '' for a step),
        whose `str` is a line for people. What it raises ends the pull. Where it is None, the setting `progress` gets
        the steps.

    Returns
    -------
    dict
        `pathId`, `type`, `name`; `timestampId` (the last) and `timestamps` (all) of a raster or vector; `pulled` and
        `unchanged`: ids of what came and of what was here already; `skipped`: id to reason; of a folder also `paths`,
        a dict like this for each path in it. Of a layer it does as an entry of createCompute's `layers`.

    Raises
    ------
    ArgumentError
        Before anything is fetched.
    UpstreamError
        Where the service refuses, cannot be reached, or sends what cannot be used. What has been fetched is kept.
    LayerError
        Where something else is here under an id, or a file there is no usable layer.
    """
    if isinstance(timestampIds, str):
        timestampIds = [timestampIds]
    emulator = current_emulator()
    settings = emulator.settings
    url = arguments.optional_string("fromUrl", fromUrl) or settings.upstream
    if url is None:
        raise arguments.invalid("fromUrl", None, "(--from) is needed, as long as the setting upstream names no service")
    if token is None and (fromUrl is None or settings.upstream is None or same_service(url, settings.upstream)):
        token = settings.upstream_token
    done = emulator.upstream.pull(
        arguments.uuid_text("pathId", pathId),
        None if timestampIds is None else arguments.uuid_list("timestampIds", timestampIds),
        url=url,
        token=token,
        extent=extent,
        epsg=arguments.integer("epsg", epsg),
        replace=arguments.boolean("replace", replace),
        insecure=arguments.boolean("insecure", insecure),
        progress=progress or emulator.report,
    )
    return pull_answer(done)


@short_traceback
@working("inventing stand-ins")
def invent(
    pathId: str | None = None,
    timestampId: str | None = None,
    *,
    like: str | PathLike[str] | Mapping[str, str] | None = None,
    lock: str | PathLike[str] | None = None,
    type: str | None = None,
    name: str | None = None,
    bands: int | Sequence[str] | None = None,
    dtype: str | None = None,
    noDataValue: float | None = None,
    valueRange: tuple[float, float] | None = None,
    resolution: float | None = None,
    columns: Mapping[str, str] | None = None,
    geometry: str | Sequence[str] | None = None,
    features: int | None = None,
    extent: dict[str, float] | None = None,
    epsg: int | None = None,
    seed: int = SEED,
) -> Any:
    """Make a stand-in for a layer that cannot be had: plausible values, drawn from a seed, under its ids.

    For trying a script out before its layers are here, or where they may not be. `layers.list` calls it a stand-in, it
    never takes the place of a layer, and `layers.pull`, `add` and `load` of the layer itself take its place. The same
    call makes the same content on every machine. What is not given is as in `like`, else as the lock file knows of the
    ids, else chosen: 512 × 512 pixels of uint16, or 200 polygons, in one and the same place, so that stand-ins meet.

    Parameters
    ----------
    pathId, timestampId : str, optional
        The ids that scripts have written in them. Without a timestampId all of the path, without a pathId all layers,
        that the lock file knows and the home lacks.
    like : path or dict, optional
        A file, or a layer of the home (``{'pathId': …, 'timestampId': …}``), that has the same bands, dtype, nodata,
        CRS, extent, resolution, columns and types of geometry. Nothing of its values is taken.
    lock : path, optional
        What `layers.lock` wrote; layers.lock.toml of the working directory, if there, where None.
    type : {'raster', 'vector'}, optional
        Needed where nothing else says it.
    name : str, optional
    bands : int or list of str, optional
        How many, or their names.
    dtype : str, optional
    noDataValue : float, optional
        One pixel in twenty has it.
    valueRange : (float, float), optional
        The lowest and the highest value of a raster; those that are usual for the dtype where None.
    resolution : float, optional
        The side of a pixel, in units of the CRS.
    columns : dict, optional
        Type by name: text, integer, float, boolean, date, datetime, or any of Arrow's names.
    geometry : str or list of str, optional
        'Point', 'LineString', 'Polygon', or one of them with 'Multi' before it.
    features : int, optional
        How many.
    extent : dict, optional
        ``{'xMin', 'yMin', 'xMax', 'yMax'}``, in units of `epsg`.
    epsg : int, optional
        The CRS; that which is known, else EPSG:3857, where None.
    seed : int
        Another one draws other values.

    Returns
    -------
    dict or list of dict
        ``{'pathId': …, 'timestampId': …}``, as createCompute takes it; without a timestampId a list of those made.

    Raises
    ------
    ArgumentError
        For what cannot be, with the way out. Nothing has been stored then.
    LayerError
        Where a layer that is no stand-in is there under the ids; it stays.

    Warns
    -----
    LayerWarning
        Where a layer that is known has so many pixels or features that its stand-in has fewer, or a column of a type
        that is not invented, and is empty.

    Examples
    --------
    >>> ids = '463eecdd-208d-4730-bea2-af1f3bdbff71', 'c08807bc-41dc-45e1-8815-9aeee4971523'
    >>> layer = el.layers.invent(*ids, type='raster', bands=2, dtype='uint8')
    >>> el.layers.get(ids[0])['raster']['format']
    'uint8'
    """
    chosen: dict[str, Any] = {
        "type": type, "bands": bands, "dtype": dtype, "nodata": noDataValue, "value_range": valueRange,
        "resolution": resolution, "columns": columns, "geometries": geometry, "features": features, "extent": extent,
        "epsg": arguments.integer("epsg", epsg),
    }  # fmt: skip
    name, seed = arguments.optional_string("name", name), arguments.integer("seed", seed) or 0
    known = {one.ids: one for one in _locked(lock)}
    if pathId is None or timestampId is None:
        if timestampId is not None or like is not None:
            missing = "pathId" if pathId is None else "timestampId"
            raise arguments.invalid(missing, None, "is needed, unless all is to be made that a lock file knows")
        return _invent_locked(known, None if pathId is None else as_uuid("pathId", pathId), chosen, name, seed)
    ids = as_uuid("pathId", pathId), as_uuid("timestampId", timestampId)
    locked = known.get(ids)
    base = None if locked is None else locked.schema
    schema = make_schema(base if like is None else _schema_like(like), **chosen)
    name = name or (None if locked is None else locked.name)
    add_stand_in(current_emulator().store, *ids, schema, name=name, seed=seed, exact=resolution is not None)
    return {"pathId": pathId, "timestampId": timestampId}


def _invent_locked(
    known: Mapping[tuple[str, str], LockedLayer],
    path_id: str | None,
    chosen: Mapping[str, Any],
    name: str | None,
    seed: int,
) -> Any:
    """Stand-ins for what the lock file knows, of one path or of all, and the home lacks."""
    store = current_emulator().store
    wanted = [one for one in known.values() if path_id in (None, one.path_id)]
    if not wanted:
        what = "of any layer" if path_id is None else f"of path {path_id}"
        text = f"(--lock) knows nothing {what}; layers.lock writes one, or give a pathId and a timestampId"
        raise arguments.invalid("lock", None, text)
    # All of them, before any is stored.
    schemas = [(one, make_schema(one.schema, **chosen)) for one in wanted]
    made = []
    for one, schema in schemas:
        here = store.catalogue.find_timestamp(one.timestamp_id)
        if here is None or not here.files:
            add_stand_in(store, *one.ids, schema, name=name or one.name, seed=seed)
            made.append({"pathId": one.path_id, "timestampId": one.timestamp_id})
    return made


def _locked(lock: Any) -> Sequence[LockedLayer]:
    """What the lock file knows; nothing where there is none, and none was named."""
    text = arguments.path_text("lock", lock)
    path = Path(LOCK_FILE if text is None else text).expanduser()
    return () if text is None and not path.is_file() else read_lock(path)


def _schema_like(like: Any) -> LayerSchema:
    store = current_emulator().store
    if not isinstance(like, Mapping):
        return schema_of([store.look(arguments.path_text("like", like))])
    if set(like) != {"pathId", "timestampId"}:
        raise arguments.invalid("like", like, "must be a file, or a dictionary with pathId and timestampId")
    timestamp = store.timestamp(*(arguments.uuid_text(key, like[key]) for key in ("pathId", "timestampId")))
    if not timestamp.files:
        raise arguments.invalid("like", like, "holds no file, of which something could be known; add one first")
    return schema_of(timestamp.rasters or timestamp.vectors)


@short_traceback
def lock(file: str | PathLike[str] = LOCK_FILE, ids: Iterable[str] | None = None) -> Any:
    """Keep what is known of the layers of the home in a file, to be committed beside the script that uses them.

    Names, types, bands, dtypes, nodata values, columns, CRS, extents and resolutions, and from where they were pulled:
    enough for `layers.invent` to make stand-ins where the layers themselves cannot be had. What the file knows of
    layers that are not here stays in it; a stand-in does not replace what it knows of the layer itself.

    Parameters
    ----------
    file : path
    ids : list of str, optional
        The pathIds of rasters and vectors; all of the home where None.

    Returns
    -------
    list of dict
        ``{'pathId': …, 'timestampId': …}`` of all that the file knows now.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> len(el.layers.lock('layers.lock.toml'))
    1
    """
    emulator = current_emulator()
    text = arguments.path_text("file", file)
    assert text is not None  # noqa: S101
    chosen = None if ids is None else arguments.uuid_list("ids", ids)
    found = known_here(emulator.store, emulator.upstream.origin, chosen)
    everything = write_lock(Path(text).expanduser(), found)
    return [{"pathId": one.path_id, "timestampId": one.timestamp_id} for one in everything]


@short_traceback
def list(*, as_frame: bool = False) -> Any:
    """All layers of the home: a list of dicts as `get` gives them, without what is removed meanwhile.

    A notebook shows it as a table.

    Parameters
    ----------
    as_frame : bool
        A GeoDataFrame instead (our choice), with a row for each timestamp: `pathId`, `timestampId`, `name`, `type`,
        `status`, `from` and `to` (in UTC), `files`, `bytes`, `standIn`, and as `geometry` in EPSG:4326 what the files
        cover, None where nothing. ``frame[['pathId', 'timestampId']].to_dict('records')`` is what createCompute takes.

    Examples
    --------
    >>> layers = el.layers.load(names=['dem', 'trees'])
    >>> sorted(layer['name'] for layer in el.layers.list())
    ['dem', 'trees']
    """
    as_frame = arguments.boolean("as_frame", as_frame)
    emulator = current_emulator()
    store = emulator.store
    if as_frame:
        return layers_frame(store)
    return Layers(store.catalogue.still_here(store.list(), lambda record: Layer(path_answer(emulator, record))))


@short_traceback
def get(pathId: str) -> dict[str, Any]:
    """One layer: what `path.get` shows of it, which a notebook shows as a table.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.layers.get(dem['pathId'])['name']
    'dem'
    """
    emulator = current_emulator()
    return Layer(path_answer(emulator, emulator.store.path(arguments.uuid_text("pathId", pathId))))


@short_traceback
def remove(pathId: str, timestampId: str | None = None) -> None:
    """Remove a layer, or one of its timestamps, and its files.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.layers.remove(dem['pathId'])
    >>> el.layers.list()
    []
    """
    current_emulator().store.remove(
        arguments.uuid_text("pathId", pathId), arguments.optional_uuid("timestampId", timestampId)
    )


@short_traceback
def open(pathId: str, timestampId: str) -> Any:
    """A raster timestamp as a DataArray of xarray (band, y, x), whose pixels are read when they are used.

    Our own function; it needs the extra `[xarray]`. CRS, transform and nodata are where rioxarray looks for them, the
    names of the bands in the coordinate `band_name`. On the grid of its first file, where several files are one mosaic.
    Pixels that only a mask tells as missing are the nodata value, or 0 where there is none.

    Raises
    ------
    MissingExtraError
        Where rioxarray is not installed.
    ArgumentError, NotFoundError
        A timestamp that is no raster, or is not here.
    LayerError
        A raster without files, or whose pixels are turned against the axes.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> array = el.layers.open(dem['pathId'], dem['timestampId'])
    >>> array.dims
    ('band', 'y', 'x')
    """
    from ellipsis_local.raster.dataarray import open_dataarray

    ids = arguments.uuid_text("pathId", pathId), arguments.uuid_text("timestampId", timestampId)
    timestamp = current_emulator().store.timestamp(*ids)
    if timestamp.type != "raster":
        raise arguments.invalid("timestampId", timestampId, "is of a vector; `layers.export` writes it as a file")
    if not timestamp.rasters:
        raise LayerError(f"timestamp {timestampId} has no files")
    return open_dataarray(timestamp.rasters, timestampId)


@short_traceback
@working("drawing a map")
def explore(pathId: str, timestampId: str, **options: Any) -> Any:
    """A timestamp on an interactive map for a notebook, over nothing: whatever it shows is in the map itself.

    Our own function; it needs the extra `[explore]` (folium, by way of ``GeoDataFrame.explore``). The first 10,000
    features or 3 MB of a vector, with their properties; a raster as a picture of up to 1024 pixels a side, in the
    default style. ``report(…).explore(m=…)`` lays the partitions over it.

    Parameters
    ----------
    pathId, timestampId : str
    options
        `m`: a map of folium to draw on; `tiles`: a background, which comes from the network; the other arguments of
        ``GeoDataFrame.explore`` for a vector, those of ``folium.raster_layers.ImageOverlay`` (`opacity`) for a raster.

    Raises
    ------
    MissingExtraError
        Where folium, mapclassify or matplotlib is not installed.
    ArgumentError, NotFoundError
        A timestamp that is not here.
    LayerError
        A timestamp without files, or without a place on a map, and a raster of complex numbers.

    Warns
    -----
    LayerWarning
        Where a vector has more features than are shown.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> shown = el.layers.explore(dem['pathId'], dem['timestampId'], opacity=0.7)
    >>> shown.save('dem.html')
    """
    emulator = current_emulator()
    ids = arguments.uuid_text("pathId", pathId), arguments.uuid_text("timestampId", timestampId)
    timestamp = emulator.store.timestamp(*ids)
    if not timestamp.files:
        raise LayerError(f"timestamp {timestampId} has no files")
    if timestamp.type == "vector":
        frame, whole = features_frame(emulator.features, timestamp)
        if not whole:
            warn(f"the map shows the first {len(frame):,} features; `layers.export` writes all", LayerWarning)
        return frame_map(frame, options)
    return image_map(*emulator.imagery.picture(timestamp, Extent(*emulator.store.bounds(*ids).bounds)), options)


@short_traceback
@working("exporting")
def export(pathId: str, timestampId: str, filePath: str | PathLike[str], *, format: str | None = None) -> None:
    """Write a timestamp to one file: several rasters as their mosaic, several vectors one after the other.

    Parameters
    ----------
    pathId, timestampId : str
    filePath : str
        Its ending tells the format: .tif for rasters; .gpkg, .geojson, .fgb, .parquet, .shp for vectors. Written
        whole or not at all; an existing file is replaced.
    format : {'cog'}, optional
        A GeoTIFF that is cloud-optimised: tiles, and overviews of every second, fourth, … pixel (nearest, our choice,
        as windows and tiles have it), in the order in which a reader over HTTP needs them.

    Raises
    ------
    ArgumentError
        For an ending, or a format, that is not for a timestamp of this type.
    StoreError
        Where the file cannot be written.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.layers.export(dem['pathId'], dem['timestampId'], 'dem.tif', format='cog')
    >>> Path('dem.tif').exists()
    True
    """
    if format not in (None, "cog"):
        raise arguments.invalid("format", format, f"must be 'cog' or None, not {format!r}; an ending tells others")
    path_id, timestamp_id = arguments.uuid_text("pathId", pathId), arguments.uuid_text("timestampId", timestampId)
    target = arguments.path_text("filePath", filePath)
    assert target is not None  # noqa: S101
    current_emulator().store.export(path_id, timestamp_id, target, cog=format is not None)
