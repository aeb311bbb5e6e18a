"""The files of one layer as one table, or frame, in one CRS, and cut at the edges of Web Mercator if that is it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import crs as names
from ellipsis_local.gdal_errors import reading
from ellipsis_local.types import Extent, VectorFile, VectorSource
from ellipsis_local.vector.inspect import united
from ellipsis_local.vector.reader import calls, open_layer
from ellipsis_local.vector.schema import for_frames, free_name, further_geometries, geo_metadata, is_json, joined
from ellipsis_local.vector.wkb import Bools, Shapes, from_shapely, to_shapely

TURN = 360.0


@dataclass
class LayerTable:
    """All features of a layer that have a geometry, in the order of the files and of the rows in them."""

    table: Any
    geometry: str
    crs: str
    extent: Extent | None
    clipped: int = 0
    dropped: int = 0

    def first_vertices(self) -> NDArray[np.float64]:
        """x and y of the first vertex of each feature, (rows, 2)."""
        return np.concatenate(
            [np.empty((0, 2)), *(Shapes(chunk).first() for chunk in self.table[self.geometry].chunks)]
        )

    def take(self, table: Any, rows: NDArray[np.int64]) -> Any:
        """Some rows, ascending, of a table with the chunks of this one, which are not joined first."""
        import pyarrow as pa

        parts, start = [], 0
        for batch in table.to_batches():
            low, high = np.searchsorted(rows, (start, start + batch.num_rows))
            if high > low:
                parts.append(batch.take(pa.array(rows[low:high] - start)))
            start += batch.num_rows
        return pa.Table.from_batches(parts, table.schema)

    def shapes(self) -> NDArray[Any]:
        """The geometries as shapely's."""
        return to_shapely(self.table[self.geometry])


def read_table(files: Sequence[VectorFile | VectorSource], crs: str | None = None, threads: int = 1) -> LayerTable:
    """The features of some files that have a geometry, as one table in `crs`, that of the first file where None."""
    target = files[0].crs if crs is None else crs
    parts, extent, clipped, dropped = [], None, 0, 0
    geometry = ""
    for file in files:
        with open_layer(
            file.location, format=file.format, layer=file.layer, geometry=file.geometry_column
        ) as opened:  # fmt: skip
            table, own = opened.table(), opened.geometry
            further = {name: one for name, one in opened.geo.get("columns", {}).items() if name in table.column_names}
        if file.without_geometry != 0:
            table = with_geometry(table, own)
        if not names.same(file.crs, target):
            moved = project(table[own], file.crs, target, threads)
            table = table.set_column(table.schema.get_field_index(own), own, moved.wkb)
            if moved.dropped:
                table = table.filter(table[own].is_valid())
            clipped, dropped = clipped + moved.clipped, dropped + moved.dropped
            here = bounds_of(table[own])
        else:
            here = file.extent if file.without_geometry is not None else bounds_of(table[own])
        if here is not None:
            extent = here if extent is None else extent.union(here)
        geometry = geometry or own
        if own != geometry:
            name = free_name(geometry, [one for one in table.column_names if one != own])
            table = table.rename_columns([name if one == own else one for one in table.column_names])
        if len(further) > 1:
            given = table.schema.metadata or {}
            table = table.replace_schema_metadata({**given, **geo_metadata(geometry, target, further)})
        parts.append(table)
    return LayerTable(joined(parts), geometry, target, extent, clipped, dropped)


def with_geometry(table: Any, geometry: str) -> Any:
    """A table without the rows that have no geometry."""
    import pyarrow as pa

    mask = np.concatenate([np.empty(0, bool), *(Shapes(chunk).without() for chunk in table[geometry].chunks)])
    return table.filter(pa.array(~mask)) if mask.any() else table


def bounds_of(column: Any) -> Extent | None:
    """The extent of a column of WKB; None where it has nothing."""
    bounds = np.concatenate([np.empty((0, 4)), *(Shapes(chunk).bounds() for chunk in column.chunks)])
    return united(bounds[np.isfinite(bounds).all(axis=1)])


