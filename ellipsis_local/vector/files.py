"""Vector files: what the store asks of them and notes of them, scanned batch by batch, never held."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.errors import LayerError, LayerWarning
from ellipsis_local.formats.limits import MOST_FEATURES, MOST_FIELDS, check_count, few
from ellipsis_local.gdal_errors import reading
from ellipsis_local.notices import warn
from ellipsis_local.types import Extent, VectorFile

__all__ = ["inspect", "layers_of", "read_frame", "shapefile_parts", "without_geometry"]

BATCH = 4096
DRIVERS = {"GPKG", "GeoJSON", "ESRI Shapefile", "FlatGeobuf"}
# Indexes beside a shapefile (.sbn, .qix) say nothing of its content.
SHAPEFILE_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@dataclass
class Census:
    """What a scan of the geometries found."""

    total: int = 0
    usable: int = 0
    bounds: tuple[float, float, float, float] = (math.inf, math.inf, -math.inf, -math.inf)

    @property
    def extent(self) -> Extent | None:
        return Extent(*self.bounds) if self.usable else None

    def add(self, geometries: Any) -> None:
        """Count one array of shapely geometries."""
        import shapely

        left_out = without_geometry(geometries)
        usable = geometries[~left_out]
        self.total += len(geometries)
        self.usable += len(usable)
        if len(usable):
            west, south, east, north = shapely.total_bounds(usable)
            low, high = self.bounds[:2], self.bounds[2:]
            self.bounds = (
                min(low[0], float(west)), min(low[1], float(south)),
                max(high[0], float(east)), max(high[1], float(north)),
            )  # fmt: skip


def without_geometry(geometries: Any) -> Any:
    """Which of an array of geometries are none: null, EMPTY, or with a NaN or infinite x or y. bool, same shape."""
    import shapely

    none: Any = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    none[index[~np.isfinite(coordinates).all(axis=1)]] = True
    return none


def shapefile_parts(path: Path) -> tuple[Path, ...]:
    """The parts of the shapefile at `path`, `path` first; LayerError where one is missing or cut short."""
    wanted = {path.stem.lower() + suffix for suffix in SHAPEFILE_PARTS[1:]}
    with reading(path):
        beside = [one for one in sorted(path.parent.iterdir()) if one.name.lower() in wanted and one.is_file()]
        found = {one.suffix.lower() for one in beside}
        if ".shx" not in found:
            raise LayerError(
                f"{path} is a shapefile without its .shx; give all its parts one name in one folder, or zip them",
                source=str(path),
            )
        for one in (path, *beside):
            check_part(one)
    return (path, *beside)


def check_part(path: Path) -> None:
    """LayerError where a .shp, .shx or .dbf is shorter than its own header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(100)
    need = 0
    if path.suffix.lower() in (".shp", ".shx") and len(head) >= 28:
        need = 2 * int(struct.unpack(">i", head[24:28])[0])
    elif path.suffix.lower() == ".dbf" and len(head) >= 12:
        records, header, length = struct.unpack("<IHH", head[4:12])
        need = header + records * length
    if size < need:
        raise LayerError(f"{path} is truncated: {need - size:,} bytes are missing at its end", source=str(path))


def layers_of(location: str | Path) -> tuple[str, ...]:
    """The names of the layers that have geometries; plain tables, such as QGIS's layer_styles, are none."""
    import pyogrio

    with reading(location):
        return tuple(str(name) for name, geometry in pyogrio.list_layers(location) if geometry is not None)


def choose_layer(location: str | Path, source: str, layer: str | None) -> str:
    """The layer to read; LayerError where there is none, or several and `layer` names none of them."""
    names = layers_of(location)
    if layer is not None:
        if layer not in names:
            raise LayerError(
                f"{source} has no layer {layer!r} with geometries; it has {few(names) or 'none'}",
                source=source,
            )
        return layer
    if not names:
        raise LayerError(f"{source} has no geometry: it is a plain table", source=source)
    if len(names) > 1:
        raise LayerError(f"{source} holds {len(names)} layers; pass layer= with one of {few(names)}", source=source)
    return names[0]


