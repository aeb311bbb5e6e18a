"""`ellipsis-local check`: what the service would do to the functions of a script, without running it."""

from __future__ import annotations

import contextlib
import tokenize
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ellipsis_local.cli.printing import Json, console, counted, errors, print_json
from ellipsis_local.cli.session import Session, session_of
from ellipsis_local.errors import ArgumentError, EllipsisLocalError
from ellipsis_local.ids import as_uuid

if TYPE_CHECKING:
    from ellipsis_local.preflight import Finding, Installed, Report

STYLES = {"error": "bold red", "warning": "yellow"}


def check(
    ctx: typer.Context,
    scripts: Annotated[list[Path], typer.Argument(metavar="SCRIPT…", help="Python files.", show_default=False)],
    strict: Annotated[bool, typer.Option("--strict", help="End with code 1 for what may differ as well.")] = False,
    function: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Look at this function of the script's module as well; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at every function that a script passes to compute.execute: would the service run it, and to the same result?

    The script is read, not run. Its layers, files, requirements and interpreter are those of its createCompute, as far
    as they are written out. Ends with code 1 where a function would fail or give another result.
    """
    reports = [_look(session_of(ctx), script, function or []) for script in scripts]
    findings = [finding for report in reports for finding in report.findings]
    failed = any(strict or finding.severity == "error" for finding in findings)
    if as_json:
        print_json({"ok": not failed, **_answer(reports)})
    else:
        _tell(reports, findings)
    if failed:
        raise typer.Exit(1)


def _look(session: Session, script: Path, functions: list[str]) -> Report:
    from ellipsis_local.preflight import check_script

    try:
        # as Python reads it: by its coding cookie, else as UTF-8
        with tokenize.open(script) as file:
            text = file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{script} is no Python script: {error}", argument="script", value=str(script)) from error

    look = partial(_environment, session), partial(_dtypes, session)
    report = check_script(text, str(script), installed=look[0], dtypes=look[1], functions=functions)
    for call in report.unseen:
        if call.what in functions:
            text = f"{script} defines no function {call.what}; give the name of a def of its module"
            raise ArgumentError(text, argument="function", value=call.what)
    return report


def _environment(session: Session, python: tuple[int, ...], requirements: tuple[str, ...]) -> Installed | None:
    """What the home's environment for it holds; None where the home has none yet. Nothing is made."""
    from ellipsis_local.environments import Environments, choose_interpreter
    from ellipsis_local.home import Home
    from ellipsis_local.preflight import installed_in

    settings = session.settings()
    home = Home(settings.home, settings.environments)
    if not home.environments.is_dir():
        return None
    environments = Environments(home)
    try:
        interpreter = choose_interpreter(f"python{python[0]}.{python[1]}", home)
        found = environments.get(environments.plan(interpreter, requirements))
    except EllipsisLocalError:
        # createCompute tells what is wrong with them
        return None
    finally:
        environments.close()
    return None if found is None else installed_in(found.folder)


def _dtypes(session: Session, layers: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """Of those layers that the home has; nothing is made, nor a home of before brought up to date."""
    from ellipsis_local.database import Database, is_current
    from ellipsis_local.home import Home
    from ellipsis_local.store import Catalogue

    settings = session.settings()
    home, found = Home(settings.home, settings.environments), {}
    # Whoever opens the home tells what is wrong with it, createCompute what is wrong with an id.
    with contextlib.suppress(EllipsisLocalError):
        if not is_current(home.database):
            return None
        with contextlib.closing(Database(home.database, ())) as database:
            for _, timestamp_id in layers:
                held = Catalogue(database, home.layers).find_timestamp(as_uuid("timestampId", timestamp_id))
                if held is not None and (held.rasters or held.type == "vector"):
                    found[timestamp_id] = held.rasters[0].dtype if held.rasters else ""
    return found


def _answer(reports: list[Report]) -> dict[str, Any]:
    return {
        "functions": [
            {"name": function.name, "file": function.file, "line": function.line}
            for report in reports
            for function in report.functions
        ],
        "findings": [finding.to_dict() for report in reports for finding in report.findings],
        "unchecked": [
            {"what": call.what, "why": call.why, "file": call.file, "line": call.line, "column": call.column}
            for report in reports
            for call in report.unseen
        ],
    }


def _tell(reports: list[Report], findings: list[Finding]) -> None:
    from rich.text import Text

    # Lines are left whole, so that editors find their way by file:line:column.
    out = console()
    for finding in findings:
        line = Text.assemble(
            f"{finding.place}: ", (finding.severity, STYLES[finding.severity]), f": {finding.function or 'execute'}: "
        )
        line.append(f"{finding.message} [{finding.rule}]\n")
        line.append(f"    → {finding.way_out}", style="cyan")
        out.print(line, soft_wrap=True)
    looked = sum(len(report.functions) for report in reports)
    sure = sum(finding.severity == "error" for finding in findings)
    found = f"{counted(sure, 'error')}, {counted(len(findings) - sure, 'warning')}"
    out.print(f"{counted(looked, 'function')} looked at: {found}", markup=False, soft_wrap=True)
    for report in reports:
        for call in report.unseen:
            place = f"{call.file}:{call.line}:{call.column}"
            errors().print(f"{place}: not looked at: {call.what}, {call.why}", markup=False)
        if not (report.functions or report.findings or report.unseen):
            errors().print(f"{report.file}: no function is passed to compute.execute", markup=False)
