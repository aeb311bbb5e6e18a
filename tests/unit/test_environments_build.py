"""Keys, records, lists and removal, with environments that are folders and nothing more."""

import dataclasses
import json
import os
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ellipsis_local.environments import build, install_packages, interpreters, package_index
from ellipsis_local.environments.build import Environments
from ellipsis_local.environments.interpreters import Interpreter
from ellipsis_local.environments.manifest import (
    Environment,
    distributions,
    read_manifest,
    scan_packages,
    write_manifest,
)
from ellipsis_local.environments.requirements import WORKER_REQUIREMENTS
from ellipsis_local.environments.wheels import KIND, this_platform, write_wheel
from ellipsis_local.errors import ArgumentError, EnvironmentBuildError, InterpreterError
from ellipsis_local.home import Home

INTERPRETER = Interpreter(Path(sys.executable).resolve(), sys.version_info[:3], "cpython", Path(sys.base_prefix))
KEY = "py312-6ac84d82344fa2cb"
"""What releases without a setting for the index made of it."""


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def environments(home):
    return Environments(home, background=False)


def fake(folder, *_):
    """In the place of `fill`: what a build leaves, without a program in it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    info = folder / "lib/python3.12/site-packages/Some_Thing-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.0\n")


@pytest.fixture
def builds(monkeypatch):
    built = []

    def fill(folder, request, *others):
        built.append((folder.name, request))
        fake(folder)

    monkeypatch.setattr(build, "fill", fill)
    return built


def test_keys_of_before_stay_where_no_index_is_set(home, tmp_path, monkeypatch):
    monkeypatch.setattr(package_index, "MACHINE_FILES", ())
    monkeypatch.setattr(build, "WORKER_REQUIREMENTS", ("numpy",))
    interpreter = Interpreter(Path("/usr/bin/python3.12"), (3, 12, 1), "cpython", Path("/usr"))
    plain = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}
    keys = {
        index: Environments(home, environ=plain | {"PIP_INDEX_URL": index}).plan(interpreter, ["Shapely >=2"])
        for index in ("", "https://packages.example/simple")
    }
    assert keys[""] == KEY
    assert keys["https://packages.example/simple"] != KEY


def test_plan_is_pure_and_does_not_depend_on_writing(environments, home):
    plain = environments.plan(INTERPRETER, ["numpy >=1", "Shapely"])
    assert plain == environments.plan(INTERPRETER, ("shapely", "NumPy>=1", "numpy>=1"))
    assert plain == Environments(Home(home.root / "other")).plan(INTERPRETER, ["numpy>=1", "shapely"])
    others = [
        environments.plan(INTERPRETER),
        environments.plan(INTERPRETER, ["numpy>=1", "shapely>2"]),
        environments.plan(dataclasses.replace(INTERPRETER, version=(3, 12, 99)), ["numpy>=1", "shapely"]),
        environments.plan(dataclasses.replace(INTERPRETER, executable=Path("/x")), ["numpy>=1", "shapely"]),
    ]
    assert len({plain, *others}) == 5
    assert list(home.environments.iterdir()) == []


def test_plan_refuses_what_cannot_be_installed(environments):
    with pytest.raises(ArgumentError):
        environments.plan(INTERPRETER, ["-r x"])


def test_plan_follows_local_packages(environments, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    asked = [f"package @ file://{package}"]
    keys = [environments.plan(INTERPRETER, asked)]
    (package / "module.py").write_text("a = 1")
    keys.append(environments.plan(INTERPRETER, asked))
    os.utime(package / "module.py", (1e9, 2e9))
    keys.append(environments.plan(INTERPRETER, asked))
    assert len(set(keys)) == 3
    assert environments.plan(INTERPRETER, asked) == keys[-1]
    (package / ".git").mkdir()
    os.utime(package / ".git", (1e9, 1e9))
    before = environments.plan(INTERPRETER, asked)
    (package / ".git/index").touch()
    os.utime(package / ".git", (1e9, 1e9))
    assert environments.plan(INTERPRETER, asked) == before


def test_ensure_builds_once_and_remembers(environments, home, builds):
    lines = []
    made = environments.ensure(INTERPRETER, ["Some.thing", "b"], lines.append)
    assert made.folder == home.environments / made.key
    assert made.python == made.folder / "bin/python"
    assert made.packages == {"some-thing": "1.0"}
    assert lines
    lines.clear()
    assert environments.ensure(INTERPRETER, ["b", "some_thing"], lines.append) == made
    assert lines == []
    assert Environments(home).get(made.key) == made
    assert len(builds) == 1


def test_ensure_makes_a_home_that_does_not_exist(tmp_path, builds):
    environments = Environments(Home(tmp_path / "a/b"), background=False)
    assert environments.list() == []
    assert environments.get("py312-0") is None
    assert environments.sweep() == ()
    assert environments.prune() == []
    assert environments.ensure(INTERPRETER).folder.is_dir()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), EnvironmentBuildError("x"), KeyboardInterrupt()]
)
def test_failed_build_leaves_nothing(environments, home, monkeypatch, error):
    def fill(folder, *_):
        fake(folder)
        raise error

    monkeypatch.setattr(build, "fill", fill)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else EnvironmentBuildError
    with pytest.raises(expected, match=None if expected is KeyboardInterrupt else r"No space left on device|x"):
        environments.ensure(INTERPRETER)
    assert list(home.environments.iterdir()) == []
    monkeypatch.setattr(build, "fill", fake)
    assert environments.ensure(INTERPRETER).python.exists()


def test_interpreter_that_is_gone(environments, home):
    with pytest.raises(InterpreterError, match="gone"):
        environments.ensure(dataclasses.replace(INTERPRETER, executable=home.root / "python3.12"))
    assert list(home.environments.iterdir()) == []


def test_environment_whose_interpreter_went_is_not_ready_and_built_anew(environments, builds):
    made = environments.ensure(INTERPRETER)
    made.python.unlink()
    made.python.symlink_to("/nonexistent/python")
    assert environments.get(made.key) is None
    assert environments.ensure(INTERPRETER).python.exists()
    assert len(builds) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 0, "key": "k"}'])
def test_damaged_record_is_no_environment(environments, builds, damage):
    made = environments.ensure(INTERPRETER)
    (made.folder / "environment.json").write_text(damage)
    assert environments.get(made.key) is None
    assert environments.list() == []
    assert environments.ensure(INTERPRETER).packages == made.packages
    assert len(builds) == 2


def test_sweep_removes_remains_and_leaves_work_alone(environments, home, builds):
    made = environments.ensure(INTERPRETER)
    fake(home.environments / "py312-half")
    fake(home.environments / "py312-busy")
    fake(home.environments / ".gone-py312-old")
    with environments._folders.locked("py312-busy"):
        assert environments.sweep() == (".gone-py312-old", "py312-half")
    assert {entry.name for entry in home.environments.iterdir()} == {made.key, "py312-busy"}


@pytest.fixture
def three(home, environments):
    """Environments last used 0, 5 and 10 days ago."""
    now = datetime.now(UTC)
    for days in (0, 5, 10):
        folder = home.environments / f"days-{days}"
        fake(folder)
        environment = Environment(
            folder.name, folder, folder / "bin/python", INTERPRETER, ("a",), {"a": "1", "b": "2"}, now - timedelta(20)
        )
        write_manifest(home, environment)
        environment.note_use()
        stamp = (now - timedelta(days)).timestamp()
        os.utime(folder / "last-used", (stamp, stamp))
    return environments


def test_list(three):
    infos = three.list()
    assert [info.key for info in infos] == ["days-0", "days-5", "days-10"]
    assert infos[0].packages == 2
    assert infos[0].requirements == ("a",)
    assert infos[0].interpreter == INTERPRETER
    assert infos[0].bytes > 100
    assert infos[0].last_used > infos[0].created


@pytest.mark.parametrize(
    ("arguments", "removed"),
    [
        ({}, {0, 5, 10}),
        ({"keys": []}, set()),
        ({"keys": ["days-5", "unknown"]}, {5}),
        ({"unused_for": timedelta(4)}, {5, 10}),
        ({"unused_for": timedelta(4), "in_use": ["days-10"]}, {5}),
        ({"keys": ["days-0", "days-5"], "unused_for": timedelta(1)}, {5}),
        ({"in_use": ["days-0", "days-5", "days-10"]}, set()),
    ],
)
def test_prune(three, home, arguments, removed):
    gone = {f"days-{days}" for days in removed}
    assert {info.key for info in three.prune(**arguments)} == gone
    assert {entry.name for entry in home.environments.iterdir()} == {"days-0", "days-5", "days-10"} - gone


def test_use_is_noted_once_an_hour(three, home):
    environment = three.get("days-5")
    mark = environment.folder / "last-used"
    before = mark.stat().st_mtime
    environment.note_use()
    noted = mark.stat().st_mtime_ns
    assert noted / 1e9 > before + 1e5
    environment.note_use()
    assert mark.stat().st_mtime_ns == noted


def test_packages_of_separate_library_folders(tmp_path):
    for folder, name in (("lib", "Pure.One"), ("lib64", "compiled")):
        info = tmp_path / folder / f"python3.12/site-packages/{name}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    assert scan_packages(tmp_path) == {"compiled": "1", "pure-one": "1"}


def test_record_of_another_folder_does_not_count(three, home):
    (home.environments / "days-0").rename(home.environments / "moved")
    assert read_manifest(home.environments / "moved") is None


class Attempts:
    """In the place of the installer: answers in turn, and what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.options = []

    def __call__(self, python, requirements, environ, uv, options, lease):
        self.options.append("offline" if "--offline" in options else "online")
        code, output = self.answers.pop(0)
        return install_packages.Outcome(("uv",), code, output)


