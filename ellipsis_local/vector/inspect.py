"""What the store notes of a vector file: one pass over its geometries, batch by batch, never held."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.errors import LayerError, LayerWarning
from ellipsis_local.formats import MOST_FEATURES, MOST_FIELDS, Format, check_count, few
from ellipsis_local.notices import warn
from ellipsis_local.types import Extent, VectorFile
from ellipsis_local.vector.reader import layers_of, open_layer
from ellipsis_local.vector.wkb import Floats, Shapes

KINDS = (
    "", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection",
)  # fmt: skip
"""As WKB numbers them; curves have the numbers after."""


@dataclass
class Census:
    """What a scan of the geometries found."""

    total: int = 0
    usable: int = 0
    measured: int = 0
    """How many have an M."""
    extent: Extent | None = None
    kinds: set[int] = field(default_factory=set)
    """As WKB numbers them, 0 for null."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the kinds that occur."""
        return tuple(KINDS[kind] if kind < len(KINDS) else "Curve" for kind in sorted(self.kinds) if kind)

    def add(self, wkb: Any, source: str = "the layer") -> None:
        """Count one Arrow array of WKB; LayerError for a kind that no frame can hold."""
        shapes = Shapes(wkb, source)
        if shapes.unknown is not None:
            raise LayerError.of(
                source,
                f"has a geometry of type {shapes.unknown}, which no frame holds; write it as polygons "
                "(ogr2ogr -nlt MULTIPOLYGON out.gpkg in) and add that",
            )
        bounds = shapes.bounds()[~shapes.without()]
        self.total += len(shapes)
        self.usable += len(bounds)
        self.measured += int(shapes.measured.sum())
        self.kinds |= set(np.unique(shapes.kinds).tolist())
        self.extent = united(bounds, self.extent)


def united(bounds: Floats, extent: Extent | None = None) -> Extent | None:
    """What contains some bounds, (rows, 4), and an extent."""
    if not len(bounds):
        return extent
    here = Extent(*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist())
    return here if extent is None else extent.union(here)


def inspect(
    location: str | Path,
    *,
    source: str,
    format: Format,
    content: str = "",
    epsg: int | None = None,
    layer: str | None = None,
) -> VectorFile:
    """What is known of the vector layer at `location`; our choice: the service's own checks are not documented."""
    layer = choose_layer(str(location), source, format, layer)
    with open_layer(location, format=format.reads, layer=layer, source=source) as opened:
        fields = tuple(name for name in opened.schema.names if name != opened.geometry)
        check_count(source, len(fields), MOST_FIELDS, "fields", "leave some out")
        crs = epsg_text(epsg) if epsg is not None else crs_text(opened.crs, source)
        census = Census()
        for wkb in opened.geometries():
            census.add(wkb, source)
            check_count(source, census.total, MOST_FEATURES, "features or more", "split it")
        rows = opened.rows
        if format.rows is not None and not str(location).startswith("/vsi"):
            rows = format.rows(Path(location))
        if rows is not None and census.total < rows:
            raise LayerError.of(
                source, f"is truncated or damaged: {rows - census.total:,} of {rows:,} features are missing"
            )
    report(census, source)
    return VectorFile(
        location=str(location), content=content, crs=crs, features=census.usable, extent=census.extent, fields=fields,
        geometry_column=opened.geometry, format=format.reads, layer=layer,
        without_geometry=census.total - census.usable, geometries=census.names,
        types=tuple(str(opened.schema.field(name).type).removeprefix("large_") for name in fields),
    )  # fmt: skip


def report(census: Census, source: str) -> None:
    """The warnings about a layer; LayerError where it has features, and none with a geometry."""
    import shapely

    if census.total and not census.usable:
        raise LayerError(f"none of the {census.total} features of {source} has a geometry", source=source)
    if census.usable < census.total:
        warn(
            f"{census.total - census.usable} of {census.total} features of {source} have no geometry and are left out",
            LayerWarning,
        )
    if census.measured and shapely.geos_version < (3, 12, 0):
        warn(
            f"{census.measured} of {census.total} features of {source} have measures (M), which this GEOS drops; "
            "with shapely 2.1 or later they are kept",
            LayerWarning,
        )


def choose_layer(location: str, source: str, format: Format, layer: str | None) -> str | None:
    """The layer to read; LayerError where there is none, or several and `layer` names none of them."""
    # Only a format that holds several is asked for their names, unless one was given.
    if format.reads == "parquet" or (format.layers is None and layer is None):
        return None
    own = format.layers if not location.startswith("/vsi") else None
    names = layers_of(location) if own is None else own(Path(location))
    if layer is None and len(names) == 1:
        return names[0]
    if layer in names:
        return layer
    wrong = f"holds {len(names)} layers; pass layer= with one of {few(names)}"
    if layer is not None:
        wrong = f"has no layer {layer!r} with geometries; it has {few(names) or 'none'}"
    elif not names:
        wrong = "has no geometry: it is a plain table"
    raise LayerError.of(source, wrong)
