"""Who may do what: users do not reach each other's things, and tokens nothing beyond what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from ellipsis_local.errors import AccessError, NotFoundError
from ellipsis_local.server import Server
from tests.integration.serving import BASE, UNKNOWN, Operation, Request, World, changes, digest, problem_of

FREE = {"POST /v3/account/login", "POST /v3/validate"}
"""What answers whatever the token: the first does without one, the second tells whether it is good."""
OWN = FREE | {
    "GET /v3/account", "GET /v3/account/root/{rootName}", "GET /v3/compute", "GET /v3/path",
    "GET /v3/account/security/accessToken", "POST /v3/account/security/accessToken", "GET /v3/path/invite",
    "GET /v3/path/hashtag", "GET /v3/user", "GET /v3/user/{userId}",
}  # fmt: skip
"""What is about the asking user, or about what they may see; all others are about one thing that is a's."""
OPEN = FREE | {"GET /v3/user", "GET /v3/user/{userId}", "GET /v3/path", "GET /v3/path/hashtag"}
"""What nobody, too, may ask (seen in the client, which sends no token there)."""


@pytest.fixture
def world(server: Server) -> Iterator[World]:
    with World(server) as world:
        world.warm()
        yield world


def about_a(world: World, operation: Operation) -> Request:
    """A good request of a's, which puts what it makes into a folder of a's."""
    request = world.good(operation)
    if operation.name == "POST /v3/path/file":
        return replace(request, form={**(request.form or {}), "parentId": world.ids["folder"]})
    return request


def everything_of(world: World) -> list[str]:
    """What an answer must not hold."""
    return [*world.ids.values(), "a raster", "a vector", "a folder", "plain.txt", "secret result"]


def test_another_user_reaches_nothing(world: World) -> None:
    wrong = []
    before = digest(world, "tokens", "token_facts")
    for operation in world.operations:
        request = about_a(world, operation)
        answer = world.send(request, world.b.token)
        if operation.name == "GET /v3/account/security/accessToken":
            # It lists the path of a's that b has just named; that gives no access to it, see below.
            assert answer.status_code == 200
        elif operation.name in OWN:
            if answer.status_code != 200 or any(one in answer.text for one in everything_of(world)):
                wrong.append(f"{operation.name}: {answer.status_code} {answer.text[:200]}")
        elif problem := problem_of(answer, (403, 404)):
            wrong.append(f"{operation.name}: {problem}")
        elif answer.status_code == 403 and not any(word in answer.text for word in ("ask its owner", "own usage")):
            wrong.append(f"{operation.name} does not tell the way out: {answer.text}")
    assert wrong == []
    assert changes(before, digest(world, "tokens", "token_facts")) == []


def test_ids_of_another_user_in_bodies(world: World) -> None:
    """In what is b's own, too, nothing of a's can be named."""
    ids, token = world.ids, world.b.token
    own = world.ask("POST", "/path/folder", token, json={"name": "own"}).json()["id"]
    layer = {"pathId": ids["raster"], "timestampId": ids["raster timestamp"]}
    cases = [
        ("PUT", "/path/parentId", {"pathIds": [ids["raster"]], "parentId": own}),
        ("PUT", "/path/parentId", {"pathIds": [own, ids["raster"]]}),
        ("PUT", "/path/parentId", {"pathIds": [own], "parentId": ids["folder"]}),
        ("POST", "/compute", {"layers": [layer]}),
        ("POST", "/compute", {"layers": [], "files": [ids["file"]]}),
        ("POST", "/compute", {"layers": [{**layer, "pathId": ids["raster"].upper()}]}),
        ("PATCH", f"/path/{ids['folder']}/publicAccess", {"accessLevel": 900}),
    ]
    before = digest(world)
    for method, path, body in cases:
        answer = world.ask(method, path, token, json=body)
        assert problem_of(answer, (403, 404)) is None, (path, body, answer.text)
    # An access list names paths that its user does not reach: the token reaches them as little.
    given = {"description": "x", "accessList": [{"pathId": ids["raster"], "access": {"accessLevel": 900}}]}
    made = world.ask("POST", "/account/security/accessToken", token, json=given).json()["token"]
    assert world.ask("GET", f"/path/{ids['raster']}", made).status_code == 403
    assert changes(before, digest(world)) == ["token_facts", "tokens"]


