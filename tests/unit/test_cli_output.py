"""Tables, JSON and logs as the command line prints them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from rich.console import Console

from ellipsis_local.cli import printing, resolve_ids
from ellipsis_local.cli.computes import last_lines
from ellipsis_local.errors import ArgumentError, NotFoundError
from ellipsis_local.log_lines import read_lines
from ellipsis_local.reports.texts import extent_text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (661818.7253, 664587.6033, "661819 – 664588"),
        (5.9456, 5.9944, "5.9456 – 5.9944"),
        (0.0, 1.5, "0.00 – 1.50"),
        (-20037508.34, 20037508.34, "-20037508 – 20037508"),
        (3.0, 3.0, "3.00 – 3.00"),
    ],
)
def test_extents_have_the_decimals_that_their_length_asks_for(low, high, text):
    assert extent_text(low, high) == text


@pytest.mark.parametrize(("number", "text"), [(None, ""), (0, "0 B"), (1, "1 B"), (238, "238 B"), (89_900, "89.9 kB")])
def test_sizes(number, text):
    assert printing.size(number) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers")])
def test_counted(number, text):
    assert printing.counted(number, "layer") == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.5), 0.5),
        (np.int16(3), 3),
        (np.arange(3), [0, 1, 2]),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (Path("/x"), "/x"),
        ({1}, [1]),
        (object, "<class 'object'>"),
    ],
)
def test_json_has_a_word_for_results(value, expected, capsys):
    printing.print_json({"value": value})
    assert json.loads(capsys.readouterr().out) == {"value": expected}


def test_a_large_array_is_told_and_not_written_out(capsys):
    printing.print_json(np.zeros(100_000))
    assert len(capsys.readouterr().out) < 600


def test_tables_without_a_terminal_keep_ids_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    made = printing.table("name", "id", rows=[("a" * 60, "1791d90c-86ee-417e-aa04-0e22447f6fd9"), (None, 3)])
    printing.console().print(made)
    out = capsys.readouterr().out
    assert "1791d90c-86ee-417e-aa04-0e22447f6fd9" in out
    assert "\x1b" not in out


def test_tables_break_only_what_may_be_broken(capsys):
    made = printing.table("id", "text", rows=[("x" * 20, "y" * 30)], fold=("text",))
    Console(width=50).print(made)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2] == "x" * 20 + "  " + "y" * 28
    assert lines[3].split() == ["y" * 2]


ROWS = [
    ("1791d90c-86ee-417e-aa04-0e22447f6fd9", "[red]completed, 12 of 12 nodes failed[/]", 245_604, "2026-11-26 08:25", "a long " * 9),
    ("559bf6e4-ef58-478a-a305-b0fa9db68ba7", "available", 3, "2026-11-26 08:26", None),
]  # fmt: skip


@pytest.mark.parametrize("wide", [60, 80, 120])
def test_what_a_terminal_is_too_narrow_for_stands_below_its_row_and_nothing_is_cut(capsys, wide):
    made = printing.table(
        "id", "status", "pixels", "created", "message", rows=ROWS, right=("pixels",), fold=("message",)
    )
    Console(width=wide).print(made)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= wide
    assert "…" not in out
    for row in ROWS:
        for cell in row[:4]:
            assert str(cell).removeprefix("[red]").removesuffix("[/]") in out
    assert out.split().count("long") == 9
    below = [line for line in out.splitlines() if line.startswith("  ")]
    assert any("created 2026-11-26 08:26" in line for line in below) == (wide < 120)


def test_a_table_without_rows_has_its_head(capsys):
    printing.console().print(printing.table("id", "text", rows=[]))
    assert capsys.readouterr().out.split()[:2] == ["id", "text"]


def layer(name, number):
    return SimpleNamespace(name=name, id=f"00000000-0000-4000-8000-{number:012}")


def test_a_layer_is_found_by_id_and_by_name():
    records = [layer("a", 1), layer("b", 2), layer("b", 3)]
    assert resolve_ids.find_layer(records, "a") == records[0].id
    assert resolve_ids.find_layer([], records[0].id.upper()) == records[0].id
    with pytest.raises(ArgumentError, match="several"):
        resolve_ids.find_layer(records, "b")
    with pytest.raises(NotFoundError, match="layers list"):
        resolve_ids.find_layer(records, "c")


class FakeRecords:
    """Two pages of computes."""

    pages = {None: (["aa1", "ab2"], "next"), "next": (["b3"], None)}

    def get(self, text):
        for ids, _ in self.pages.values():
            if text in ids:
                return SimpleNamespace(id=text)
        raise NotFoundError("no")

    def page(self, owner, start):
        assert owner is None
        ids, after = self.pages[start]
        return [SimpleNamespace(id=one) for one in ids], after


def test_a_compute_is_found_by_the_beginning_of_its_id():
    assert resolve_ids.find_compute(FakeRecords(), "b").id == "b3"
    assert resolve_ids.find_compute(FakeRecords(), "aa1").id == "aa1"
    assert [one.id for one in resolve_ids.every_compute(FakeRecords())] == ["aa1", "ab2", "b3"]
    with pytest.raises(ArgumentError, match="2 computes"):
        resolve_ids.find_compute(FakeRecords(), "a")
    with pytest.raises(NotFoundError, match="computes list"):
        resolve_ids.find_compute(FakeRecords(), "c")


def test_logs_are_read_as_they_grow(tmp_path):
    path = tmp_path / "log.jsonl"
    steps = iter(
        [
            lambda: False,
            lambda: path.write_text('{"text": "one"}\n{"text": "t'),
            lambda: path.open("a").write('wo"}\n{"text": "thr'),
            lambda: path.open("a").write('ee"}\n') and True,
        ]
    )
    results = iter([False, False, False, True])

    def over():
        next(steps)()
        return next(results)

    assert [line["text"] for line in read_lines(path, over) if line] == ["one", "two", "three"]


def test_logs_of_a_compute_that_printed_nothing(tmp_path):
    assert list(read_lines(tmp_path / "none", lambda: True)) == [None]


def test_of_the_lines_before_a_pause_the_last_ones_and_of_those_after_it_all():
    lines = [{"text": "a"}, {"text": "b"}, {"text": "-"}, {"text": "c"}, None, {"text": "d"}, {"text": "-"}, None]
    told = [line["text"] for line in last_lines(lines, lambda line: line["text"] != "-", 2)]
    assert told == ["b", "c", "d"]
    assert [line["text"] for line in last_lines(lines, lambda line: True, None)] == ["a", "b", "-", "c", "d", "-"]


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5h", 5400), ("7d", 604800), ("7", 604800), ("0", 0)])
def test_durations(text, seconds):
    assert resolve_ids.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1d", "7 years", "d", "1e3"])
def test_no_durations(text):
    with pytest.raises(typer.BadParameter, match="such as 30s"):
        resolve_ids.parse_duration(text)
