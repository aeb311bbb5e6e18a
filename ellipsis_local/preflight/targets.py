"""Which function an argument of execute is, as far as the text of a script and of the files beside it shows."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.form import lambda_finding, not_a_function
from ellipsis_local.preflight.names import arguments_of, called
from ellipsis_local.preflight.source import Function
from ellipsis_local.preflight.surroundings import Look, Origin
from ellipsis_local.preflight.values import Bound, Chain, Text, assigned

MOST_STEPS = 8
GENERAL = "import or define it inside the function"


@dataclass(frozen=True)
class Target:
    """A def that is executed."""

    text: Text
    node: Function
    chain: Chain
    """The defs around it."""
    method: bool = False


@dataclass(frozen=True)
class Unseen:
    """What is passed to execute and cannot be told from the text."""

    what: str
    why: str
    file: str
    line: int
    column: int


Found = Target | Finding | Unseen


class Targets:
    """The functions of one script; other files are read once."""

    def __init__(self, text: Text) -> None:
        self._texts: dict[Path, Text | None] = {}
        self._text = text

    def of(self, node: ast.expr, chain: Chain) -> list[Found]:
        """What an argument of execute can be."""
        return list(dict.fromkeys(self._resolve(self._text, node, chain, MOST_STEPS)))

    def named(self, name: str) -> list[Found]:
        """The function of a name that the script's module defines."""
        node = ast.Name(name, ast.Load(), lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
        return self.of(node, ())

    def _resolve(self, text: Text, node: ast.expr, chain: Chain, steps: int) -> Iterator[Found]:
        line, column = node.lineno, node.col_offset + 1
        if not steps:
            yield _unseen(text, node, "its way through the script is too long")
        elif isinstance(node, ast.Lambda):
            yield _with_file(lambda_finding(line, column), text)
        elif isinstance(node, ast.IfExp):
            yield from self._resolve(text, node.body, chain, steps - 1)
            yield from self._resolve(text, node.orelse, chain, steps - 1)
        elif isinstance(node, ast.Name):
            bound = text.find(node.id, chain, node)
            if not bound and hasattr(builtins, node.id):
                yield _with_file(not_a_function("a builtin", line, column), text)
            elif not bound:
                yield _unseen(text, node, "nothing in the script defines it")
            for binding in bound:
                yield from self._bound(text, node, binding, steps - 1)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(text, node, chain, steps - 1)
        elif isinstance(node, ast.Call):
            yield from self._made(text, node, chain, steps - 1)
        elif isinstance(node, ast.Constant):
            yield _with_file(not_a_function(f"{node.value!r}", line, column), text)
        else:
            yield _unseen(text, node, "it is computed")

    def _bound(self, text: Text, node: ast.Name, bound: Bound, steps: int) -> Iterator[Found]:
        binder, chain = bound.node, bound.chain
        if chain and binder is chain[-1] and node.id in arguments_of(chain[-1]):
            yield from self._argument(text, node, chain, steps)
        elif isinstance(binder, Function):
            yield Target(text, binder, chain)
        elif isinstance(binder, ast.ClassDef):
            yield _with_file(not_a_function("a class", node.lineno, node.col_offset + 1), text)
        elif isinstance(binder, ast.ImportFrom):
            yield from self._imported(text, node, binder, steps)
        elif isinstance(binder, ast.For) and isinstance(binder.iter, ast.List | ast.Tuple):
            for item in binder.iter.elts:
                yield from self._resolve(text, item, chain, steps)
        else:
            value = assigned(binder, node.id)
            if value is None:
                yield _unseen(text, node, "it is computed")
            else:
                yield from self._resolve(text, value, chain, steps)

    def _argument(self, text: Text, node: ast.Name, chain: Chain, steps: int) -> Iterator[Found]:
        """A def that passes its own argument on: what its callers give."""
        function = chain[-1]
        position = arguments_of(function).index(node.id)
        given = False
        for call, around in text.calls:
            if not isinstance(call.func, ast.Name) or call.func.id != function.name:
                continue
            values = [keyword.value for keyword in call.keywords if keyword.arg == node.id]
            if position < len(call.args) and not any(
                isinstance(argument, ast.Starred) for argument in call.args[: position + 1]
            ):
                values.append(call.args[position])
            for value in values:
                given = True
                yield from self._resolve(text, value, around, steps)
        if not given:
            yield _unseen(text, node, f"it is an argument of {function.name}")

    def _attribute(self, text: Text, node: ast.Attribute, chain: Chain, steps: int) -> Iterator[Found]:
        holder = first = node.value
        while isinstance(first, ast.Attribute):
            first = first.value
        bound = text.find(first.id, chain) if isinstance(first, ast.Name) else []
        for binding in bound:
            if isinstance(binding.node, ast.ClassDef) and first is holder:
                for statement in binding.node.body:
                    if isinstance(statement, Function) and statement.name == node.attr:
                        yield Target(text, statement, binding.chain, method=True)
                        return
            if isinstance(binding.node, ast.Import | ast.ImportFrom):
                other = self._module(text, binding.node, node, text.full_name(holder))
                if other is not None:
                    yield from self._of_module(other, node.attr, text, node, steps)
                    return
        yield _unseen(text, node, "it is looked up in an object or in a module that is not beside the script")

    def _made(self, text: Text, node: ast.Call, chain: Chain, steps: int) -> Iterator[Found]:
        """The result of a call: a partial is no function, a def of the script may return one that it defines."""
        if called(node) == "partial":
            yield _with_file(not_a_function("a partial", node.lineno, node.col_offset + 1), text)
            return
        made = False
        for bound in text.find(node.func.id, chain) if isinstance(node.func, ast.Name) else ():
            maker = bound.node
            if isinstance(maker, Function) and maker not in bound.chain:
                for statement in ast.walk(maker):
                    if isinstance(statement, ast.Return) and isinstance(statement.value, ast.Name | ast.Lambda):
                        inside = (*bound.chain, maker)
                        name = getattr(statement.value, "id", None)
                        if name is None or name in text.bindings(maker):
                            made = True
                            yield from self._resolve(text, statement.value, inside, steps)
        if not made:
            yield _unseen(text, node, "it is what a call returns")

    def _imported(self, text: Text, node: ast.Name, statement: ast.ImportFrom, steps: int) -> Iterator[Found]:
        original = next((a.name for a in statement.names if (a.asname or a.name) == node.id), node.id)
        other = self._read(text, statement.module or "", statement.level)
        if other is None:
            yield _unseen(text, node, f"it comes from the module {'.' * statement.level}{statement.module or ''}")
        else:
            yield from self._of_module(other, original, text, node, steps)

    def _of_module(self, other: Text, name: str, text: Text, node: ast.expr, steps: int) -> Iterator[Found]:
        for bound in other.find(name, ()):
            if isinstance(bound.node, Function):
                yield Target(other, bound.node, ())
            elif isinstance(bound.node, ast.ImportFrom):
                yield from self._imported(other, ast.copy_location(ast.Name(name, ast.Load()), node), bound.node, steps)
            else:
                yield _unseen(text, node, f"{other.file} does not define it by a def")
            return
        yield _unseen(text, node, f"{other.file} does not define it")

    def _module(self, text: Text, statement: ast.stmt, node: ast.Attribute, full: str) -> Text | None:
        """The file of the module that an attribute is looked up in."""
        if isinstance(statement, ast.ImportFrom) and statement.level:
            name = getattr(node.value, "id", "")
            return self._read(text, ".".join(filter(None, [statement.module, name])), statement.level)
        return self._read(text, full, 0)

    def _read(self, text: Text, module: str, level: int) -> Text | None:
        """A module whose file stands beside the script or below; None for any other."""
        if not text.file:
            return None
        folder = Path(text.file).parent
        for _ in range(level - 1):
            folder = folder.parent
        path = folder.joinpath(*filter(None, module.split(".")))
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file not in self._texts:
                try:
                    self._texts[file] = Text(file.read_text(encoding="utf-8-sig"), str(file))
                except (OSError, ValueError, SyntaxError):
                    self._texts[file] = None
            found = self._texts[file]
            if found is not None:
                return found
        return None


def look_from(target: Target) -> Look:
    """What defines a name around a def, in the text of its file."""
    text, chain = target.text, target.chain

    def look(name: str) -> Origin | None:
        bound = text.find(name, chain)
        if bound:
            return Origin("closure" if bound[0].chain else "global", _way_out(bound[0].node, name))
        # A star may bring builtins, too; that it does is not sure.
        if "*" in text.bindings(None) and not hasattr(builtins, name):
            return Origin("global", f"{GENERAL}; what 'import *' brings is not sent")
        return None

    return look


def _way_out(node: ast.AST, name: str) -> str:
    if isinstance(node, ast.Import | ast.ImportFrom):
        kept = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) == name]
        if isinstance(node, ast.Import):
            return f"write '{ast.unparse(ast.Import(kept))}' in its body"
        if not node.level:
            return f"write '{ast.unparse(ast.ImportFrom(node.module, kept, 0))}' in its body"
    if isinstance(node, Function | ast.ClassDef) and node.name == name:
        return "move its definition into the body"
    if isinstance(assigned(node, name), ast.Constant):
        return "write its value in the body"
    return GENERAL


def _unseen(text: Text, node: ast.expr, why: str) -> Unseen:
    return Unseen(ast.unparse(node), why, text.file, node.lineno, node.col_offset + 1)


def _with_file(finding: Finding, text: Text) -> Finding:
    return Finding(
        finding.rule, finding.message, finding.way_out, finding.line, finding.column, finding.severity, "", text.file
    )
