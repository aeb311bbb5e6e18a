"""Finding interpreters, on machines made of scripts that answer like a Python."""

import copy
import json
import os
import pickle
import stat
from pathlib import Path

import pytest

from ellipsis_local.environments import interpreter_locations, interpreters, probe
from ellipsis_local.environments.interpreters import (
    DEFAULT_INTERPRETER,
    choose_interpreter,
    find_interpreters,
    parse_interpreter,
)
from ellipsis_local.errors import ArgumentError, EnvironmentWarning, InterpreterError
from ellipsis_local.home import Home


class Machine:
    """A user's folder, a PATH, a home, and Pythons that can be added."""

    def __init__(self, root: Path) -> None:
        self.user = root / "user"
        self.bin = root / "bin"
        self.log = root / "log"
        self.home = Home(root / "home")
        self.home.prepare()
        self.bin.mkdir()
        self.user.mkdir()
        self.environ = {"HOME": str(self.user), "PATH": f"{self.bin}:/usr/bin:/bin"}

    def script(self, path, text):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {path} >> '{self.log}'\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def python(self, path, version, **special):
        answer = {
            "version": [*version],
            "final": True,
            "implementation": "cpython",
            "platform": "linux-x86_64",
            "executable": str(path),
            "prefix": str(Path(path).parent.parent),
            "virtual": False,
            "debug": False,
            "free_threaded": False,
            "missing": [],
        }
        return self.script(path, f"echo '{json.dumps(answer | special)}'")

    def find(self):
        return [(i.executable, i.version) for i in find_interpreters(self.home, self.environ)]

    def runs(self):
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def machine(tmp_path, monkeypatch):
    for name in ("SYSTEM_FOLDERS", "SYSTEM_PATTERNS", "HOMEBREW_PREFIXES", "CONDA_PREFIXES"):
        monkeypatch.setattr(interpreter_locations, name, ())
    # PATH needs the system's commands, whose folders may hold Pythons
    pythons = interpreter_locations._pythons
    monkeypatch.setattr(
        interpreter_locations, "_pythons", lambda f: pythons(f) if Path(f).is_relative_to(tmp_path) else iter(())
    )
    for module in (interpreter_locations, interpreters):
        monkeypatch.setattr(module, "running", list)
    return Machine(tmp_path)


@pytest.mark.parametrize("minor", range(9, 15))
def test_parse_accepts(minor):
    assert parse_interpreter(f"python3.{minor}") == (3, minor)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "python",
        "python3",
        "python3.8",
        "python3.15",
        "python9.9",
        "python3.012",
        "python3.12.1",
        "Python3.12",
        "ruby",
        "/usr/bin/python3.12",
        "3.12",
        "python3.12; rm",
        "python3.12\n",
        " python3.12",
        "python3.１２",
    ],
)
def test_parse_refuses(name):
    with pytest.raises(ArgumentError, match=r"python3\.9, .*python3\.14, not ") as caught:
        parse_interpreter(name)
    assert (caught.value.argument, caught.value.value) == ("interpreter", name)


@pytest.mark.parametrize("name", ["3.12", "python3.12.1", "Python 3.12", "py312", "/usr/bin/python3.12"])
def test_a_near_name_is_told(name):
    with pytest.raises(ArgumentError, match=r"; did you mean 'python3\.12'\?$"):
        parse_interpreter(name)


@pytest.mark.parametrize("name", ["3.8", "2.7", "python3", "ruby", "13.12"])
def test_no_other_name_is_near(name):
    with pytest.raises(ArgumentError, match=r"not '[^']*'$"):
        parse_interpreter(name)


@pytest.mark.parametrize("name", [None, 3.12, (3, 12), b"python3.12"])
def test_parse_refuses_what_is_no_text(name):
    with pytest.raises(ArgumentError, match=r"^interpreter must be of type string$"):
        parse_interpreter(name)


def test_default_is_an_ordinary_text_but_for_its_identity():
    assert DEFAULT_INTERPRETER == "python3.12"
    assert hash(DEFAULT_INTERPRETER) == hash("python3.12")
    assert f"{DEFAULT_INTERPRETER}" is not DEFAULT_INTERPRETER
    assert json.loads(json.dumps(DEFAULT_INTERPRETER)) == "python3.12"
    assert copy.copy(DEFAULT_INTERPRETER) == pickle.loads(pickle.dumps(DEFAULT_INTERPRETER)) == "python3.12"


