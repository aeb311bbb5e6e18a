"""Geometries, CRSs and rasterio's and affine's records, on their way from a node to the caller: see `values`."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Callable

import numpy

from .arrow_values import arrow_blob, read_arrow

if TYPE_CHECKING:
    from .values import Reader, Writer


def write(writer: Writer, value: Any, kind: Any, place: Any) -> Any:
    """The tree of a geometry, a CRS, a transform or a record of rasterio; None for anything else."""
    module, name = kind.__module__, kind.__name__
    if module.startswith("shapely.geometry"):
        return _geometry(writer, value, place)
    if name == "CRS" and module in ("rasterio.crs", "pyproj.crs.crs"):
        return write_crs(writer, value, place)
    if name == "Affine" and module.partition(".")[0] == "affine":
        return {"t": "affine", "v": writer.write([float(x) for x in value[:6]], place)}
    if (module, name) == ("rasterio.windows", "Window"):
        return {"t": "window", "v": writer.write([value.col_off, value.row_off, value.width, value.height], place)}
    if module == "rasterio.profiles":
        return {"t": "profile", "of": name, "v": writer.write(value.data, place)}
    if module == "rasterio.enums":
        return {"t": "enum", "of": name, "v": writer.write(value.value, place)}
    return None


def write_crs(writer: Writer, value: Any, place: Any) -> Any:
    tree = _crs(type(value).__module__.partition(".")[0], value, str(value))
    if tree is None:
        raise writer.refusal(place, "is a CRS that no text describes; return `.to_json()` or `.to_wkt()` of it")
    return tree


@lru_cache(64)
def _crs(library: str, value: Any, given: str) -> Any:
    """As its owner gave it, where that says the same, and as WKT for a PROJ that does not know that."""
    if not given:
        return {"t": f"{library}-crs", "v": ""}
    versions: dict[str, tuple[str | None, ...]] = {"rasterio": (None, "WKT2_2019"), "pyproj": ("WKT2_2019",)}
    texts = (value.to_wkt(version=version) for version in versions[library])
    text = next((text for text in texts if _make_crs(library, None, text) == value), None)
    if given != text and _make_crs(library, given, "") == value:
        return {"t": f"{library}-crs", "v": text or "", "given": given}
    return None if text is None else {"t": f"{library}-crs", "v": text}


@lru_cache(64)
def _make_crs(library: str, given: str | None, text: str) -> Any:
    crs = import_module(f"{library}.crs").CRS
    if given is not None:
        try:
            return crs.from_string(given) if library == "rasterio" else crs(given)
        except import_module("rasterio.errors" if library == "rasterio" else "pyproj.exceptions").CRSError:
            if not text:
                raise
    return crs.from_wkt(text) if text else crs()


def _geometry(writer: Writer, value: Any, place: Any) -> Any:
    import shapely

    data = shapely.to_wkb(value, include_srid=True)
    tree = {"t": "geometry"}
    points = value.geom_type in ("Point", "MultiPoint") and numpy.isnan(shapely.get_coordinates(value)).any()
    if points or value.geom_type in ("LinearRing", "GeometryCollection"):
        if value.geom_type == "LinearRing":
            tree["of"] = "LinearRing"
        made = _from_wkb(data, tree)
        if (type(made), _told(made)) != (type(value), _told(value)):
            raise writer.refusal(place, f"is a {value.geom_type} that WKB does not hold; return its coordinates")
    return {**tree, "b": writer.blob(data)}


def _told(geometry: Any) -> tuple[Any, ...]:
    import shapely

    text = shapely.to_wkt(geometry, rounding_precision=-1, output_dimension=4 if shapely.geos_version > (3, 12) else 3)
    return text, geometry.has_z, shapely.get_srid(geometry)


def _from_wkb(data: Any, tree: dict[str, Any]) -> Any:
    import shapely

    made = _read_geometries(bytes(data))
    if tree.get("of") != "LinearRing":
        return made
    srid = int(shapely.get_srid(made))
    ring = shapely.LinearRing(made.coords)
    return shapely.set_srid(ring, srid) if srid else ring


def pack(writer: Writer, geometries: Any) -> Any:
    """An array of geometries as one blob; None where WKB may not hold all: it has no rings, and no points at NaN."""
    import pyarrow
    import shapely

    kinds = shapely.get_type_id(geometries)
    points = shapely.get_coordinates(geometries[(kinds == 0) | (kinds == 4)])
    if numpy.isin(kinds, (2, 7)).any() or numpy.isnan(points).any():
        return None
    data = pyarrow.array(shapely.to_wkb(geometries, include_srid=True), type=pyarrow.binary())
    return {"t": "wkb", "b": arrow_blob(writer, data)}


def _read_geometries(data: Any) -> Any:
    import shapely

    # Points without coordinates are NaN in WKB, of which numpy would warn.
    with numpy.errstate(invalid="ignore"):
        return shapely.from_wkb(data)


def _read_profile(reader: Reader, tree: dict[str, Any]) -> Any:
    profile = getattr(import_module("rasterio.profiles"), tree["of"])()
    profile.data = reader.read(tree["v"])
    return profile


READERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "geometry": lambda reader, tree: _from_wkb(reader.blob(tree), tree),
    "wkb": lambda reader, tree: _read_geometries(read_arrow(reader, tree).to_numpy()),
    "profile": _read_profile,
    "affine": lambda reader, tree: import_module("affine").Affine(*reader.read(tree["v"])),
    # Before 0.2 there was only the WKT.
    "rasterio-crs": lambda _, tree: _make_crs("rasterio", tree.get("given"), tree["v"]),
    "pyproj-crs": lambda _, tree: _make_crs("pyproj", tree.get("given"), tree["v"]),
    "window": lambda reader, tree: import_module("rasterio.windows").Window(*reader.read(tree["v"])),
    "enum": lambda reader, tree: getattr(import_module("rasterio.enums"), tree["of"])(reader.read(tree["v"])),
}
