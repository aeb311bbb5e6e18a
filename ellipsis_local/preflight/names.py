"""Which names a def takes from outside of itself, by Python's rules for scopes.

Of the text, not the function's own code, which others (pytest) rewrite; by the rules of the environment's Python.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ellipsis_local.preflight.source import Function

Part = Literal["body", "default", "annotation"]

DYNAMIC = {"exec", "globals"}


@dataclass(frozen=True)
class Use:
    """A name that is read and that the def itself does not define."""

    name: str
    node: ast.Name
    part: Part
    guarded: bool
    """Within a try that catches a NameError."""


@dataclass
class Names:
    """What a def has to do with the names around it."""

    uses: list[Use] = field(default_factory=list)
    """In the order of the text; the def's own name and `params` of the wrapper are among them, builtins too."""
    written: dict[str, ast.AST] = field(default_factory=dict)
    """Names declared global that are assigned, with the first place."""
    annotated: bool = False
    """Whether there are annotations that were looked at."""
    dynamic: bool = False
    """Whether names may be defined in a way that the text does not show."""


@dataclass(eq=False, slots=True)
class _Scope:
    kind: str
    above: _Scope | None
    bound: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)

    def is_global(self, name: str) -> bool:
        """Whether a name that is read in this scope is none of this one and those around it."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.globals:
                return True
            if name in scope.bound and (scope is self or scope.kind != "class"):
                return False
            scope = scope.above
        return True


@dataclass
class _Reader:
    function: Function
    annotations: bool
    found: list[tuple[_Scope, Use]] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    names: Names = field(default_factory=Names)
    part: Part = "body"
    guarded: bool = False

    def bind(self, scope: _Scope, name: str, node: ast.AST, *, makes: bool = True) -> None:
        if name in scope.globals:
            self.names.written.setdefault(name, node)
            if makes:
                self.made.add(name)
        elif name not in scope.nonlocals:
            scope.bound.add(name)

    def read(self, scope: _Scope, node: ast.Name) -> None:
        # The body of a class reads from around itself what it has not bound yet.
        while scope.kind == "class" and scope.above is not None and node.id not in scope.bound | scope.globals:
            scope = scope.above
        self.found.append((scope, Use(node.id, node, self.part, self.guarded)))
        self.names.dynamic |= node.id in DYNAMIC

    def visit(self, node: ast.AST, scope: _Scope) -> None:
        getattr(self, f"visit_{type(node).__name__.lower()}", self.others)(node, scope)

    def others(self, node: ast.AST, scope: _Scope) -> None:
        self.each(ast.iter_child_nodes(node), scope)

    def each(self, nodes: Iterable[ast.AST | None], scope: _Scope) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node, scope)

    def visit_name(self, node: ast.Name, scope: _Scope) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(scope, node)
        else:
            self.bind(scope, node.id, node)

    def visit_assign(self, node: ast.Assign, scope: _Scope) -> None:
        self.each([node.value, *node.targets], scope)

    def visit_augassign(self, node: ast.AugAssign, scope: _Scope) -> None:
        self.visit(node.value, scope)
        if isinstance(node.target, ast.Name):
            self.bind(scope, node.target.id, node.target, makes=False)
            self.read(scope, node.target)
        else:
            self.visit(node.target, scope)

    def visit_annassign(self, node: ast.AnnAssign, scope: _Scope) -> None:
        # Annotations of a function's local names are never evaluated.
        if scope.kind == "class":
            self.annotation([node.annotation], scope)
        self.each([node.value, node.target], scope)

    def annotation(self, nodes: Iterable[ast.AST | None], scope: _Scope) -> None:
        written = [node for node in nodes if node is not None]
        if self.annotations and written:
            self.names.annotated = True
            before, self.part = self.part, "annotation"
            self.each(written, scope)
            self.part = before

    def visit_functiondef(self, node: Any, scope: _Scope) -> None:
        own = node is self.function
        self.bind(scope, node.name, node)
        # Those of the def itself are another rule's.
        self.each(() if own else node.decorator_list, scope)
        outer = self.generic(node, scope)
        before, self.part = self.part, "default" if own else self.part
        self.each([*node.args.defaults, *node.args.kw_defaults], scope)
        self.part = before
        self.annotation([*(argument.annotation for argument in _arguments(node.args)), node.returns], outer)
        self.each(node.body, self.inner(node.args, outer))

    visit_asyncfunctiondef = visit_functiondef

    def visit_lambda(self, node: ast.Lambda, scope: _Scope) -> None:
        self.each([*node.args.defaults, *node.args.kw_defaults], scope)
        self.visit(node.body, self.inner(node.args, scope))

    def inner(self, arguments: ast.arguments, scope: _Scope) -> _Scope:
        return _Scope("function", scope, {argument.arg for argument in _arguments(arguments)})

    def generic(self, node: Any, scope: _Scope) -> _Scope:
        """The scope of type parameters, where there are any; their bounds are evaluated when somebody asks."""
        parameters = getattr(node, "type_params", ())
        return _Scope("types", scope, {parameter.name for parameter in parameters}) if parameters else scope

    def visit_classdef(self, node: Any, scope: _Scope) -> None:
        self.bind(scope, node.name, node)
        self.each(node.decorator_list, scope)
        outer = self.generic(node, scope)
        self.each([*node.bases, *node.keywords], outer)
        self.each(node.body, _Scope("class", outer, {"__module__", "__qualname__"}))

    def visit_listcomp(self, node: Any, scope: _Scope) -> None:
        inner = _Scope("comprehension", scope)
        for position, loop in enumerate(node.generators):
            self.visit(loop.iter, inner if position else scope)
            self.visit(loop.target, inner)
            self.each(loop.ifs, inner)
        self.each([getattr(node, name, None) for name in ("key", "value", "elt")], inner)

    visit_setcomp = visit_dictcomp = visit_generatorexp = visit_listcomp

    def visit_namedexpr(self, node: ast.NamedExpr, scope: _Scope) -> None:
        self.visit(node.value, scope)
        holder = scope
        while holder.kind == "comprehension" and holder.above is not None:
            holder = holder.above
        self.bind(holder, node.target.id, node.target)

    def visit_import(self, node: Any, scope: _Scope) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.names.dynamic = True
            else:
                self.bind(scope, alias.asname or alias.name.partition(".")[0], node)

    visit_importfrom = visit_import

    def visit_excepthandler(self, node: Any, scope: _Scope) -> None:
        """What binds a name that is a plain text in it: except, match."""
        name = getattr(node, "rest", None) or getattr(node, "name", None)
        if isinstance(name, str):
            self.bind(scope, name, node)
        self.others(node, scope)

    visit_matchas = visit_matchstar = visit_matchmapping = visit_excepthandler

    def visit_typealias(self, node: Any, scope: _Scope) -> None:
        self.bind(scope, node.name.id, node)

    def visit_global(self, node: ast.Global, scope: _Scope) -> None:
        scope.globals.update(node.names)

    def visit_nonlocal(self, node: ast.Nonlocal, scope: _Scope) -> None:
        scope.nonlocals.update(node.names)

    def visit_try(self, node: Any, scope: _Scope) -> None:
        before = self.guarded
        self.guarded |= any(catches(handler, {"NameError"}) for handler in node.handlers)
        self.each(node.body, scope)
        self.guarded = before
        self.each([*node.handlers, *node.orelse, *node.finalbody], scope)

    visit_trystar = visit_try


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument for argument in listed if argument is not None]


def arguments_of(function: Function) -> list[str]:
    """The names of a def's arguments, in the order in which a call gives them."""
    return [argument.arg for argument in _arguments(function.args)]


