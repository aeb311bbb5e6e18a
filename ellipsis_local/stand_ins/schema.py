"""What a layer is like, without its values: of a layer of the home, of a file, or as it was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.crs import WEB_MERCATOR, epsg_text, is_geographic, same, transform_extent
from ellipsis_local.errors import ArgumentError
from ellipsis_local.types import Extent, RasterFile, VectorFile

LayerType = Literal["raster", "vector"]
DTYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip
GEOMETRIES = ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
KEYS = ("xMin", "yMin", "xMax", "yMax")
EXTENT = Extent(500_000.0, 5_994_880.0, 505_120.0, 6_000_000.0)
"""In EPSG:3857, of a layer of which no place is known: the same for all, so that those of one script meet."""
MOST_FEATURES = 100_000
"""Of a layer that has more, so many are invented."""
PIXELS = 512
"""Along the longer side, where no resolution is known."""
SCHEMA_KEYS = {
    "raster": ("crs", "extent", "bands", "dtype", "nodata", "resolution"),
    "vector": ("crs", "extent", "geometries", "features", "columns"),
}
OF_ONE_TYPE: dict[str, LayerType] = {
    "bands": "raster", "dtype": "raster", "nodata": "raster", "value_range": "raster",
    "resolution": "raster",    "columns": "vector", "geometries": "vector", "features": "vector",
}  # fmt: skip
"""Which of the fields below only one type of layer has."""
CALLED = {"nodata": "noDataValue", "value_range": "valueRange", "geometries": "geometry"}
"""The arguments of `layers.invent` that are not called as the fields are."""


@dataclass(frozen=True)
class LayerSchema:
    """What is known of a layer."""

    type: LayerType
    crs: str = WEB_MERCATOR
    extent: Extent = EXTENT
    """In that CRS."""
    bands: tuple[str | None, ...] = (None,)
    """Their names."""
    dtype: str = "uint16"
    nodata: float | None = None
    value_range: tuple[float, float] | None = None
    """Of what is to be invented: nobody knows it of a layer."""
    resolution: tuple[float, float] = (EXTENT.width / PIXELS,) * 2
    """Width and height of a pixel."""
    geometries: tuple[str, ...] = ("Polygon",)
    columns: Mapping[str, str] = field(default_factory=dict)
    """Arrow's name of the type, by the name of the column."""
    features: int = 200

    def fields(self) -> dict[str, Any]:
        """What there is to know of its type, as JSON and TOML have it; for `from_fields`."""
        names = self.bands
        # TOML has no null.
        bands = [name or "" for name in names] if any(names) else len(names)
        given = vars(self) | {"bands": bands, "extent": list(self.extent), "columns": dict(self.columns)}
        return {key: given[key] for key in SCHEMA_KEYS[self.type]}


def from_fields(kind: LayerType, values: Mapping[str, Any]) -> LayerSchema:
    """The schema that `fields` wrote, or somebody by hand; checked as arguments are."""
    from ellipsis_local.crs import crs_text

    given = {key: value for key, value in values.items() if key in SCHEMA_KEYS[kind] and key not in ("crs", "extent")}
    # Of these, more are known than are invented.
    columns, count = given.pop("columns", {}), given.pop("features", LayerSchema.features)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise invalid("features", count, "must be a whole number from 0 on")
    if not isinstance(columns, Mapping) or not all(isinstance(one, str) for one in columns.values()):
        raise invalid("columns", columns, "must be a table of names and types")
    extent = values.get("extent")
    corners = dict(zip(KEYS, extent, strict=True)) if isinstance(extent, list) and len(extent) == 4 else extent
    known = LayerSchema(kind, crs_text(values["crs"], "the layer") if "crs" in values else WEB_MERCATOR)
    schema = make_schema(known, extent=corners, **given)
    return replace(schema, columns=columns, features=count, bands=tuple(name or None for name in schema.bands))