def read_frame(files: Sequence[VectorFile], crs: str | None = None) -> Any:
    """`read_table` as a GeoDataFrame with the dtypes that nodes get; it is held whole."""
    import json

    import geopandas
    import pandas

    layer = read_table(files, crs)
    table = for_frames(layer.table)
    about = further_geometries(table.schema, layer.geometry)
    frame = table.drop_columns([layer.geometry]).to_pandas()
    for field in table.schema:
        if is_json(field):
            values = [None if text is None else json.loads(text) for text in table[field.name].to_pylist()]
            frame[field.name] = pandas.Series(values, dtype=object)
        elif field.name in about:
            crs = about[field.name].get("crs", "OGC:CRS84")
            frame[field.name] = geopandas.GeoSeries(to_shapely(table[field.name]), crs=crs)
    frame[layer.geometry] = geopandas.GeoSeries(layer.shapes(), index=pandas.RangeIndex(len(frame)), crs=layer.crs)
    return geopandas.GeoDataFrame(frame[table.column_names], geometry=layer.geometry, crs=layer.crs)


def read_partition(path: str | Path) -> Any:
    """A node's features as it reads them."""
    import geopandas

    with calls(path):
        return geopandas.read_parquet(path)


def recognised(source: bytes | Path) -> Any:
    """What geopandas makes of a file, or the bytes of one, that is no layer of ours; GeoParquet by its beginning."""
    import geopandas

    file = io.BytesIO(source) if isinstance(source, bytes) else source
    parquet = source[:4] == b"PAR1" if isinstance(source, bytes) else source.suffix in (".parquet", ".geoparquet")
    return geopandas.read_parquet(file) if parquet else geopandas.read_file(file, engine="pyogrio")


@lru_cache(maxsize=1024)
def attributes(file: VectorFile) -> Any:
    """The attributes of a file as an Arrow schema, without reading its features."""
    import pyarrow as pa

    with open_layer(file.location, format=file.format, layer=file.layer, geometry=file.geometry_column) as opened:
        schema, geometry = opened.settle(), opened.geometry
    return pa.schema([field for field in schema if field.name != geometry], schema.metadata)


@dataclass
class Projected:
    """Geometries in another CRS."""

    wkb: Any
    """An Arrow array, or chunked array, with a row per row; null where nothing is left."""
    clipped: int = 0
    dropped: int = 0


def transform(wkb: Any, source: str, target: str) -> Any:
    """An Arrow array of WKB in another CRS; what that cannot express gets infinite coordinates."""
    if names.same(source, target):
        return wkb
    change = names.transformer(source, target)

    def move(xy: Any) -> Any:
        with reading("the layer", f"cannot be brought from {source[:40]} into {target[:40]}"):
            return np.column_stack(change.transform(xy[:, 0], xy[:, 1]))

    return Shapes(wkb).moved(move)


def project(column: Any, source: str, target: str, threads: int = 1) -> Projected:
    """A column of WKB in CRS `target`, cut at the edges of Web Mercator if that is it; chunks in parallel."""
    import pyarrow as pa

    names.transformer(source, target)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = list(pool.map(lambda chunk: _project(chunk, source, target), column.chunks))
    wkb = pa.chunked_array([one.wkb for one in done], pa.binary() if not done else done[0].wkb.type)
    return Projected(wkb, sum(one.clipped for one in done), sum(one.dropped for one in done))


