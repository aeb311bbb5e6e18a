"""`env`: made beforehand, listed, removed unless in use."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.environments import build, install_packages

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
        (["prune", "py312-0000"], "env list"),
    ],
)
def test_errors_are_told(run, arguments, words):
    assert words in run(*arguments, code=1)


@pytest.mark.slow
def test_prefetch_list_prune(run, own_home, monkeypatch):
    # Without the worker's own packages, which take seconds to install and to compile.
    for module in (build, install_packages):
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
    assert "removed 1 environment" in run("prune", made["key"], "--yes")
    assert run("list", "--json") == []
    assert not (own_home / "environments" / made["key"]).exists()
