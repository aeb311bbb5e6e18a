"""What a script makes of the list that execute returns: the service's has one entry per shard, and shards overlap."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.names import called, own_nodes
from ellipsis_local.preflight.source import Function
from ellipsis_local.preflight.values import UNKNOWN, Chain, Text, assigned

MOST_STEPS = 8
SHOWN = 80
SAME = {"list", "tuple", "sorted", "reversed"}
"""Of a response they make the response, in another form."""
REDUCTIONS = {
    "sum", "fsum", "nansum", "mean", "fmean", "nanmean", "average", "median", "nanmedian", "std", "nanstd", "var",
    "nanvar", "bincount", "histogram",
}  # fmt: skip
"""What has another result where something comes twice; the largest and smallest have not."""
COLLECTING = {
    "array", "asarray", "stack", "vstack", "hstack", "concatenate", "concat", "DataFrame", "Series", "from_iterable",
    "map", "filter", "enumerate",
}  # fmt: skip
"""What makes one thing of all entries."""
KEEPING = {"groupby", "astype", "ravel", "flatten", "reshape"}
"""Methods of such a thing after which it still holds all."""
COUNTERS = {"Counter", "zeros"}

ALONE = "takes it that every node gives one result, and the service gives one per shard, of which a node runs several"
AS_LONG = "go through the response as long as it is; cut='shards' cuts so here, too"
TWICE = "counts more than once what lies where shards overlap, as those of the service do"
ONCE = (
    "let the function leave out what belongs to the neighbours, or return with each value where it lies and count each "
    "place once; cut='shards' shows here what comes twice"
)


@dataclass(frozen=True)
class Execution:
    """A call of execute, and what is known of the computes that it can be for."""

    nodes: tuple[tuple[ast.expr | None, Chain], ...]
    """What each is given as nodes, and the defs around that; empty where no createCompute is seen."""


def check_responses(text: Text, executions: Mapping[int, Execution]) -> Iterator[Finding]:
    """What the script assumes of responses; `executions` by the id of the call's node."""
    reader = _Responses(text, executions)
    for node, chain in text.within((ast.expr, ast.stmt)) if executions else ():
        found = reader.assumes_nodes(node, chain)
        if found is not None:
            message, place = f"{_written(text, found)} {ALONE}", _place(found)
            yield Finding("one-per-node", message, AS_LONG, *place, "warning", file=text.file)
        if reader.counts_twice(node, chain):
            message, place = f"{_written(text, node)} {TWICE}", _place(node)
            yield Finding("counted-twice", message, ONCE, *place, "warning", file=text.file)


def _written(text: Text, node: ast.AST) -> str:
    written = (ast.get_source_segment(text.text, node) or "").partition("\n")[0]
    return f"`{written if len(written) <= SHOWN else f'{written[: SHOWN - 1]}…'}`"


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1


