"""`ellipsis-local run`: scripts for the service, unchanged, as Python runs them; and whether they depend on the cut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ellipsis_local
from ellipsis_local.cli.app import app
from ellipsis_local.cli.run import Printed, Way, _difference, _ways

SCRIPT = """
import sys
import ellipsis
from ellipsis import compute
from ellipsis.path.hashtag import add

token = "any text"
LAYER = {"pathId": "%(path)s", "timestampId": "%(timestamp)s"}

def f(params):
    raster = params["%(timestamp)s"]["raster"]
    return float(raster.sum() / 3)

made = compute.createCompute(layers=[LAYER], token=token, nodes=2)["id"]
response = compute.execute(made, f, token)
compute.terminateAll(token)
print(made, sum(response))
if "parts" in sys.argv:
    sys.exit(print("parts", len(response)))
folder = ellipsis.path.folder.add("f", token)["id"]
add(folder, "tag", token)
print(ellipsis.path.get(folder, token)["hashtags"])
"""


def environ(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ELLIPSIS_LOCAL_", "PYTHON"))}
    own = {"ELLIPSIS_LOCAL_HOME": str(home), "ELLIPSIS_LOCAL_INLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | own | {"PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1])}


def start(home: Path, *arguments: str, **options) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=environ(home), **pipes, **options)


def run(home: Path, *arguments: str, **options) -> tuple[int, str, str]:
    with start(home, *arguments, **options) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


OURS = ("-P", "-m", "ellipsis_local", "run")
"""Without the working directory in front, as the installed program begins."""


@pytest.mark.parametrize("ending", ["return 1 / 0", "sys.exit('that is all')"])
def test_a_script_behaves_as_with_python(tmp_path: Path, ending: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "json.py").write_text("raise RuntimeError('of the working directory')")
    (tmp_path / "folder" / "beside.py").write_text("VALUE = 3")
    text = """
        import atexit, sys, threading
        from beside import VALUE
        print(sys.argv, __name__, __file__, sys.path[0], sys.modules["__main__"].VALUE, globals().get("__spec__"))
        atexit.register(print, "at the end")
        def end():
            {ending}
        threading.Timer(0.05, print, ["of a thread"]).start()
        end()
    """
    (tmp_path / "folder" / "script.py").write_text(textwrap.dedent(text).replace("{ending}", ending))
    script, given = "folder/script.py", ("--nodes", "-h", "a b")
    answers = [run(tmp_path / "home", *program, *given, cwd=tmp_path) for program in ((script,), (*OURS, script, "--"))]
    assert answers[0] == answers[1]
    assert answers[0][0] and "at the end" in answers[0][1]


def test_ctrl_c_ends_a_script_as_it_ends_python(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nfinally:\n    print('left')\n"
    )
    with start(tmp_path / "home", *OURS, "script.py", cwd=tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "left\n")
    assert err.endswith("KeyboardInterrupt\n") and "ellipsis_local" not in err


@pytest.fixture
def script(raster: dict[str, str], tmp_path: Path) -> Path:
    """A script on a layer of the home."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT % {"path": raster["pathId"], "timestamp": raster["timestampId"]})
    return file


def test_a_script_runs_unchanged_and_its_output_is_compared(script: Path, home: Path) -> None:
    code, out, err = run(home, *OURS, str(script))
    assert (code, out.splitlines()[1]) == (0, "['tag']"), err
    assert f"{script} names 1 layer, all in the home {home}" in err
    code, out, err = run(home, *OURS, "--nodes", "1,3", "--strict", str(script), "parts")
    assert code == 1, err
    assert "nodes=3: differs" in out and "-parts 1\n+parts 3\n" in out
    assert "\n-" not in out.replace("\n--- nodes=1", "").replace("\n-parts 1", "")


def test_what_the_home_lacks_is_listed_before_the_first_call(tmp_path: Path) -> None:
    ids = {"path": "c6b60f5c-3a3c-4ba2-9c3c-1d9a4fbbbf34", "timestamp": "c6b60f5c-3a3c-4ba2-9c3c-1d9a4fbbbf35"}
    file = "c6b60f5c-3a3c-4ba2-9c3c-1d9a4fbbbf36"
    text = (SCRIPT % ids).replace("nodes=2", f"files=['{file}'], nodes=2")
    (tmp_path / "script.py").write_text(text)
    code, out, err = run(tmp_path / "home", *OURS, "script.py", cwd=tmp_path)
    assert (code, out) == (1, "")
    listed, _, traceback = err.partition("Traceback")
    for way in (
        f"pull {ids['path']} {ids['timestamp']}", f"add FILE --path-id {ids['path']} --timestamp-id {ids['timestamp']}",
        f"invent {ids['path']} {ids['timestamp']}", f"pull {file}", f"add FILE --type file --path-id {file}",
    ):  # fmt: skip
        assert f"ellipsis-local layers {way}\n" in listed
    # The user's frames, and what was wrong.
    assert traceback.count("File ") == 1 and "script.py" in traceback and "NotFoundError: " in traceback


