"""`ellipsis-local computes`, `replay`: what runs and ran in the home, whoever made it; one node of it again."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ellipsis_local.cli.completion import complete_computes
from ellipsis_local.cli.printing import (
    Json,
    Yes,
    confirm,
    console,
    counted,
    errors,
    moment,
    print_json,
    print_list,
    size,
    table,
)
from ellipsis_local.cli.resolve_ids import OVER, every_compute, find_compute, parse_duration
from ellipsis_local.cli.session import session_of
from ellipsis_local.log_lines import read_lines

if TYPE_CHECKING:
    pass

app = typer.Typer(
    help="The computes of the home, of all its users: states, results and logs, terminating and deleting them.",
    no_args_is_help=True,
)
SHOWN_RUNS = 20
"""The last executions that are shown; --json tells all."""
LONGEST = 2000
"""Characters of a replayed node's result that are shown."""
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
STYLES = {
    "available": "green",
    "completed": "green",
    "executing": "cyan",
    "errored": "red",
    "stopped": "dim",
    "terminated": "dim",
}
IDLE = ("available", "completed")
"""States in which a compute waits for somebody to use it."""
STATUSES = ("queued", "starting", "available", "executing", "completed", "errored", "stopping", "stopped")
Compute = Annotated[
    str,
    typer.Argument(
        help="The compute's id, or so much of its beginning that only one fits.",
        show_default=False,
        autocompletion=complete_computes,
    ),
]


def check_status(status: str | None) -> None:
    if status not in (None, *STATUSES):
        raise typer.BadParameter(f"{status!r} is none of {', '.join(STATUSES)}", param_hint="--status")


@app.command("list")
def list_(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, the newest.")] = None,
    as_json: Json = False,
) -> None:
    """List computes, the newest first."""
    from ellipsis_local.dashboard.read_model import compute_answers, layer_names

    check_status(status)
    with session_of(ctx).emulator() as emulator:
        found = (record for record in every_compute(emulator.computes.records) if status in (None, record.status))
        answers = compute_answers(emulator, [*islice(found, limit)])
        owners = emulator.accounts.names({a["owner"] for a in answers})
        layers = layer_names(emulator)
    rows = [
        (
            a["id"], shown_status(a), a["nodes"], a["executions"], moment(a["createdAt"]), size(a["bytes"]),
            escape(owners.get(a["owner"], "")), escape(a["function"] or ""),
            escape(", ".join(dict.fromkeys(layers.get(one["pathId"], one["pathId"]) for one in a["layers"]))),
            first_line(a["message"]),
        )
        for a in answers
    ]  # fmt: skip
    columns = ("id", "status", "nodes", "runs", "created", "disk", "owner", "function", "layers", "message")
    print_list(
        answers, *columns, rows=rows, right=("nodes", "runs", "disk"), fold=("layers", "message"), empty="no computes",
        as_json=as_json,
    )  # fmt: skip


def shown_status(answer: dict[str, Any]) -> str:
    """The state, which is `completed` also where nodes failed; then with how many."""
    status, failed = answer["status"], answer["failedNodes"]
    count = answer["partitions"]
    if status == "completed" and failed:
        return f"[{failed_style(failed, count)}]{status}, {failed} of {counted(count, answer['unit'])} failed[/]"
    return f"[{STYLES.get(status, 'yellow')}]{status}[/]"


def failed_style(failed: int, nodes: int) -> str:
    return "red" if failed == nodes else "yellow"


def first_line(text: str) -> str:
    return escape(text.partition("\n")[0])


