"""`ellipsis-local computes logs`: what the nodes printed and logged, and at its end what became of the run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ellipsis_local.cli.lookup import OVER, find_compute
from ellipsis_local.cli.output import console, print_json
from ellipsis_local.cli.session import session_of

__all__ = ["logs", "read_lines"]

POLL_SECONDS = 0.2
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def logs(
    ctx: typer.Context,
    compute: Annotated[str, typer.Argument(help="The compute's id, or the beginning of it.", show_default=False)],
    node: Annotated[int | None, typer.Option(min=0, help="Only of this node; they count from 0.")] = None,
    execution: Annotated[int | None, typer.Option(min=1, help="Only of this execution; they count from 1.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until the compute is over (or Ctrl-C).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines: time, execution, node, text.")] = False,
) -> None:
    """Show what the nodes printed and logged, in the order of time."""
    with session_of(ctx).emulator() as emulator:
        records = emulator.computes.records
        found = find_compute(records, compute)
        path = emulator.home.compute(found.id) / "log.jsonl"

        def over() -> bool:
            return not follow or records.get(found.id).status in OVER

        out = console()
        count = 0
        for line in read_lines(path, over):
            if node in (None, line["node"]) and execution in (None, line["execution"]):
                count += 1
                tell(line, out, as_json=as_json)
    if not count and not as_json:
        out.print("nothing was printed or logged", style="dim")


def read_lines(path: Path, over: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """The lines of a log as they come, until it is `over` and read to its end; a line half written is waited for."""
    position, rest = 0, b""
    while True:
        # Asked before reading: what was written before the end is in the file then.
        last = over()
        if path.is_file():
            with path.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield json.loads(line)
        if last:
            return
        time.sleep(POLL_SECONDS)


def tell(line: dict[str, Any], out: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(line, indent=None)
        return
    clock = datetime.fromtimestamp(line["time"]).astimezone().strftime("%H:%M:%S")
    mark = f"{clock} run {line['execution']} node {line['node']}"
    out.print(mark, style=COLOURS[line["node"] % len(COLOURS)], end=" │ ", soft_wrap=True)
    out.print(line["text"], markup=False, soft_wrap=True)
