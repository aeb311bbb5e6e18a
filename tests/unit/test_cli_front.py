"""The command line's front: help, codes, errors, warnings, and what start-up may import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import ellipsis_local
from ellipsis_local import scopes
from ellipsis_local.cli import docs, layers
from ellipsis_local.cli.app import app
from ellipsis_local.cli.session import Session
from ellipsis_local.errors import EllipsisLocalError, LayerWarning

COMMANDS = [
    [], ["check"], ["demo"], ["docs"], ["doctor"], ["run"], ["layers"], ["computes"], ["env"], ["state"],
    *(["layers", name] for name in ("add", "load", "pull", "list", "show", "remove", "export")),
    *(["computes", name] for name in ("list", "show", "logs", "terminate", "prune")),
    *(["env", name] for name in ("list", "prefetch", "prune")),
    *(["lesson", name] for name in ("pack", "open")),
    *(["state", name] for name in ("export", "import", "reset")),
]  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.delenv("ELLIPSIS_LOCAL_HOME", raising=False)

    def invoke(*arguments, **options):
        return CliRunner().invoke(app, ["--home", str(tmp_path / "home"), *arguments], **options)

    return invoke


def program(*arguments, home, **options):
    environ = {
        **os.environ,
        "ELLIPSIS_LOCAL_HOME": str(home),
        "PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1]),
    }
    return subprocess.run(
        [sys.executable, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run, command):
    answer = run(*command, "--help")
    assert answer.exit_code == 0
    assert "Usage" in answer.stdout


def test_docs_tells_where_the_pages_are_and_how_they_are_made(run, tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "PAGES", tmp_path)
    missing = run("docs")
    assert missing.exit_code == 1
    assert "tox run -e docs" in missing.output.replace("\n", " ")
    (tmp_path / "index.html").touch()
    opened = []
    monkeypatch.setattr(docs.webbrowser, "open", opened.append)
    address = (tmp_path / "index.html").as_uri()
    assert run("docs").output.strip() == address
    assert json.loads(run("docs", "--json").output)["address"] == address
    assert run("docs", "--no-browser").output.strip() == address
    assert opened == [address]


def test_version(run):
    assert run("--version").stdout == f"ellipsis-local {ellipsis_local.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["layers", "show"],
        ["layers", "list", "--frob"],
        ["demo", "--nodes", "0"],
        ["demo", "--nodes", "many"],
        ["computes", "terminate"],
        ["computes", "terminate", "abc", "--all"],
        ["layers", "add", "x.tif", "--to", "2024-01-01"],
        ["layers", "add", "x.tif", "--type", "sound"],
        ["layers", "add", "x.tif", "--from", "yesterday"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_code_2_and_silent_on_stdout(run, arguments):
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr


def test_an_error_is_one_line_on_stderr(run):
    answer = run("layers", "show", "nothing")
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: there is no layer 'nothing'")
    assert answer.stderr.count("\n") == 1


def test_traceback_is_shown_where_asked_for(run):
    answer = run("--traceback", "layers", "show", "nothing")
    assert answer.exit_code == 1
    assert isinstance(answer.exception, EllipsisLocalError)


def test_a_text_with_brackets_is_told_as_it_is(run):
    assert "'[bold]x[/nothing]'" in run("layers", "show", "[bold]x[/nothing]").stderr


def test_a_wrong_setting_is_an_error_of_one_line(run, monkeypatch):
    monkeypatch.setenv("ELLIPSIS_LOCAL_CORES", "-1")
    answer = run("layers", "list")
    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: ELLIPSIS_LOCAL_CORES")


def test_a_home_that_is_a_file_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    answer = CliRunner().invoke(app, ["--home", str(tmp_path / "file"), "layers", "list"])
    assert answer.exit_code == 1
    assert answer.stderr.count("\n") == 1


def test_home_option_wins_over_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("ELLIPSIS_LOCAL_HOME", str(tmp_path / "variable"))
    assert Session(home=tmp_path / "option").settings().home == tmp_path / "option"


def test_home_option_leaves_nothing_configured(run, tmp_path):
    before = scopes.BASE.given.copy()
    run("layers", "list")
    assert scopes.BASE.given == before
    assert scopes.BASE.emulator is None


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
        (EllipsisLocalError("two\nlines"), 1, "error: two\nlines"),
        (PermissionError(13, "Permission denied", "there"), 1, "error: there: Permission denied\n"),
    ],
)
def test_what_a_command_raises_becomes_a_code_and_words(run, monkeypatch, raised, code, text):
    def fail(*_):
        raise raised

    monkeypatch.setattr(Session, "emulator", fail)
    answer = run("layers", "list")
    assert answer.exit_code == code
    assert answer.stderr.startswith(text)
    assert answer.stdout == ""


def test_a_note_on_an_error_is_told(run, monkeypatch):
    def fail(*_):
        error = EllipsisLocalError("it failed")
        error.add_note("and so did the other")
        raise error

    monkeypatch.setattr(Session, "emulator", fail)
    assert run("layers", "list").stderr == "error: it failed\nand so did the other\n"


def test_our_warnings_are_one_line_each_and_told_once(run, monkeypatch):
    def settings(*_, **__):
        for _ in range(2):
            warnings.warn("3 of 10 features are left out", LayerWarning, stacklevel=1)
        raise EllipsisLocalError("end")

    monkeypatch.setattr(Session, "settings", settings)
    assert run("layers", "list").stderr == "warning: 3 of 10 features are left out\nerror: end\n"


def test_an_error_that_is_not_ours_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(layers, "find_layer", lambda *_: 1 / 0)
    answer = run("layers", "show", "x")
    assert isinstance(answer.exception, ZeroDivisionError)


def test_nothing_is_removed_where_the_answer_is_no(monkeypatch):
    from ellipsis_local.cli import printing

    monkeypatch.setattr(printing.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(typer, "confirm", lambda question, **options: False)
    with pytest.raises(typer.Exit) as raised:
        printing.confirm("Remove?", yes=False)
    assert raised.value.exit_code == 1
    printing.confirm("Remove?", yes=True)


def test_off_a_terminal_nothing_is_asked(monkeypatch):
    from ellipsis_local.cli import printing

    monkeypatch.setattr(printing.sys, "stdin", type("Pipe", (), {"isatty": lambda self: False})())
    printing.confirm("Remove?", yes=False)


def test_help_imports_nothing_heavy(tmp_path):
    heavy = [
        "numpy",
        "pandas",
        "geopandas",
        "shapely",
        "pyproj",
        "rasterio",
        "pyogrio",
        "pyarrow",
        "matplotlib",
        "virtualenv",
    ]
    code = f"import sys, ellipsis_local.cli.app; print([name for name in {heavy} if name in sys.modules])"
    assert program("-c", code, home=tmp_path).stdout == "[]\n"


def test_listing_does_not_load_geographic_libraries(tmp_path):
    code = (
        "import sys\nfrom ellipsis_local.cli.app import app\n"
        "try: app(['computes', 'list', '--json'])\nexcept SystemExit: pass\n"
        "print([name for name in ('geopandas', 'rasterio', 'matplotlib') if name in sys.modules])"
    )
    assert program("-c", code, home=tmp_path / "home").stdout == "[]\n[]\n"


def test_module_and_program_are_the_same(tmp_path):
    done = program("-m", "ellipsis_local", "layers", "list", "--json", home=tmp_path / "home")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == []


def test_a_closed_pipe_is_no_traceback(tmp_path):
    code = (
        "import os, sys; pipe = os.pipe(); os.close(pipe[0]); os.dup2(pipe[1], 1); from ellipsis_local.cli import main"
    )
    done = program("-c", f"{code}\nsys.argv = ['x', 'layers', 'list', '--json']\nmain()", home=tmp_path / "home")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
