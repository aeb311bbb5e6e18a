"""A script as text: its scopes, what its names are bound to, and values that stand in it plainly."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ellipsis_local.preflight.names import arguments_of, bindings, called, dotted, imported_names
from ellipsis_local.preflight.source import Function, Source, parse

Chain = tuple[Function, ...]
"""The defs around a place, the outermost first."""
CHANGING = {"append", "extend", "insert", "remove", "pop", "clear", "update", "setdefault", "add", "sort", "reverse"}
MOST_STEPS = 12


UNKNOWN = object()
"""What does not show in the text."""


@dataclass(frozen=True)
class Bound:
    """Something that binds a name, and the defs around it."""

    node: ast.AST
    chain: Chain


class Text:
    """One file of Python; SyntaxError where it is none."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text.replace("\r\n", "\n")
        self.tree = parse(self.text)
        self._bindings: dict[int, dict[str, list[ast.AST]]] = {}

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def calls(self) -> list[tuple[ast.Call, Chain]]:
        """Every call, with the defs around it."""
        return list(self.within(ast.Call))

    def within(self, kinds: Any) -> Iterator[tuple[Any, Chain]]:
        """Every node of some kinds, with the defs around it."""
        return _within(self.tree, (), kinds)

    @cached_property
    def imports(self) -> dict[str, str]:
        """What is imported anywhere: the name it has here, and its full one."""
        found: dict[str, str] = {}
        for node in self._nodes:
            if not getattr(node, "level", 0):
                found |= imported_names(node)
        return found

    @cached_property
    def changed(self) -> set[str]:
        """Names of things that are changed in place somewhere."""
        called = (call.func for call, _ in self.calls)
        changed = [one.value for one in called if isinstance(one, ast.Attribute) and one.attr in CHANGING]
        items = (node for node in self._nodes if isinstance(node, ast.Subscript))
        changed += [node.value for node in items if not isinstance(node.ctx, ast.Load)]
        return {node.id for node in changed if isinstance(node, ast.Name)}

    def bindings(self, scope: Function | None) -> dict[str, list[ast.AST]]:
        """What the names of the module, or of a def, are bound to."""
        key = id(scope)
        if key not in self._bindings:
            self._bindings[key] = bindings(self.tree.body if scope is None else scope.body)
        return self._bindings[key]

    @cached_property
    def _blocks(self) -> dict[int, tuple[tuple[int, str], ast.stmt | None]]:
        """Of every node the list of statements that it stands in, and the statement around that."""
        found: dict[int, tuple[tuple[int, str], ast.stmt | None]] = {}

        def walk(node: ast.AST, block: tuple[int, str], around: ast.stmt | None) -> None:
            for field, value in ast.iter_fields(node):
                for child in value if isinstance(value, list) else (value,):
                    if isinstance(child, ast.stmt):
                        found[id(child)] = (id(node), field), around
                        walk(child, (id(node), field), child)
                    elif isinstance(child, ast.AST):
                        found[id(child)] = block, around
                        walk(child, block, around)

        walk(self.tree, (0, ""), None)
        return found

    def _reaching(self, bound: list[Bound], at: ast.AST) -> list[Bound]:
        """Those of several bindings that may be in force at a place of the same def: what was bound before it, from the
        last on that no branch leads around. All, where none stands before it."""
        before = [binding for binding in bound if getattr(binding.node, "lineno", 0) < getattr(at, "lineno", 0)]
        around: set[tuple[int, str]] = set()
        node: ast.AST | None = at
        while node is not None and id(node) in self._blocks:
            block, node = self._blocks[id(node)]
            around.add(block)
        for index in range(len(before) - 1, 0, -1):
            if self._blocks.get(id(before[index].node), ((0, ""), None))[0] in around:
                return before[index:]
        return before or bound

    def find(self, name: str, chain: Chain, at: ast.AST | None = None) -> list[Bound]:
        """What binds a name that is read below some defs; an argument is bound by its def."""
        for depth in range(len(chain), -1, -1):
            scope = chain[depth - 1] if depth else None
            found = [Bound(node, chain[:depth]) for node in self.bindings(scope).get(name, [])]
            if scope is not None and name in arguments_of(scope):
                found.insert(0, Bound(scope, chain[:depth]))
            if found:
                here = at is not None and len(found) > 1 and depth == len(chain)
                return self._reaching(found, at) if here and at is not None else found
        return []

    def source(self, node: Function) -> Source:
        """A def of this file, as `inspect.getsource` would give it."""
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return Source(node, "\n".join(self.text.split("\n")[first - 1 : node.end_lineno]) + "\n", self.file, first)

    def full_name(self, node: ast.expr) -> str:
        """The dotted name of an expression, with what its first part is imported as; '' for any other expression."""
        first, names = dotted(node)
        # whatever().compute.execute is told by its end as well
        return ".".join([self.imports.get(first.id, first.id) if isinstance(first, ast.Name) else "", *names])

    def value(self, node: ast.expr | None, chain: Chain, steps: int = MOST_STEPS) -> object:
        """The value of an expression that is a literal, or made of names that are; else UNKNOWN."""
        if node is None or not steps:
            return UNKNOWN
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return self._items(node.elts, chain, steps - 1)
        if isinstance(node, ast.Dict):
            keys = [self.value(key, chain, steps - 1) for key in node.keys]
            values = (self.value(value, chain, steps - 1) for value in node.values)
            plain = all(isinstance(key, str | int) for key in keys)
            return dict(zip(keys, values, strict=True)) if plain else UNKNOWN
        if isinstance(node, ast.Name):
            bound = self.find(node.id, chain, node)
            value = assigned(bound[0].node, node.id) if len(bound) == 1 and node.id not in self.changed else None
            return self.value(value, bound[0].chain, steps - 1) if value is not None else UNKNOWN
        if isinstance(node, ast.Subscript):
            return _item(self.value(node.value, chain, steps - 1), self.value(node.slice, chain, steps - 1))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = (self.value(side, chain, steps - 1) for side in (node.left, node.right))
            if isinstance(left, str) and isinstance(right, str):
                return left + right
            if isinstance(left, list) and isinstance(right, list):
                return left + right
        return self._made(node, chain, steps - 1) if isinstance(node, ast.Call) else UNKNOWN

    def _items(self, nodes: list[ast.expr], chain: Chain, steps: int) -> object:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                more = self.value(node.value, chain, steps)
                if not isinstance(more, list):
                    return UNKNOWN
                found += more
            else:
                found.append(self.value(node, chain, steps))
        return found

    def _made(self, node: ast.Call, chain: Chain, steps: int) -> object:
        given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        if called(node) in ("list", "tuple", "set") and len(node.args) == 1 and not given:
            return self.value(node.args[0], chain, steps)
        if called(node) == "dict" and not node.args and len(given) == len(node.keywords):
            return {name: self.value(value, chain, steps) for name, value in given.items()}
        if self.full_name(node.func).endswith("layers.add") and {"pathId", "timestampId"} <= given.keys():
            # what it returns for the ids that it is given
            return {name: self.value(given[name], chain, steps) for name in ("pathId", "timestampId")}
        return UNKNOWN


def _within(node: ast.AST, chain: Chain, kinds: Any) -> Iterator[tuple[Any, Chain]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, kinds):
            yield child, chain
        yield from _within(child, (*chain, child) if isinstance(child, Function) else chain, kinds)


def _item(holder: object, key: object) -> object:
    if isinstance(holder, dict) and isinstance(key, str | int):
        return holder.get(key, UNKNOWN)
    if isinstance(holder, list) and isinstance(key, int) and -len(holder) <= key < len(holder):
        return holder[key]
    return UNKNOWN


def assigned(node: ast.AST, name: str) -> ast.expr | None:
    """What a plain assignment gives a name; None where it is bound in another way."""
    if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
        return node.value
    if isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name) and node.target.id == name:
        return node.value
    return None
