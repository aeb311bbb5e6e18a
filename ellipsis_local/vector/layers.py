"""The files of one layer as one table, or frame, in one CRS: what nodes, exports and answers are made of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import crs as names
from ellipsis_local.types import Extent, VectorFile
from ellipsis_local.vector.project import project
from ellipsis_local.vector.reader import calls, open_layer
from ellipsis_local.vector.schema import for_frames, free_name, geo_metadata, geo_of, is_json, joined
from ellipsis_local.vector.wkb import Shapes, to_shapely


class File(Protocol):
    """What is known of a file that is read: a `VectorFile`, or the like of it in a plan."""

    @property
    def location(self) -> str: ...
    @property
    def crs(self) -> str: ...
    @property
    def format(self) -> Any: ...
    @property
    def layer(self) -> str | None: ...
    @property
    def geometry_column(self) -> str: ...
    @property
    def extent(self) -> Extent | None: ...
    @property
    def without_geometry(self) -> int | None: ...


@dataclass
class LayerTable:
    """All features of a layer that have a geometry, in the order of the files and of the rows in them."""

    table: Any
    geometry: str
    crs: str
    extent: Extent | None
    clipped: int = 0
    dropped: int = 0

    @property
    def wkb(self) -> list[Any]:
        """The chunks of the geometry."""
        return list(self.table[self.geometry].chunks)

    def first_vertices(self) -> NDArray[np.float64]:
        """x and y of the first vertex of each feature, (rows, 2)."""
        return np.concatenate([np.empty((0, 2)), *(Shapes(chunk).first() for chunk in self.wkb)])

    def take(self, table: Any, rows: NDArray[np.int64]) -> Any:
        """Some rows, ascending, of a table with the chunks of this one: chunk by chunk, without joining them first."""
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


def read_table(files: Sequence[File], crs: str | None = None, threads: int = 1) -> LayerTable:
    """The features of some files that have a geometry, as one table in `crs`, that of the first file where None.

    Columns come in the order in which files first have them; a file that lacks one has nulls.
    """
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
            metadata = {**(table.schema.metadata or {}), **geo_metadata(geometry, target, further)}
            table = table.replace_schema_metadata(metadata)
        parts.append(table)
    return LayerTable(joined(parts), geometry, target, extent, clipped, dropped)


def with_geometry(table: Any, geometry: str) -> Any:
    """A table without the rows that have no geometry."""
    import pyarrow as pa

    none = [Shapes(chunk).without() for chunk in table[geometry].chunks]
    mask = np.concatenate([np.empty(0, bool), *none])
    return table.filter(pa.array(~mask)) if mask.any() else table


def bounds_of(column: Any) -> Extent | None:
    """The extent of a column of WKB; None where it has nothing."""
    found = [Shapes(chunk).bounds() for chunk in column.chunks]
    bounds = np.concatenate([np.empty((0, 4)), *found])
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if not len(bounds):
        return None
    return Extent(*map(float, (*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0))))


def read_frame(files: Sequence[File], crs: str | None = None) -> Any:
    """`read_table` as a GeoDataFrame with the dtypes that nodes get; it is held whole."""
    import json

    import geopandas
    import pandas

    layer = read_table(files, crs)
    table = for_frames(layer.table)
    geo = geo_of(table.schema)
    further = set(geo["columns"]) - {layer.geometry} if geo is not None else set()
    frame = table.drop_columns([layer.geometry]).to_pandas()
    for field in table.schema:
        if is_json(field):
            values = [None if text is None else json.loads(text) for text in table[field.name].to_pylist()]
            frame[field.name] = pandas.Series(values, dtype=object)
        elif field.name in further and geo is not None:
            about = geo["columns"][field.name].get("crs", "OGC:CRS84")
            frame[field.name] = geopandas.GeoSeries(to_shapely(table[field.name]), crs=about)
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

    if isinstance(source, bytes) and source[:4] == b"PAR1":
        return geopandas.read_parquet(io.BytesIO(source))
    if isinstance(source, bytes):
        return geopandas.read_file(io.BytesIO(source), engine="pyogrio")
    if source.suffix in (".parquet", ".geoparquet"):
        return geopandas.read_parquet(source)
    return geopandas.read_file(source, engine="pyogrio")


@lru_cache(maxsize=1024)
def attributes(file: VectorFile) -> Any:
    """The attributes of a file as an Arrow schema, without reading its features."""
    import pyarrow as pa

    with open_layer(file.location, format=file.format, layer=file.layer, geometry=file.geometry_column) as opened:
        schema, geometry = opened.settle(), opened.geometry
    return pa.schema([field for field in schema if field.name != geometry], schema.metadata)
