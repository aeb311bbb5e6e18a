"""Vector files: the one room that opens, reads, assigns and writes them; all others ask it."""

from ellipsis_local.vector import formats as _formats  # noqa: F401 - registers them
from ellipsis_local.vector.formats.geojson import is_geojson
from ellipsis_local.vector.formats.geopackage import data_types, vector_layers
from ellipsis_local.vector.inspect import Census, inspect
from ellipsis_local.vector.layers import (
    LayerTable,
    attributes,
    read_frame,
    read_partition,
    read_table,
    recognised,
    transform,
)
from ellipsis_local.vector.reader import file_info
from ellipsis_local.vector.rows import Rows, copy
from ellipsis_local.vector.schema import (
    FRAME,
    as_features,
    for_frames,
    is_json,
    is_text,
    json_field,
    notes_of,
    pandas_metadata,
    value_type,
    wider,
)
from ellipsis_local.vector.wkb import Shapes, from_shapely, to_shapely, without_geometry
from ellipsis_local.vector.writer import (
    GeoParquetWriter,
    checked_frame,
    frame_content,
    table_content,
    write_frame,
    write_partition,
    write_table,
)

__all__ = [
    "FRAME", "Census", "GeoParquetWriter", "LayerTable", "Rows", "Shapes", "as_features", "attributes", "checked_frame",
    "copy", "data_types", "file_info", "for_frames", "frame_content", "from_shapely", "inspect", "is_geojson",
    "is_json", "is_text", "json_field", "notes_of", "pandas_metadata", "read_frame", "read_partition", "read_table",
    "recognised", "table_content", "to_shapely", "transform", "value_type", "vector_layers", "wider",
    "without_geometry", "write_frame", "write_partition", "write_table",
]  # fmt: skip