def schema_of(files: Sequence[RasterFile | VectorFile]) -> LayerSchema:
    """Of the files of one timestamp; what they do not share is as in the topmost."""
    top = files[-1]
    extents = [one for file in files if same(file.crs, top.crs) and (one := _extent_of(file)) is not None]
    extent = extents[0] if extents else None
    for one in extents[1:]:
        extent = one.union(extent or one)
    if isinstance(top, RasterFile):
        a, b, _, d, e, _ = top.transform
        return LayerSchema(
            "raster", top.crs, extent or EXTENT, top.descriptions or (None,) * top.bands, top.dtype, top.nodata,
            resolution=(math.hypot(a, d), math.hypot(b, e)),
        )  # fmt: skip
    columns = {
        name: kind
        for file in files
        if isinstance(file, VectorFile)
        # The types are not in records of 0.1.0.
        for name, kind in zip(file.fields, file.types or ("string",) * len(file.fields), strict=True)
    }
    where = _placed(LayerSchema("vector"), top.crs) if extent is None else LayerSchema("vector", top.crs, extent)
    kinds = tuple(kind for kind in top.geometries if kind in GEOMETRIES)
    count = sum(file.features for file in files if isinstance(file, VectorFile))
    return replace(where, geometries=kinds or ("Polygon",), columns=columns, features=count)


def _extent_of(file: RasterFile | VectorFile) -> Extent | None:
    from ellipsis_local.raster.files import extent_of

    return extent_of(file) if isinstance(file, RasterFile) else file.extent


def make_schema(
    known: LayerSchema | None, *, type: Any = None, epsg: int | None = None, extent: Any = None, **given: Any
) -> LayerSchema:
    """What is known, if anything, with what was given in its place; ArgumentError naming what cannot be."""
    given = {name: value for name, value in given.items() if value is not None}
    kinds = {OF_ONE_TYPE[name] for name in given}
    if type not in (None, "raster", "vector"):
        raise invalid("type", type, f"must be 'raster' or 'vector', not {type!r}")
    kind = type or (known.type if known is not None else None) or (min(kinds) if len(kinds) == 1 else None)
    if kind is None:
        text = "must be 'raster' or 'vector', because nothing that was given says which; or give like=, a layer or file"
        raise invalid("type", None, text)
    for name in given:
        if OF_ONE_TYPE[name] != kind:
            called = CALLED.get(name, name)
            raise invalid(called, given[name], f"is of a {OF_ONE_TYPE[name]}, and this is a {kind}; leave it out")
    base = known if known is not None and known.type == kind else LayerSchema(kind)
    if epsg is not None:
        base = _placed(base, epsg_text(epsg))
    if extent is not None:
        own = known is not None and known.type == kind and base.crs == known.crs
        base = replace(base, extent=_extent(extent))
        base = base if own else replace(base, resolution=_resolution(base.extent))
    checks: dict[str, Callable[[Any], Any]] = {
        "bands": _bands, "dtype": _dtype, "resolution": _size, "geometries": _geometries, "columns": _columns,
        "features": _count,
    }  # fmt: skip
    schema = replace(base, **{name: checks[name](value) for name, value in given.items() if name in checks})
    if kind == "vector":
        return schema
    nodata, wanted = given.get("nodata", schema.nodata), given.get("value_range")
    if nodata is not None:
        _check_values("noDataValue", nodata, [nodata], schema.dtype)
    if wanted is not None:
        _check_values("valueRange", wanted, wanted if isinstance(wanted, Sequence) else [None], schema.dtype)
        if len(wanted) != 2 or not wanted[0] < wanted[1] or not all(map(math.isfinite, wanted)):
            raise invalid("valueRange", wanted, f"must be the lowest and the highest value, not {wanted!r}")
    return replace(schema, nodata=nodata, value_range=wanted)