def test_a_timestamp_or_file_of_another_path_is_not_reached_through_ones_own(world: World) -> None:
    ids, token = world.ids, world.b.token
    for kind in ("raster", "vector"):
        own = world.ask("POST", f"/path/{kind}", token, json={"name": "own"}).json()["id"]
        base = f"/path/{own}/{kind}/timestamp"
        mine = world.ask("POST", base, token, json={}).json()["id"]
        theirs, file = ids[f"{kind} timestamp"], ids[f"{kind} file"]
        before = digest(world)
        for method, path, body in (
            ("GET", f"{base}/{theirs}/bounds", None),
            ("GET", f"{base}/{theirs}/file/{file}/data", None),
            ("GET", f"{base}/{mine}/file/{file}/data", None),
            ("DELETE", f"{base}/{mine}/file/{file}", None),
            ("DELETE", f"{base}/{theirs}", None),
            ("PUT", f"{base}/{theirs}/trashed", {"trashed": True}),
            ("POST", f"{base}/{theirs}/activate", None),
            ("PATCH", f"{base}/{theirs}", {"description": "mine now"}),
        ):
            answer = world.ask(method, path, token, json=body)
            assert problem_of(answer, (404,)) is None, (path, answer.text)
        assert changes(before, digest(world)) == []


def test_without_a_token_that_is_valid_nothing_goes(world: World) -> None:
    """401 for every operation, whatever else is wrong with the request, and before its body is read."""
    accounts = world.emulator.accounts
    revoked_id, revoked = accounts.add_access_token(
        world.a.id, "x", [{"pathId": world.ids["raster"], "accessLevel": 900}]
    )
    accounts.revoke(world.a.id, revoked_id)
    expired = accounts.log_in("anna", "password of anna", 1)
    with world.emulator.database.transaction() as connection:
        connection.execute("UPDATE tokens SET expires = created WHERE expires IS NOT NULL")
    wrong = []
    before = digest(world, "tokens", "token_facts")
    for operation in world.operations:
        request = about_a(world, operation)
        for name, token in (("unknown", "no-such-token"), ("revoked", revoked), ("expired", expired)):
            answer = world.send(request, token)
            if operation.name in FREE:
                continue
            if problem := problem_of(answer, (401,)):
                wrong.append(f"{operation.name}, {name}: {problem}")
            elif "logIn" not in answer.text or answer.headers.get("www-authenticate") != "Bearer":
                wrong.append(f"{operation.name}, {name} does not tell the way out: {answer.text}")
        if operation.name not in OPEN:
            answer = world.send(request, None)
            # What is not published is refused to nobody as it is to others; whatever changes something asks who it is.
            allowed = (401, 403) if operation.method == "GET" else (401,)
            if problem := problem_of(answer, allowed):
                wrong.append(f"{operation.name}, none: {problem}")
        if operation.method != "GET" and operation.name not in FREE:
            path = request.path.removeprefix(BASE)
            answer = world.ask(operation.method, path, "wrong", data=b"{", headers={"content-type": "application/json"})
            if problem := problem_of(answer, (401,)):
                wrong.append(f"{operation.name}, wrong and with a bad body: {problem}")
    assert wrong == []
    assert changes(before, digest(world, "tokens", "token_facts")) == []


