"""The one writer of vector files: GeoParquet, which keeps every dtype, and the formats of an export."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning
from ellipsis_local.formats import Format
from ellipsis_local.gdal_errors import writing
from ellipsis_local.notices import warn
from ellipsis_local.vector.inspect import KINDS, Census
from ellipsis_local.vector.reader import calls
from ellipsis_local.vector.schema import FRAME, for_frames, further_geometries, geo_metadata, is_json
from ellipsis_local.vector.wkb import Shapes, to_shapely

# Small enough that a reader of one partition skips most of a file.
GROUP_ROWS = 65_536
GROUP_BYTES = 16 * 1024**2


def located(schema: Any, geometry: str, crs: str, more: dict[bytes, bytes] | None = None) -> Any:
    """A schema that says where its geometry is; what it says to pandas and of further geometries stays."""
    kept = {key: value for key, value in (schema.metadata or {}).items() if key in (b"pandas", FRAME)}
    geo = geo_metadata(geometry, crs, further_geometries(schema, geometry))
    return schema.with_metadata({**kept, **geo, **(more or {})})


class GeoParquetWriter:
    """Writes tables of one schema to `path`, piece by piece; a context manager, `census` says what was written."""

    def __init__(
        self,
        path: Path,
        schema: Any,
        geometry: str,
        crs: str,
        *,
        compression: str = "zstd",
        more: dict[bytes, bytes] | None = None,
    ) -> None:
        import pyarrow.parquet

        self.schema = located(schema, geometry, crs, more)
        self.geometry = geometry
        self.census = Census()
        self._pending: list[Any] = []
        self._rows = self._bytes = 0
        self._file = pyarrow.parquet.ParquetWriter(path, self.schema, compression=compression)

    def write(self, table: Any) -> None:
        """Append a table, or a record batch, of the schema."""
        import pyarrow as pa

        if not len(table):
            return
        table = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
        for chunk in table[self.geometry].chunks:
            self.census.add(chunk)
        self._pending.append(table.replace_schema_metadata(self.schema.metadata))
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._pending:
            table = pa.concat_tables(self._pending).unify_dictionaries()
            self._file.write_table(table, row_group_size=max(1, min(len(table), GROUP_ROWS)))
            self._pending, self._rows, self._bytes = [], 0, 0

    def __enter__(self) -> GeoParquetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()


def write_partition(path: Path, table: Any, geometry: str, crs: str) -> int:
    """A node's features, as fast as they are written and read; the size of the file."""
    import pyarrow as pa
    import pyarrow.parquet

    # Making compression and dictionaries costs more than their bytes.
    schema = located(table.schema, geometry, crs)
    encoded = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    pyarrow.parquet.write_table(
        table.replace_schema_metadata(schema.metadata), path, compression="none", use_dictionary=encoded or False,
        write_statistics=False, row_group_size=max(1, len(table)),
    )  # fmt: skip
    return path.stat().st_size


def checked_frame(frame: Any, *, epsg: int | None = None) -> Any:
    """A frame that can be stored; ArgumentError without a geometry, a CRS, or names of columns that can be kept."""
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
    # Any other index becomes columns, as in GeoDataFrame.to_file.
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