def _project(chunk: Any, source: str, target: str) -> Projected:
    import pyarrow as pa
    import shapely

    if chunk.type != pa.binary():
        chunk = chunk.cast(pa.binary())
    if not names.same(target, names.WEB_MERCATOR):
        return Projected(transform(chunk, source, target))
    if geographic := names.is_geographic(source):
        # Longitudes beyond ±180 are those of the other side.
        chunk = _turned(chunk)
        concerned = ~_within(chunk, names.LONGITUDE_LIMIT, names.LATITUDE_LIMIT)
    moved = transform(chunk, source, target)
    if not geographic:
        concerned = ~_within(moved, names.MERCATOR_LIMIT, names.MERCATOR_LIMIT)
    if not concerned.any():
        return Projected(moved)
    some = chunk.filter(pa.array(concerned))
    if not geographic:
        some, source = _turned(transform(some, source, names.WGS84)), names.WGS84
    shapes, cut = _clipped(to_shapely(some))
    new = to_shapely(transform(from_shapely(shapes), source, target))
    # Rounding may put what was cut at the edge a nanometre beyond it.
    limit = names.MERCATOR_LIMIT
    new = shapely.transform(new, lambda xy: np.clip(xy, -limit, limit), include_z=bool(shapely.has_z(new).any()))
    gone = np.asarray(shapely.is_empty(new) | shapely.is_missing(new))
    new[gone] = None
    order = np.arange(len(moved))
    order[concerned] = len(moved) + np.arange(len(new))
    moved = pa.concat_arrays([moved, from_shapely(new)]).take(pa.array(order))
    return Projected(moved, int((cut & ~gone).sum()), int(gone.sum()))


def _within(wkb: Any, x: float, y: float) -> Bools:
    """Which stay within ±x, ±y, all of them finite."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(Shapes(wkb).bounds()) <= (x, y, x, y)).all(axis=1))


def _turned(wkb: Any) -> Any:
    """Degrees with every feature that lies wholly beyond ±180 brought back by turns of 360."""
    shapes = Shapes(wkb)
    west, _, east, _ = shapes.bounds().T
    with np.errstate(invalid="ignore"):
        turns = np.where(west >= 180, -np.floor((west + 180) / TURN), 0)
        turns = np.where(east <= -180, np.floor((180 - east) / TURN), turns)
    turns = np.where(np.isfinite(west) & np.isfinite(east), turns, 0)
    if not turns.any():
        return wkb
    rows, _ = shapes.vertices
    return shapes.moved(lambda xy: np.column_stack([xy[:, 0] + TURN * turns[rows], xy[:, 1]]))


def _clipped(shapes: Any) -> tuple[Any, Bools]:
    """Shapes in degrees within the square of Web Mercator, and which of them lost something to the north or south."""
    import shapely

    south, north = -names.LATITUDE_LIMIT, names.LATITUDE_LIMIT
    bounds = shapely.bounds(shapes)
    cut = np.asarray(~((bounds[:, 1] >= south) & (bounds[:, 3] <= north) & np.isfinite(bounds).all(axis=1)))
    found = np.empty(len(shapes), object)
    for row, shape in enumerate(shapes):
        parts = []
        west, east = bounds[row, 0], bounds[row, 2]
        first = np.floor((west + 180) / TURN) if np.isfinite(west) else 0
        last = np.ceil((east + 180) / TURN) - 1 if np.isfinite(east) else 0
        for turn in range(int(max(first, -2)), int(min(max(first, last), 2)) + 1):
            low = -180 + TURN * turn
            part = shapely.clip_by_rect(shape, low, south, low + TURN, north)
            if not shapely.is_empty(part):
                parts.append(_shifted(part, -TURN * turn) if turn else part)
        found[row] = parts[0] if len(parts) == 1 else _together(parts)
    return found, cut


def _shifted(shape: Any, by: float) -> Any:
    import shapely

    z = bool(shapely.has_z(shape))
    return shapely.transform(shape, lambda xyz: xyz + ((by, 0, 0) if z else (by, 0)), include_z=z)


def _together(parts: list[Any]) -> Any:
    """Parts of one shape as one, without a border where there was none."""
    import shapely

    if not parts:
        return None
    flat = shapely.get_parts(parts)
    kind, *more = {one.geom_type for one in flat}
    makers = {"Polygon": shapely.multipolygons, "LineString": shapely.multilinestrings, "Point": shapely.multipoints}
    maker = shapely.geometrycollections if more else makers.get(kind, shapely.geometrycollections)
    return maker(flat)
