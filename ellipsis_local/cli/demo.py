"""`ellipsis-local demo`: the main job on the shipped layers, start to end, with a table and a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.status import Status

from ellipsis_local.cli.printing import console, size, table
from ellipsis_local.cli.session import session_of
from ellipsis_local.clocks import monotonic

if TYPE_CHECKING:
    from ellipsis_local.cli.demo_job import Outcome

FOLDER = "ellipsis_local_demo"
COUNTED = ("buildings", "trees", "parcels")


def demo(
    ctx: typer.Context,
    nodes: Annotated[int, typer.Option(min=1, help="How many partitions the layers are cut into, one node each.")] = 4,
    interpreter: Annotated[
        str | None,
        typer.Option(
            help="python3.9 to python3.14; python3.12 where left out, or the running one where that is not here."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the files that it makes.")] = Path(
        FOLDER
    ),
) -> None:
    """Run the main job on the shipped layers: cut a valley into partitions, run functions on them, join the results.

    Two functions are run: one returns a few numbers per partition, which are added up; the other a GeoTIFF, and these
    together become a new layer. It needs no account; the first time it makes an environment, later it is there.
    """
    out = console()
    steps = Steps(out)
    with session_of(ctx).emulator(progress=steps.say) as emulator:
        from ellipsis_local.cli.demo_job import FILES, run_demo

        out.print(f"home    {emulator.home.root}\noutput  {output.absolute()}\n", markup=False, soft_wrap=True)
        outcome = run_demo(emulator, nodes, interpreter, output, steps.step)
    show(out, outcome)
    out.print(f"\nfiles in {output.absolute()}:", markup=False, soft_wrap=True)
    for name, what in FILES.items():
        out.print(f"  {name:<15} {what}", markup=False)
    first = outcome.compute_id[:8]
    commands = (f"computes show {first}", f"computes logs {first}", "layers list", "computes prune")
    out.print("\nnext: " + ", ".join(f"[cyan]{command}[/]" for command in commands))


class Steps:
    """Progress: on a terminal a line that changes until its step is done, else one line per step."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._status: Status | None = None
        self._name = ""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """One step; the value takes what it came to."""
        start = monotonic()
        result: list[str] = []
        self._name = name
        shown = self._out.status(f"{name} …") if self._out.is_terminal else contextlib.nullcontext()
        with shown as self._status:
            yield result.append
        self._status = None
        mark = "[green]✓[/] " if self._out.is_terminal else ""
        told = f": {result[0]}" if result else ""
        self._out.print(f"{mark}{name}{told} [dim]({monotonic() - start:.1f} s)[/]")

    def say(self, text: str) -> None:
        """What the emulator tells meanwhile."""
        if self._status is not None:
            self._status.update(f"{self._name} … [dim]{text}[/]")


def show(out: Console, outcome: Outcome) -> None:
    """The table per node, and below it what the reduction made of it."""
    from ellipsis_local.reports.texts import extent_text

    rows: list[tuple[object, ...]] = []
    for row in outcome.rows:
        place = (extent_text(row.extent[f"{axis}Min"], row.extent[f"{axis}Max"]) for axis in "xy")
        ndvi = "" if row.ndvi is None else f"{row.ndvi:.3f}"
        held = (f"{row.value['pixels']:,}", ndvi, *(row.value[name] for name in COUNTED))
        rows.append((row.node, *held, f"{row.seconds:.2f}", size(row.size), *place))
    columns = ("node", "pixels", "NDVI", *COUNTED, "seconds", "result", "x", "y")
    total = outcome.total
    sums = ("all", f"{total['pixels']:,}", f"{total['ndvi']:.3f}", *(str(total[name]) for name in COUNTED))
    rows.append((*(f"[bold]{text}[/]" for text in sums), "", "", "", ""))
    out.print()
    out.print(table(*columns, rows=rows, right=columns[:-2]))
    out.print("\nx and y are in EPSG:3857. Every pixel and every feature is in exactly one partition,", style="dim")
    out.print("so the sums are those of the whole layers.", style="dim")
