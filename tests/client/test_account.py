"""The client's `account` and `user`: logging in, roots, tokens, other users."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import requests
from typer.testing import CliRunner

from ellipsis_local import identity
from ellipsis_local.cli.app import app
from ellipsis_local.server import Server
from tests.client.covers import covers

NOBODY = "11111111-2222-4333-8444-555555555555"


@covers("account.logIn", "account.getInfo")
def test_a_user_is_made_at_the_first_login(client: ModuleType, token: str, other: str) -> None:
    mine, theirs = client.account.getInfo(token), client.account.getInfo(other)
    assert (mine["username"], theirs["username"]) == ("demo_user", "somebody_else")
    assert mine["id"] != theirs["id"]
    assert mine["plan"]["maxComputeNodes"] >= 1
    again = client.account.logIn("demo_user", "demo_user", validFor=60)
    assert again != token and client.account.getInfo(again) == mine
    with pytest.raises(ValueError, match="not the password of user 'demo_user'"):
        client.account.logIn("demo_user", "something else")
    for wrong in ("no token of this home", token + "x"):
        with pytest.raises(ValueError, match="not known here"):
            client.account.getInfo(wrong)


def test_a_token_is_valid_for_as_long_as_was_asked(client: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    long, short = (client.account.logIn("demo_user", "demo_user", validFor=seconds) for seconds in (10_000, 100))
    ahead = 0
    monkeypatch.setattr(identity, "time", SimpleNamespace(time=lambda: time.time() + ahead))
    assert client.account.getInfo(short)["username"] == "demo_user"
    ahead = 1000
    with pytest.raises(ValueError, match="has expired"):
        client.account.getInfo(short)
    assert client.account.getInfo(long)["username"] == "demo_user"


@covers("account.listRoot")
def test_roots_list_what_is_the_users(client: ModuleType, token: str, other: str) -> None:
    folder = client.path.folder.add("folder", token)["id"]
    raster = client.path.raster.add("raster", token)["id"]
    inside = client.path.vector.add("vector", token, parentId=folder)["id"]
    theirs = client.path.raster.add("theirs", other, publicAccess={"accessLevel": 100})["id"]

    def root(name: str, token: str = token, **arguments: object) -> list[str]:
        return [path["id"] for path in client.account.listRoot(name, token, **arguments)["result"]]

    assert root("myDrive") == [folder, raster]
    assert root("myDrive", pathTypes=["raster"]) == [raster]
    assert root("myDrive", other) == [theirs]
    client.path.favorite(inside, token)
    client.path.trash(raster, token)
    assert (root("favorites"), root("trash"), root("myDrive")) == ([inside], [raster], [folder])
    assert root("public") == [theirs] and root("sharedWithMe") == []
    with pytest.raises(ValueError, match="rootName must be one of myDrive"):
        root("nonsense")


def test_lists_come_in_pages(client: ModuleType, token: str) -> None:
    made = [client.path.folder.add(f"folder {i}", token)["id"] for i in range(53)]
    first = client.account.listRoot("myDrive", token, listAll=False)
    assert [path["id"] for path in first["result"]] == made[:50] and first["nextPageStart"] == made[50]
    second = client.account.listRoot("myDrive", token, listAll=False, pageStart=first["nextPageStart"])
    assert [path["id"] for path in second["result"]] == made[50:] and second["nextPageStart"] is None
    whole = client.account.listRoot("myDrive", token)
    assert [path["id"] for path in whole["result"]] == made and whole["nextPageStart"] is None


@covers("account.accessToken.create", "account.accessToken.get", "account.accessToken.revoke")
def test_an_access_token_reaches_its_list_only(client: ModuleType, token: str) -> None:
    folder = client.path.folder.add("folder", token)["id"]
    inside = client.path.raster.add("inside", token, parentId=folder)["id"]
    outside = client.path.raster.add("outside", token)["id"]
    made = client.account.accessToken.create(
        "for a colleague", [{"pathId": folder, "access": {"accessLevel": 200}}], token, validFor=3600
    )
    key = made["token"]
    assert client.path.get(inside, key)["yourAccess"]["accessLevel"] == 200
    assert [path["id"] for path in client.path.folder.listFolder(folder, token=key)["result"]] == [inside]
    assert {path["id"] for path in client.path.search(token=key)["result"]} == {folder, inside}
    with pytest.raises(ValueError, match=f"insufficient access to path {outside}"):
        client.path.get(outside, key)
    with pytest.raises(ValueError, match="to edit it takes access level"):
        client.path.raster.timestamp.add(inside, key)
    with pytest.raises(ValueError, match="an access token"):
        client.path.raster.add("new", key)
    with pytest.raises(ValueError, match="an access token"):
        client.account.accessToken.create("another", [{"pathId": outside, "access": {"accessLevel": 200}}], key)

    (found,) = client.account.accessToken.get(token, listAll=True)["result"]
    assert found["id"] == made["id"]
    assert (found["description"], found["accessList"][0]["pathId"]) == ("for a colleague", folder)
    assert "token" not in found
    client.account.accessToken.revoke(made["id"], token)
    with pytest.raises(ValueError, match="was revoked"):
        client.path.get(inside, key)
    assert client.account.accessToken.get(token, listAll=True)["result"] == []
    with pytest.raises(ValueError, match="no valid token"):
        client.account.accessToken.revoke(made["id"], token)


def test_a_login_is_good_until_it_is_revoked(client: ModuleType, token: str, server: Server, home: Path) -> None:
    second = client.account.logIn("demo_user", "demo_user", validFor=5_184_000)
    with pytest.raises(ValueError, match="at most 5184000"):
        client.account.logIn("demo_user", "demo_user", validFor=5_184_001)

    def valid(text: str | None) -> bool:
        headers = {} if text is None else {"Authorization": f"Bearer {text}"}
        return requests.post(f"{server.url}/validate", headers=headers, timeout=60).json()["valid"]

    assert [valid(one) for one in (token, second, "another", None)] == [True, True, False, False]
    # The client does not list logins, so nothing but the command line revokes one.
    run = CliRunner().invoke
    listed = json.loads(run(app, ["--home", str(home), "users", "tokens", "demo_user", "--json"]).output)
    assert [one["scope"] for one in listed] == ["login", "login"]
    assert run(app, ["--home", str(home), "users", "revoke", "demo_user", listed[1]["id"]]).exit_code == 0
    with pytest.raises(ValueError, match="was revoked"):
        client.account.getInfo(second)
    assert [valid(one) for one in (token, second)] == [True, False]


@covers("user.search", "user.get")
def test_users_are_found_by_name(client: ModuleType, token: str, other: str) -> None:
    (found,) = client.user.search("somebody")
    assert found["username"] == "somebody_else"
    assert client.user.search("somebody", fuzzySearch=False) == []
    assert client.user.search("somebody_else", fuzzySearch=False) == [found]
    assert client.user.get(found["id"]) == found
    assert found["id"] == client.account.getInfo(other)["id"]
    with pytest.raises(ValueError, match=f"userId {NOBODY} does not exist"):
        client.user.get(NOBODY)


@covers("account.browserLogin")
def test_the_login_in_a_browser_is_the_hosted_services(client: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens the service's page and waits for that to send a token to a port of this machine."""

    class Waiting(socketserver.TCPServer):
        def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
            super().__init__((address[0], 0), handler)
            ports.append((address[1], self.server_address[1]))
            opened.set()

    def answer() -> None:
        opened.wait(60)
        requests.get(f"http://127.0.0.1:{ports[0][1]}/callback?token=given", timeout=60)

    ports: list[tuple[int, int]] = []
    pages: list[str] = []
    opened = threading.Event()
    monkeypatch.setattr(socketserver, "TCPServer", Waiting)
    monkeypatch.setattr("webbrowser.open", pages.append)
    page = threading.Thread(target=answer)
    page.start()
    assert client.account.browserLogin() == "given"
    page.join()
    assert pages == ["https://app.ellipsis-drive.com/login?application=true"]
    assert ports[0][0] == 8765
