"""`ellipsis-local run`: a script for the service as it stands, and whether what it prints depends on the cut."""

from __future__ import annotations

import difflib
import math
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from ellipsis_local.cli.printing import console, counted, errors
from ellipsis_local.cli.script_process import command
from ellipsis_local.cli.session import Session, session_of

VALUED = ("--nodes", "--cut")
ALL, SERVICE, PLAIN = "all", "service", "yes"
SHARDS = "shards"
MOST_LINES = 40
"""Of a difference that is shown."""
RTOL, ATOL = 1e-6, 1e-9
"""So far may numbers be apart, but whole ones: sums depend on their order."""
VARYING = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Ids, which are new ones each time."""
NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


class RunCommand(TyperCommand):
    """`--strict` may stand alone, or before `service`; options of ours may follow the script, up to a `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        own: list[str] = []
        others: list[str] = []
        at = 0
        while at < end:
            name = args[at].partition("=")[0]
            value = args[at + 1 : at + 2]
            if args[at] == "--strict":
                own.append(f"--strict={SERVICE if value == [SERVICE] else PLAIN}")
                at += value == [SERVICE]
            elif args[at] in VALUED:
                own += [args[at], *value]
                at += 1
            else:
                (own if name in (*VALUED, "--strict") else others).append(args[at])
            at += 1
        # A `--` after the script is for this program, one before it for the parser.
        return super().parse_args(ctx, [*own, *others, *args[end + bool(others) :]])


@dataclass(frozen=True)
class Way:
    """How one run differs from the script as it stands."""

    nodes: int | None
    cut: str | None

    def __str__(self) -> str:
        named = [f"{name}={value!r}" for name, value in (("nodes", self.nodes), ("cut", self.cut)) if value is not None]
        return ", ".join(named) or "as it stands"


def run(
    ctx: typer.Context,
    script: Annotated[
        Path,
        typer.Argument(
            metavar="SCRIPT", exists=True, dir_okay=False, help="A Python file, as it stands.", show_default=False
        ),
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="The script's own.")] = None,
    nodes: Annotated[
        str | None, typer.Option(metavar="N[,N…]", help="Numbers of nodes, in the place of createCompute's.")
    ] = None,
    cut: Annotated[
        str | None, typer.Option(metavar="CUT[,CUT…]", help="Values of the setting `cut`, or `all`.")
    ] = None,
    strict: Annotated[
        str | None,
        typer.Option(metavar="[service]", help="Refuse what the service would; with `service`, cut so, too."),
    ] = None,
) -> None:
    """Run a script written for the service, unchanged, on the home: no server, no account.

    It runs as with `python SCRIPT`, whether the client is installed or not. Before, the layers and files that its
    createCompute names and the home lacks are listed on stderr, with the ways to bring them there.

    With several --nodes or --cut the script runs once for each, and what it prints is compared with the first run,
    numbers to one in a million: exit code 1 where it depends on the cut. What it writes is written each time.

    These options may stand behind the script, too; what follows a -- there is the script's own.
    """
    counts, cuts = _numbers(nodes), _cuts(cut)
    session = session_of(ctx)
    given: dict[str, Any] = {} if session.home is None else {"home": session.home.as_posix()}
    if strict is not None:
        if strict not in (SERVICE, PLAIN):
            raise typer.BadParameter(f"{strict!r} is none; give --strict, or --strict service", param_hint="--strict")
        given["strict"] = SERVICE if strict == SERVICE else True
    own = {name: value for name, value in given.items() if name != "home"}
    ways = list(_ways(counts, cuts, session.settings(**own).cut))
    for chosen in {way.cut for way in ways if way.cut is not None}:
        session.settings(**own, cut=chosen)  # an error for what does not go with it, before anything runs
    _tell_missing(session, script)
    runs = [_command(script, arguments or (), given, way) for way in ways]
    if len(ways) > 1:
        _compare(ways, runs)
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(runs[0][0], runs[0])  # noqa: S606 - this process is the script's from here on


def _numbers(text: str | None) -> list[int]:
    try:
        found = [] if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        found = [0]
    if any(number < 1 for number in found):
        raise typer.BadParameter(f"{text!r} is no list of numbers of at least 1, such as 1,2,7", param_hint="--nodes")
    return list(dict.fromkeys(found))


def _cuts(text: str | None) -> list[str]:
    from ellipsis_local.settings import Settings

    known: tuple[str, ...] = get_args(get_type_hints(Settings)["cut"])
    found = [] if text is None else list(known) if text == ALL else list(dict.fromkeys(text.split(",")))
    if not set(found) <= set(known):
        raise typer.BadParameter(f"{text!r} is no list of {', '.join(known)}, nor {ALL}", param_hint="--cut")
    return found


def _ways(counts: Sequence[int], cuts: Sequence[str], usual: str) -> Iterator[Way]:
    """What to run, the reference first: one node is cut in no way, and shards are the same for any number of nodes."""
    if len(counts) <= 1 and len(cuts) <= 1:
        yield Way(counts[0] if counts else None, cuts[0] if cuts else None)
        return
    reference = Way(counts[0] if counts else None, None)
    yield reference
    for cut in cuts or (None,):
        for count in counts or (None,):
            new = (count, cut) not in ((reference.nodes, None), (reference.nodes, usual))
            alike = bool(counts) and count != counts[-1] if cut == SHARDS else count == 1
            if new and not alike:
                yield Way(count, cut)


def _command(script: Path, arguments: Sequence[str], given: dict[str, Any], way: Way) -> list[str]:
    return command(script, arguments, given if way.cut is None else {**given, "cut": way.cut}, way.nodes)


# ----- what the script needs ------------------------------------------------------------------------------------------


def _tell_missing(session: Session, script: Path) -> None:
    """List the layers and files that the script names and the home lacks, with the ways to bring them there."""
    from ellipsis_local.computes.specification import ComputeRequest, find_lacking, name_of, ways_to_bring
    from ellipsis_local.preflight import layers_and_files

    layers, files = layers_and_files(script.read_bytes(), str(script))
    if not layers and not files:
        return
    with session.emulator() as emulator:
        lacking = find_lacking(ComputeRequest(tuple(layers), tuple(files)), emulator.store)
        home, upstream = emulator.home.root, emulator.settings.upstream
    named = " and ".join(counted(len(one), noun) for one, noun in ((layers, "layer"), (files, "file")) if one)
    told = [f"{script} names {named}, {'not all' if lacking else 'all'} in the home {home}"]
    for one in lacking:
        told.append(f"missing: {name_of(*one)}")
        told += [f"  {where + ':':<22}{command}" for where, command in ways_to_bring(home, *one)]
    if upstream is not None and lacking:
        told.append(f"createCompute pulls what is missing from {upstream}")
    for line in told:
        errors().print(line, markup=False, soft_wrap=True)


# ----- whether it depends on the cut ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Printed:
    """What one run left."""

    lines: list[str]
    code: int
    stderr: str


def _compare(ways: Sequence[Way], runs: Sequence[list[str]]) -> None:
    out = console()
    reference = _printed(runs[0])
    if reference.code:
        errors().print(reference.stderr, end="", markup=False, soft_wrap=True)
        errors().print(f"the script fails already with {ways[0]}", markup=False, soft_wrap=True)
        raise typer.Exit(reference.code)
    if not reference.lines:
        errors().print("the script prints nothing, and so there is nothing to compare: print its result")
        raise typer.Exit(1)
    out.print(f"{ways[0]}: {counted(len(reference.lines), 'line')} printed", markup=False, soft_wrap=True)
    unsteady: set[int] | None = None
    different = 0
    for way, started in zip(ways[1:], runs[1:], strict=True):
        printed, names = _printed(started), (str(ways[0]), str(way))
        if unsteady is None and any(_difference(reference, printed, names)):
            unsteady = _unsteady(reference, _printed(runs[0]))
        difference = list(_difference(reference, printed, names, unsteady or set()))
        out.print(f"{way}: {'differs' if difference else 'the same'}", markup=False, soft_wrap=True)
        if difference and not different:
            out.print("\n".join(difference[:MOST_LINES]), markup=False, soft_wrap=True)
        different += bool(difference)
    if different:
        errors().print(f"{different} of {len(ways) - 1} ways differ from {ways[0]}", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _printed(started: Sequence[str]) -> Printed:
    done = subprocess.run(started, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return Printed(done.stdout.splitlines(), done.returncode, done.stderr)


def _unsteady(one: Printed, again: Printed) -> set[int]:
    """The lines that are others each time, whatever the cut: times, random numbers."""
    out = errors()
    if len(one.lines) != len(again.lines):
        out.print("the script prints more or fewer lines each time: what differs may not be the cut", soft_wrap=True)
        return set()
    found = {at for at, pair in enumerate(zip(one.lines, again.lines, strict=True)) if not _alike(*pair)}
    for at in sorted(found):
        out.print(f"not compared, it is another each time: {one.lines[at]}", markup=False, soft_wrap=True)
    return found


def _difference(one: Printed, other: Printed, names: tuple[str, str], unsteady: Collection[int] = ()) -> Iterator[str]:
    """A unified diff of what was printed; nothing where it is alike."""
    lines = list(other.lines)
    if len(lines) == len(one.lines):
        pairs = enumerate(zip(one.lines, lines, strict=True))
        lines = [mine if at in unsteady or _alike(mine, its) else its for at, (mine, its) in pairs]
    yield from difflib.unified_diff(one.lines, lines, *names, n=2, lineterm="")
    if one.code != other.code:
        yield f"exit code {other.code}:"
        yield from other.stderr.splitlines()


def _alike(one: str, other: str) -> bool:
    parts, others = (NUMBER.split(VARYING.sub("ID", line)) for line in (one, other))
    return len(parts) == len(others) and all(map(_same, parts, others))


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    if not (NUMBER.fullmatch(one) and NUMBER.fullmatch(other)) or (_is_whole(one) and _is_whole(other)):
        return False
    return math.isclose(float(one), float(other), rel_tol=RTOL, abs_tol=ATOL)


def _is_whole(number: str) -> bool:
    return number.lstrip("+-").isdecimal()
