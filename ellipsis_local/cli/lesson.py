"""`ellipsis-local lesson`: a lesson as one file, for those who teach and those who learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ellipsis_local.cli.environments import tell
from ellipsis_local.cli.printing import Json, console, counted, print_json, size
from ellipsis_local.cli.session import session_of

app = typer.Typer(
    help="Lessons: layers, environment, notebook and exercises as one file. `el.lesson.check` looks at students' work.",
    no_args_is_help=True,
)


@app.command()
def pack(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder with lesson.toml, the notebook and the layers.")],
    file: Annotated[Path, typer.Argument(help="The archive, a zip.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    environment: Annotated[
        bool, typer.Option("--environment", help="With the packages of its environment, for use without a network.")
    ] = False,
) -> None:
    """Make one file of a lesson. It holds no users, passwords or tokens."""
    from ellipsis_local import lesson

    with session_of(ctx).emulator():
        made = lesson.pack(folder, file, overwrite=overwrite, environment=environment)
    parts = f"{counted(len(made.layers), 'layer')}, {counted(len(made.exercises), 'exercise')}"
    parts += ", with its environment" if environment else ""
    console().print(f"wrote {file} ({size(file.stat().st_size)}, {parts})", markup=False, soft_wrap=True)


@app.command("open")
def open_(
    file: Annotated[Path, typer.Argument(help="The archive that the teacher made.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where to unpack it; beside the archive where left out.")
    ] = None,
    environment: Annotated[
        bool, typer.Option("--environment/--no-environment", help="Make the environment of its computes now.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Unpack a lesson, with a home of its own; what was unpacked before stays as it is."""
    from ellipsis_local import lesson
    from ellipsis_local.emulator import Emulator
    from ellipsis_local.environments import choose_interpreter
    from ellipsis_local.settings import read_settings

    opened = lesson.open(file, folder, environment=environment)
    if environment and not opened.inline:
        with Emulator(read_settings({"home": opened.home})) as emulator:
            chosen = choose_interpreter(opened.interpreter, emulator.home)
            emulator.environments.prefetch(chosen, opened.requirements, tell)
    if as_json:
        answer = {"folder": opened.folder, "home": opened.home, "files": opened.files}
        print_json(answer | {"exercises": list(opened.exercises)})
        return
    out = console()
    out.print(f"{opened.title}: {counted(len(opened.exercises), 'exercise')}, in {opened.folder}", markup=False)
    which = f"open {', '.join(opened.files)} there, and begin" if opened.files else "begin"
    out.print(f"{which} with:\n", markup=False)
    first = f"import ellipsis_local as el; lesson = el.lesson.open({str(opened.folder)!r})"
    out.print(f"    {first}\n", markup=False, soft_wrap=True)