def inspect(
    location: str | Path,
    *,
    source: str,
    content: str = "",
    format: Literal["ogr", "parquet"] = "ogr",
    epsg: int | None = None,
    layer: str | None = None,
) -> VectorFile:
    """What is known of the vector layer at `location`, after the overrides.

    Features without geometry (null, EMPTY, NaN or infinite coordinates) are counted and reported in one LayerWarning.

    Raises
    ------
    LayerError
        Without a CRS, a geometry column, or any geometry where there are features; with several layers and no `layer`.
        Our choice: the service's own checks are not documented.
    """
    found = _parquet(location, source, epsg) if format == "parquet" else _ogr(location, source, epsg, layer)
    census: Census = found.pop("census")
    if census.total and not census.usable:
        raise LayerError(f"none of the {census.total} features of {source} has a geometry", source=source)
    if census.usable < census.total:
        warn(
            f"{census.total - census.usable} of {census.total} features of {source} have no geometry and are left out",
            LayerWarning,
        )
    return VectorFile(
        location=str(location), content=content, features=census.usable, extent=census.extent, format=format, **found
    )


# ----- what OGR reads ------------------------------------------------------------------------------------------------


def _ogr(location: str | Path, source: str, epsg: int | None, layer: str | None) -> dict[str, Any]:
    import pyogrio

    layer = choose_layer(location, source, layer)
    with reading(source):
        info = pyogrio.read_info(location, layer=layer)
    if info["driver"] not in DRIVERS:
        raise LayerError(f"{source} is {info['driver']}, which is no layer that is known here", source=source)
    check_count(source, len(info["fields"]), MOST_FIELDS, "fields", "leave some out")
    crs = epsg_text(epsg) if epsg is not None else crs_text(info["crs"], source)
    census = _count(location, layer, source)
    # The reader of FlatGeobuf ends without a word where the file does; its header has the number.
    if info["driver"] == "FlatGeobuf" and census.total < info["features"]:
        raise LayerError(
            f"{source} is truncated: {info['features'] - census.total:,} of {info['features']:,} features are missing",
            source=source,
        )
    return {"crs": crs, "fields": tuple(map(str, info["fields"])), "layer": layer, "census": census}


def _count(location: str | Path, layer: str, source: str) -> Census:
    import shapely

    with reading(source, "cannot be read to its end; it is truncated or damaged"):
        try:
            return _total(_batches(location, layer), source)
        except (shapely.errors.ShapelyError, NotImplementedError):
            # Arrow hands over curves, which shapely does not know; frames are read with them drawn straight.
            return _total(_linear(location, layer), source)


def _total(batches: Iterable[Any], source: str) -> Census:
    census = Census()
    for geometries in batches:
        census.add(geometries)
        check_count(source, census.total, MOST_FEATURES, "features or more", "split it")
    return census


def _batches(location: str | Path, layer: str) -> Iterator[Any]:
    import pyogrio.raw
    import shapely

    with pyogrio.raw.open_arrow(location, layer=layer, columns=[], batch_size=BATCH, use_pyarrow=True) as (
        meta,
        reader,
    ):
        column = meta["geometry_name"] or "wkb_geometry"
        for batch in reader:
            yield shapely.from_wkb(batch.column(column).to_numpy(zero_copy_only=False))


def _linear(location: str | Path, layer: str) -> Iterator[Any]:
    """Geometries with their curves drawn straight, in batches by position."""
    import pyogrio.raw
    import shapely

    start = 0
    while True:
        wkb = pyogrio.raw.read(location, layer=layer, columns=[], skip_features=start, max_features=BATCH)[2]
        if wkb is None or len(wkb) == 0:
            return
        yield shapely.from_wkb(wkb)
        start += len(wkb)


# ----- GeoParquet ----------------------------------------------------------------------------------------------------