class _Digest(io.RawIOBase):
    """A file that only hashes what is written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)


def frame_content(frame: Any) -> str:
    """Hash of a checked frame: columns, dtypes, values, geometry and CRS; no file format or version in it."""
    facts = [frame.active_geometry_name, crs_text(frame.crs, "the GeoDataFrame")]
    return table_content(arrow_table(frame), facts + [f"{name} {dtype}" for name, dtype in frame.dtypes.items()])


def table_content(table: Any, facts: list[str]) -> str:
    """Hash of an Arrow table and of what else is to count."""
    import pyarrow

    sink = _Digest()
    plain = pyarrow.schema([pyarrow.field(field.name, field.type) for field in table.schema])
    sink.write("\n".join(facts).encode())
    table = pyarrow.Table.from_arrays([column.combine_chunks() for column in table.columns], schema=plain)
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(sink, mode="w"), plain) as stream:
        stream.write_table(table)
    return sink.hash.hexdigest()


def write_frame(target: Path, frame: Any) -> None:
    """A checked frame as GeoParquet; LayerError naming the column that cannot be kept, StoreError on a full disk."""
    import pyarrow as pa

    table = arrow_table(frame)
    geometry, crs = frame.active_geometry_name, crs_text(frame.crs, "the GeoDataFrame")
    others: dict[str, Any] = {
        name: {"encoding": "WKB", "geometry_types": [], "crs": own.crs and own.crs.to_json_dict()}
        for name, own in frame.items()
        if hasattr(own, "geom_type")
    }
    fields = [pa.field(one.name, pa.binary()) if one.name in others else one for one in table.schema]
    metadata = {**(table.schema.metadata or {}), **geo_metadata(geometry, crs, others), FRAME: b"1"}
    columns = [stored(column) for column in table.columns]
    _write_parquet(target, pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata)), geometry, crs)


def _write_parquet(target: Path, table: Any, geometry: str, crs: str) -> None:
    import pyarrow.parquet

    table = table.replace_schema_metadata(located(table.schema, geometry, crs).metadata)
    with writing(target):
        pyarrow.parquet.write_table(table, target, compression="zstd", row_group_size=GROUP_ROWS)


def stored(column: Any) -> Any:
    """A column without the extension type of GeoArrow, which not every pyarrow knows."""
    import pyarrow as pa

    if str(getattr(column.type, "extension_name", "")).startswith("geoarrow."):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    return column


def write_table(target: Path, table: Any, geometry: str, crs: str, format: Format) -> None:
    """A layer in a format; LayerError where that cannot hold it, StoreError on a full disk."""
    import pyogrio.raw

    if format.reads == "parquet":
        _write_parquet(target, for_frames(table), geometry, crs)
        return
    given = format.facts.get("name_bytes")
    long = [name for name in table.column_names if given and name != geometry and len(name.encode()) > given]
    if long:
        warn(f"a shapefile shortens names to ten characters: {', '.join(map(repr, long))}", LayerWarning)
    table = for_ogr(table, geometry, format)
    assert format.options is not None  # noqa: S101 - the caller looked
    options = format.options(table.drop_columns([geometry]))
    with calls("the layer", f"cannot be written as {target.suffix}", writes=True):
        pyogrio.raw.write_arrow(
            table, target, driver=format.driver, layer=target.stem, geometry_name=geometry, crs=crs,
            geometry_type=geometry_type(table[geometry], format), **options,
        )  # fmt: skip


DIMENSIONS = ("{}", "{} Z", "Measured {}", "Measured 3D {}")


def geometry_type(column: Any, format: Format) -> str:
    """The type of all geometries, as pyogrio calls it; Unknown where there are several."""
    kinds: set[tuple[int, int]] = set()
    for chunk in column.chunks:
        shapes = Shapes(chunk)
        dimensions = (shapes.widths - 8 * shapes.measured > 16) + 2 * shapes.measured
        found = np.unique(np.column_stack([shapes.kinds, dimensions])[shapes.kinds > 0], axis=0)
        kinds |= {(kind, dimension) for kind, dimension in found.tolist()}
    if len(kinds) == 1:
        ((kind, dimension),) = kinds
        name = DIMENSIONS[dimension].format(KINDS[kind])
        return "PointM" if name == "Measured Point" else name
    if any(dimension for _, dimension in kinds) and format.facts.get("flat_where_mixed"):
        warn(f"{format.title} keeps no Z and M of geometries of several types; .gpkg and .parquet do", LayerWarning)
    return "Unknown"


def for_ogr(table: Any, geometry: str, format: Format) -> Any:
    """The table with what OGR has no type for as its plain values; LayerError naming a column without such values."""
    import pyarrow as pa
    import shapely
    from pyarrow import types

    further = further_geometries(table.schema, geometry)
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type
        if types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        elif field.name in further:
            texts = [None if one is None else shapely.to_wkt(one) for one in to_shapely(column)]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        elif kind == pa.uint64():
            try:
                column = column.cast(pa.int64())
            except pa.ArrowInvalid:
                raise cannot(field, format) from None
        elif types.is_null(kind) or types.is_decimal(kind):
            column = column.cast(pa.string() if types.is_null(kind) else pa.float64())
        elif field.name != geometry and is_lacking(field, format):
            raise cannot(field, format)
        fields.append(pa.field(field.name, column.type, metadata=JSON_NOTE if is_json(field) else None))
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


JSON_NOTE = {b"ARROW:extension:name": b"arrow.json", b"ARROW:extension:metadata": b""}


def is_lacking(field: Any, format: Format) -> bool:
    """Whether a format has no type for a column."""
    import pyarrow as pa
    from pyarrow import types

    kind = field.type
    if types.is_nested(kind):
        inner = kind.value_type if types.is_list(kind) or types.is_large_list(kind) else None
        simple = inner and (types.is_integer(inner) or types.is_floating(inner) or types.is_string(inner))
        return "list" in format.facts.get("lacks", ()) or not simple
    if types.is_binary(kind) or types.is_large_binary(kind):
        return "binary" in format.facts.get("lacks", ())
    odd = types.is_duration(kind) or types.is_interval(kind) or str(kind) == "halffloat"
    return odd or isinstance(kind, pa.BaseExtensionType) or bool(field.metadata and not is_json(field))


def cannot(field: Any, format: Format) -> LayerError:
    return LayerError(
        f"column {field.name!r} ({field.type}) has no counterpart in {format.suffixes[0]}; export as .parquet"
    )