def test_where_the_token_stands(world: World) -> None:
    for header in ("", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer \xff\xfe", "x" * 5000):
        answer = world.ask("GET", "/account", headers={"Authorization": header.encode("latin-1")})
        assert problem_of(answer, (401,)) is None, answer.text
    # In a query it may stand of a GET only, and a wrong header counts, whatever stands there.
    assert world.ask("GET", "/account", params={"token": world.a.token}).status_code == 200
    assert world.ask("GET", "/account", params={"token": "wrong"}).status_code == 401
    assert world.ask("GET", "/account", "wrong", params={"token": world.a.token}).status_code == 401
    answer = world.ask("POST", "/path/folder", params={"token": world.a.token}, json={"name": "x"})
    assert answer.status_code == 401


def test_an_access_token_reaches_its_list_and_nothing_else(world: World) -> None:
    """For a's own access token to view the raster, on all that is a's."""
    ids = world.ids
    given = [{"pathId": ids["raster"], "access": {"accessLevel": 100}}]
    token = world.emulator.accounts.add_access_token(world.a.id, "x", given)[1]
    wrong, seen = [], set()
    before = digest(world, "tokens", "token_facts")
    for operation in world.operations:
        request = about_a(world, operation)
        answer = world.send(request, token)
        raster = ids["raster"] in request.path and operation.method == "GET"
        if answer.status_code in (200, 204) and (raster or operation.name in OWN):
            seen.add(operation.name)
            hidden = [one for one in everything_of(world) if one in answer.text and "raster" not in one]
            if set(hidden) - {ids["raster"], ids["raster timestamp"], ids["raster file"]}:
                wrong.append(f"{operation.name} shows {hidden}: {answer.text[:300]}")
        elif problem := problem_of(answer, (403, 404)):
            wrong.append(f"{operation.name}: {problem}")
    assert wrong == []
    assert changes(before, digest(world, "tokens", "token_facts")) == []
    assert "GET /v3/path/{pathId}" in seen
    # Its level is to view, not to download; nor does it speak for its user elsewhere.
    assert seen & {
        f"GET {BASE}/path/{{pathId}}/raster/timestamp/{{timestampId}}/file/{{fileId}}/data", "GET /v3/path/invite",
        f"GET {BASE}/account/security/accessToken", f"POST {BASE}/account/security/accessToken",
        f"GET {BASE}/compute/{{computeId}}/file/{{fileId}}",
    } == set()  # fmt: skip


def test_an_access_token_and_computes(world: World) -> None:
    """It reaches those of its user's computes whose layers and files it may view, all of them."""
    ids, accounts = world.ids, world.emulator.accounts
    view = {"access": {"accessLevel": 100}}
    some = accounts.add_access_token(world.a.id, "x", [{"pathId": ids["raster"], **view}])[1]
    all_ = accounts.add_access_token(world.a.id, "x", [{"pathId": ids[one], **view} for one in ("raster", "file")])[1]
    runs = {"access": {"accessLevel": 100, "canCompute": True}}
    entries = [{"pathId": ids["raster"], **runs}, {"pathId": ids["file"], **view}]
    may_compute = accounts.add_access_token(world.a.id, "x", entries)[1]
    result = f"/compute/{ids['compute']}/file/{ids['result']}"
    assert world.ask("GET", "/compute", some).json()["result"] == []
    assert world.ask("GET", result, some).status_code == 403
    assert world.ask("POST", f"/compute/{ids['compute']}/terminate", some).status_code == 403
    assert [one["id"] for one in world.ask("GET", "/compute", all_).json()["result"]] == [ids["compute"]]
    assert world.ask("GET", result, all_).content == b"a result"
    # To read is not to run code, which may do all that the home's user can.
    before = digest(world)
    for operation in (
        "POST /v3/compute",
        f"POST {BASE}/compute/{{computeId}}/execute",
        f"POST {BASE}/compute/{{computeId}}/terminate",
    ):
        request = world.good(next(one for one in world.operations if one.name == operation))
        answer = world.send(request, all_)
        assert (answer.status_code, "canCompute" in answer.text) == (403, True), answer.text
    assert changes(before, digest(world)) == []
    assert world.ask("POST", f"/compute/{ids['compute']}/terminate", may_compute).status_code == 200
    invite = {"userId": world.b.id, **runs}
    assert world.ask("POST", f"/path/{ids['raster']}/invite", world.a.token, json=invite).status_code == 400


def test_an_access_token_and_computes_in_process(el: ModuleType, token: str) -> None:
    emulator = el.emulator.current_emulator()
    owner = emulator.user(token)
    reads, runs = (
        emulator.accounts.add_access_token(owner.id, "x", [{"pathId": UNKNOWN, "accessLevel": 100, "canCompute": can}])[
            1
        ]
        for can in (False, True)
    )
    layers = [{"pathId": UNKNOWN, "timestampId": UNKNOWN}]
    for call in (
        lambda: el.compute.createCompute(layers=layers, token=reads),
        lambda: el.compute.execute(UNKNOWN, lambda params: 1, reads),
        lambda: el.compute.terminateCompute(UNKNOWN, reads),
    ):
        with pytest.raises(AccessError, match="canCompute"):
            call()
    with pytest.raises(NotFoundError):
        el.compute.createCompute(layers=layers, token=runs)


def test_an_access_token_does_not_end_its_users_membership(world: World) -> None:
    ids = world.ids
    given = [{"pathId": ids["raster"], "access": {"accessLevel": 100}}]
    token = world.emulator.accounts.add_access_token(world.c.id, "x", given)[1]
    path = f"/path/{ids['raster']}/member/{world.c.id}"
    assert world.ask("DELETE", path, token).status_code == 403
    assert world.ask("DELETE", path, world.c.token).status_code == 200


def test_a_guest_sees_and_does_no_more_than_invited_to(world: World) -> None:
    """c may view the raster."""
    ids = world.ids
    assert world.ask("GET", f"/path/{ids['raster']}", world.c.token).json()["yourAccess"]["accessLevel"] == 100
    wrong = []
    before = digest(world, "memberships")
    for operation in world.operations:
        request = about_a(world, operation)
        itself = operation.template.endswith(("/favorite", "/member/{userId}"))
        if ids["raster"] not in request.path or operation.method == "GET" or itself:
            continue
        if problem := problem_of(world.send(request, world.c.token), (403,)):
            wrong.append(f"{operation.name}: {problem}")
    assert wrong == []
    assert changes(before, digest(world, "memberships")) == []
    # No rise by one's own hand.
    path = f"/path/{ids['raster']}"
    for method, below, body in (
        ("PATCH", f"/member/{world.c.id}", {"access": {"accessLevel": 900}}),
        ("POST", "/invite", {"userId": world.b.id, "access": {"accessLevel": 100}}),
        ("PATCH", "/publicAccess", {"accessLevel": 100}),
    ):
        assert world.ask(method, path + below, world.c.token, json=body).status_code == 403
