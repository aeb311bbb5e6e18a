"""The one reader of vector files: whatever the format, batches of one schema, or a table; values stay what they are."""

from __future__ import annotations

import contextlib
import inspect as python
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ellipsis_local.errors import LayerError, StoreError
from ellipsis_local.gdal_errors import is_full, reading
from ellipsis_local.vector.schema import FRAME, free_name, geo_of, index_columns, notes_of, pandas_metadata, plain
from ellipsis_local.vector.wkb import Shapes, from_shapely

BATCH = 65_536
DAMAGED = "cannot be read to its end; it is truncated or damaged"
ZONE = r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})$"


@contextlib.contextmanager
def calls(source: object, doing: str = "cannot be read", *, writes: bool = False) -> Iterator[None]:
    """For calls into pyogrio, pyarrow and shapely alone: what they raise, plain errors of Python among it, is ours."""
    with reading(str(source), doing, writes=writes):
        try:
            yield
        except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError, UnboundLocalError) as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            if writes and is_full(error):
                raise StoreError(f"the disk is full: {text}") from error
            raise LayerError.of(source, f"{doing}: {text}") from error


@dataclass
class Layer:
    """An open vector file."""

    source: str
    schema: Any
    """The attributes and `geometry`, which is WKB; in its metadata what the file says to pandas."""
    geometry: str
    crs: Any
    """As the file says it; None where it does not."""
    rows: int | None = None
    """As the file says."""
    geo: dict[str, Any] = field(default_factory=dict)
    """GeoParquet's metadata; empty for other formats."""
    _raw: Callable[[], Iterator[Any]] = lambda: iter(())
    """Batches with the columns of `schema` in its order, as the library gives them."""
    _times: dict[int, Any] = field(default_factory=dict)
    """By position: columns of times that come as text, and how to find their zone before all is read."""
    _straight: Callable[[], Any] | None = None
    """All geometries with their curves drawn straight."""

    def geometries(self) -> Iterator[Any]:
        """The WKB of all features, in batches, as it is in the file but for curves; every value is read."""
        place = self.schema.get_field_index(self.geometry)
        return (columns[place] for columns in self._straightened())

    def batches(self) -> Iterator[Any]:
        """Record batches of `schema`."""
        import pyarrow as pa

        schema = self.settle()
        for given in self._straightened():
            columns = [self._converted(one, schema.field(i), i in self._times) for i, one in enumerate(given)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _straightened(self) -> Iterator[list[Any]]:
        """The columns of each batch as the library gives them, but for curves."""
        drawn, start, place = None, 0, self.schema.get_field_index(self.geometry)
        for batch in self._raw():
            columns = list(batch.columns)
            if drawn is None and self._straight is not None and Shapes(columns[place], self.source).curved:
                drawn = self._straight()
            if drawn is not None:
                columns[place] = drawn.slice(start, batch.num_rows)
            start += batch.num_rows
            yield columns

    def table(self) -> Any:
        """All rows as one table of `schema`."""
        import pyarrow as pa

        batches = list(self.batches())
        return pa.Table.from_batches(batches, self.settle()).unify_dictionaries()

    def settle(self) -> Any:
        """The schema with the zones of its times, which are looked for in the file at the first call."""
        import pyarrow as pa

        for index, find in self._times.items():
            field = self.schema.field(index)
            if not pa.types.is_timestamp(field.type):
                self.schema = self.schema.set(index, field.with_type(pa.timestamp("ms", tz=find())))
        return self.schema

    def _converted(self, array: Any, wanted: Any, time: bool) -> Any:
        import pyarrow as pa

        if isinstance(array, pa.ExtensionArray) and not isinstance(wanted.type, pa.BaseExtensionType):
            array = array.storage
        if time:
            return moments(array, wanted.type)
        if pa.types.is_string(wanted.type):
            return readable(array)
        return array if array.type == wanted.type else array.cast(wanted.type)


def readable(array: Any) -> Any:
    """Text as UTF-8. Bytes that are none (a .dbf whose .cpg is missing or wrong) are read as Windows-1252."""
    import pyarrow as pa

    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        values = array.cast(pa.binary()).to_pylist()
        return pa.array([None if one is None else decoded(one) for one in values], pa.string())
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def decoded(data: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def zone_of(batches: Iterator[Any]) -> str | None:
    """The zone of a column of ISO texts: their one offset, UTC where they have several or some have none, or None."""
    import pyarrow.compute as pc

    found: set[str | None] = set()
    for array in batches:
        known = array.drop_null()
        zones = pc.struct_field(pc.extract_regex(known, ZONE), "zone") if len(known) else known
        found |= set(pc.unique(zones).to_pylist())
    named = {None if zone is None else normal(zone) for zone in found}
    return named.pop() if len(named) == 1 else "UTC" if named else None


def normal(zone: str) -> str:
    zone = zone if ":" in zone or zone == "Z" else f"{zone[:3]}:{zone[3:]}"
    return "UTC" if zone in ("Z", "+00:00", "-00:00") else zone


def moments(texts: Any, kind: Any) -> Any:
    """ISO texts as timestamps; those without an offset count as UTC in a column with a zone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # A leap second has no number of its own.
    texts = pc.replace_substring(pc.replace_substring(texts, " ", "T"), ":60", ":59")
    if kind.tz is not None:
        bare = pc.invert(pc.match_substring_regex(texts, ZONE))
        texts = pc.if_else(bare, pc.binary_join_element_wise(texts, "Z", ""), texts)
    return texts.cast(pa.timestamp("ms", tz=None if kind.tz is None else "UTC")).cast(kind)


@contextlib.contextmanager
def open_layer(
    location: str | Path,
    *,
    format: Literal["ogr", "parquet"] = "ogr",
    layer: str | None = None,
    geometry: str = "geometry",
    source: str | None = None,
    batch: int = BATCH,
) -> Iterator[Layer]:
    """Open a file once; LayerError where that cannot be, or it has no geometry."""
    location, source = str(location), source or str(location)
    if not location.startswith("/vsi") and not Path(location).exists():
        raise LayerError.of(source, "is not there")
    with contextlib.ExitStack() as stack:
        if format == "parquet":
            yield _parquet(stack, location, source, batch)
        else:
            yield _ogr(stack, location, layer, geometry, source, batch)


def layers_of(location: str | Path) -> tuple[str, ...]:
    """The names of the layers that have geometries; plain tables, such as QGIS's layer_styles, are none."""
    import pyogrio

    with calls(location):
        found = pyogrio.list_layers(location)
    return tuple(str(name) for name, geometry in found if geometry is not None)


def file_info(location: str | Path, layer: str | None = None) -> dict[str, Any]:
    """What pyogrio says of a layer: `driver`, `crs`, `features`, `fields`, `dtypes`, `geometry_type`."""
    import pyogrio

    with calls(location):
        found: dict[str, Any] = pyogrio.read_info(location, layer=layer)
    return found


@cache
def tells_times() -> bool:
    """Whether this pyogrio and GDAL give times as text in Arrow: as timestamps they lack zones in some formats."""
    import pyogrio
    import pyogrio.raw

    known = python.signature(pyogrio.raw.open_arrow).parameters
    return "datetime_as_string" in known and tuple(pyogrio.__gdal_version__) >= (3, 11, 0)


def _stream(stack: contextlib.ExitStack, location: str, layer: str | None, source: str, **options: Any) -> Any:
    import pyogrio.raw

    if tells_times():
        options["datetime_as_string"] = True
    with calls(source):
        return stack.enter_context(pyogrio.raw.open_arrow(location, layer=layer, use_pyarrow=True, **options))


def _ogr(
    stack: contextlib.ExitStack, location: str, layer: str | None, geometry: str, source: str, batch: int
) -> Layer:
    import pyarrow as pa

    about, reader = _stream(stack, location, layer, source, batch_size=batch)
    schema = reader.schema
    if about["geometry_type"] is None or not len(schema):
        raise LayerError.of(source, "has no geometry: it is a plain table")
    # The geometry stands behind the attributes, one of which may have its name.
    names: list[str] = []
    fields, times = [], {}
    for index, given in enumerate(list(schema)[:-1]):
        name = free_name(given.name, names)
        names.append(name)
        if pa.types.is_timestamp(given.type) or (given.metadata or {}).get(b"GDAL:OGR:type") == b"DateTime":
            times[index] = partial(_zone, location, layer, given.name, source)
            fields.append(pa.field(name, pa.string()))
        else:
            fields.append(plain(given, name))
    geometry = free_name(geometry, names)
    late = [] if tells_times() else [schema.names[i] for i in times]
    texts = _texts(location, layer, late, source) if late else []

    def raw() -> Iterator[Any]:
        start = 0
        for one in each(source, iter, reader):
            arrays = list(one.columns)
            for index, text in zip(times, texts, strict=False):
                arrays[index] = text.slice(start, one.num_rows)
            start += one.num_rows
            yield pa.RecordBatch.from_arrays(arrays, names=[*names, geometry])

    return Layer(
        source=source, schema=pa.schema([*fields, pa.field(geometry, pa.binary())]), geometry=geometry,
        crs=about["crs"], _raw=raw, _times=times, _straight=lambda: _drawn_straight(location, layer, source),
    )  # fmt: skip


def each(source: str, begin: Callable[..., Any], *given: Any, **options: Any) -> Iterator[Any]:
    """The batches of a library's iterator, which is called inside of `calls`, and whoever uses them is not."""
    with calls(source, DAMAGED):
        batches = begin(*given, **options)
    while True:
        with calls(source, DAMAGED):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _zone(location: str, layer: str | None, name: str, source: str) -> str | None:
    if not tells_times():
        return zone_of(iter(_texts(location, layer, [name], source)))
    with contextlib.ExitStack() as stack:
        _, reader = _stream(stack, location, layer, source, columns=[name], read_geometry=False)
        return zone_of(one.column(0) for one in each(source, iter, reader))


def _texts(location: str, layer: str | None, names: Sequence[str], source: str) -> list[Any]:
    """Columns of times as ISO texts, whole, from releases that do not give them in Arrow."""
    import pyarrow as pa
    import pyogrio.raw

    with calls(source):
        found = pyogrio.raw.read(
            location, layer=layer, columns=list(names), read_geometry=False, datetime_as_string=True
        )  # fmt: skip
    order = [str(name) for name in found[0]["fields"]]
    return [pa.array(found[3][order.index(name)], pa.string()) for name in names]


def _drawn_straight(location: str, layer: str | None, source: str) -> Any:
    import pyarrow as pa
    import pyogrio.raw

    with calls(source, DAMAGED):
        return pa.array(pyogrio.raw.read(location, layer=layer, columns=[])[2], pa.binary())


def _parquet(stack: contextlib.ExitStack, location: str, source: str, batch: int) -> Layer:
    import pyarrow as pa
    import pyarrow.parquet

    with calls(source):
        file = stack.enter_context(pyarrow.parquet.ParquetFile(location))
    own = file.schema_arrow
    geo = geo_of(own)
    if b"geo" not in (own.metadata or {}):
        raise LayerError.of(source, "is Parquet without geometry metadata, a plain table")
    if geo is None or str(geo["primary_column"]) not in own.names:
        raise LayerError.of(source, "names no primary geometry column")
    if doubles := sorted({repr(name) for name in own.names if own.names.count(name) > 1}):
        raise LayerError.of(source, f"has several columns named {', '.join(doubles)}; rename them")
    primary = str(geo["primary_column"])
    about = geo["columns"][primary]
    left_out = {*index_columns(own), *covering_columns(about)} - {primary}
    names = [name for name in own.names if name not in left_out]
    fields = [pa.field(primary, pa.binary()) if name == primary else plain(own.field(name)) for name in names]
    notes = [note for name, note in notes_of(own).items() if name in names]
    metadata = pandas_metadata(notes) | ({FRAME: b"1"} if FRAME in (own.metadata or {}) else {})
    encoding = str(about.get("encoding", "WKB"))

    def raw() -> Iterator[Any]:
        place = names.index(primary)
        for one in each(source, file.iter_batches, batch, columns=names):
            arrays = [one.column(one.schema.get_field_index(name)) for name in names]
            if encoding != "WKB":
                arrays[place] = _decoded(arrays[place], encoding, source)
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    return Layer(
        source=source, schema=pa.schema(fields, metadata), geometry=primary,
        # The specification: no "crs" key means OGC:CRS84, an explicit null means unknown.
        crs=about.get("crs", "OGC:CRS84"), rows=file.metadata.num_rows, geo=geo, _raw=raw,
    )  # fmt: skip


NATIVE = {"point": 0, "linestring": 1, "polygon": 2, "multipoint": 1, "multilinestring": 2, "multipolygon": 3}
"""GeoParquet's encodings in Arrow's own types, and how deep their vertices lie."""


def _decoded(array: Any, encoding: str, source: str) -> Any:
    """Geometries in one of Arrow's own encodings as WKB."""
    import shapely

    if encoding not in NATIVE:
        raise LayerError.of(source, f"has geometries in the encoding {encoding!r}; write it as WKB")
    array = array.storage if hasattr(array, "storage") else array
    missing = np.asarray(array.is_null())
    offsets, inner = [], array
    with calls(source, DAMAGED):
        for _ in range(NATIVE[encoding]):
            start = inner.offsets[0].as_py()
            offsets.append(np.asarray(inner.offsets) - start)
            inner = inner.values.slice(start, inner.offsets[-1].as_py() - start)
        if hasattr(inner, "field"):
            axes = [inner.type.field(i).name for i in range(inner.type.num_fields)]
            vertices = np.column_stack([inner.field(name).to_numpy(zero_copy_only=False) for name in axes])
        else:
            vertices = np.asarray(inner.values).reshape(len(inner), -1)
        found = shapely.from_ragged_array(
            shapely.GeometryType[encoding.upper()], vertices, tuple(reversed(offsets)) or None
        )
    found[missing] = None
    return from_shapely(found)


def covering_columns(about: dict[str, Any]) -> set[str]:
    """The columns that hold no data of their own, but the bounding boxes of a geometry column."""
    covering = about.get("covering")
    boxes = covering.get("bbox") if isinstance(covering, dict) else None
    paths = boxes.values() if isinstance(boxes, dict) else ()
    return {path[0] for path in paths if isinstance(path, list) and path and isinstance(path[0], str)}