@app.command()
def show(
    ctx: typer.Context,
    compute: Compute,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the report as a page, with a map of the partitions."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one compute: its arguments, what each node took, held and returned in the last execution, what was executed
    before, and what would fit."""
    from ellipsis_local.dashboard.read_model import compute_answer
    from ellipsis_local.reports import report_of

    with session_of(ctx).emulator() as emulator:
        record = find_compute(emulator.computes.records, compute)
        answer = compute_answer(emulator, record)
        folder = emulator.home.compute(record.id)
        report = report_of(emulator, record)
    if page is not None:
        report.save(page)
    if as_json:
        print_json(answer)
        return
    out, unit = console(), record.spec.unit
    out.print(f"[bold]{answer['id']}[/]  {shown_status(answer)}  {first_line(answer['message'])}")
    python = ".".join(map(str, record.spec.python))
    facts = [
        ("created", moment(answer["createdAt"])),
        ("executions", answer["executions"]),
        ("interpreter", f"{answer['interpreter']} (Python {python})"),
        ("requirements", ", ".join(answer["requirements"]) or "none"),
        ("layers", "\n".join(f"{one['pathId']}  timestamp {one['timestampId']}" for one in answer["layers"]) or "none"),
        ("files", "\n".join(answer["files"]) or None),
        ("large result", "yes" if answer["largeResult"] else None),
        ("folder", folder),
    ]
    for name, value in facts:
        if value is not None:
            out.print(f"{name:<13} {str(value).replace(chr(10), chr(10) + ' ' * 14)}", markup=False, soft_wrap=True)
    out.print()
    where = ("machine",) if any(node["machine"] for node in answer["nodes"]) else ()
    out.print(table(unit, "state", *where, "x", "y", "seconds", "memory", "size", "result",
                    rows=list(node_rows(answer, where)), right=(unit, "seconds", "memory", "size"),
                    fold=("result",)))  # fmt: skip
    out.print()
    if answer["history"]:
        out.print(table("run", "function", "hash", "started", "seconds", "outcome", right=("run", "seconds"),
                        rows=history_rows(answer, unit)))  # fmt: skip
        out.print()
    for line in report.lines():
        out.print(line, markup=False, soft_wrap=True)
    if page is not None:
        out.print(f"wrote {page}", markup=False, soft_wrap=True)


def node_rows(answer: dict[str, Any], more: Iterable[str] = ()) -> Iterator[tuple[Any, ...]]:
    """Rows of nodes, with `more` keys of theirs after the state."""
    from ellipsis_local.dashboard.read_model import number_of

    results = {number_of(result): result for result in answer.get("result", [])}
    for node in answer["nodes"]:
        number = number_of(node)
        seconds = None if node["seconds"] is None else f"{node['seconds']:.2f}"
        told = seconds, size(node["peakMemory"]), size(node["resultSize"]), result_cell(results.get(number))
        yield number, node["state"], *(node[key] for key in more), *axes_text(node["extent"]), *told


def history_rows(answer: dict[str, Any], unit: str) -> Iterator[tuple[Any, ...]]:
    nodes = len(answer["nodes"])
    for run in answer["history"][-SHOWN_RUNS:]:
        seconds = None if run["seconds"] is None else f"{run['seconds']:.2f}"
        outcome, failed = run["outcome"] or "executing", run["failedNodes"]
        style = STYLES.get(outcome) or failed_style(failed, nodes)
        if failed:
            outcome += f", {failed} of {counted(nodes, unit)} failed"
        name = escape(run["function"] or "a pickle")
        yield run["execution"], name, run["hash"][:12], moment(run["startedAt"]), seconds, f"[{style}]{outcome}[/]"


def axes_text(extent: dict[str, float] | None) -> tuple[str, str]:
    from ellipsis_local.reports.texts import extent_text

    if extent is None:
        return "", ""
    return extent_text(extent["xMin"], extent["xMax"]), extent_text(extent["yMin"], extent["yMax"])


def result_cell(result: dict[str, Any] | None) -> str:
    from ellipsis_local.dashboard.read_model import result_text

    if result is None:
        return ""
    return f"[red]{escape(result_text(result))}[/]" if result["type"] == "exception" else escape(result_text(result))


@app.command()
def logs(
    ctx: typer.Context,
    compute: Compute,
    node: Annotated[int | None, typer.Option(min=0, help="Only of this node; they count from 0.")] = None,
    execution: Annotated[int | None, typer.Option(min=1, help="Only of this execution; they count from 1.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until the execution is over (or Ctrl-C).")
    ] = False,
    since: Annotated[
        float | None, typer.Option(parser=parse_duration, metavar="AGE", help="Only of the last 30s, 10m, 2h, 7d …")
    ] = None,
    tail: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only the last N lines, and what follows.")
    ] = None,
    grep: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only lines in which the regular expression is found.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines: time, execution, node, text.")] = False,
) -> None:
    """Show what the nodes printed and logged, in the order of time."""
    wanted = pattern_of(grep)
    with session_of(ctx).emulator() as emulator:
        records = emulator.computes.records
        found = find_compute(records, compute)
        path = emulator.home.compute(found.id) / "log.jsonl"
        begin = -math.inf if since is None else emulator.database.seconds() - since

        def over() -> bool:
            now = records.get(found.id)
            # one that is available has not executed yet: whoever follows it waits for that
            return not follow or now.status in (*OVER, "completed")

        def fits(line: dict[str, Any]) -> bool:
            chosen = node in (None, line["node"]) and execution in (None, line["execution"]) and line["time"] >= begin
            return chosen and wanted.search(line["text"]) is not None

        out, anything = console(), False
        for line in last_lines(read_lines(path, over), fits, tail):
            anything = True
            tell(line, out, as_json=as_json)
    if not anything and not as_json:
        out.print("nothing was printed or logged" + (", of what was asked for" if path.is_file() else ""), style="dim")


def pattern_of(text: str | None) -> re.Pattern[str]:
    try:
        return re.compile(text or "")
    except re.error as error:
        hint = f"{text!r} is no regular expression ({error}); a character stands for itself after a \\"
        raise typer.BadParameter(hint, param_hint="--grep") from None


def last_lines(
    lines: Iterable[dict[str, Any] | None], fits: Callable[[dict[str, Any]], bool], tail: int | None
) -> Iterator[dict[str, Any]]:
    """The lines that fit; of those that were there at the first pause (None) only the last `tail`."""
    held: deque[dict[str, Any]] | None = None if tail is None else deque(maxlen=tail)
    for line in lines:
        if line is None:
            yield from held or ()
            held = None
        elif fits(line):
            if held is None:
                yield line
            else:
                held.append(line)


def tell(line: dict[str, Any], out: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(line, indent=None)
        return
    clock = datetime.fromtimestamp(line["time"]).astimezone().strftime("%H:%M:%S")
    mark = f"{clock} run {line['execution']} node {line['node']}"
    out.print(mark, style=COLOURS[line["node"] % len(COLOURS)], end=" │ ", soft_wrap=True)
    out.print(line["text"], markup=False, soft_wrap=True)


@app.command()
def terminate(
    ctx: typer.Context,
    compute: Annotated[
        list[str] | None,
        typer.Argument(help="Ids, or beginnings of ids.", show_default=False, autocompletion=complete_computes),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are not over.")] = False,
    yes: Yes = False,
) -> None:
    """Terminate computes; their results and logs stay. --all asks first on a terminal."""
    if everything == bool(compute):
        raise typer.BadParameter("give ids, or --all", param_hint="COMPUTE")
    with session_of(ctx).emulator() as emulator:
        records = emulator.computes.records
        if everything:
            chosen = [record for record in every_compute(records) if record.status not in OVER]
            if chosen:
                confirm(f"Terminate {counted(len(chosen), 'compute')} of {emulator.home.root}?", yes=yes)
        else:
            chosen = [find_compute(records, text) for text in compute or ()]
        for record in chosen:
            emulator.computes.terminate(record.id, None, wait=True)
            console().print(f"terminated {record.id}")
    if not chosen:
        console().print("nothing to terminate")


@app.command()
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        float, typer.Option(parser=parse_duration, metavar="AGE", help="Only those made longer ago: 12h, 7d (or 7) …")
    ] = 0,
    idle: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration,
            metavar="AGE",
            help="Also those that nobody terminated and nobody used for so long: 12h, 7d …; they are terminated first.",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete computes that are stopped or errored, with their results and logs. Asks first on a terminal."""
    with session_of(ctx).emulator() as emulator:
        now = emulator.database.seconds()
        old = [one for one in every_compute(emulator.computes.records) if one.created <= now - older_than]
        over = [one for one in old if one.status in OVER]
        left = [] if idle is None else [one for one in old if one.status in IDLE and one.changed <= now - idle]
        if over or left:
            what = f"{counted(len(over) + len(left), 'compute')} of {emulator.home.root}"
            first = f", terminating {len(left)} of them," if left else ""
            confirm(f"Delete {what}{first} with their results and logs?", yes=yes)
        for record in left:
            emulator.computes.terminate(record.id, None, wait=True)
        for record in (*over, *left):
            emulator.computes.delete(record.id)
    count = len(over) + len(left)
    console().print(f"deleted {counted(count, 'compute')}" if count else "nothing to delete")


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
    from ellipsis_local.computes.replay_inputs import left_behind
    from ellipsis_local.replay import partition_of, run_inside, value_of

    with session_of(ctx).emulator() as emulator:
        record = find_compute(emulator.computes.records, compute)
        left = left_behind(emulator.home.compute(record.id), node)
        if left is not None:
            errors().print(f"what the node left in its working directory: {left}", markup=False, soft_wrap=True)
        outcome, large = run_inside(emulator, partition_of(emulator, record.id, node), pdb=pdb)
    after = "" if outcome.seconds is None else f"after {outcome.seconds:.2f} s "
    if outcome.state == "failed":
        shown = pdb and outcome.kind == "exception"
        end = "" if shown else ":"
        err = errors()
        err.print(f"[red]node {node} failed[/] {after}([bold]{outcome.kind}[/]){end}", soft_wrap=True)
        if not shown:
            err.print(outcome.text, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    out = console()
    out.print(f"[green]node {node} completed[/] {after}and returned {size(outcome.size)}:")
    if outcome.file is not None:
        out.print("a memory file", markup=False)
        return
    text = repr(value_of(record.id, outcome, large))
    out.print(text if len(text) <= LONGEST else f"{text[:LONGEST]}…", markup=False, soft_wrap=True)
