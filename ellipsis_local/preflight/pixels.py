"""Bands that a function subtracts as they came: unsigned ones wrap around below 0, on the service as here."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.names import arguments_of, called
from ellipsis_local.preflight.source import Function, Source
from ellipsis_local.preflight.surroundings import Surroundings

MOST_CALLS = 3
"""So deep functions of the body are followed into each other."""
KEPT_BY_METHODS = {"copy", "squeeze", "transpose", "swapaxes", "ravel", "flatten", "reshape"}
KEPT_BY_FUNCTIONS = {"array", "asarray", "ascontiguousarray", "copy", "squeeze", "transpose", "moveaxis"}
"""Whose result has the dtype of their argument."""
WIDE = ("u4", "uint32", "u8", "uint64")
"""Dtypes whose values float32 does not hold."""
LONGEST = 200


class Value(NamedTuple):
    """What an expression is, as far as that is sure."""

    kind: str
    """`params`, `layer`, `pixels` (as they came), `index` (a number), `text`, `def`, `parts`, `many`."""
    of: Any = None
    """Of a layer and of pixels the timestamp ids that it can have, None among them for any; the text; the def; the
    value of each part, or of all of many."""


Names = dict[str, Value]
Perhaps = Value | None
INDEX = Value("index")
ANY_LAYER = Value("layer", frozenset({None}))


class Subtraction(NamedTuple):
    """Pixels minus pixels."""

    node: ast.BinOp | ast.AugAssign | ast.Call
    sides: tuple[ast.expr, ...]
    arrays: tuple[str, ...]
    """The names of the arrays of which both are parts; empty where one is of none."""
    layers: frozenset[str | None]


def is_unsigned(dtype: str) -> bool:
    """Whether a dtype, as numpy or rasterio writes it, has no negative numbers."""
    return dtype.lstrip("<>|=").startswith("u")


def check_pixels(source: Source, around: Surroundings) -> Iterator[Finding]:
    """Subtractions of bands that are not cast before, but for those of layers that are known not to be unsigned."""
    dtypes = around.dtypes or {}
    complete = around.layers is not None and dtypes.keys() >= {timestamp for _, timestamp in around.layers}
    for one in {one.node: one for one in find_subtractions(source)}.values():
        kinds = {dtypes.get(layer) for layer in one.layers if layer is not None}
        if None in one.layers:
            # Of which a vector is none.
            kinds |= {*filter(None, dtypes.values()), *(() if complete else (None,))}
        known = sorted(kind for kind in kinds if kind is not None)
        if not kinds or not all(map(is_unsigned, known)):
            continue
        where = "and where these are unsigned (uint8, uint16)"
        if len(known) == len(kinds):
            where = f"which are unsigned here ({', '.join(known)}):"
        written = ast.unparse(one.node)
        written = written if len(written) <= LONGEST else f"{written[: LONGEST - 1]}…"
        message = f"it subtracts bands as they come, `{written}`, {where} what is below 0 becomes a huge number"
        wide = any(kind.lstrip("<>|=") in WIDE for kind in known)
        way_out = _mending(one, f".astype('{'float64' if wide else 'float32'}')")
        yield Finding("unsigned", message, way_out, *source.place(one.node), "warning")


def _mending(one: Subtraction, cast: str) -> str:
    """The line that mends it; of both sides, since sums of unsigned bands may be too large as well."""
    if one.arrays:
        return f"write `{', '.join(one.arrays)} = {', '.join(name + cast for name in one.arrays)}` before it"
    texts = [f"({ast.unparse(side)})" if isinstance(side, ast.BinOp) else ast.unparse(side) for side in one.sides]
    if isinstance(one.node, ast.Call):
        return f"write `{ast.unparse(one.node.func)}({', '.join(text + cast for text in texts)})`"
    target = f"{ast.unparse(one.node.target)} = " if isinstance(one.node, ast.AugAssign) else ""
    return f"write `{target}{' - '.join(text + cast for text in texts)}`"


@lru_cache(maxsize=64)
def find_subtractions(source: Source) -> Sequence[Subtraction]:
    """Where a def subtracts pixels from pixels that are both as its argument holds them."""
    reader = _Reader()
    try:
        reader.run(source.node.body, {name: Value("params") for name in ["params", *arguments_of(source.node)[:1]]})
    except RecursionError:
        return []
    return reader.found


class _Reader:
    """Follows what names hold through statements, in their order; where ways meet, what all of them agree on."""

    def __init__(self) -> None:
        self.found: list[Subtraction] = []
        self.returned: list[Perhaps] = []
        self.depth = 0

    # --- statements ---

    def run(self, statements: Iterable[ast.stmt], names: Names) -> bool:
        """Carry them out on `names`; False where the way ends in them."""
        return all(self.step(statement, names) for statement in statements)

    def step(self, node: ast.stmt, names: Names) -> bool:
        if isinstance(node, ast.If):
            self.value(node.test, names)
            self.forget(node.test, names)
            return self.ways([node.body, node.orelse], names)
        if isinstance(node, ast.Try | ast.TryStar):
            handlers = [handler.body for handler in node.handlers]
            return self.ways([[*node.body, *node.orelse], *handlers], names) and self.run(node.finalbody, names)
        if isinstance(node, ast.Match):
            return self.ways([*(case.body for case in node.cases), []], names)
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                self.value(item.context_expr, names)
                self.forget(item, names)
            return self.run(node.body, names)
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            self.loop(node, names)
        elif isinstance(node, ast.Assign):
            value = self.value(node.value, names)
            for target in node.targets:
                self.bind(target, value, names)
        elif isinstance(node, ast.AnnAssign):
            self.bind(node.target, self.value(node.value, names) if node.value else None, names)
        elif isinstance(node, ast.AugAssign):
            self.augmented(node, names)
        elif isinstance(node, Function):
            names[node.name] = Value("def", node)
        elif isinstance(node, ast.Return):
            self.returned.append(self.value(node.value, names) if node.value else None)
        else:
            self.others(node, names)
            if not isinstance(node, ast.Expr):
                self.forget(node, names)
        return not isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break)

    @staticmethod
    def forget(node: ast.AST, names: Names) -> None:
        """Whatever a statement binds, deletes, or asks the dtype of is not known any more."""
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load):
                names.pop(one.id, None)
            elif isinstance(one, ast.alias):
                names.pop(one.asname or one.name, None)
            elif isinstance(one, ast.Attribute) and one.attr == "dtype" and isinstance(one.value, ast.Name):
                names.pop(one.value.id, None)

    def ways(self, bodies: Iterable[list[ast.stmt]], names: Names) -> bool:
        """Several ways, one of which is gone."""
        ends = [way for body in bodies if self.run(body, way := dict(names))]
        if ends:
            self.agree(names, *ends)
        return bool(ends)

    @staticmethod
    def agree(names: Names, *ways: Names) -> None:
        common = {name: value for name, value in ways[0].items() if all(way.get(name) == value for way in ways)}
        names.clear()
        names.update(common)

    def loop(self, node: ast.For | ast.AsyncFor | ast.While, names: Names) -> None:
        way = dict(names)
        if isinstance(node, ast.While):
            self.value(node.test, way)
        else:
            self.bind(node.target, _each(self.value(node.iter, way)), way)
        self.run(node.body, way)
        self.agree(names, names, way)
        self.run(node.orelse, names)

    def augmented(self, node: ast.AugAssign, names: Names) -> None:
        value = self.value(node.value, names)
        # The target, as it is read.
        before = ast.parse(ast.unparse(node.target), mode="eval").body
        if isinstance(node.op, ast.Sub):
            self.subtract(node, [before, node.value], [self.value(before, names), value], names)
        elif not isinstance(node.op, ast.Add):
            self.bind(node.target, None, names)

    def bind(self, target: ast.expr, value: Perhaps, names: Names) -> None:
        if isinstance(target, ast.Name):
            names.pop(target.id, None)
            if value is not None:
                names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = value.of if value is not None and value.kind == "parts" else [_each(value)] * len(target.elts)
            starred = any(isinstance(part, ast.Starred) for part in target.elts)
            for position, part in enumerate(target.elts):
                known = not starred and len(parts) == len(target.elts)
                self.bind(part, parts[position] if known else None, names)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, None, names)

    # --- expressions ---

    def value(self, node: ast.expr, names: Names) -> Perhaps:
        """What an expression is; all that is subtracted in it is noted."""
        if isinstance(node, ast.Name):
            return names.get(node.id)
        if isinstance(node, ast.Constant):
            return Value("text", node.value) if isinstance(node.value, str) else INDEX
        if isinstance(node, ast.Subscript):
            return self.part(node, names)
        if isinstance(node, ast.Call):
            return self.call(node, names)
        if isinstance(node, ast.BinOp):
            return self.arithmetic(node, names)
        if isinstance(node, ast.Tuple | ast.List):
            return Value("parts", tuple(self.value(part, names) for part in node.elts))
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            return self.comprehension(node, names)
        if isinstance(node, ast.Lambda):
            own = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
            self.value(node.body, {name: value for name, value in names.items() if name not in own})
            return None
        held = self.others(node, names)
        if isinstance(node, ast.NamedExpr):
            self.bind(node.target, held[-1], names)
        if isinstance(node, ast.IfExp):
            return held[1] if held[1] == held[2] else None
        same = isinstance(node, ast.Slice | ast.NamedExpr) or (isinstance(node, ast.Attribute) and node.attr == "T")
        negative = isinstance(node, ast.UnaryOp) and held == [INDEX]
        return INDEX if negative or isinstance(node, ast.Slice) else held[-1] if same else None

    def others(self, node: ast.AST, names: Names) -> list[Perhaps]:
        return [self.value(child, names) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]

    def part(self, node: ast.Subscript, names: Names) -> Perhaps:
        held, key = self.value(node.value, names), self.value(node.slice, names)
        if held is None:
            return None
        if held.kind in ("params", "layer"):
            return _looked_up(held, key)
        if held.kind == "parts":
            at = node.slice.value if isinstance(node.slice, ast.Constant) else None
            return held.of[at] if isinstance(at, int) and at < len(held.of) else None
        # What a condition picks may have been compared before.
        plain = key == INDEX or (key is not None and key.kind == "parts" and set(key.of) == {INDEX})
        return _each(held) if plain else None

    def arithmetic(self, node: ast.BinOp, names: Names) -> Perhaps:
        sides = [node.left, node.right]
        values = [self.value(side, names) for side in sides]
        if isinstance(node.op, ast.Sub):
            self.subtract(node, sides, values, names)
        if values == [INDEX, INDEX]:
            return INDEX
        layers = _layers(values)
        return Value("pixels", layers) if layers and isinstance(node.op, ast.Add) else None

    def subtract(self, node: Any, sides: list[ast.expr], values: list[Perhaps], names: Names) -> None:
        layers = _layers(values)
        if layers:
            arrays = [_array(side, names) for side in sides]
            known = () if None in arrays else tuple(dict.fromkeys(map(str, arrays)))
            self.found.append(Subtraction(node, tuple(sides), known, layers))

    def comprehension(self, node: Any, names: Names) -> Perhaps:
        inner = dict(names)
        for loop in node.generators:
            self.bind(loop.target, _each(self.value(loop.iter, inner)), inner)
            self.others(loop, inner)
        parts = [self.value(part, inner) for part in (node.key, node.value)] if isinstance(node, ast.DictComp) else []
        value = None if parts else self.value(node.elt, inner)
        return None if value is None else Value("many", value)

    def call(self, node: ast.Call, names: Names) -> Perhaps:
        name, before = called(node), len(self.found)
        given = [self.value(one, names) for one in node.args]
        named = {one.arg: self.value(one.value, names) for one in node.keywords}
        if name == "where" and _compares(node):
            # A difference that is taken only where it is not below 0.
            del self.found[before:]
        if isinstance(node.func, ast.Name):
            return self.plain_call(name, given, named, names)
        held = self.value(node.func.value, names) if isinstance(node.func, ast.Attribute) else None
        first = given[0] if given else None
        if held is not None:
            return _method(name, held, first)
        if name in ("subtract", "diff") and len(given) == 1 + (name == "subtract") and "dtype" not in named:
            self.subtract(node, node.args, given, names)
        kept = name in KEPT_BY_FUNCTIONS and "dtype" not in named and (len(given) == 1 or name == "moveaxis")
        return first if kept and _layers([first]) else None

    def plain_call(self, name: str, given: list[Perhaps], named: dict[str | None, Perhaps], names: Names) -> Perhaps:
        """A call of a name: of a builtin, or of a def of the body, which is followed."""
        function, first = names.get(name), given[0] if given else None
        if function is None:
            if name == "enumerate":
                return Value("many", Value("parts", (INDEX, _each(first))))
            builtins = {"range": Value("many", INDEX), "next": _each(first)}
            return first if name in ("list", "tuple", "iter") else builtins.get(name)
        if function.kind != "def" or self.depth >= MOST_CALLS:
            return None
        own = arguments_of(function.of)
        bound: dict[Any, Perhaps] = {**names, **dict.fromkeys(own), **dict(zip(own, given, strict=False)), **named}
        before, self.returned, self.depth = self.returned, [], self.depth + 1
        self.run(function.of.body, {key: value for key, value in bound.items() if value is not None})
        values, self.returned, self.depth = self.returned, before, self.depth - 1
        return values[0] if len(values) == 1 else None


def _each(value: Perhaps) -> Perhaps:
    """What a loop over a value gives, and a place in it."""
    if value is None or value.kind == "pixels":
        return value
    parts = {"many": (value.of,), "parts": value.of}.get(value.kind, ())
    return parts[0] if len(set(parts)) == 1 else None


def _layers(values: list[Perhaps]) -> frozenset[str | None]:
    """The layers of several values that are all pixels; none where one is not."""
    if not all(value is not None and value.kind == "pixels" for value in values):
        return frozenset()
    return frozenset().union(*(value.of for value in values if value is not None))


def _looked_up(held: Value, key: Perhaps) -> Perhaps:
    """A layer of the argument, or the pixels of a layer."""
    text = key.of if key is not None and key.kind == "text" else None
    if held.kind == "params":
        return Value("layer", frozenset({text}))
    return Value("pixels", held.of) if text == "raster" else None


def _method(name: str, held: Value, key: Perhaps) -> Perhaps:
    if held.kind in ("params", "layer") and name in ("get", "pop"):
        return _looked_up(held, key)
    if held.kind == "params" and name in ("values", "items"):
        return Value("many", ANY_LAYER if name == "values" else Value("parts", (None, ANY_LAYER)))
    return held if held.kind == "pixels" and name in KEPT_BY_METHODS else None


def _array(node: ast.expr, names: Names) -> str | None:
    """The name of the array that an expression takes a part of."""
    while isinstance(node, ast.Subscript):
        node = node.value
    held = names.get(node.id) if isinstance(node, ast.Name) else None
    return node.id if isinstance(node, ast.Name) and held is not None and held.kind == "pixels" else None


def _compares(node: ast.Call) -> bool:
    """Whether a where chooses by a comparison of the two that it subtracts, or between both differences."""
    sides = [one for one in node.args[1:] if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub)]
    pairs = [{ast.unparse(one.left), ast.unparse(one.right)} for one in sides]
    test = node.args[0] if node.args else None
    if isinstance(test, ast.Compare) and len(test.comparators) == 1:
        return {ast.unparse(test.left), ast.unparse(test.comparators[0])} in pairs
    return len(pairs) > 1 and pairs[0] == pairs[1]
