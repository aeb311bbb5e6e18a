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


def doctor(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the package index.")] = False,
    as_json: Json = False,
) -> None:
    """Look whether everything is there: settings, home, disk, interpreters, installer, network, packages.

    Ends with code 1 where something essential is broken; warnings alone are code 0.
    """
    from ellipsis_local.cli.doctor_checks import look

    findings = look(session_of(ctx), offline=offline)
    broken = [finding.name for finding in findings if finding.state == "problem"]
    if as_json:
        print_json({"ok": not broken, "checks": [dataclasses.asdict(finding) for finding in findings]})
    else:
        tell(findings)
    if broken:
        raise typer.Exit(1)


def tell(findings: list[Check]) -> None:
    from rich.markup import escape

    rows = [
        (
            finding.name,
            MARKS[finding.state],
            escape(finding.text) + (f"\n[cyan]→ {escape(finding.remedy)}[/]" if finding.remedy else ""),
        )
        for finding in findings
    ]
    out = console()
    out.print(table("check", "state", "what was found", rows=rows, fold=("what was found",)))
    worst = {finding.state for finding in findings}
    if "problem" in worst:
        out.print("\n[bold red]Something essential is broken.[/] Mend it as shown after the arrows.")
    elif "warning" in worst:
        out.print("\nEverything essential works. The warnings tell what would not.")
    else:
        out.print("\nEverything works.")