class _Responses:
    """Which expressions are responses, or made of all their entries, as far as that is sure."""

    def __init__(self, text: Text, executions: Mapping[int, Execution]) -> None:
        self.text = text
        self.executions = executions

    def of(self, node: ast.expr | None, chain: Chain, steps: int = MOST_STEPS) -> list[Execution]:
        """The executions whose response an expression can be; none where it can be something else."""
        if not steps:
            return []
        if isinstance(node, ast.Call):
            if id(node) in self.executions:
                return [self.executions[id(node)]]
            if isinstance(node.func, ast.Name) and node.func.id in SAME and len(node.args) == 1:
                return self.of(node.args[0], chain, steps - 1)
        found: list[Execution] = []
        for value, around in self._origins(node, chain):
            made = self.of(value, around, steps - 1)
            if not made:
                return []
            found += made
        return found

    def _origins(self, node: ast.expr | None, chain: Chain) -> Iterator[tuple[ast.expr | None, Chain]]:
        """What a name is assigned, or a def of the script returns."""
        if isinstance(node, ast.Name):
            for bound in self.text.find(node.id, chain, node):
                yield assigned(bound.node, node.id), bound.chain
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            for bound in self.text.find(node.func.id, chain, node):
                if isinstance(bound.node, Function) and bound.node not in bound.chain:
                    for statement in own_nodes(bound.node, ast.Return):
                        yield statement.value, (*bound.chain, bound.node)

    # --- one result per node ---

    def assumes_nodes(self, node: ast.AST, chain: Chain) -> ast.AST | None:
        """The part that would be wrong with more results than nodes."""
        if isinstance(node, ast.Compare) and len(node.comparators) == 1:
            sides = [node.left, node.comparators[0]]
            return node if any(self._is_length(two[0], two[1], chain) for two in (sides, sides[::-1])) else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
            ends = [end for end in map(_end, node.args) if end is not None]
            executions = [found for one in node.args for found in self.of(one, chain)]
            return node if any(self._is_nodes(end, chain, executions) for end in ends) else None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            only = ast.unparse(node.slice) in ("0", "-1")
            return node if only and any(self._count(one) == 1 for one in self.of(node.value, chain)) else None
        if isinstance(node, ast.Assign):
            return node if any(map(_unpacks, node.targets)) and self.of(node.value, chain) else None
        if isinstance(node, ast.For):
            return self._by_number(node.target, node.iter, node.body, chain)
        if isinstance(node, ast.ListComp | ast.GeneratorExp):
            return self._by_number(node.generators[0].target, node.generators[0].iter, [node.elt], chain)
        return None

    def _is_length(self, one: ast.expr, other: ast.expr, chain: Chain) -> bool:
        response = one.args[0] if isinstance(one, ast.Call) and called(one) == "len" and one.args else None
        return response is not None and self._is_nodes(other, chain, self.of(response, chain))

    def _by_number(self, target: ast.expr, numbers: ast.expr, body: Sequence[ast.AST], chain: Chain) -> ast.AST | None:
        """A response that is asked for the entry of each number of a node."""
        end, name = _end(numbers), target.id if isinstance(target, ast.Name) else None
        for one in (inner for part in body for inner in ast.walk(part) if isinstance(inner, ast.Subscript)):
            asked = isinstance(one.slice, ast.Name) and one.slice.id == name
            if asked and self._is_nodes(end, chain, self.of(one.value, chain)):
                return one
        return None

    def _count(self, execution: Execution) -> int | None:
        """The number of nodes, where all computes have the same."""
        counts = {self._number(node, chain) for node, chain in execution.nodes}
        return counts.pop() if len(counts) == 1 else None

    def _number(self, node: ast.expr | None, chain: Chain) -> int | None:
        value = self.text.value(node, chain) if node is not None else UNKNOWN
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _is_nodes(self, node: ast.expr | None, chain: Chain, executions: list[Execution]) -> bool:
        """Whether an expression is the number of nodes of one of the executions."""
        number = self._number(node, chain)
        if number is not None:
            return any(self._count(execution) == number for execution in executions)
        name = node.id if isinstance(node, ast.Name) else ""
        for execution in executions:
            given = {one.id for one, _ in execution.nodes if isinstance(one, ast.Name)}
            if name in given or ("node" in name.lower() and not execution.nodes):
                return True
        return False

    # --- counted twice ---

    def counts_twice(self, node: ast.AST, chain: Chain) -> bool:
        """Whether all entries of a response are added up, or a mean is taken of them."""
        if isinstance(node, ast.For):
            return self._adds_up(node, chain)
        if not isinstance(node, ast.Call):
            return False
        name, first = called(node), node.args[0] if node.args else None
        if name == "reduce" and len(node.args) > 1:
            return "add" in ast.unparse(node.args[0]) and self._rests(node.args[1], chain)
        if name not in REDUCTIONS:
            return False
        if isinstance(node.func, ast.Attribute) and self._rests(node.func.value, chain):
            return True
        start = [*node.args[1:2], *(one.value for one in node.keywords if one.arg == "start")]
        # Lists are joined by it.
        joins = name == "sum" and any(isinstance(one, ast.List | ast.Tuple) for one in start)
        return self._rests(first, chain) and not joins

    def _rests(self, node: ast.expr | None, chain: Chain, steps: int = MOST_STEPS) -> bool:
        """Whether an expression is a response, or one thing of all its entries."""
        if node is None or not steps:
            return False
        if self.of(node, chain, steps - 1):
            return True
        if isinstance(node, ast.ListComp | ast.GeneratorExp):
            taken = {name for loop in node.generators for name in _names(loop.target)}
            return self._rests(node.generators[0].iter, chain, steps - 1) and bool(_names(node.elt) & taken)
        if isinstance(node, ast.Subscript | ast.Attribute):
            one = isinstance(node, ast.Subscript) and isinstance(self.text.value(node.slice, chain), int)
            return not one and not self.of(node.value, chain) and self._rests(node.value, chain, steps - 1)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in KEEPING:
                return self._rests(node.func.value, chain, steps - 1)
            return called(node) in COLLECTING | SAME and any(self._rests(one, chain, steps - 1) for one in node.args)
        origins = list(self._origins(node, chain)) if isinstance(node, ast.Name) else []
        return bool(origins) and all(self._rests(value, around, steps - 1) for value, around in origins)

    def _adds_up(self, node: ast.For, chain: Chain) -> bool:
        """A loop over a response that adds what the entries hold to a number, or to those of a counter."""
        if not self._rests(node.iter, chain):
            return False
        taken = _names(node.target)
        for one in (inner for statement in node.body for inner in ast.walk(statement)):
            if isinstance(one, ast.For) and _names(one.iter) & taken:
                taken |= _names(one.target)
            adds = isinstance(one, ast.AugAssign) and isinstance(one.op, ast.Add) and _names(one.value) & taken
            if adds and isinstance(one, ast.AugAssign) and self._is_number(one.target, chain):
                return True
        return False

    def _is_number(self, target: ast.expr, chain: Chain) -> bool:
        """Whether what is added to began as a number, or holds numbers."""
        holder = target.value if isinstance(target, ast.Subscript) else target
        made = (
            [assigned(bound.node, holder.id) for bound in self.text.find(holder.id, chain)]
            if isinstance(holder, ast.Name)
            else []
        )
        return any(
            (isinstance(value, ast.Call) and (called(value) in COUNTERS or _is_default_number(value)))
            or (isinstance(value, ast.Constant) and isinstance(value.value, int | float) and holder is target)
            for value in made
        )


def _is_default_number(node: ast.Call) -> bool:
    return called(node) == "defaultdict" and any(
        isinstance(one, ast.Name) and one.id in ("int", "float") for one in node.args
    )


def _end(node: ast.expr) -> ast.expr | None:
    """Where a range ends."""
    return (
        node.args[min(1, len(node.args) - 1)]
        if isinstance(node, ast.Call) and called(node) == "range" and node.args
        else None
    )


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _unpacks(target: ast.expr) -> bool:
    """Whether a target takes so many entries and no other number."""
    return isinstance(target, ast.Tuple | ast.List) and not any(isinstance(one, ast.Starred) for one in target.elts)
