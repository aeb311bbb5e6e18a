"""Pages of GeoJSON features as one GeoParquet file in EPSG:4326, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ellipsis_local.crs import WGS84
from ellipsis_local.errors import UpstreamError
from ellipsis_local.gdal_errors import writing
from ellipsis_local.types import Extent
from ellipsis_local.upstream.columns import Columns
from ellipsis_local.upstream.feature_pages import Feature, features_in
from ellipsis_local.vector import GeoParquetWriter, from_shapely


def write_features(
    target: Path, pages: Sequence[Path], told: Mapping[str, str | None], *, area: Extent | None, name: str
) -> int:
    """Write the features of `pages`; their number."""
    import pyarrow

    columns = Columns(told)
    for page in pages:
        for feature in features_in(page):
            columns.look(properties_of(feature))
    geometry = columns.free_name("geometry")
    schema = pyarrow.schema([*columns.fields(), pyarrow.field(geometry, pyarrow.binary())])
    count = 0
    known: set[str] = set()
    with writing(target), GeoParquetWriter(target, schema, geometry, WGS84) as writer:
        for page in pages:
            features = list(features_in(page))
            shapes = shapes_of(features, name)
            if area is not None:
                features, shapes = within(features, shapes, area, known)
            arrays = columns.arrays(properties_of(feature) for feature in features)
            wkb = from_shapely(shapes)
            table = pyarrow.Table.from_arrays([*arrays, wkb], schema=schema)
            writer.write(table)
            count += len(features)
    return count


def properties_of(feature: Feature) -> Mapping[str, Any]:
    found = feature.get("properties")
    return found if isinstance(found, Mapping) else {}


def shapes_of(features: Sequence[Feature], name: str) -> list[Any]:
    """Shapely geometries, None where a feature has none."""
    import shapely.errors
    from shapely.geometry import shape

    made = []
    for feature in features:
        geometry = feature.get("geometry")
        try:
            made.append(None if geometry is None else shape(geometry))
        except (
            AttributeError,
            IndexError,
            KeyError,
            TypeError,
            ValueError,
            RecursionError,
            shapely.errors.ShapelyError,
        ) as error:
            raise UpstreamError(
                f"feature {properties_of(feature).get('id')} of {name!r} has a geometry that cannot be understood: "
                f"{error}"
            ) from error
    return made


def within(
    features: Sequence[Feature], shapes: Sequence[Any], area: Extent, known: set[str]
) -> tuple[list[Feature], list[Any]]:
    """Those whose envelope touches the area and whose ids are not known yet."""
    kept: list[Feature] = []
    kept_shapes: list[Any] = []
    for feature, one in zip(features, shapes, strict=True):
        if one is None or one.is_empty:
            continue
        west, south, east, north = one.bounds
        if east < area.x_min or west > area.x_max or north < area.y_min or south > area.y_max:
            continue
        feature_id = properties_of(feature).get("id")
        if isinstance(feature_id, str):
            if feature_id in known:
                continue
            known.add(feature_id)
        kept.append(feature)
        kept_shapes.append(one)
    return kept, kept_shapes
