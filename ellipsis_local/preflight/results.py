"""What cannot travel back as JSON, and how to make JSON of it; what of it shows in the text of a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.names import arguments_of, bindings, dotted, imported_names, own_nodes
from ellipsis_local.preflight.source import Function, Source

LISTED = "`.tolist()`"
ADVICE = {
    "array": ("a numpy array", LISTED),
    "objects": ("a numpy array", LISTED),
    "masked": ("a masked numpy array", LISTED),
    "dtype": ("a numpy dtype", "`str(…)`"),
    "frame": ("a pandas DataFrame", "`.to_json()`"),
    "geoframe": ("a GeoDataFrame", "`.to_json()`"),
    "series": ("a pandas or geopandas Series", "`.to_json()`"),
    "index": ("a pandas Index", LISTED),
    "categorical": ("a pandas Categorical", LISTED),
    "NA": ("pandas.NA", "`None`"),
    "NaT": ("pandas.NaT", "`None`"),
    "timestamp": ("a pandas Timestamp", "`.isoformat()`"),
    "pandas-timedelta": ("a pandas Timedelta", "`.total_seconds()`"),
    "geometry": ("a shapely geometry", "`.wkt`"),
    "rasterio-crs": ("a CRS", "`.to_string()`"),
    "pyproj-crs": ("a CRS", "`.to_string()`"),
    "bytes": ("bytes", "`.hex()`"),
    "bytearray": ("a bytearray", "`.hex()`"),
    "set": ("a set", "`list(…)`"),
    "frozenset": ("a frozenset", "`list(…)`"),
    "range": ("a range", "`list(…)`"),
    "deque": ("a deque", "`list(…)`"),
    "profile": ("a profile of rasterio", "`dict(…)`"),
    "complex": ("a complex number", "`[z.real, z.imag]`"),
    "datetime": ("a datetime", "`.isoformat()`"),
    "date": ("a date", "`.isoformat()`"),
    "time": ("a time", "`.isoformat()`"),
    "timedelta": ("a timedelta", "`.total_seconds()`"),
    "decimal": ("a Decimal", "`float(…)` or `str(…)`"),
    "uuid": ("a UUID", "`str(…)`"),
}
"""Per tag of an encoded value what it is, and how its owner makes JSON of it."""
BY_FILE = "or create the compute with largeResult=True and return a memory file (BytesIO)"
WRITERS = {ADVICE["geoframe"][0]: "ellipsis.util.saveVector", ADVICE["array"][0]: "ellipsis.util.saveRaster"}
"""What makes a memory file of a value, by what it is."""

GENERATOR = ("a generator, which runs where it is read", "`list(…)`")
FUNCTION = ("a function", "what it returns")
FILE = ("a memory file", "it from a compute that is created with largeResult=True")
MADE_BY = {
    **dict.fromkeys(("numpy.array", "numpy.asarray", "numpy.zeros", "numpy.ones", "numpy.full"), "array"),
    **dict.fromkeys(("numpy.arange", "numpy.linspace", "numpy.stack", "numpy.concatenate", "numpy.unique"), "array"),
    **dict.fromkeys(("numpy.zeros_like", "numpy.ones_like", "numpy.histogram", "numpy.bincount"), "array"),
    **dict.fromkeys(("pandas.DataFrame", "pandas.merge", "pandas.crosstab", "pandas.read_csv"), "frame"),
    **dict.fromkeys(("geopandas.GeoDataFrame", "geopandas.sjoin", "geopandas.overlay", "geopandas.clip"), "geoframe"),
    **dict.fromkeys(("geopandas.GeoDataFrame.from_features", "geopandas.read_file"), "geoframe"),
    **dict.fromkeys(("pandas.Series", "geopandas.GeoSeries"), "series"),
    **dict.fromkeys(("shapely.Point", "shapely.box", "shapely.Polygon", "shapely.union_all"), "geometry"),
    **dict.fromkeys(("shapely.geometry.Point", "shapely.geometry.box", "shapely.geometry.Polygon"), "geometry"),
    **dict.fromkeys(("shapely.geometry.shape", "shapely.ops.unary_union"), "geometry"),
    **dict.fromkeys(("datetime.datetime", "datetime.datetime.now", "datetime.datetime.fromisoformat"), "datetime"),
    **{name: name for name in ("bytes", "bytearray", "set", "frozenset", "range", "complex")},
}
"""Calls whose result is of a kind, by the full name of what is called."""
MEMORY_FILES = {"io.BytesIO", "rasterio.io.MemoryFile", "rasterio.MemoryFile"}
LAZY = {"map", "filter", "zip", "enumerate", "reversed", "iter"}
PLAIN = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.JoinedStr, ast.Compare, ast.ListComp, ast.DictComp)

What = tuple[str, str]


def check_results(source: Source, large: bool | None) -> Iterator[Finding]:
    """Returned values of which the text shows that they cannot travel; silent where that is not known."""
    if large is None:
        return
    reader = _Kinds(source)
    for statement in own_nodes(source.node, ast.Return):
        if large:
            yield from _no_file(source, statement)
        elif statement.value is not None:
            found = next(reader.refused(statement.value), None)
            if found is not None:
                node, (what, way_out) = found
                message = f"it returns {what}, and small results travel to the client as JSON"
                advice = f"return {way_out}" + ("" if what == FILE[0] else f" instead, {by_file(what)}")
                yield Finding("result", message, advice, *source.place(node))


def _no_file(source: Source, statement: ast.Return) -> Iterator[Finding]:
    """What cannot be a memory file, which largeResult and writeToLayer want."""
    value = statement.value
    if value is None or (isinstance(value, PLAIN) and not isinstance(getattr(value, "value", None), bytes)):
        message = f"it returns {'no memory file' if value else 'nothing'}, and largeResult and writeToLayer want one"
        way_out = "return a BytesIO that holds a GeoTIFF or a GeoPackage, or create the compute without largeResult"
        yield Finding("result", message, way_out, *source.place(value or statement))


def by_file(what: str) -> str:
    """The way out by a large result, of which there is a writer for some values."""
    return BY_FILE + (f", as {WRITERS[what]} makes of it" if what in WRITERS else "")


def return_line(source: Source) -> int:
    """The line in the user's file of a function's only return of a value; where there are more, that of the def."""
    returns = [statement for statement in own_nodes(source.node, ast.Return) if statement.value is not None]
    return source.place(returns[0] if len(returns) == 1 else source.node)[0]


class _Kinds:
    """What kinds of values the expressions of a function have, as far as that is sure."""

    def __init__(self, source: Source) -> None:
        self.own = bindings(source.node.body)
        self.arguments = set(arguments_of(source.node))

    def refused(self, node: ast.expr) -> Iterator[tuple[ast.expr, What]]:
        """The parts of a returned value that JSON does not hold."""
        if isinstance(node, ast.List | ast.Tuple):
            parts = node.elts
        elif isinstance(node, ast.Dict):
            parts = node.values
        else:
            parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else []
            what = self.kind(node, 3)
            if what is not None:
                yield node, what
        for part in parts:
            yield from self.refused(part)

    def kind(self, node: ast.expr, depth: int) -> What | None:
        if isinstance(node, ast.Set | ast.SetComp):
            return ADVICE["set"]
        if isinstance(node, ast.GeneratorExp):
            return GENERATOR
        if isinstance(node, ast.Lambda):
            return FUNCTION
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes | complex):
            return ADVICE[type(node.value).__name__]
        if isinstance(node, ast.Call):
            return self.of_call(node)
        if isinstance(node, ast.Name) and depth:
            made = self.own.get(node.id, [])
            if len(made) == 1 and node.id not in self.arguments and isinstance(made[0], ast.Assign):
                assignment = made[0]
                plain = all(isinstance(target, ast.Name) for target in assignment.targets)
                return self.kind(assignment.value, depth - 1) if plain else None
            if made and all(isinstance(binder, Function) for binder in made):
                return FUNCTION
        return None

    def of_call(self, node: ast.Call) -> What | None:
        name = self.full_name(node.func)
        if name in MEMORY_FILES:
            return FILE
        if name in LAZY:
            return GENERATOR[0].replace("a generator", f"{name}(…)"), GENERATOR[1]
        return ADVICE.get(MADE_BY.get(name, ""))

    def full_name(self, node: ast.expr) -> str:
        """The name of a function with that of its module, by the imports of the body; '' where it is not plain."""
        first, names = dotted(node)
        if not isinstance(first, ast.Name):
            return ""
        made = self.own.get(first.id)
        if made is None:
            return "" if first.id in self.arguments else ".".join([first.id, *names])
        return ".".join([imported_names(made[0]).get(first.id, ""), *names]) if len(made) == 1 else ""
