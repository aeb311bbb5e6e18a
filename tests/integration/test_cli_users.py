"""`users`: made, listed, removed, and their tokens."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import AccountError
from ellipsis_local.settings import read_settings

SECRET = "hunter2-hunter2"


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.delenv("ELLIPSIS_LOCAL_HOME", raising=False)
    return tmp_path / "own"


@pytest.fixture
def run(own_home):
    def invoke(*arguments, code=0, **options):
        answer = CliRunner().invoke(app, ["--home", str(own_home), "users", *arguments], **options)
        assert answer.exit_code == code, answer.output
        assert SECRET not in answer.output
        if code:
            return answer.stderr
        return json.loads(answer.stdout) if "--json" in arguments else answer.stdout

    return invoke


@pytest.fixture
def accounts(own_home):
    with Emulator(read_settings({"home": own_home})) as emulator:
        yield emulator.accounts


@pytest.mark.parametrize(
    "command", [[], ["add"], ["list"], ["password"], ["remove"], ["tokens"], ["revoke"]], ids=" ".join
)
def test_every_command_explains_itself(run, command):
    assert "Usage" in run(*command, "--help")


def test_nobody_there(run):
    assert "users add" in run("list")
    assert run("list", "--json") == []
    for arguments in (
        ["remove", "ada"],
        ["tokens", "ada"],
        ["revoke", "ada", "1"],
        ["password", "ada", "--password", "x"],
    ):
        assert "users list" in run(*arguments, code=1)


def test_a_password_as_option_or_from_a_pipe(run, accounts):
    assert "added user ada" in run("add", "ada", "--password", SECRET)
    made = run("add", "eve", "--json", input=f"{SECRET}\n")
    assert made == {"id": accounts.find_user("eve").id, "username": "eve", "made": True}
    for name in ("ada", "eve"):
        assert accounts.known_user(accounts.log_in(name, SECRET)).name == name
    assert "already" in run("add", "ada", "--password", SECRET, code=1)
    assert "no password" in run("add", "bob", input="", code=1)
    assert "control characters" in run("add", "b\nob", "--password", SECRET, code=1)
    assert [user["username"] for user in run("list", "--json")] == ["ada", "eve"]


def test_a_token_that_scripts_have_written_in_them(run, accounts):
    run("add", "[bold]ada", "--token", "epat_1")
    assert "added the token" in run("add", "[bold]ada", "--token", "epat_2")
    user = accounts.known_user("epat_1")
    assert (user.name, accounts.known_user("epat_2")) == ("[bold]ada", user)
    assert "already" in run("add", "[bold]ada", "--token", "epat_3", "--password", SECRET, code=1)
    assert "another user's" in run("add", "eve", "--token", "epat_1", code=1)
    assert "[bold]ada" in run("list")
    run("password", "[bold]ada", "--password", SECRET)
    assert accounts.known_user(accounts.log_in("[bold]ada", SECRET)) == user


def test_tokens_are_listed_and_revoked(run, accounts):
    run("add", "ada", "--token", "epat_1")
    user = accounts.known_user("epat_1")
    path_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    token_id, token = accounts.add_access_token(user.id, "for a map", [{"pathId": path_id, "accessLevel": 100}], 600)
    first, second = run("tokens", "ada", "--json")
    assert (first["scope"], first["expires"], first["accessList"]) == ("login", None, None)
    assert (second["id"], second["description"], second["scope"]) == (token_id, "for a map", "access")
    assert second["accessList"] == [{"pathId": path_id, "access": {"accessLevel": 100}}]
    listed = run("tokens", "ada")
    assert token_id in listed and "never" in listed and "for a map" in listed
    assert "epat_1" not in listed and token not in listed
    assert "begins with" in run("revoke", "ada", "", code=1)
    assert "no valid token" in run("revoke", "ada", "x", code=1)
    assert token_id in run("revoke", "ada", token_id[:13])
    with pytest.raises(AccountError, match="revoked"):
        accounts.known_user(token)
    assert [one["id"] for one in run("tokens", "ada", "--json")] == [first["id"]]
    run("revoke", "ada", first["id"])
    assert "no tokens" in run("tokens", "ada")


def test_removing(run, accounts):
    run("add", "ada", "--token", "epat_1")
    assert "removed user ada" in run("remove", "ada", "--yes")
    assert run("list", "--json") == []
    with pytest.raises(AccountError, match="users add NAME --token TOKEN"):
        accounts.known_user("epat_1")
