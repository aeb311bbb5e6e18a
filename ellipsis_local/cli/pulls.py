"""`ellipsis-local layers pull`: layers of another service into the home, with bars on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ellipsis_local.cli.printing import Json, errors, print_answer
from ellipsis_local.cli.session import session_of
from ellipsis_local.errors import ArgumentError

if TYPE_CHECKING:
    from ellipsis_local.upstream import Progress


def pull(
    ctx: typer.Context,
    path_id: Annotated[str, typer.Argument(help="The id of a raster, vector, file or folder there.")],
    timestamp_ids: Annotated[
        list[str] | None, typer.Argument(help="Timestamps of a raster or vector; all where left out.")
    ] = None,
    from_url: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="The service, up to and including /v3; else the setting upstream."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="What account.logIn there returned. Other users of this machine can see it in the list of processes: "
            "--token-file, or ELLIPSIS_LOCAL_UPSTREAM_TOKEN, hides it."
        ),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file that holds the token and nothing else.")] = None,
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="XMIN YMIN XMAX YMAX", help="Only what touches it, in degrees, or as --epsg says."),
    ] = None,
    epsg: Annotated[int, typer.Option(help="The CRS of --extent.")] = 4326,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is here by what is there now.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take plain http to another machine: the token can be read on the way.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring layers of another service here, under their ids.

    A pull that broke off goes on where it was. Doing it again changes nothing.
    """
    from ellipsis_local import layers

    with session_of(ctx).emulator(), bars() as tell:
        answer = layers.pull(
            path_id,
            timestamp_ids or None,
            fromUrl=from_url,
            token=read_token(token_file) if token is None and token_file is not None else token,
            extent=None if extent is None else dict(zip(("xMin", "yMin", "xMax", "yMax"), extent, strict=True)),
            epsg=epsg,
            replace=replace,
            insecure=insecure,
            progress=tell,
        )
    print_answer(answer, summary(answer), as_json=as_json)


def read_token(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not text:
        raise ArgumentError(f"{path} holds no token", argument="token")
    return text


def summary(answer: dict[str, Any]) -> str:
    """One line on what came, one more for createCompute."""
    everything = list(below(answer))
    pulled, unchanged, skipped = (
        sum(len(path[key]) for path in everything) for key in ("pulled", "unchanged", "skipped")
    )
    if unchanged and not pulled:
        parts = ["all of it is here already, nothing was changed"]
    else:
        parts = [f"pulled {pulled}"] + ([f"{unchanged} here already"] if unchanged else [])
    if skipped:
        parts.append(f"{skipped} with nothing to pull")
    text = f"{answer['name']}: {', '.join(parts)}"
    if answer.get("timestampId"):
        text += f"\nfor createCompute:\n{ {key: answer[key] for key in ('pathId', 'timestampId')} }"
    return text


def below(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield answer
    for path in answer.get("paths", ()):
        yield from below(path)


@contextlib.contextmanager
def bars() -> Iterator[Callable[[Progress], None]]:
    """What shows progress on stderr: steps as lines, and on a terminal numbers as a bar."""
    out = errors()
    if not out.is_terminal:
        yield lambda step: None if step.passing else out.print(str(step), markup=False)
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Bars(*columns, TimeRemainingColumn(), console=out, transient=True) as shown:
        current: dict[str, Any] = {}

        def tell(step: Progress) -> None:
            if not step.passing:
                shown.print(str(step), markup=False)
                return
            if current.get("what") != step.what:
                if "task" in current:
                    shown.remove_task(current["task"])
                current.update(what=step.what, task=shown.add_task(step.what, total=step.total, told=""))
            told = str(step).removeprefix(f"{step.what}: ")
            shown.update(current["task"], completed=step.done, total=step.total, told=told)

        yield tell
