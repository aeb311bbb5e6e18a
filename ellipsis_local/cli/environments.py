"""`ellipsis-local env`: the virtual environments of the home."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from ellipsis_local.cli.completion import complete_environments
from ellipsis_local.cli.printing import (
    Json,
    Yes,
    confirm,
    console,
    counted,
    errors,
    moment,
    print_answer,
    print_list,
    size,
)
from ellipsis_local.cli.resolve_ids import parse_duration
from ellipsis_local.cli.session import session_of
from ellipsis_local.errors import NotFoundError
from ellipsis_local.progress import BAR, Progress

if TYPE_CHECKING:
    from ellipsis_local.emulator import Emulator
    from ellipsis_local.environments import Environment, EnvironmentInfo, Interpreter

app = typer.Typer(
    help="Environments: a virtualenv per interpreter and requirements, made once, shared by all that ask for the same.",
    no_args_is_help=True,
)


def answer_of(info: EnvironmentInfo) -> dict[str, Any]:
    return {
        "key": info.key,
        "folder": info.folder,
        "interpreter": info.interpreter.name,
        "python": version_of(info.interpreter),
        "requirements": list(info.requirements),
        "packages": info.packages,
        "bytes": info.bytes,
        "created": info.created,
        "lastUsed": info.last_used,
    }


def version_of(interpreter: Interpreter) -> str:
    return ".".join(map(str, interpreter.version))


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List environments, the most recently used first."""
    with session_of(ctx).emulator() as emulator:
        found = emulator.environments.list()
    print_list(
        [answer_of(info) for info in found],
        "key", "python", "size", "last used", "requirements", right=("size",), fold=("requirements",),
        rows=[
            (i.key, version_of(i.interpreter), size(i.bytes), moment(i.last_used), ", ".join(i.requirements))
            for i in found
        ],
        empty="no environments; createCompute makes them, `env prefetch` beforehand",
        as_json=as_json,
    )  # fmt: skip


Requirements = Annotated[
    list[str] | None,
    typer.Argument(help="As createCompute takes them: numpy 'scikit-image>=0.24' …", show_default=False),
]
Interpreters = Annotated[
    str | None, typer.Option(help="python3.9 to python3.14; createCompute's default where left out.")
]


def made(emulator: Emulator, interpreter: str | None, requirements: list[str] | None) -> Environment:
    """The environment, with a word to the user on the way."""
    from ellipsis_local.environments import DEFAULT_INTERPRETER, choose_interpreter

    chosen = choose_interpreter(interpreter or DEFAULT_INTERPRETER, emulator.home)
    return emulator.environments.prefetch(chosen, requirements or (), tell)


def tell(step: Progress) -> None:
    with BAR.hidden():
        errors().print(str(step), style="dim", markup=False)
    BAR.tell(step)


def print_ready(environment: Environment, *, as_json: bool) -> None:
    answer = {
        "key": environment.key,
        "folder": environment.folder,
        "python": version_of(environment.interpreter),
        "requirements": list(environment.requirements),
        "packages": environment.packages,
    }
    ready = f"ready: {environment.key}, Python {answer['python']}, {len(environment.packages)} packages"
    print_answer(answer, ready, as_json=as_json)


@app.command()
def prefetch(
    ctx: typer.Context, requirements: Requirements = None, interpreter: Interpreters = None, as_json: Json = False
) -> None:
    """Make an environment now, so that createCompute finds it ready, also without a network."""
    with session_of(ctx).emulator() as emulator, BAR.working("making an environment", emulator.shows_bar):
        environment = made(emulator, interpreter, requirements)
    print_ready(environment, as_json=as_json)


@app.command()
def pack(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The archive to write, such as lesson.zip.")],
    requirements: Requirements = None,
    interpreter: Interpreters = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write an environment's packages to one file, for machines without a network. It is made where it is not there.

    `env unpack` makes the environment of it, on a machine of the same system and processor that has the same Python.
    """
    from ellipsis_local.environments import pack as write_packed

    with session_of(ctx).emulator() as emulator, BAR.working("packing an environment", emulator.shows_bar):
        environment = made(emulator, interpreter, requirements)
        packed = write_packed(environment, file, tell, overwrite=overwrite)
    told = f"{counted(len(packed.wheels), 'package')} for {packed.interpreter} on {packed.platform}"
    console().print(f"{file}: {told}, {decimal(file.stat().st_size)}", markup=False, soft_wrap=True)


@app.command()
def unpack(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="What `env pack` wrote.")], as_json: Json = False
) -> None:
    """Make the environment of a file that `env pack` wrote; no index is asked.

    createCompute with the same requirements finds it ready. Its packages are code that nodes will run: take the file
    from somebody whom you trust.
    """
    with session_of(ctx).emulator() as emulator, BAR.working("making an environment", emulator.shows_bar):
        environment = emulator.environments.unpack(file, tell)
    print_ready(environment, as_json=as_json)


@app.command()
def prune(
    ctx: typer.Context,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            help="Keys as `env list` shows them; all where left out.",
            show_default=False,
            autocompletion=complete_environments,
        ),
    ] = None,
    unused_for: Annotated[
        float | None,
        typer.Option(
            "--unused-for",
            "--idle",
            parser=parse_duration,
            metavar="AGE",
            help="Only those not used for so long: 12h, 7d (or 7) …",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Remove environments. Those of computes that are not over stay. Asks first on a terminal."""
    with session_of(ctx).emulator() as emulator:
        there = [info.key for info in emulator.environments.list()]
        if unknown := set(keys or ()) - set(there):
            raise NotFoundError(f"there is no environment {', '.join(sorted(unknown))}; `env list` shows what there is")
        if there:
            which = ", ".join(keys) if keys else "all environments"
            age = "" if unused_for is None else f" not used for {unused_for / 86400:g} days"
            confirm(f"Remove {which}{age} from {emulator.home.root}?", yes=yes)
        removed = emulator.environments.prune(
            keys or None,
            None if unused_for is None else timedelta(seconds=unused_for),
            in_use=emulator.computes.records.used_environments(),
        )
    freed = decimal(sum(info.bytes for info in removed))
    console().print(f"removed {counted(len(removed), 'environment')}, {freed}" if removed else "nothing to remove")
