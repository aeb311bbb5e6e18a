"""The calls of execute and createCompute in a script: which functions are passed, and for which computes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from ellipsis_local.preflight.installed import Installed
from ellipsis_local.preflight.names import arguments_of, called
from ellipsis_local.preflight.source import Function
from ellipsis_local.preflight.surroundings import Surroundings
from ellipsis_local.preflight.values import UNKNOWN, Chain, Text, assigned

MOST_STEPS = 8
PACKAGES = ("ellipsis", "ellipsis_local")
CREATE = (
    "layers", "token", "files", "nodes", "interpreter", "requirements", "awaitTillStarted", "largeResult", "enableGpu",
)  # fmt: skip
EXECUTE = ("computeId", "f", "token", "awaitTillCompleted", "writeToLayer")

T = TypeVar("T")

Look = Callable[[tuple[int, ...], tuple[str, ...]], Installed | None]
"""From a Python and requirements to what such an environment holds; None where there is none."""


@dataclass(frozen=True)
class Execution:
    """One call of execute."""

    call: ast.Call
    chain: Chain
    function: ast.expr
    compute: ast.expr | None
    target: bool | None
    """Whether writeToLayer is given; None: not known."""


@dataclass
class _Given:
    """The arguments of a call by their names."""

    named: dict[str, ast.expr] = field(default_factory=dict)
    whole: bool = True
    """False where some may be given by * or **."""


def _given(call: ast.Call, names: Iterable[str]) -> _Given:
    found = _Given()
    for name, value in zip(names, call.args, strict=False):
        if isinstance(value, ast.Starred):
            found.whole = False
            break
        found.named[name] = value
    for keyword in call.keywords:
        if keyword.arg is None:
            found.whole = False
        else:
            found.named[keyword.arg] = keyword.value
    return found


def _is(text: Text, call: ast.Call, name: str) -> bool:
    if called(call) != name and not isinstance(call.func, ast.Name):
        return False
    full = text.full_name(call.func)
    if full in {f"{package}.compute{root}.{name}" for package in PACKAGES for root in ("", ".root")}:
        return True
    return isinstance(call.func, ast.Attribute) and (name == "createCompute" or full.endswith(f"compute.{name}"))


def executions(text: Text) -> Iterator[Execution]:
    """The calls of ellipsis.compute.execute, in whatever way it was imported."""
    for call, chain in text.calls:
        if not _is(text, call, "execute"):
            continue
        given = _given(call, EXECUTE)
        if "f" in given.named:
            target = given.named.get("writeToLayer")
            written: bool | None = target is not None
            if target is None:
                written = False if given.whole else None
            elif not isinstance(target, ast.Dict):
                value = text.value(target, chain)
                written = None if value is UNKNOWN else value is not None
            yield Execution(call, chain, given.named["f"], given.named.get("computeId"), written)


def computes_of(text: Text, execution: Execution, python: tuple[int, ...], look: Look) -> Surroundings:
    """What is known of the compute that a call of execute is for; of several that it can be, what holds for all."""
    found = list(_made_by(text, execution.compute, execution.chain, MOST_STEPS))
    if not found:
        return Surroundings(python=python, large=True if execution.target else None)
    return _merged([_compute(text, call, chain, python) for call, chain in found], execution.target, look)


def _creations(text: Text) -> list[tuple[ast.Call, Chain]]:
    return [(call, chain) for call, chain in text.calls if _is(text, call, "createCompute")]


def _made_by(text: Text, node: ast.expr | None, chain: Chain, steps: int) -> Iterator[tuple[ast.Call, Chain]]:
    """The calls of createCompute that an id can come from; nothing where that does not show."""
    if node is None or not steps:
        return
    if isinstance(node, ast.Subscript | ast.Attribute):
        yield from _made_by(text, node.value, chain, steps - 1)
    elif isinstance(node, ast.Call):
        if _is(text, node, "createCompute"):
            yield node, chain
        elif isinstance(node.func, ast.Name):
            # A def of the script that makes computes.
            makers = {id(bound.node) for bound in text.find(node.func.id, chain)}
            yield from (made for made in _creations(text) if makers & {id(function) for function in made[1]})
    elif isinstance(node, ast.Name):
        for bound in text.find(node.id, chain, node):
            if isinstance(bound.node, Function) and node.id in arguments_of(bound.node):
                # Whoever calls this def, it is one of the script's.
                yield from _creations(text)
            else:
                yield from _made_by(text, assigned(bound.node, node.id), bound.chain, steps - 1)


def _compute(text: Text, call: ast.Call, chain: Chain, python: tuple[int, ...]) -> Surroundings:
    given = _given(call, CREATE)

    def value(name: str, default: object) -> object:
        if name not in given.named:
            return default if given.whole else UNKNOWN
        return text.value(given.named[name], chain)

    large = value("largeResult", False)
    return Surroundings(
        python=_python(value("interpreter", None)) or python,
        layers=_layers(value("layers", UNKNOWN)),
        files=_texts(value("files", None)),
        requirements=_texts(value("requirements", None)),
        large=large if isinstance(large, bool) else None,
    )


def _python(name: object) -> tuple[int, ...] | None:
    if not isinstance(name, str) or not name.startswith("python3."):
        return None
    minor = name.removeprefix("python3.")
    return (3, int(minor)) if minor.isdecimal() else None


def _texts(value: object) -> tuple[str, ...] | None:
    if value is None:
        return ()
    if not isinstance(value, list):
        return None
    texts = tuple(item for item in value if isinstance(item, str))
    return texts if len(texts) == len(value) else None


def _layers(value: object) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(value, list):
        return None
    found = []
    for layer in value:
        ids = [layer.get(name) for name in ("pathId", "timestampId")] if isinstance(layer, dict) else []
        if len(ids) != 2 or not isinstance(ids[1], str):
            return None
        # Without the path's id, only a hint is missing.
        found.append((ids[0] if isinstance(ids[0], str) else "", ids[1]))
    return tuple(found)


def _merged(computes: list[Surroundings], target: bool | None, look: Look) -> Surroundings:
    first = computes[0]
    pythons = {compute.python for compute in computes}
    large = {compute.large for compute in computes}
    requirements = _united([compute.requirements for compute in computes])
    alone = len(pythons) == 1 and len({compute.requirements for compute in computes}) == 1
    return Surroundings(
        # An older one lacks names, a newer one lacks modules: with several, what all have is told of the oldest.
        python=min(pythons),
        layers=_united([compute.layers for compute in computes]),
        files=_united([compute.files for compute in computes]),
        requirements=requirements,
        large=True if target else (large.pop() if len(large) == 1 and target is False else None),
        installed=(lambda: look(first.python, requirements or ())) if alone else first.installed,
    )


def _united(parts: list[tuple[T, ...] | None]) -> tuple[T, ...] | None:
    found: dict[T, None] = {}
    for part in parts:
        if part is None:
            return None
        found.update(dict.fromkeys(part))
    return tuple(found)
