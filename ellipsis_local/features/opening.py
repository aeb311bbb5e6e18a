"""Opening stored vector files.

GeoParquet in groups of a fair size is read as it lies there. Everything else is copied into such a file once, in
batches, under the hash of its content in the cache: no other format gives the features from the 900,000th on without
reading those before.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from ellipsis_local.errors import LayerError
from ellipsis_local.features.copies import attributes, copy_of
from ellipsis_local.features.sheets import Sheet, index_of
from ellipsis_local.gdal_errors import reading
from ellipsis_local.home import Home
from ellipsis_local.types import StoredFile, VectorFile

__all__ = ["open_sheet", "schema_of"]

MOST_ROWS = 131_072
MOST_BYTES = 64 * 1024**2


def open_sheet(home: Home, file: StoredFile) -> Sheet:
    """The rows of a stored file; LayerError where it is gone or damaged."""
    detail = file.detail
    if not isinstance(detail, VectorFile):
        raise LayerError(f"{file.name} is no vector file", source=file.name)
    if detail.format == "parquet":
        own = opened(Path(detail.location), file.name)
        if is_direct(own, detail):
            return Sheet(own, file, detail)
        own.close()
    return Sheet(opened(copy_of(home, file), file.name), file, detail)


def opened(path: Path, name: str) -> Any:
    import pyarrow.parquet

    with reading(name):
        return pyarrow.parquet.ParquetFile(path)


def is_direct(file: Any, detail: VectorFile) -> bool:
    """Whether an open file holds WKB, in groups that may be held."""
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    small = all(one.num_rows <= MOST_ROWS and one.total_byte_size <= MOST_BYTES for one in groups)
    return small and is_wkb(file.schema_arrow, detail.geometry_column)


def is_wkb(schema: Any, geometry: str) -> bool:
    from pyarrow import types

    kind = schema.field(geometry).type
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


@lru_cache(maxsize=1024)
def schema_of(file: VectorFile) -> Any:
    """The attributes of a file as an Arrow schema, without a copy of the file being made."""
    import pyarrow as pa

    if file.format == "parquet":
        import pyarrow.parquet

        with reading(Path(file.location).name):
            own = pyarrow.parquet.read_schema(file.location)
        names = set(file.fields) - index_of(own)
        return pa.schema([field for field in own if field.name in names], own.metadata)
    return attributes(file)
