"""`ellipsis-local replay`: one node again, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from ellipsis_local.cli.computes import Compute
from ellipsis_local.cli.printing import console, errors, size
from ellipsis_local.cli.resolve_ids import find_compute
from ellipsis_local.cli.session import session_of

LONGEST = 2000
"""Characters of a result that are shown."""


def replay(
    ctx: typer.Context,
    compute: Compute,
    node: Annotated[int, typer.Argument(help="The node; they count from 0.", show_default=False)],
    pdb: Annotated[
        bool, typer.Option("--pdb", help="Open the debugger where the function raises, without a time limit.")
    ] = False,
) -> None:
    """Run one node of the last execution again, on what it received, in its environment and on this terminal.

    Exit code 0 where the node completes, 1 where it fails. The record of the compute does not change.
    """
    from ellipsis_local.replay import partition_of, run_inside, value_of

    with session_of(ctx).emulator() as emulator:
        record = find_compute(emulator.computes.records, compute)
        outcome, large = run_inside(emulator, partition_of(emulator, record.id, node), pdb=pdb)
    if outcome.state == "failed":
        shown = pdb and outcome.kind == "exception"
        end = "" if shown else ":"
        err = errors()
        err.print(f"[red]node {node} failed[/] {_after(outcome.seconds)}([bold]{outcome.kind}[/]){end}", soft_wrap=True)
        if not shown:
            err.print(outcome.text, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    out = console()
    out.print(f"[green]node {node} completed[/] {_after(outcome.seconds)}and returned {size(outcome.size)}:")
    if outcome.file is not None:
        out.print("a memory file", markup=False)
        return
    text = repr(value_of(outcome, large))
    out.print(text if len(text) <= LONGEST else f"{text[:LONGEST]}…", markup=False, soft_wrap=True)


def _after(seconds: float | None) -> str:
    return "" if seconds is None else f"after {seconds:.2f} s "