GOOD = (0, "Resolved 18 packages")
STALE = (0, "WARN click needs to be downloaded from a registry")
ABSENT = (1, "numpy was not found in the cache … the network was disabled")
CONFLICT = (1, "your requirements are unsatisfiable")
NO_NETWORK = (1, "error sending request")


@pytest.mark.parametrize(
    ("offline", "environ", "answers", "asked", "error"),
    [
        # the cache first, unless it passed something over
        (None, {}, [GOOD], ["offline"], None),
        (None, {}, [ABSENT, GOOD], ["offline", "online"], None),
        (None, {}, [STALE, GOOD], ["offline", "online"], None),
        (None, {}, [CONFLICT, CONFLICT], ["offline", "online"], "contradict"),
        # no network: what the cache has is better than nothing
        (None, {}, [STALE, NO_NETWORK, STALE], ["offline", "online", "offline"], None),
        (None, {}, [ABSENT, NO_NETWORK], ["offline", "online"], "cannot be reached"),
        (None, {}, [STALE, CONFLICT], ["offline", "online"], "contradict"),
        # as set
        (False, {}, [GOOD], ["online"], None),
        (True, {}, [STALE], ["offline"], None),
        (True, {}, [ABSENT], ["offline"], "env prefetch"),
        (None, {"UV_OFFLINE": "1"}, [ABSENT], ["offline"], "env prefetch"),
    ],
)
def test_order_of_attempts(environments, home, monkeypatch, offline, environ, answers, asked, error):
    attempts = Attempts(*answers)
    monkeypatch.setattr(install_packages, "install", attempts)
    monkeypatch.setattr(install_packages, "find_uv", lambda _: "uv")
    monkeypatch.setattr(install_packages, "make_virtualenv", lambda folder, *_, **__: fake(folder))
    environments = Environments(home, offline=offline, environ=environ, background=False)
    if error is None:
        environments.ensure(INTERPRETER)
    else:
        with pytest.raises(EnvironmentBuildError, match=error) as caught:
            environments.ensure(INTERPRETER)
        assert (caught.value.command, caught.value.exit_code, caught.value.output) == (("uv",), *answers[-1])
    assert attempts.options == asked