# ----- which ways, and what is alike ----------------------------------------------------------------------------------

CUTS = ("balanced", "rows", "shards")


@pytest.mark.parametrize(
    ("nodes", "cuts", "expected"),
    [
        ((), (), [(None, None)]),
        ((3,), ("rows",), [(3, "rows")]),
        ((1, 2), (), [(1, None), (2, None)]),
        ((), CUTS, [(None, None), (None, "rows"), (None, "shards")]),
        # One node is cut in no way, and shards are the same for any number of nodes.
        ((1, 2, 7), CUTS, [(1, None), (2, "balanced"), (7, "balanced"), (2, "rows"), (7, "rows"), (7, "shards")]),
        ((2, 1), ("rows",), [(2, None), (2, "rows")]),
    ],
)
def test_the_ways_of_a_check(nodes, cuts, expected) -> None:
    assert list(_ways(nodes, cuts, "balanced")) == [Way(*one) for one in expected]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("sum 0.3", "sum 0.30000000000000004", True),
        ("sum 1e6", "sum 1000000.4", True),
        ("sum 1.5", "sum 1.51", False),
        ("7 pixels", "8 pixels", False),
        ("1000000 pixels", "1000001 pixels", False),
        ("[1.0, -2.5]", "[1.0000000001, -2.5]", True),
        ("id 508d6084-0fac-4176-8e81-c91343edbdeb", "id ae6907b8-cd14-4442-acc3-f6e23a0cfc07", True),
        ("yes", "no", False),
        ("a 1", "a 1 2", False),
    ],
)
def test_what_is_alike(one: str, other: str, alike: bool) -> None:
    assert (not any(_difference(Printed([one], 0, ""), Printed([other], 0, ""), ("", "")))) == alike


def test_a_failure_and_more_lines_are_differences() -> None:
    one = Printed(["a", "b"], 0, "")
    assert "exit code 1:" in list(_difference(one, Printed(["a", "b"], 1, "why"), ("", "")))
    assert "+c" in list(_difference(one, Printed(["a", "b", "c"], 0, ""), ("", "")))
    assert not list(_difference(one, Printed(["a", "x"], 0, ""), ("", ""), {1}))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("a.py",), "('a.py', [], {}, None)"),
        (("a.py", "x", "--help"), "('a.py', ['x', '--help'], {}, None)"),
        (("--strict", "a.py", "x"), "('a.py', ['x'], {'strict': True}, None)"),
        (("a.py", "x", "--strict"), "('a.py', ['x'], {'strict': True}, None)"),
        (("a.py", "--strict", "service", "x"), "('a.py', ['x'], {'strict': 'service'}, None)"),
        (("--cut", "rows", "--strict", "a.py", "--nodes=3"), "('a.py', [], {'strict': True, 'cut': 'rows'}, 3)"),
        (("--strict", "a.py", "--", "--nodes", "x"), "('a.py', ['--nodes', 'x'], {'strict': True}, None)"),
        (("--strict", "--", "a.py", "--nodes", "x"), "('a.py', ['--nodes', 'x'], {'strict': True}, None)"),
    ],
)
def test_what_is_passed_on(el, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given, expected) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text("")
    started: list[str] = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.extend(command))
    assert CliRunner().invoke(app, ["run", *given]).exit_code == 0
    assert started[-1].endswith(f"run(*{expected})")


def test_what_cannot_go_together_is_told_before_anything_runs(el, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("raise RuntimeError")
    answer = CliRunner().invoke(app, ["run", "--strict", "service", "--cut", "all", str(tmp_path / "a.py")])
    assert answer.exit_code == 1 and "is not how strict='service' cuts" in answer.stderr


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("--nodes", "1,x"), "no list of numbers"),
        (("--nodes", "0"), "no list of numbers"),
        (("--cut", "diagonal"), "nor all"),
        (("--strict=perhaps",), "--strict service"),
        (("nowhere.py",), "does not exist"),
    ],
)
def test_what_cannot_be_understood(given: tuple[str, ...], text: str) -> None:
    answer = CliRunner().invoke(app, ["run", *given, __file__], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert answer.exit_code == 2 and text in " ".join(answer.stderr.split())
