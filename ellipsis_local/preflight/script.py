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

__all__ = ["Checked", "Report", "check_script"]


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
    """Look at every function that a script passes to ellipsis.compute.execute.

    Layers, files, requirements, interpreter and largeResult are those of the createCompute whose id is passed along,
    where they are literals or made of names that are; rules that depend on what is not known are silent.

    Parameters
    ----------
    text : str
        The script.
    file : str
        Its name: files beside it are read where a function is imported from them.
    python : tuple of int
        The interpreter where createCompute does not name one.
    installed : callable
        From a Python and requirements to what such an environment holds, where there is one.
    functions : iterable of str
        Names of functions to look at as well, whether or not they are executed.

    Returns
    -------
    Report
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
            found += [(one, around) for one in targets.of(execution.function, execution.chain)]
        for name in functions:
            found += [(one, Surroundings(python=python)) for one in targets.named(name)]
        return _report(file, found)
    except RecursionError:
        return Report(file, (), (), (Unseen(file, "it is nested too deeply to be read", file, 1, 1),))


def _report(file: str, found: list[tuple[Found, Surroundings]]) -> Report:
    checked: dict[Checked, None] = {}
    findings: dict[Finding, None] = {}
    unseen: dict[Unseen, None] = {}
    for one, around in found:
        if isinstance(one, Unseen):
            unseen[one] = None
        elif isinstance(one, Finding):
            findings[one] = None
        else:
            checked[Checked(one.node.name, one.text.file, one.node.lineno)] = None
            findings.update(dict.fromkeys(_check(one, around)))
    ordered = sorted(findings, key=lambda one: (one.file != file, one.file, one.line or 0, one.column or 0))
    return Report(file, tuple(checked), tuple(ordered), tuple(unseen))


def _check(target: Target, around: Surroundings) -> list[Finding]:
    source = target.text.source(target.node)
    returns = tuple(check_results(source, around.large))
    found = check_function(source, look_from(target), around, method=target.method, returns=returns)
    return [replace(one, function=source.name, file=source.file) for one in found]