PLACES = [
    # PATH, and what stands beside its shims
    ("bin", {}),
    ("tools/versions/3.12.4/bin", {"PATH": "{root}/tools/shims"}),
    ("tools/installs/python/3.12.4/bin", {"PATH": "{root}/tools/shims"}),
    # version managers
    ("user/.pyenv/versions/3.12.4/bin", {}),
    ("elsewhere/versions/3.12.4/bin", {"PYENV_ROOT": "{root}/elsewhere"}),
    ("user/.local/share/uv/python/cpython-3.12.4-linux-x86_64-gnu/bin", {}),
    ("data/uv/python/cpython-3.12.4/bin", {"XDG_DATA_HOME": "{root}/data"}),
    ("elsewhere/cpython-3.12.4/bin", {"UV_PYTHON_INSTALL_DIR": "{root}/elsewhere"}),
    ("user/.asdf/installs/python/3.12.4/bin", {}),
    ("user/.local/share/mise/installs/python/3.12.4/bin", {}),
    ("elsewhere/installs/python/3.12/bin", {"MISE_DATA_DIR": "{root}/elsewhere"}),
    # conda
    ("user/miniconda3/bin", {}),
    ("user/anaconda3/envs/geo/bin", {}),
    ("elsewhere/bin", {"CONDA_PREFIX": "{root}/elsewhere"}),
    # Homebrew
    ("brew/bin", {"HOMEBREW_PREFIX": "{root}/brew"}),
    ("brew/opt/python@3.12/bin", {"HOMEBREW_PREFIX": "{root}/brew"}),
]


@pytest.mark.parametrize(("place", "variables"), PLACES)
@pytest.mark.parametrize("name", ["python3.12", "python3", "python"])
def test_places(machine, tmp_path, place, variables, name):
    path = machine.python(tmp_path / place / name, (3, 12, 4))
    machine.environ |= {key: value.format(root=tmp_path) for key, value in variables.items()}
    assert machine.find() == [(path, (3, 12, 4))]


def test_relative_entries_of_path_are_ignored(machine, tmp_path, monkeypatch):
    machine.python(tmp_path / "here/python3.12", (3, 12, 4))
    monkeypatch.chdir(tmp_path)
    machine.environ["PATH"] = "here::."
    assert machine.find() == []


@pytest.mark.parametrize(
    "text",
    [
        "echo 'pyenv: python3.12: command not found' >&2; exit 127",
        "exit 0",
        "echo hello",
        "echo '[3, 12]'",
        "kill -9 $$",
        """echo '{\"version\": \"3.12\"}'""",
        r"printf '\377\376'",
    ],
)
def test_shim_that_fails_is_skipped(machine, text):
    machine.script(machine.bin / "python3.12", text)
    good = machine.python(machine.user / ".pyenv/versions/3.12.4/bin/python3.12", (3, 12, 4))
    assert machine.find() == [(good, (3, 12, 4))]
    assert machine.runs() == 2
    machine.find()
    assert machine.runs() == 2, "the failure is remembered as well"


def test_file_that_cannot_be_executed_is_skipped(machine):
    (machine.bin / "python3.12").write_bytes(b"\x7fELF no program")
    (machine.bin / "python3.12").chmod(0o755)
    (machine.bin / "python3.11").write_text("not executable")
    (machine.bin / "python3.10").symlink_to("nowhere")
    (machine.bin / "python3.9").mkdir()
    assert machine.find() == []


