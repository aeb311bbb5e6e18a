"""What commands print: tables for people, JSON for programs, and questions before something is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 160
"""Columns where the output is no terminal: ids and paths must not be broken in a file or a pipe."""
GAP = 2
"""Between columns."""
INDENT = 2
"""Of what stands below its row."""
LEAST_FOLDED = 24
"""A column of long texts is not squeezed further."""

Json = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; off a terminal nothing is asked in any case.")]


def console(*, stderr: bool = False) -> Console:
    """Where results go."""
    stream = sys.stderr if stderr else sys.stdout
    # COLUMNS tells of a terminal, and outlives it: programs that call programs pass it on.
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(stderr=stderr, highlight=False, soft_wrap=stderr, width=width, force_jupyter=False)


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


def table(*columns: str, rows: Iterable[Sequence[Any]], right: Sequence[str] = (), fold: Sequence[str] = ()) -> Rows:
    """A table: `right` columns hold numbers, `fold` ones are broken over lines where there is no room, no others."""
    cells = tuple(tuple("" if cell is None else str(cell) for cell in row) for row in rows)
    return Rows(columns, cells, frozenset(right), frozenset(fold))


@dataclass(frozen=True)
class Rows:
    """Cells under columns; those for which a terminal is too narrow stand below their row, by name, and none is cut."""

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    right: frozenset[str]
    fold: frozenset[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = [self._least(index) for index in range(len(self.columns))]
        fitting = next((n for n in range(len(least), 1, -1) if sum(least[:n]) + GAP * (n - 1) <= options.max_width), 1)
        if fitting == len(least):
            yield self._table(least)
            return
        yield Text(self._line(self.columns, least[:fitting]), style="bold", no_wrap=True)
        yield Text("─" * (sum(least[:fitting]) + GAP * (fitting - 1)), no_wrap=True)
        for row in self.cells:
            yield Text.from_markup(self._line(row, least[:fitting]), overflow="fold")
            rest = [(name, cell) for name, cell in zip(self.columns[fitting:], row[fitting:], strict=True) if cell]
            if rest:
                yield Padding(_pairs(rest, options.max_width - INDENT), (0, 0, 0, INDENT), expand=False)

    def _least(self, index: int) -> int:
        """How wide a column has to be."""
        name = self.columns[index]
        widest = max((width(row[index]) for row in self.cells), default=0)
        return max(len(name), min(widest, LEAST_FOLDED) if name in self.fold else widest)

    def _table(self, least: Sequence[int]) -> Table:
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for name, wide in zip(self.columns, least, strict=True):
            justify: Literal["right", "left"] = "right" if name in self.right else "left"
            made.add_column(name, justify=justify, no_wrap=name not in self.fold, overflow="fold", min_width=wide)
        for row in self.cells:
            made.add_row(*row)
        return made

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        """The first cells of a row, with their markup."""
        cells = []
        for name, cell, wide in zip(self.columns, row, widths, strict=False):
            room = " " * (wide - width(cell))
            cells.append(f"{room}{cell}" if name in self.right else f"{cell}{room}")
        return (" " * GAP).join(cells).rstrip()


def _pairs(named: Sequence[tuple[str, str]], most: int) -> Text:
    """Names and cells, as many on a line as there is room for."""
    lines: list[Text] = []
    for name, cell in named:
        pair = Text.assemble((f"{name} ", "dim"), Text.from_markup(cell.replace("\n", ", ")))
        if lines and lines[-1].cell_len + GAP + pair.cell_len <= most:
            lines[-1].append(" " * GAP).append_text(pair)
        else:
            lines.append(pair)
    return Text("\n", overflow="fold").join(lines)


def width(cell: str) -> int:
    return max(line.cell_len for line in Text.from_markup(cell).split(allow_blank=True))


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