def test_a_failed_build_tells_which_distribution_was_meant(environments, monkeypatch):
    monkeypatch.setattr(install_packages, "install", Attempts((1, "cv2 was not found in the package registry")))
    monkeypatch.setattr(install_packages, "find_uv", lambda _: None)
    monkeypatch.setattr(install_packages, "make_virtualenv", lambda folder, *_, **__: fake(folder))
    with pytest.raises(EnvironmentBuildError, match=r"could not be made: .*\nthe module 'cv2' .*'opencv-python': ask"):
        environments.ensure(INTERPRETER, ["cv2"])


def test_a_wheel_is_what_was_installed_and_no_more(environments, builds, tmp_path):
    environment = environments.ensure(INTERPRETER)
    site = environment.folder / "lib/python3.12/site-packages"
    info = "Some_Thing-1.0.dist-info"
    files = {
        "thing/__init__.py": "a = 1",
        "thing/__pycache__/__init__.cpython-312.pyc": "x",
        f"{info}/METADATA": (site / info / "METADATA").read_text(),
        f"{info}/WHEEL": "Tag: cp312-cp312-manylinux_2_17_x86_64\nTag: cp312-cp312-manylinux2014_x86_64\n",
        f"{info}/INSTALLER": "uv",
        f"{info}/entry_points.txt": "[console_scripts]\nthing = thing:main\n",
        "../../../bin/thing": f"#!{environment.python}\nmade by the installer",
        "../../../bin/tool": f"#!{environment.python}\nprint(1)",
        "../../../share/thing, it.txt": "data",
        "../../../../elsewhere": "not of this environment",
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    (site / info / "RECORD").write_text("".join(f'"{name}",,\n' for name in [*files, f"{info}/RECORD"]))
    [distribution] = distributions(environment.folder)
    wheel = write_wheel(distribution, environment, tmp_path)
    assert wheel.name == "Some_Thing-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.namelist() == [
            "thing/__init__.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/entry_points.txt",
            "Some_Thing-1.0.data/scripts/tool", "Some_Thing-1.0.data/data/share/thing, it.txt", f"{info}/RECORD",
        ]  # fmt: skip
        assert archive.read("Some_Thing-1.0.data/scripts/tool") == b"#!python\nprint(1)"
        assert '"Some_Thing-1.0.data/data/share/thing, it.txt",sha256=' in archive.read(f"{info}/RECORD").decode()
    (site / "thing/__init__.py").unlink()
    with pytest.raises(
        EnvironmentBuildError, match=f"__init__.py is missing in environment {environment.key}; .*prune"
    ):
        write_wheel(distribution, environment, tmp_path)


def test_a_packed_environment_for_a_python_that_is_not_here(environments, monkeypatch, tmp_path):
    there = {"interpreter": "python3.9", "platform": this_platform(), "requirements": [], "wheels": {}}
    told = {"kind": KIND, "format": 1, **there, "packages": dict.fromkeys(WORKER_REQUIREMENTS, "1")}
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("environment.json"), json.dumps(told))
    monkeypatch.setattr(interpreters, "find_interpreters", lambda *_: [INTERPRETER])
    text = rf"packed.zip holds packages for python3.9, which is not on this machine: .*\({INTERPRETER.name}\)"
    with pytest.raises(InterpreterError, match=text):
        environments.unpack(tmp_path / "packed.zip")
    assert environments.list() == []
