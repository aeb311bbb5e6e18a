"""`env`: made beforehand, listed, removed unless in use."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.environments import build, install_packages, wheels
from ellipsis_local.errors import ArgumentError

INTERPRETER = f"python3.{sys.version_info[1]}"


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A home whose environments are its own: they are removed here."""
    monkeypatch.delenv("ELLIPSIS_LOCAL_HOME", raising=False)
    return tmp_path / "own"


@pytest.fixture
def run(own_home):
    def invoke(*arguments, code=0):
        answer = CliRunner().invoke(app, ["--home", str(own_home), "env", *arguments])
        assert answer.exit_code == code, answer.output
        if code:
            return answer.stderr
        return json.loads(answer.stdout) if "--json" in arguments else answer.stdout

    return invoke


def test_nothing_there(run):
    assert "no environments" in run("list")
    assert run("list", "--json") == []
    assert "nothing to remove" in run("prune")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prefetch", "--interpreter", "python2.7"], "python3.9"),
        (["prefetch", "numpy; rm -rf /"], "requirement"),
        (["unpack", "no-such.zip"], "is no file; `ellipsis-local env pack` makes one"),
        (["unpack", __file__], "is damaged, or no archive of an environment"),
        (["prune", "py312-0000"], "env list"),
    ],
)
def test_errors_are_told(run, arguments, words):
    assert words in run(*arguments, code=1)


def test_cut_layers_are_pruned_by_age(el, home, token):
    el.configure(inline=True)
    layer = el.testing.layers.bands_31()
    compute = el.compute.createCompute([layer], token, nodes=2)["id"]

    def prune(*arguments):
        answer = CliRunner().invoke(app, ["--home", str(home), "cache", "prune", *arguments])
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    assert "nothing to remove" in prune(), "a compute that is not over uses them"
    el.compute.terminateCompute(compute, token)
    assert "nothing to remove" in prune("--idle", "7d")
    assert "of cut layers" in prune()
    assert "nothing to remove" in prune()


@pytest.mark.slow
def test_prefetch_list_prune(run, own_home, monkeypatch):
    # Without the worker's own packages, which take seconds to install and to compile.
    for module in (build, install_packages, wheels):
        monkeypatch.setattr(module, "WORKER_REQUIREMENTS", ())
    made = run("prefetch", "click", "--interpreter", INTERPRETER, "--json")
    assert made["requirements"] == ["click"]
    assert "click" in made["packages"]
    assert made["key"] in run("prefetch", "click", "--interpreter", INTERPRETER), "the second time it is there"
    [listed] = run("list", "--json")
    assert set(listed) == {
        "key", "folder", "interpreter", "python", "requirements", "packages", "bytes", "created", "lastUsed",
    }  # fmt: skip
    assert (listed["key"], listed["interpreter"]) == (made["key"], INTERPRETER)
    assert made["key"] in run("list")
    assert "nothing to remove" in run("prune", "--unused-for", "1", "--yes")
    check_unpacked(run, own_home, made, monkeypatch)
    assert "removed 1 environment" in run("prune", made["key"], "--yes")
    assert run("list", "--json") == []
    assert not (own_home / "environments" / made["key"]).exists()


def check_unpacked(run, own_home, made, monkeypatch):
    """The environment through a file to a home that has neither a network nor a cache."""
    file = own_home.with_name("lesson.zip")
    told = run("pack", str(file), "click", "--interpreter", INTERPRETER)
    assert f"{len(made['packages'])} packages for {INTERPRETER} on {wheels.this_platform()}, " in told
    assert "is there already" in run("pack", str(file), "click", "--interpreter", INTERPRETER, code=1)
    run("prune", made["key"], "--yes")
    monkeypatch.setenv("UV_CACHE_DIR", str(own_home.with_name("no cache")))
    monkeypatch.setenv("UV_OFFLINE", "1")
    other = altered(file, lambda data: data | {"platform": "Plan9 mips"})
    assert f"was packed on Plan9 mips, and this machine is {wheels.this_platform()}: pack it" in run(
        "unpack", str(other), code=1
    )
    newer = altered(file, lambda data: data | {"format": 99})
    assert "was packed by a newer ellipsis_local" in run("unpack", str(newer), code=1)
    there = run("unpack", str(file), "--json")
    assert there == made
    program = [f"{there['folder']}/bin/python", "-I", "-c", "import click.testing; print(click.testing.__file__)"]
    assert there["folder"] in subprocess.run(program, check=True, capture_output=True, text=True).stdout
    pip = subprocess.run([f"{there['folder']}/bin/pip", "--version"], check=True, capture_output=True, text=True)
    assert there["folder"] in pip.stdout


@pytest.mark.slow
def test_a_lesson_brings_its_environment(el, tmp_path, monkeypatch):
    for module in (build, install_packages, wheels):
        monkeypatch.setattr(module, "WORKER_REQUIREMENTS", ())
    folder, archive, student = tmp_path / "teacher", tmp_path / "lesson.zip", tmp_path / "student"
    folder.mkdir()
    text = f'inline = false\ninterpreter = "{INTERPRETER}"\nrequirements = ["click"]\n'
    text += '[[exercise]]\nname = "highest"\nlayers = ["dem"]\nreduce = "max"\n'
    (folder / "lesson.toml").write_text(text.replace("inline = false", ""))
    with pytest.raises(ArgumentError, match="says inline = false: this one needs none"):
        el.lesson.pack(folder, archive, environment=True)
    (folder / "lesson.toml").write_text(text)
    command = ["--home", str(tmp_path / "own"), "lesson", "pack", str(folder), str(archive), "--environment"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    assert "1 layer, 1 exercise, with its environment" in " ".join(answer.output.split())

    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "no cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(wheels, "this_platform", lambda: "Plan9 mips")
        with pytest.raises(ArgumentError, match="this machine is Plan9 mips") as caught:
            el.lesson.open(archive, student)
        assert caught.value.__notes__ == ["environment=False (--no-environment) opens the lesson without it"]
        assert el.lesson.open(archive, student, environment=False).requirements == ("click",)
    opened = el.lesson.open(archive, student)
    [key] = [path.name for path in (opened.home / "environments").iterdir()]
    program = [str(opened.home / "environments" / key / "bin" / "python"), "-I", "-c", "import click"]
    subprocess.run(program, check=True)
    assert not (student / "environment.zip").exists()
    assert el.lesson.open(student) == opened
    answer = CliRunner().invoke(app, ["lesson", "open", str(archive), str(student)])
    assert answer.exit_code == 0, answer.output
    assert "compiling bytecode\n" in answer.stderr
    assert "begin with:" in answer.stdout


def altered(file, change):
    """A copy of the archive whose manifest says something else."""
    copy = file.with_name("altered.zip")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(copy, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            target.writestr(info, json.dumps(change(json.loads(data))) if info.filename == wheels.MANIFEST else data)
    return copy
