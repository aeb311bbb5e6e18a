"""`ellipsis-local cache`: layers that were cut, and are cut again when they are missed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.filesize import decimal

from ellipsis_local.cli.printing import Yes, confirm, console
from ellipsis_local.cli.resolve_ids import parse_duration
from ellipsis_local.cli.session import session_of

app = typer.Typer(
    help="The cache: layers that were cut into partitions, kept for the next compute that cuts them the same way.",
    no_args_is_help=True,
)


@app.callback()
def group() -> None:
    """So that its one command keeps its name."""


@app.command()
def prune(
    ctx: typer.Context,
    idle: Annotated[
        float,
        typer.Option("--idle", parser=parse_duration, metavar="AGE", help="Only what nobody used so long: 12h, 7d …"),
    ] = 0.0,
    yes: Yes = False,
) -> None:
    """Remove cut layers. Those of computes that are not over stay. Asks first on a terminal."""
    with session_of(ctx).emulator() as emulator:
        age = f" not used for {idle / 86400:g} days" if idle else ""
        confirm(f"Remove cut layers{age} from {emulator.home.cuts}?", yes=yes)
        freed = emulator.computes.prune_cuts(idle)
    console().print(f"removed {decimal(freed)} of cut layers" if freed else "nothing to remove")