def _check_values(called: str, given: Any, values: Sequence[Any], dtype: str) -> None:
    from ellipsis_local.raster.files import possible

    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | float) or not possible(one, dtype):
            text = f"{given!r} cannot occur in a raster of {dtype}; give another one, or another dtype"
            raise invalid(called, given, text)


def _placed(schema: LayerSchema, crs: str) -> LayerSchema:
    """The same place in another CRS."""
    if same(schema.crs, crs):
        return schema
    extent = transform_extent(schema.crs, crs, schema.extent)
    if extent is None or not (0 < extent.width < math.inf and 0 < extent.height < math.inf):
        # Nowhere near the area of that CRS: whoever means a place gives it.
        extent = Extent(4.5, 47.3, 4.55, 47.35) if is_geographic(crs) else EXTENT
    return replace(schema, crs=crs, extent=extent, resolution=_resolution(extent))


def _resolution(extent: Extent) -> tuple[float, float]:
    return (max(extent.width, extent.height) / PIXELS,) * 2


def _extent(value: Any) -> Extent:
    numbers = [value[key] for key in KEYS] if isinstance(value, Mapping) and set(value) == set(KEYS) else []
    plain = [isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in numbers]
    if not plain or not all(plain):
        # The client's wording.
        keys = ", ".join(KEYS)
        text = f"must be a dictionary with keys {keys} whose values must be of type float, not {value!r}"
        raise invalid("extent", value, text)
    found = Extent(*map(float, numbers))
    for axis, side in (("x", found.width), ("y", found.height)):
        if side <= 0:
            text = f"extent: {axis}Max must be strictly larger than {axis}Min"
            raise ArgumentError(text, argument="extent", value=value)
    return found


def _bands(value: Any) -> tuple[str | None, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 < value <= 1000:
            raise invalid("bands", value, f"must be from 1 to 1000, not {value}")
        return (None,) * value
    names = arguments.string_list("bands", value)
    if not names:
        raise invalid("bands", value, "must be a number of bands or a list of their names, and not empty")
    return tuple(names)


def _dtype(value: Any) -> str:
    name = str(getattr(value, "name", value))
    if name not in DTYPES:
        raise invalid("dtype", value, f"must be one of {', '.join(DTYPES)}, not {value!r}")
    return name


def _size(value: Any) -> tuple[float, float]:
    several = isinstance(value, Sequence) and not isinstance(value, str)
    sizes = tuple(arguments.number("resolution", one) for one in (value if several else (value, value)))
    if len(sizes) != 2 or not all(one is not None and 0 < one < math.inf for one in sizes):
        raise invalid("resolution", value, f"must be larger than 0, in units of the CRS, not {value!r}")
    return sizes  # type: ignore[return-value]


def _geometries(value: Any) -> tuple[str, ...]:
    kinds = [value] if isinstance(value, str) else arguments.string_list("geometry", value)
    if not kinds or not set(kinds) <= set(GEOMETRIES):
        raise invalid("geometry", value, f"must be one or several of {', '.join(GEOMETRIES)}, not {value!r}")
    return tuple(kinds)


def _columns(value: Any) -> dict[str, str]:
    from ellipsis_local.stand_ins.columns import WORDS, arrow_type

    if not isinstance(value, Mapping) or not all(isinstance(one, str) for pair in value.items() for one in pair):
        raise invalid("columns", value, f"must be a dictionary of names and types, such as 'int64', not {value!r}")
    for name, kind in value.items():
        if name == "geometry":
            raise invalid("columns", value, "must not name 'geometry', which every vector has; leave it out")
        if arrow_type(kind) is None:
            words = ", ".join(sorted(WORDS))
            raise invalid(f"columns[{name!r}]", kind, f"must be one of {words}, or a type of Arrow's, not {kind!r}")
    return dict(value)


def _count(value: Any) -> int:
    count = arguments.integer("features", value)
    if count is None or not 0 <= count <= MOST_FEATURES:
        raise invalid("features", value, f"must be from 0 to {MOST_FEATURES}, not {value!r}")
    return count