def test_shim_that_hangs_is_ended_and_asked_again(machine, monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT", 0.3)
    machine.script(machine.bin / "python3.12", "sleep 60; echo never")
    assert machine.find() == []
    assert machine.find() == []
    assert machine.runs() == 2


@pytest.mark.parametrize(
    ("version", "special"),
    [
        ((3, 8, 18), {}),
        ((3, 15, 0), {}),
        ((2, 7, 18), {}),
        ((3, 12, 4), {"implementation": "pypy"}),
        ((3, 12, 4), {"missing": ["ctypes"]}),
    ],
)
def test_unusable(machine, version, special):
    machine.python(machine.bin / "python3.12", version, **special)
    assert machine.find() == []


@pytest.mark.parametrize("special", [{"debug": True}, {"free_threaded": True}, {"final": False}])
def test_special_builds_only_where_nothing_else_is(machine, special):
    odd = machine.python(machine.bin / "python3.13", (3, 13, 5), **special)
    assert machine.find() == [(odd, (3, 13, 5))]
    normal = machine.python(machine.user / ".pyenv/versions/3.13.0/bin/python3.13", (3, 13, 0))
    assert machine.find() == [(normal, (3, 13, 0))]


def test_newest_patch_and_complete_library_first(machine):
    machine.python(machine.bin / "python3.12", (3, 12, 4))
    newest = machine.python(machine.user / ".pyenv/versions/3.12.10/bin/python3.12", (3, 12, 10))
    machine.python(machine.user / ".asdf/installs/python/3.12.11/bin/python3.12", (3, 12, 11), missing=["ssl"])
    machine.python(machine.bin / "python3.9", (3, 9, 25))
    assert choose_interpreter("python3.12", machine.home, machine.environ).executable == newest
    assert [version for _, version in machine.find()] == [(3, 12, 10), (3, 12, 4), (3, 12, 11), (3, 9, 25)]


def test_one_file_under_many_names_is_one(machine):
    path = machine.python(machine.bin / "python3.12", (3, 12, 4))
    (machine.bin / "python3").symlink_to("python3.12")
    (machine.user / ".pyenv/versions").mkdir(parents=True)
    (machine.user / ".pyenv/versions/system").symlink_to(machine.bin.parent)
    assert machine.find() == [(path, (3, 12, 4))]
    assert machine.runs() == 1


def test_only_what_may_be_the_wanted_one_is_run(machine, tmp_path):
    """By its name; a shim is none of those where what it stands for lies beside it."""
    versions = {minor: tmp_path / f"tools/versions/3.{minor}.1/bin/python3.{minor}" for minor in (10, 12)}
    for minor, path in versions.items():
        machine.python(path, (3, minor, 1))
        machine.script(tmp_path / f"tools/shims/python3.{minor}", "exit 1")
    wrapper = machine.python(machine.bin / "python3", (3, 10, 2))
    machine.environ["PATH"] = f"{tmp_path / 'tools/shims'}:{machine.bin}"
    assert choose_interpreter("python3.12", machine.home, machine.environ).executable == versions[12]
    assert sorted(machine.log.read_text().split()) == sorted(map(str, (versions[12], wrapper)))


def test_virtual_environment_leads_to_its_base(machine, tmp_path):
    base = machine.python(tmp_path / "hidden/python3.12", (3, 12, 4))
    machine.python(machine.bin / "python3", (3, 12, 4), executable=str(base), virtual=True)
    assert machine.find() == [(base, (3, 12, 4))]
    assert machine.find() == [(base, (3, 12, 4))]
    assert machine.runs() == 2


def test_answers_are_kept_until_the_file_changes(machine):
    path = machine.python(machine.bin / "python3.12", (3, 12, 4))
    for _ in range(3):
        machine.find()
    assert machine.runs() == 1
    machine.python(path, (3, 12, 10))
    assert machine.find() == [(path, (3, 12, 10))]
    path.unlink()
    assert machine.find() == []


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 0, "answers": {}}',
        '{"format": 1, "answers": [1]}',
        '{"format": 1, "answers": {"x": 3}}',
        '{"format": 1, "answers": {"x": {"identity": [1, 2], "answer": {"a": 1}}}}',
    ],
)
def test_damaged_memory_is_made_anew(machine, damage):
    path = machine.python(machine.bin / "python3.12", (3, 12, 4))
    memory = machine.home.cache / "interpreters.json"
    memory.write_text(damage)
    assert machine.find() == [(path, (3, 12, 4))]
    assert json.loads(memory.read_text())["answers"][str(path)]["answer"]["version"] == [3, 12, 4]


def test_home_that_does_not_exist_or_cannot_be_written(machine, tmp_path):
    path = machine.python(machine.bin / "python3.12", (3, 12, 4))
    (tmp_path / "file").touch()
    machine.home = Home(tmp_path / "file" / "home")
    assert machine.find() == [(path, (3, 12, 4))]


def test_not_found(machine):
    machine.python(machine.bin / "python3.11", (3, 11, 7))
    machine.python(machine.bin / "python3.9", (3, 9, 1))
    with pytest.raises(
        InterpreterError, match=r"Found: Python 3\.11\.7 .*`uv python install 3\.12`.*python3\.11"
    ) as caught:
        choose_interpreter("python3.12", machine.home, machine.environ)
    assert caught.value.found == ("python3.11", "python3.9")


def test_nothing_found(machine):
    for name in ("python3.12", DEFAULT_INTERPRETER):
        with pytest.raises(InterpreterError, match="none that can be used") as caught:
            choose_interpreter(name, machine.home, machine.environ)
        assert caught.value.found == ()


def test_default_left_falls_back_to_the_running_one(machine, monkeypatch):
    machine.python(machine.bin / "python3.13", (3, 13, 0))
    own = machine.python(machine.user / "own/python3.11", (3, 11, 7))
    for module in (interpreter_locations, interpreters):
        monkeypatch.setattr(module, "running", lambda: [own])
    with pytest.warns(
        EnvironmentWarning, match=r"python3\.12, the default .* Python 3\.11\.7 .*'python3\.11'"
    ) as caught:
        chosen = choose_interpreter(DEFAULT_INTERPRETER, machine.home, machine.environ)
    assert chosen.executable == own
    assert len(caught) == 1
    assert chosen.name == "python3.11"


def test_default_that_is_here_warns_of_nothing(machine, recwarn):
    path = machine.python(machine.bin / "python3.12", (3, 12, 4))
    assert choose_interpreter(DEFAULT_INTERPRETER, machine.home, machine.environ).executable == path
    assert not recwarn.list


def test_a_closed_folder_holds_nothing(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    closed = tmp_path / "closed"
    (closed / "shims").mkdir(parents=True)
    closed.chmod(0)
    try:
        found = interpreter_locations.candidates(
            {"PATH": str(closed / "shims"), "HOME": str(closed / "home")}, range(9, 15)
        )
    finally:
        closed.chmod(0o700)
    assert not any(path.startswith(str(tmp_path)) for path in found)
