"""All rules for every function that a script passes to execute; the script is read, never run."""

from __future__ import annotations

import ast
import builtins
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.form import lambda_finding
from ellipsis_local.preflight.function import check_function
from ellipsis_local.preflight.names import arguments_of, called, dotted
from ellipsis_local.preflight.pixels import check_pixels
from ellipsis_local.preflight.responses import Execution, check_responses
from ellipsis_local.preflight.results import check_results
from ellipsis_local.preflight.source import Function
from ellipsis_local.preflight.surroundings import Installed, Look, Origin, Surroundings
from ellipsis_local.preflight.values import UNKNOWN, Bound, Chain, Text, assigned

MOST_STEPS = 8
GENERAL = "import or define it inside the function"
PACKAGES = ("ellipsis", "ellipsis_local")
CREATE = (
    "layers", "token", "files", "nodes", "interpreter", "requirements", "awaitTillStarted", "largeResult", "enableGpu",
)  # fmt: skip
EXECUTE = ("computeId", "f", "token", "awaitTillCompleted", "writeToLayer")

Layers = tuple[tuple[str, str], ...]
Dtypes = Callable[[Layers], Mapping[str, str] | None]
"""From path ids and timestamp ids to the dtypes of those that are known, as in `Surroundings`."""
T = TypeVar("T")

LookUp = Callable[[tuple[int, ...], tuple[str, ...]], Installed | None]
"""From a Python and requirements to what such an environment holds; None where there is none."""


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


@dataclass(frozen=True)
class Checked:
    """A function that was looked at."""

    name: str
    file: str
    line: int


@dataclass(frozen=True)
class Report:
    """What was found in a script."""

    file: str
    functions: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    """In the order of the files' lines."""
    unseen: tuple[Unseen, ...]
    """What is executed and could not be looked at."""


def check_script(
    text: str,
    file: str = "",
    *,
    python: tuple[int, ...] = (3, 12),
    installed: LookUp = lambda _python, _requirements: None,
    dtypes: Dtypes = lambda _layers: None,
    functions: Iterable[str] = (),
) -> Report:
    """Look at every function that a script passes to ellipsis.compute.execute, and at those named in `functions`.

    Layers, files, requirements, interpreter and largeResult are those of the createCompute whose id is passed along,
    where they are literals or made of names that are; rules that depend on what is not known are silent. Files beside
    `file` are read where a function is imported from them. `python` is the interpreter where createCompute does not
    name one; `installed` tells what an environment of a Python and requirements holds, where there is one, `dtypes`
    what is known of layers.
    """
    try:
        script = Text(text, file)
    except SyntaxError as error:
        broken = Finding(
            "syntax", f"Python cannot read the script ({error.msg})", "mend it", error.lineno, error.offset, file=file
        )
        return Report(file, (), (broken,), ())
    targets = Targets(script)
    found: list[tuple[Found, Surroundings]] = []
    executions: dict[int, Execution] = {}
    try:
        for call, chain in script.calls:
            function = _given(call, EXECUTE)[0].get("f") if _is(script, call, "execute") else None
            if function is not None:
                around = _around(script, call, chain, python, installed)
                around = replace(around, dtypes=dtypes(around.layers) if around.layers else None)
                found += [(target, around) for target in targets.of(function, chain)]
                if around.layers != ():
                    executions[id(call)] = _execution(script, call, chain)
        for name in functions:
            found += [(target, Surroundings(python=python)) for target in targets.named(name)]
        return _report(file, found, check_responses(script, executions))
    except RecursionError:
        return Report(file, (), (), (Unseen(file, "it is nested too deeply to be read", file, 1, 1),))