def catches(handler: ast.ExceptHandler, errors: Iterable[str], *, bare: bool = False) -> bool:
    """Whether an except clause names one of the errors; with `bare`, also where it names none."""
    if handler.type is None:
        return bare
    listed = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(error, ast.Name) and error.id in errors for error in listed)


def called(call: ast.Call) -> str:
    """The last name of what is called: suppress of contextlib.suppress(…); '' for anything else."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def dotted(node: ast.expr) -> tuple[ast.expr, list[str]]:
    """What an attribute is looked up in, in the end, and the names on the way to it: a and b, c of a.b.c."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return node, names


def imported_names(node: ast.AST) -> dict[str, str]:
    """The names that an import statement binds, and what each is in full; nothing of any other node."""
    if isinstance(node, ast.Import):
        full = [alias.name if alias.asname else alias.name.partition(".")[0] for alias in node.names]
        return {alias.asname or name: name for alias, name in zip(node.names, full, strict=True)}
    aliases = node.names if isinstance(node, ast.ImportFrom) else ()
    return {alias.asname or alias.name: f"{getattr(node, 'module', '')}.{alias.name}" for alias in aliases}


def own_nodes(node: ast.AST, kinds: Any) -> Iterator[Any]:
    """The nodes of some kinds in a def, but for those of functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, kinds):
            yield child
        elif not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            yield from own_nodes(child, kinds)


def read_names(function: Function, *, annotations: bool) -> Names:
    """The names that a def reads and does not define; `annotations` are evaluated with the def up to Python 3.13."""
    reader = _Reader(function, annotations)
    wrapper = _Scope("function", None)
    reader.visit(function, wrapper)
    # The wrapper's own two names are looked up as all that stands outside.
    wrapper.bound.clear()
    uses = [use for scope, use in reader.found if use.name not in reader.made and scope.is_global(use.name)]
    reader.names.uses = sorted(uses, key=lambda use: (use.node.lineno, use.node.col_offset))
    return reader.names


def bindings(body: Iterable[ast.stmt]) -> dict[str, list[ast.AST]]:
    """The names that statements bind in their own scope, each with what binds it, in the order of the text."""
    found: dict[str, list[ast.AST]] = defaultdict(list)

    def walk(node: ast.AST, statement: ast.AST) -> None:
        if isinstance(node, Function | ast.ClassDef):
            found[node.name].append(node)
            return
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]].append(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id].append(statement)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found[node.name].append(node)
        for child in ast.iter_child_nodes(node):
            walk(child, child if isinstance(child, ast.stmt | ast.NamedExpr | ast.withitem) else statement)

    for statement in body:
        walk(statement, statement)
    return dict(found)
