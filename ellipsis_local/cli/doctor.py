"""`ellipsis-local doctor`: what this machine has, what would go wrong, and how to mend it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ellipsis_local.cli.printing import Json, console, print_json, table
from ellipsis_local.cli.session import session_of

if TYPE_CHECKING:
    from ellipsis_local.cli.doctor_checks import Check

MARKS = {
    "ok": "[green]ok[/]",
    "warning": "[yellow]warning[/]",
    "problem": "[bold red]problem[/]",
    "skipped": "[dim]skipped[/]",
}
ENDS = {
    "problem": "[bold red]Something essential is broken.[/] Mend it as shown after the arrows.",
    "warning": "Everything essential works. The warnings tell what would not.",
    "ok": "Everything works.",
}


def doctor(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the package index.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Look at the machines of this Dask cluster, too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look whether everything is there: settings, home, disk, interpreters, installer, network, packages, a cluster.

    Ends with code 1 where something essential is broken; warnings alone are code 0.
    """
    from ellipsis_local.cli.doctor_checks import look

    findings = look(session_of(ctx), offline=offline, scheduler=scheduler)
    broken = [finding.name for finding in findings if finding.state == "problem"]
    if as_json:
        print_json({"ok": not broken, "checks": [dataclasses.asdict(finding) for finding in findings]})
    else:
        tell(findings)
    if broken:
        raise typer.Exit(1)


def tell(findings: list[Check]) -> None:
    from rich.markup import escape

    remedies = [f"\n[cyan]→ {escape(finding.remedy)}[/]" if finding.remedy else "" for finding in findings]
    rows = [(one.name, MARKS[one.state], escape(one.text) + way) for one, way in zip(findings, remedies, strict=True)]
    out = console()
    out.print(table("check", "state", "what was found", rows=rows, fold=("what was found",)))
    states = {finding.state for finding in findings}
    out.print("\n" + next(text for state, text in ENDS.items() if state in states or state == "ok"))
