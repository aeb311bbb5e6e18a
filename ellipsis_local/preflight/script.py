"""All rules for every function that a script passes to execute; the script is read, never run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ellipsis_local.preflight.calls import Look, computes_of, executions
from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.function import check_function
from ellipsis_local.preflight.installed import Installed
from ellipsis_local.preflight.results import check_results
from ellipsis_local.preflight.surroundings import Surroundings
from ellipsis_local.preflight.targets import Found, Target, Targets, Unseen, look_from
from ellipsis_local.preflight.values import Text


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


def _nowhere(python: tuple[int, ...], requirements: tuple[str, ...]) -> Installed | None:  # noqa: ARG001
    return None


def check_script(
    text: str,
    file: str = "",
    *,
    python: tuple[int, ...] = (3, 12),
    installed: Look = _nowhere,
    functions: Iterable[str] = (),
) -> Report:
    """Look at every function that a script passes to ellipsis.compute.execute, and at those named in `functions`.

    Layers, files, requirements, interpreter and largeResult are those of the createCompute whose id is passed along,
    where they are literals or made of names that are; rules that depend on what is not known are silent. Files beside
    `file` are read where a function is imported from them. `python` is the interpreter where createCompute does not
    name one; `installed` tells what an environment of a Python and requirements holds, where there is one.
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
    try:
        for execution in executions(script):
            around = computes_of(script, execution, python, installed)
            found += [(target, around) for target in targets.of(execution.function, execution.chain)]
        for name in functions:
            found += [(target, Surroundings(python=python)) for target in targets.named(name)]
        return _report(file, found)
    except RecursionError:
        return Report(file, (), (), (Unseen(file, "it is nested too deeply to be read", file, 1, 1),))


def _report(file: str, found: list[tuple[Found, Surroundings]]) -> Report:
    checked: dict[Checked, None] = {}
    findings: dict[Finding, None] = {}
    unseen: dict[Unseen, None] = {}
    for target, around in found:
        if isinstance(target, Unseen):
            unseen[target] = None
        elif isinstance(target, Finding):
            findings[target] = None
        else:
            checked[Checked(target.node.name, target.text.file, target.node.lineno)] = None
            findings.update(dict.fromkeys(_check(target, around)))
    ordered = sorted(
        findings, key=lambda finding: (finding.file != file, finding.file, finding.line or 0, finding.column or 0)
    )
    return Report(file, tuple(checked), tuple(ordered), tuple(unseen))


def _check(target: Target, around: Surroundings) -> list[Finding]:
    source = target.text.source(target.node)
    returns = tuple(check_results(source, around.large))
    found = check_function(source, look_from(target), around, method=target.method, returns=returns)
    return [replace(finding, function=source.name, file=source.file) for finding in found]