def layers_and_files(data: bytes, file: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The ids that a script's calls of createCompute name, as far as they show: layers (path, timestamp), and files."""
    try:
        text = Text(ast.unparse(ast.parse(data)), file)
        computes = [_compute(text, call, chain, (3, 12)) for call, chain in _creations(text)]
    except (SyntaxError, ValueError, RecursionError):
        return [], []
    layers = dict.fromkeys(layer for compute in computes for layer in compute.layers or () if all(map(_is_id, layer)))
    return list(layers), [
        one for one in dict.fromkeys(one for each in computes for one in each.files or ()) if _is_id(one)
    ]


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _execution(text: Text, call: ast.Call, chain: Chain) -> Execution:
    made = _made_by(text, _given(call, EXECUTE)[0].get("computeId"), chain, MOST_STEPS)
    return Execution(tuple((_given(create, CREATE)[0].get("nodes"), around) for create, around in made))


def _report(file: str, found: list[tuple[Found, Surroundings]], more: Iterable[Finding]) -> Report:
    targets = [(target, around) for target, around in found if isinstance(target, Target)]
    checked = dict.fromkeys(Checked(target.node.name, target.text.file, target.node.lineno) for target, _ in targets)
    findings = dict.fromkeys(
        finding
        for target, around in found
        if not isinstance(target, Unseen)
        for finding in ([target] if isinstance(target, Finding) else _check(target, around))
    )
    ordered = sorted([*findings, *more], key=lambda one: (one.file != file, one.file, one.line or 0, one.column or 0))
    unseen = dict.fromkeys(target for target, _ in found if isinstance(target, Unseen))
    return Report(file, tuple(checked), tuple(ordered), tuple(unseen))


def _check(target: Target, around: Surroundings) -> list[Finding]:
    source = target.text.source(target.node)
    returns = (*check_results(source, around.large), *check_pixels(source, around))
    found = check_function(source, _look_from(target), around, method=target.method, returns=returns)
    return [replace(finding, function=source.name, file=source.file) for finding in found]


def _given(call: ast.Call, names: tuple[str, ...]) -> tuple[dict[str, ast.expr], bool]:
    """The arguments of a call by their names, and whether these are all: some may be given by * or **."""
    listed = call.args[: len(names)]
    plain = list(itertools.takewhile(lambda value: not isinstance(value, ast.Starred), listed))
    named = dict(zip(names, plain, strict=False)) | {one.arg: one.value for one in call.keywords if one.arg}
    return named, len(plain) == len(listed) and all(one.arg for one in call.keywords)


def _is(text: Text, call: ast.Call, name: str) -> bool:
    if called(call) != name and not isinstance(call.func, ast.Name):
        return False
    full = text.full_name(call.func)
    if full in {f"{package}.compute{root}.{name}" for package in PACKAGES for root in ("", ".root")}:
        return True
    return isinstance(call.func, ast.Attribute) and (name == "createCompute" or full.endswith(f"compute.{name}"))


def _around(text: Text, call: ast.Call, chain: Chain, python: tuple[int, ...], look: LookUp) -> Surroundings:
    """What is known of the compute that a call of execute is for; of several that it can be, what holds for all."""
    given, whole = _given(call, EXECUTE)
    target = given.get("writeToLayer")
    # Whether it is given; None: not known.
    written: bool | None = False if whole else None
    if target is not None:
        value = text.value(target, chain)
        written = None if value is UNKNOWN and not isinstance(target, ast.Dict) else value is not None
    found = list(_made_by(text, given.get("computeId"), chain, MOST_STEPS))
    if not found:
        return Surroundings(python=python, large=True if written else None)
    return _merged([_compute(text, *one, python) for one in found], written, look)


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
    given, whole = _given(call, CREATE)

    def value(name: str, default: object) -> object:
        return text.value(given[name], chain) if name in given else default if whole else UNKNOWN

    large = value("largeResult", False)
    return Surroundings(
        python=_python(value("interpreter", None)) or python,
        layers=_layers(value("layers", UNKNOWN)),
        files=_texts(value("files", None)),
        requirements=_texts(value("requirements", None)),
        large=large if isinstance(large, bool) else None,
    )


def _python(name: object) -> tuple[int, ...] | None:
    found = re.fullmatch(r"python3\.(\d+)", name) if isinstance(name, str) else None
    return (3, int(found[1])) if found else None


def _texts(value: object) -> tuple[str, ...] | None:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _layers(value: object) -> Layers | None:
    if not isinstance(value, list):
        return None
    found = []
    for layer in value:
        path, timestamp = map(layer.get, ("pathId", "timestampId")) if isinstance(layer, dict) else (None, None)
        if not isinstance(timestamp, str):
            return None
        # Without the path's id, only a hint is missing.
        found.append((path if isinstance(path, str) else "", timestamp))
    return tuple(found)


def _merged(computes: list[Surroundings], target: bool | None, look: LookUp) -> Surroundings:
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
    """What any of several holds, each once; None where one of them is not known."""
    known = [part for part in parts if part is not None]
    return tuple(dict.fromkeys(itertools.chain(*known))) if len(known) == len(parts) else None


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
        if not steps:
            yield _unseen(text, node, "its way through the script is too long")
        elif isinstance(node, ast.Lambda):
            yield replace(lambda_finding(node.lineno, node.col_offset + 1), file=text.file)
        elif isinstance(node, ast.IfExp):
            yield from self._resolve(text, node.body, chain, steps - 1)
            yield from self._resolve(text, node.orelse, chain, steps - 1)
        elif isinstance(node, ast.Name):
            bound = text.find(node.id, chain, node)
            if not bound and hasattr(builtins, node.id):
                yield _no_function(text, node, "a builtin")
            elif not bound:
                yield _unseen(text, node, "nothing in the script defines it")
            for binding in bound:
                yield from self._bound(text, node, binding, steps - 1)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(text, node, chain, steps - 1)
        elif isinstance(node, ast.Call):
            yield from self._made(text, node, chain, steps - 1)
        elif isinstance(node, ast.Constant):
            yield _no_function(text, node, f"{node.value!r}")
        else:
            yield _unseen(text, node, "it is computed")

    def _bound(self, text: Text, node: ast.Name, bound: Bound, steps: int) -> Iterator[Found]:
        binder, chain = bound.node, bound.chain
        if chain and binder is chain[-1] and node.id in arguments_of(chain[-1]):
            yield from self._argument(text, node, chain, steps)
        elif isinstance(binder, Function):
            yield Target(text, binder, chain)
        elif isinstance(binder, ast.ClassDef):
            yield _no_function(text, node, "a class")
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
        given = [
            (value, around)
            for call, around in text.calls
            if isinstance(call.func, ast.Name) and call.func.id == function.name
            for name, value in _given(call, tuple(arguments_of(function)))[0].items()
            if name == node.id
        ]
        for value, around in given:
            yield from self._resolve(text, value, around, steps)
        if not given:
            yield _unseen(text, node, f"it is an argument of {function.name}")

    def _attribute(self, text: Text, node: ast.Attribute, chain: Chain, steps: int) -> Iterator[Found]:
        holder, first = node.value, dotted(node)[0]
        bound = text.find(first.id, chain) if isinstance(first, ast.Name) else []
        for binding in bound:
            if isinstance(binding.node, ast.ClassDef) and first is holder:
                for statement in binding.node.body:
                    if isinstance(statement, Function) and statement.name == node.attr:
                        yield Target(text, statement, binding.chain, method=True)
                        return
            if isinstance(binding.node, ast.Import | ast.ImportFrom):
                module, level = text.full_name(holder), 0
                if isinstance(binding.node, ast.ImportFrom) and binding.node.level:
                    module = ".".join(filter(None, [binding.node.module, getattr(holder, "id", "")]))
                    level = binding.node.level
                other = self._read(text, module, level)
                if other is not None:
                    yield from self._of_module(other, node.attr, text, node, steps)
                    return
        yield _unseen(text, node, "it is looked up in an object or in a module that is not beside the script")

    def _made(self, text: Text, node: ast.Call, chain: Chain, steps: int) -> Iterator[Found]:
        """The result of a call: a partial is no function, a def of the script may return one that it defines."""
        if called(node) == "partial":
            yield _no_function(text, node, "a partial")
            return
        made = [
            (statement.value, (*bound.chain, bound.node))
            for bound in (text.find(node.func.id, chain) if isinstance(node.func, ast.Name) else ())
            if isinstance(bound.node, Function) and bound.node not in bound.chain
            for statement in ast.walk(bound.node)
            if isinstance(statement, ast.Return)
            and (
                isinstance(statement.value, ast.Lambda)
                or (isinstance(statement.value, ast.Name) and statement.value.id in text.bindings(bound.node))
            )
        ]
        for value, inside in made:
            yield from self._resolve(text, value, inside, steps)
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

    def _read(self, text: Text, module: str, level: int) -> Text | None:
        """A module whose file stands beside the script or below; None for any other."""
        if not text.file:
            return None
        above = Path(text.file).parents
        path = above[min(max(level - 1, 0), len(above) - 1)].joinpath(*filter(None, module.split(".")))
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file not in self._texts:
                self._texts[file] = None
                with suppress(OSError, ValueError, SyntaxError):
                    self._texts[file] = Text(file.read_text(encoding="utf-8-sig"), str(file))
            if found := self._texts[file]:
                return found
        return None


def _look_from(target: Target) -> Look:
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


def _no_function(text: Text, node: ast.expr, what: str) -> Finding:
    message = f"it is {what}, and execute takes a function"
    place = node.lineno, node.col_offset + 1
    return Finding("not-a-function", message, "write a def that calls it", *place, file=text.file)


def _unseen(text: Text, node: ast.expr, why: str) -> Unseen:
    return Unseen(ast.unparse(node), why, text.file, node.lineno, node.col_offset + 1)
