"""Copies of vector files as GeoParquet in small groups of rows, in the cache, made in batches at the first need."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ellipsis_local.errors import LayerError
from ellipsis_local.features.columns import MARK
from ellipsis_local.features.schemas import notes_of, pandas_metadata
from ellipsis_local.features.sheets import index_of
from ellipsis_local.features.writing import LayerWriter
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.home import Home
from ellipsis_local.types import StoredFile, VectorFile

__all__ = ["attributes", "cache_file", "copy_of", "forget", "tidy"]

BATCH = 2048
FORMAT = 1
"""Part of the names: raised when a copy of the same file would hold something else."""
DRAFT_SECONDS = 3600.0
GEOMETRY = "geometry"
"""What pyogrio calls the column, and so computes."""


def folder(home: Home) -> Path:
    return home.cache / "features"


def cache_file(home: Home, content: str, suffix: str) -> Path:
    """Where what is kept about content lies; the folder is there then."""
    place = folder(home)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    return place / f"{content}-{FORMAT}{suffix}"


def tidy(home: Home, contents: set[str]) -> None:
    """Remove what belongs to none of these contents, and the drafts of killed processes."""
    for path in folder(home).glob("*"):
        with contextlib.suppress(OSError):
            if path.name.startswith(".new-"):
                if time.time() - path.stat().st_mtime > DRAFT_SECONDS:
                    path.unlink()
            elif path.name.partition("-")[0] not in contents:
                path.unlink()


def forget(home: Home, content: str) -> None:
    """Remove what is kept about content; whoever still asks for it makes it again."""
    for path in folder(home).glob(f"{content}-*"):
        with contextlib.suppress(OSError):
            path.unlink()


def copy_of(home: Home, file: StoredFile) -> Path:
    """The copy of a file; one process makes it, others wait for it."""
    target = cache_file(home, file.content, ".parquet")
    if target.exists():
        return target
    with home.lock(f"features-{file.content[:32]}"):
        if not target.exists():
            assert isinstance(file.detail, VectorFile)  # noqa: S101 - the caller looked
            with writing(target), home.publish_file(target) as draft:
                copy(file.detail, file.name, draft)
    return target


def copy(detail: VectorFile, name: str, target: Path) -> None:
    schema, batches = (_parquet if detail.format == "parquet" else _ogr)(detail, name)
    geometry = detail.geometry_column
    with LayerWriter(target, schema, geometry, detail.crs, compression="lz4") as writer:
        for table, geometries in batches:
            writer.write(table.select(schema.names).cast(schema.remove_metadata()), geometries)


# ----- what OGR reads ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def arrow_stream(detail: VectorFile) -> Iterator[tuple[dict[str, Any], Any]]:
    import pyogrio.raw

    with pyogrio.raw.open_arrow(detail.location, layer=detail.layer, batch_size=BATCH, use_pyarrow=True) as (
        about,
        reader,
    ):
        yield about, reader


def moments(detail: VectorFile, schema: Any) -> dict[str, Any]:
    """The columns of times as computes get them, whole: how GDAL notes zones in Arrow differs between formats."""
    import pyarrow as pa
    import pyogrio

    names = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if not names:
        return {}
    frame = pyogrio.read_dataframe(
        detail.location, layer=detail.layer, columns=names, read_geometry=False, use_arrow=True
    )
    found = {}
    for name in names:
        try:
            found[name] = pa.array(frame[name], from_pandas=True)
        except pa.ArrowException:
            # Zones that differ from row to row are texts in older releases of pyogrio.
            found[name] = pa.array([None if one is None else str(one) for one in frame[name]], pa.string())
    return found


def attributes(detail: VectorFile) -> Any:
    """The schema of the attributes of a file that OGR reads."""
    import pyarrow as pa

    with reading(detail.location), arrow_stream(detail) as (about, reader):
        schema = reader.schema
        known = set(map(str, about["fields"])) - {GEOMETRY}
        times = moments(detail, schema)
    return pa.schema([plain_field(field, times.get(field.name)) for field in schema if field.name in known])


def plain_field(field: Any, times: Any) -> Any:
    """A field without extension types, which not every pyarrow knows; JSON stays marked."""
    import pyarrow as pa

    if times is not None:
        return pa.field(field.name, times.type)
    extension = (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        extension, kind = kind.extension_name, kind.storage_type
    return pa.field(field.name, kind, metadata={MARK: b"json"} if extension == "arrow.json" else None)


def _ogr(detail: VectorFile, name: str) -> tuple[Any, Iterator[tuple[Any, Any]]]:
    import pyarrow as pa

    wanted = attributes(detail)
    schema = wanted.append(pa.field(GEOMETRY, pa.binary()))
    return schema, _ogr_batches(detail, name, wanted)


def _ogr_batches(detail: VectorFile, name: str, wanted: Any) -> Iterator[tuple[Any, Any]]:
    import pyarrow as pa

    start = 0
    with reading(name), arrow_stream(detail) as (about, reader):
        times = moments(detail, reader.schema)
        column = about["geometry_name"] or "wkb_geometry"
        for batch in reader:
            arrays = []
            for field in wanted:
                array = batch.column(field.name)
                if field.name in times:
                    array = times[field.name].slice(start, batch.num_rows)
                elif isinstance(array, pa.ExtensionArray):
                    array = array.storage
                arrays.append(array)
            wkb, geometries = drawn(detail, batch.column(column), start)
            start += batch.num_rows
            names = [*wanted.names, GEOMETRY]
            yield pa.Table.from_arrays([*arrays, wkb], names=names), geometries


def drawn(detail: VectorFile, column: Any, start: int) -> tuple[Any, Any]:
    """WKB and geometries of a batch; curves, which shapely does not know, drawn straight."""
    import pyarrow as pa
    import pyogrio.raw
    import shapely

    try:
        return column, shapely.from_wkb(column.to_numpy(zero_copy_only=False))
    except (shapely.errors.ShapelyError, NotImplementedError):
        straight = pyogrio.raw.read(
            detail.location, layer=detail.layer, columns=[], skip_features=start, max_features=len(column)
        )[2]
        return pa.array(straight, pa.binary()), shapely.from_wkb(straight)


# ----- GeoParquet that is not read as it is --------------------------------------------------------------------------


def _parquet(detail: VectorFile, name: str) -> tuple[Any, Iterator[tuple[Any, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet

    with reading(name):
        own = pyarrow.parquet.read_schema(detail.location)
    geometry = detail.geometry_column
    fields = [
        pa.field(geometry, pa.binary()) if field.name == geometry else field
        for field in own
        if field.name in {*detail.fields, geometry} - index_of(own)
    ]
    schema = pa.schema(fields)
    notes = [note for name, note in notes_of(own).items() if name in schema.names]
    return schema.with_metadata(pandas_metadata(notes)), _parquet_batches(
        detail, name, [field.name for field in fields]
    )


def _parquet_batches(detail: VectorFile, name: str, names: list[str]) -> Iterator[tuple[Any, Any]]:
    import geopandas
    import pyarrow as pa
    import pyarrow.parquet
    import shapely

    geometry = detail.geometry_column
    encoding = geo_encoding(detail, name)
    native = None
    with reading(name):
        if encoding != "WKB":
            # Native encodings are rare: geopandas decodes the one column at once.
            native = np.asarray(geopandas.read_parquet(detail.location, columns=[geometry]).geometry.array)
        start = 0
        with pyarrow.parquet.ParquetFile(detail.location) as file:
            for batch in file.iter_batches(BATCH, columns=names):
                table = pa.Table.from_batches([batch])
                if native is None:
                    geometries = shapely.from_wkb(table[geometry].to_numpy())
                else:
                    geometries = native[start : start + len(table)]
                    wkb = pa.array(shapely.to_wkb(geometries), pa.binary())
                    table = table.set_column(table.schema.get_field_index(geometry), geometry, wkb)
                start += len(table)
                yield table, geometries


def geo_encoding(detail: VectorFile, name: str) -> str:
    import pyarrow.parquet

    with reading(name):
        metadata = pyarrow.parquet.read_schema(detail.location).metadata or {}
        try:
            return str(json.loads(metadata[b"geo"])["columns"][detail.geometry_column].get("encoding", "WKB"))
        except (KeyError, ValueError) as error:
            raise LayerError(f"{name} is no GeoParquet", source=name) from error
