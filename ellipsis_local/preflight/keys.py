"""Which keys a function asks its first argument for, where they stand in it as texts."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.names import catches
from ellipsis_local.preflight.source import Function, Source
from ellipsis_local.preflight.surroundings import Surroundings

KEY_ERRORS = {"KeyError", "LookupError", "Exception", "BaseException"}
CHANGING = {"update", "setdefault", "clear", "popitem"}
MOST_SHOWN = 4

Keys = dict[object, tuple[ast.expr, bool]]
"""Keys that are asked for: where first, and whether they are needed, or a missing one is None."""


def read_keys(function: Function) -> Keys:
    """The keys that a def asks its first argument for; none where it gives that another meaning or content."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    # Without one of that name, `params` is the argument of the wrapper.
    names = {"params", arguments[0].arg} if arguments else {"params"}
    names -= {argument.arg for argument in [*arguments[1:], *function.args.kwonlyargs]}
    # Constants first: they may be written below the helper that uses them.
    constants = _Constants()
    constants.each(function.body)
    found = _Keys(names, constants)
    found.each(function.body)
    return {} if found.changed else {value: how for value, how in found.keys.items() if value not in found.there}


class _Walker(ast.NodeVisitor):
    def each(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


class _Constants(_Walker):
    """Names that are texts, or run over texts, and nothing else."""

    def __init__(self) -> None:
        self.texts: dict[str, list[object]] = {}
        self.unknown: set[str] = set()
        """Names that are bound to something else as well."""

    def bind(self, target: ast.AST, values: list[object] | None) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                if values is None or node is not target or node.id in self.texts:
                    self.unknown.add(node.id)
                else:
                    self.texts[node.id] = values

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.bind(target, _texts([node.value]))
        self.visit(node.value)

    def visit_For(self, node: ast.For | ast.comprehension) -> None:
        listed = node.iter.elts if isinstance(node.iter, ast.List | ast.Tuple | ast.Set) else None
        self.bind(node.target, None if listed is None else _texts(listed))
        self.each(part for part in ast.iter_child_nodes(node) if part is not node.target)

    visit_comprehension = visit_For

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.unknown.add(node.id)

    def visit_arg(self, node: ast.arg) -> None:
        self.unknown.add(node.arg)


def _texts(nodes: Iterable[ast.expr]) -> list[object] | None:
    values: list[object] = [node.value if isinstance(node, ast.Constant) else None for node in nodes]
    return None if None in values else values


class _Keys(_Walker):
    """What is done with the argument."""

    def __init__(self, names: set[str], constants: _Constants) -> None:
        self.names = names
        self.constants = constants
        self.keys: Keys = {}
        self.there: set[object] = set()
        """Keys that the function sets, or of which it looks whether they are there."""
        self.changed = self.guarded = False

    def is_it(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in self.names

    def values(self, node: ast.expr) -> list[object]:
        """The keys that an expression can be; none where that does not show."""
        if isinstance(node, ast.Constant):
            return [node.value]
        if isinstance(node, ast.Name) and node.id not in self.constants.unknown:
            return self.constants.texts.get(node.id, [])
        return []

    def add(self, node: ast.expr, *, needed: bool) -> None:
        if not self.guarded:
            for value in self.values(node):
                self.keys.setdefault(value, (node, needed))

    def visit_Name(self, node: ast.Name) -> None:
        # Bound to something else, or handed to whoever may change it by del.
        self.changed |= self.is_it(node) and not isinstance(node.ctx, ast.Load)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self.is_it(node.value):
            if isinstance(node.ctx, ast.Store):
                known = self.values(node.slice)
                self.there.update(known)
                self.changed |= not known
            else:
                self.add(node.slice, needed=True)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute) and self.is_it(function.value):
            if function.attr in CHANGING:
                self.changed = True
            elif function.attr in ("get", "pop") and len(node.args) == 1:
                self.add(node.args[0], needed=function.attr == "pop")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops) and self.is_it(node.comparators[-1]):
            self.there.update(self.values(node.left))
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        before = self.guarded
        self.guarded |= any(catches(handler, KEY_ERRORS, bare=True) for handler in node.handlers)
        self.each(node.body)
        self.guarded = before
        self.each([*node.handlers, *node.orelse, *node.finalbody])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.Lambda) -> None:
        """A function in the body: an argument of the same name is another thing."""
        before = self.names
        own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self.names = before - {argument.arg for argument in own}
        self.generic_visit(node)
        self.names = before

    visit_Lambda = visit_FunctionDef  # noqa: N815


def check_keys(source: Source, keys: Keys, around: Surroundings) -> Iterator[Finding]:
    """Keys that are not among the layers and files of the compute."""
    if around.layers is None or around.files is None:
        return
    there = [*(timestamp for _, timestamp in around.layers), *around.files]
    for key, (node, needed) in keys.items():
        if key not in there:
            message = f"it asks for {key!r}, which params does not hold" + ("" if needed else ", and gets None")
            hint = _hint(key, around.layers, there)
            yield Finding("key", message, hint, *source.place(node), "error" if needed else "warning")


def _hint(key: object, layers: tuple[tuple[str, str], ...], there: list[str]) -> str:
    same = [timestamp for path, timestamp in layers if _plain(path) == _plain(key)]
    if same:
        return f"that is a pathId, and params is keyed by timestampId: {_listed(same)}"
    alike = [known for known in there if _plain(known) == _plain(key)]
    if alike:
        return f"createCompute was given it as {_listed(alike)}: spell it in the same way"
    if not there:
        return "the compute has neither layers nor files"
    return f"params is keyed by the timestampIds of layers and the pathIds of files: {_listed(there)}"


def _plain(key: object) -> str:
    return str(key).lower().replace("-", "")


def _listed(keys: list[str]) -> str:
    shown = [repr(key) for key in keys[:MOST_SHOWN]]
    return ", ".join(shown) + (f" and {len(keys) - MOST_SHOWN} more" if len(keys) > MOST_SHOWN else "")