def parquet_geo(location: str | Path, source: str) -> dict[str, Any]:
    """The 'geo' metadata of a GeoParquet file; LayerError where there is none."""
    import pyarrow.parquet

    with reading(source):
        metadata = pyarrow.parquet.read_schema(location).metadata or {}
        if b"geo" not in metadata:
            raise LayerError(f"{source} is Parquet without geometry metadata, a plain table", source=source)
        geo: dict[str, Any] = json.loads(metadata[b"geo"])
        columns = geo.get("columns") if isinstance(geo, dict) else None
        if not isinstance(columns, dict) or not isinstance(columns.get(geo.get("primary_column")), dict):
            raise LayerError(f"{source} names no primary geometry column", source=source)
    return geo


def _parquet(location: str | Path, source: str, epsg: int | None) -> dict[str, Any]:
    import pyarrow.parquet

    geo = parquet_geo(location, source)
    primary = geo["primary_column"]
    about = geo["columns"][primary]
    # The specification: no "crs" key means OGC:CRS84, an explicit null means unknown.
    crs = epsg_text(epsg) if epsg is not None else crs_text(about.get("crs", "OGC:CRS84"), source)
    with reading(source):
        names, rows = pyarrow.parquet.read_schema(location).names, pyarrow.parquet.read_metadata(location).num_rows
    covering = covering_columns(about)
    with reading(source, "cannot be read to its end; it is truncated or damaged"):
        census = _total(_parquet_batches(location, primary, about.get("encoding", "WKB")), source)
    if census.total != rows:
        raise LayerError(f"{source} is damaged: it has {census.total:,} features, and says {rows:,}", source=source)
    return {
        "crs": crs,
        "fields": tuple(name for name in names if name != primary and name not in covering),
        "geometry_column": primary,
        "census": census,
    }


def covering_columns(about: dict[str, Any]) -> set[str]:
    """The columns that hold no data of their own, but the bounding boxes of a geometry column."""
    covering = about.get("covering")
    boxes = covering.get("bbox") if isinstance(covering, dict) else None
    paths = boxes.values() if isinstance(boxes, dict) else ()
    return {path[0] for path in paths if isinstance(path, list) and path and isinstance(path[0], str)}


def _parquet_batches(location: str | Path, column: str, encoding: str) -> Iterable[Any]:
    import pyarrow.parquet
    import shapely

    if encoding != "WKB":
        # Native encodings (points as pairs of doubles …) are rare: geopandas decodes the one column at once.
        import geopandas

        yield np.asarray(geopandas.read_parquet(location, columns=[column]).geometry.array)
        return
    with pyarrow.parquet.ParquetFile(location) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=[column]):
            yield shapely.from_wkb(batch.column(0).to_numpy(zero_copy_only=False))


# ----- reading whole, for exports ------------------------------------------------------------------------------------


def read_frame(file: VectorFile) -> Any:
    """The layer as a GeoDataFrame in its CRS, features without geometry left out. It is held whole."""
    import geopandas
    import pyogrio

    with reading(file.location):
        if file.format == "parquet":
            frame = geopandas.read_parquet(file.location)
        else:
            frame = with_nulls(pyogrio.read_dataframe(file.location, layer=file.layer), file)
        frame = frame.set_crs(file.crs, allow_override=True)
        return frame[~without_geometry(np.asarray(frame.geometry.array))].reset_index(drop=True)


def with_nulls(frame: Any, file: VectorFile) -> Any:
    """Integer and boolean columns with nulls, which pyogrio reads as floats and objects, as pandas' nullable dtypes."""
    import pyogrio

    info = pyogrio.read_info(file.location, layer=file.layer)
    for name, dtype in zip(info["fields"], info["dtypes"], strict=True):
        nullable = {"int16": "Int16", "int32": "Int32", "int64": "Int64", "bool": "boolean"}.get(dtype)
        if nullable is not None and name in frame and frame[name].dtype != dtype and frame[name].isna().any():
            frame[name] = frame[name].astype(nullable)
    return frame
