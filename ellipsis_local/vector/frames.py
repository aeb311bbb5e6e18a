"""GeoDataFrames written as files: GeoParquet, which keeps every dtype, and the other formats of an export."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.notices import warn

__all__ = ["checked_frame", "frame_content", "write_ogr", "write_parquet"]

# Small enough that a reader of one partition skips most of a file.
ROW_GROUP = 65_536
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile"}


def checked_frame(frame: Any, *, epsg: int | None = None) -> Any:
    """A frame that can be stored: an active geometry, a CRS, text as column names, an index that may be dropped.

    An index that is named, has several levels or is not of integers becomes columns, as in GeoDataFrame.to_file.

    Raises
    ------
    ArgumentError
        Without an active geometry or a CRS, and for column names that are not text or occur twice.
    """
    import pandas

    def error(text: str) -> ArgumentError:
        return ArgumentError(f"the GeoDataFrame {text}", argument="source", value=type(frame).__name__)

    if frame.active_geometry_name is None:
        raise error("has no active geometry column; call set_geometry first")
    if epsg is not None:
        frame = frame.set_crs(epsg_text(epsg), allow_override=True)
    if frame.crs is None:
        raise error("has no CRS; call set_crs first, or pass epsg=…")
    crs_text(frame.crs, "the GeoDataFrame")
    index = frame.index
    plain = index.nlevels == 1 and index.name is None and pandas.api.types.is_integer_dtype(index.dtype)
    frame = frame.reset_index(drop=plain)
    for name in frame.columns:
        if not isinstance(name, str):
            raise error(f"has a column named {name!r}, of {type(name).__name__}; the names must be text")
    if not frame.columns.is_unique:
        doubles = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise error(f"has several columns named {', '.join(map(repr, doubles))}")
    return frame


def arrow_table(frame: Any) -> Any:
    """A checked frame as an Arrow table, geometries as WKB; LayerError naming the column that Arrow cannot hold."""
    import pyarrow

    try:
        return pyarrow.table(frame.to_arrow(index=False, geometry_encoding="WKB"))
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise LayerError(culprit(frame) or f"the GeoDataFrame cannot be kept as Arrow: {error}") from error


def culprit(frame: Any) -> str | None:
    """Which column Arrow cannot hold, in words."""
    import pyarrow

    for name in frame.columns.drop(frame.active_geometry_name):
        column = frame[name]
        if hasattr(column, "geom_type"):
            continue
        try:
            pyarrow.array(column, from_pandas=True)
        except Exception as error:  # noqa: BLE001 - any failure answers the question
            reason = str(error).splitlines()[0]
            return f"column {name!r} ({column.dtype}) holds what Arrow cannot keep: {reason}"
    return None


class _Digest:
    """A file that only hashes what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def frame_content(frame: Any) -> str:
    """Hash of a checked frame: columns, dtypes, values, geometry and CRS; no file format or version in it."""
    import pyarrow

    table = arrow_table(frame)
    sink = _Digest()
    plain = pyarrow.schema([pyarrow.field(field.name, field.type) for field in table.schema])
    facts = [frame.active_geometry_name, crs_text(frame.crs, "the GeoDataFrame")]
    facts += [f"{name} {dtype}" for name, dtype in frame.dtypes.items()]
    sink.write("\n".join(facts).encode())
    table = pyarrow.Table.from_arrays([column.combine_chunks() for column in table.columns], schema=plain)
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(sink, mode="w"), plain) as stream:
        stream.write_table(table)
    return sink.hash.hexdigest()


def write_parquet(target: Path, frame: Any) -> None:
    """A checked frame as GeoParquet; LayerError naming the column that cannot be kept, StoreError on a full disk."""
    import pyarrow

    with writing(target):
        try:
            frame.to_parquet(target, index=False, compression="zstd", row_group_size=ROW_GROUP)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
            reason = culprit(frame)
            if reason is None:
                raise
            raise LayerError(reason) from error


def write_ogr(target: Path, frame: Any) -> None:
    """A frame in the format that the suffix of `target` names; LayerError where the format cannot hold it."""
    if target.suffix == ".shp":
        warn_of_names(frame)
    with reading("the layer", f"cannot be written as {target.suffix}", writes=True):
        frame = for_ogr(frame, target.suffix)
        options: dict[str, Any] = {}
        if target.suffix == ".gpkg":
            options = gpkg_options(frame)
        frame.to_file(
            target, driver=DRIVERS[target.suffix], engine="pyogrio", index=False, layer=target.stem, **options
        )


def warn_of_names(frame: Any) -> None:
    """A .dbf keeps ten bytes of a column's name."""
    long = [name for name in frame.columns.drop(frame.active_geometry_name) if len(name.encode()) > 10]
    if long:
        warn(f"a shapefile shortens names to ten characters: {', '.join(map(repr, long))}", LayerWarning)


def gpkg_options(frame: Any) -> dict[str, str]:
    """GeoPackage adds a key and a geometry column: under names that the frame does not have."""
    taken = {name.lower() for name in frame.columns.drop(frame.active_geometry_name)}

    def free(name: str) -> str:
        while name in taken:
            name = f"_{name}"
        return name

    return {"FID": free("fid"), "GEOMETRY_NAME": free("geom")}


def for_ogr(frame: Any, suffix: str) -> Any:
    """The frame with what OGR has no type for as its plain values; LayerError naming a column without such values."""
    import pandas

    frame = frame.copy(deep=False)
    for name in frame.columns.drop(frame.active_geometry_name):
        dtype = frame[name].dtype
        if isinstance(dtype, pandas.CategoricalDtype):
            frame[name] = frame[name].astype(dtype.categories.dtype)
        elif hasattr(frame[name], "geom_type"):
            frame[name] = frame[name].to_wkt()
        elif dtype.kind in "mc" or isinstance(dtype, pandas.PeriodDtype | pandas.IntervalDtype | pandas.SparseDtype):
            raise LayerError(f"column {name!r} ({dtype}) has no counterpart in {suffix}; export as .parquet")
    return frame
