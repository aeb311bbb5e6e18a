"""`ellipsis-local state`: the home as one file, and an empty one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ellipsis_local.cli.printing import Json, Yes, confirm, console, counted, print_answer, size
from ellipsis_local.cli.session import session_of

app = typer.Typer(
    help="The home as one archive: layers, computes with results and logs, users, settings; no environments. It holds "
    "hashes of passwords and tokens: keep it like a password.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(help="A zip.", show_default=False)]


@app.command("export")
def export(
    ctx: typer.Context,
    file: File,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write the home to one file; others may go on using it."""
    from ellipsis_local.state import export_home

    made = export_home(file, overwrite=overwrite, home=session_of(ctx).settings().home)
    text = f"wrote {made.file} ({size(made.file.stat().st_size)}, {counted(made.files, 'file')})"
    print_answer(vars(made), f"{text}; it holds hashes of passwords and tokens", as_json=as_json)


@app.command("import")
def import_(
    ctx: typer.Context,
    file: File,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of what the home holds; environments stay.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make the home what an archive holds, verified whole before anything changes. --replace asks on a terminal."""
    from ellipsis_local.state import import_home

    home = session_of(ctx).settings().home
    if replace:
        confirm(f"Replace all layers, computes and users of {home}?", yes=yes)
    taken = import_home(file, replace=replace, home=home)
    text = f"imported {counted(taken.files, 'file')}, {size(taken.size)}, into {home}"
    print_answer(vars(taken), text, as_json=as_json)


@app.command()
def reset(
    ctx: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Also while nodes run or wait; they end.")] = False,
    yes: Yes = False,
) -> None:
    """Empty the home; environments and settings.toml stay. Asks first on a terminal."""
    from ellipsis_local.state import reset_home

    home = session_of(ctx).settings().home
    confirm(f"Delete all layers, computes and users of {home}?", yes=yes)
    reset_home(force=force, home=home)
    console().print(f"emptied {home}", markup=False, soft_wrap=True)
