"""`doctor`: each check says what would go wrong."""

from __future__ import annotations

import json
from collections import namedtuple

import pytest
from typer.testing import CliRunner

from ellipsis_local.cli import doctor_checks
from ellipsis_local.cli.app import app
from ellipsis_local.cli.session import Session
from ellipsis_local.environments.installer import Outcome
from ellipsis_local.home import Home

NAMES = ["settings", "machine", "packages", "home", "disk", "interpreters", "installer", "network"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("ELLIPSIS_LOCAL_HOME", raising=False)
    return tmp_path / "home"


@pytest.fixture
def doctor(home):
    def invoke(*arguments):
        return CliRunner().invoke(app, ["--home", str(home), "doctor", "--offline", *arguments])

    return invoke


def test_a_sound_machine(doctor):
    answer = doctor()
    assert answer.exit_code == 0
    assert all(name in answer.stdout for name in NAMES)


def test_json(doctor, home):
    answer = json.loads(doctor("--json").stdout)
    assert answer["ok"] is True
    assert [check["name"] for check in answer["checks"]] == NAMES
    assert all(set(check) == {"name", "state", "text", "remedy", "details"} for check in answer["checks"])
    settings = answer["checks"][0]["details"]
    assert settings["home"] == {"value": str(home), "source": "--home"}
    assert settings["strict"] == {"value": False, "source": "default"}
    assert answer["checks"][-1]["state"] == "skipped"


def test_settings_tell_where_they_come_from(doctor, home, monkeypatch):
    home.mkdir()
    (home / "settings.toml").write_text("max_nodes = 8\n")
    monkeypatch.setenv("ELLIPSIS_LOCAL_STRICT", "true")
    settings = json.loads(doctor("--json").stdout)["checks"][0]["details"]
    assert settings["max_nodes"] == {"value": 8, "source": "settings.toml"}
    assert settings["strict"] == {"value": True, "source": "ELLIPSIS_LOCAL_STRICT"}


def test_broken_settings_are_a_problem_and_the_machine_is_looked_at_all_the_same(doctor, home):
    home.mkdir()
    (home / "settings.toml").write_text("cores = [\n")
    answer = doctor("--json")
    assert answer.exit_code == 1
    found = json.loads(answer.stdout)
    assert found["ok"] is False
    assert {check["name"]: check["state"] for check in found["checks"]} == {
        "settings": "problem",
        "machine": "ok",
        "packages": "ok",
    }


def test_a_home_that_cannot_be_made_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")
    settings = Session(home=tmp_path / "home").settings()
    broken = doctor_checks.check_home(type(settings)(home=tmp_path / "file" / "home"))
    assert broken.state == "problem"
    assert "ELLIPSIS_LOCAL_HOME" in broken.remedy


def test_no_interpreter_is_a_problem_and_the_lack_of_the_default_a_warning(home, monkeypatch):
    monkeypatch.setattr(doctor_checks, "find_interpreters", lambda home: [])
    assert doctor_checks.check_interpreters(Home(home)).state == "problem"
    Other = namedtuple("Other", "name version executable")
    monkeypatch.setattr(doctor_checks, "find_interpreters", lambda home: [Other("python3.11", (3, 11, 7), "/there")])
    found = doctor_checks.check_interpreters(Home(home))
    assert found.state == "warning"
    assert "python3.12" in found.text


def test_little_disk_is_a_warning(home, monkeypatch):
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(10**6))
    assert doctor_checks.check_disk(Home(home), Session(home=home).settings()).state == "warning"


def test_uv_missing_or_broken(monkeypatch):
    monkeypatch.setattr(doctor_checks, "find_uv", lambda environ: None)
    assert doctor_checks.check_installer().state == "warning"
    monkeypatch.setattr(doctor_checks, "find_uv", lambda environ: "/nothing/uv")
    assert doctor_checks.check_installer().state == "problem"


def test_an_index_that_does_not_answer_is_a_warning(home, monkeypatch):
    monkeypatch.delenv("UV_OFFLINE", raising=False)
    monkeypatch.setattr(doctor_checks, "find_uv", lambda environ: "uv")
    settings = Session(home=home).settings()
    monkeypatch.setattr(doctor_checks, "run", lambda command, text="": Outcome((), 2, "error sending request for url"))
    found = doctor_checks.check_network(settings, offline=False)
    assert found.state == "warning"
    assert "cannot be reached" in found.text
    monkeypatch.setattr(doctor_checks, "run", lambda command, text="": Outcome((), 0, ""))
    assert doctor_checks.check_network(settings, offline=False).state == "ok"


def test_the_index_is_not_asked_where_the_settings_say_offline(home, monkeypatch):
    monkeypatch.setenv("ELLIPSIS_LOCAL_OFFLINE", "true")
    monkeypatch.setattr(doctor_checks, "run", lambda *_: pytest.fail("asked"))
    assert doctor_checks.check_network(Session(home=home).settings(), offline=False).state == "skipped"


def test_a_command_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor_checks, "NETWORK_SECONDS", 0.2)
    assert "timed out" in doctor_checks.run(["sleep", "5"]).output


def test_a_package_that_is_missing_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor_checks, "PACKAGES", (*doctor_checks.PACKAGES, "there-is-no-such-package"))
    found = doctor_checks.check_packages()
    assert found.state == "problem"
    assert "there-is-no-such-package is not installed" in found.text


def test_a_token_is_not_shown(doctor, monkeypatch):
    monkeypatch.setenv("ELLIPSIS_LOCAL_UPSTREAM", "https://example.com/v3")
    monkeypatch.setenv("ELLIPSIS_LOCAL_UPSTREAM_TOKEN", "abc123")
    for arguments in ([], ["--json"]):
        answer = doctor(*arguments)
        assert "abc123" not in answer.output
        assert "upstream_token" in answer.output
