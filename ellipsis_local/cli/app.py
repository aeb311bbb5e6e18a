"""The program: global options, and the groups of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ellipsis_local.cli import (
    cache,
    check,
    computes,
    demo,
    docs,
    doctor,
    environments,
    layers,
    lesson,
    run,
    serve,
    state,
    users,
)
from ellipsis_local.cli.session import Front, Session

HELP = """Run scripts written for Ellipsis Drive compute on this machine.

Real environments, real partitions, no account.

Everything lies in one folder, the home: layers, computes with their results and logs, environments.

Start with [bold]ellipsis-local demo[/], which needs nothing of yours; [bold]doctor[/] tells what is missing.
"""
EPILOG = "In Python: import ellipsis_local as el; el.layers.add(…), el.compute.createCompute(…) on the same home."

app = typer.Typer(
    cls=Front,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    # an error that is not ours is a bug, and its traceback is for the report: without the values of variables
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("run", cls=run.RunCommand, context_settings={"allow_interspersed_args": False})(run.run)
app.add_typer(layers.app, name="layers")
app.add_typer(computes.app, name="computes")
app.add_typer(environments.app, name="env")
app.add_typer(cache.app, name="cache")
app.add_typer(users.app, name="users")
app.add_typer(state.app, name="state")
app.add_typer(lesson.app, name="lesson")
app.command("serve")(serve.serve)
app.command("ui")(serve.ui)
app.command("replay")(computes.replay)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("docs")(docs.docs)


def _version(asked: bool) -> None:
    if asked:
        from ellipsis_local import __version__

        typer.echo(f"ellipsis-local {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            metavar="FOLDER",
            help="The home to work on, as configure(home=…); else ELLIPSIS_LOCAL_HOME, else the folder of user data.",
        ),
    ] = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the Python traceback of an error as well.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - the callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    ctx.obj = Session(home=home and home.expanduser().absolute(), traceback=traceback)
