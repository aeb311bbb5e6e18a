"""What commands print: tables for people, JSON for programs, and questions before something is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 160
"""Columns where the output is no terminal: ids and paths must not be broken in a file or a pipe."""

Json = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; off a terminal nothing is asked in any case.")]


def console(*, stderr: bool = False) -> Console:
    """Where results go."""
    stream = sys.stderr if stderr else sys.stdout
    # COLUMNS tells of a terminal, and outlives it: programs that call programs pass it on.
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(stderr=stderr, highlight=False, soft_wrap=stderr, width=width)


def errors() -> Console:
    """Where everything goes that is no result; long lines are left to the terminal."""
    return console(stderr=True)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False, default=_plain))


def print_answer(answer: Any, text: str, *, as_json: bool) -> None:
    """An answer for programs, else a text for people, whose lines are left to the terminal."""
    if as_json:
        print_json(answer)
    else:
        console().print(text, markup=False, soft_wrap=True)


def print_list(
    answers: Sequence[Any], *columns: str, rows: Iterable[Sequence[Any]], empty: str, as_json: bool, **widths: Any
) -> None:
    """A list for programs, else a `table` of it, or the text `empty`."""
    if as_json:
        print_json(answers)
    elif not answers:
        console().print(empty, markup=False)
    else:
        console().print(table(*columns, rows=rows, **widths))


def _plain(value: Any) -> Any:
    """What JSON has no word for: numpy's values as Python's, dates in ISO 8601, the rest as a short text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    for method in ("tolist", "__geo_interface__"):
        found = getattr(value, method, None)
        if found is not None and getattr(value, "size", 0) <= 1000:
            return found() if callable(found) else found
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    text = repr(value)
    return text if len(text) <= 500 else f"{text[:499]}…"


def table(*columns: str, rows: Iterable[Sequence[Any]], right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """A table: `right` columns hold numbers; on a narrow terminal `fold` ones are broken over lines, no others."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    for index, name in enumerate(columns):
        least = len(name) if name in fold else max(len(name), *(width(row[index]) for row in cells), 0)
        justify: Literal["right", "left"] = "right" if name in right else "left"
        made.add_column(name, justify=justify, no_wrap=name not in fold, overflow="fold", min_width=least)
    for row in cells:
        made.add_row(*row)
    return made


def width(cell: str) -> int:
    return max(line.cell_len for line in Text.from_markup(cell).split())


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(number: int | None) -> str:
    return "" if number is None else decimal(number).replace(" bytes", " B").replace("1 byte", "1 B")


def moment(when: datetime | str) -> str:
    """A time as this machine's clock shows it, to the minute."""
    when = datetime.fromisoformat(when) if isinstance(when, str) else when
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; 'no' ends the command with code 1."""
    if not yes and sys.stdin.isatty() and not typer.confirm(question, err=True):
        errors().print("nothing was done")
        raise typer.Exit(1)
