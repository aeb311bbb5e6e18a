"""The server under requests that schemathesis makes of its OpenAPI document: it answers all of them, as documented.

The fuzzer is user b, and nobody. Real ids of b's own things and of a's are mixed in, so that it gets beyond "not found".
What is a's must be untouched in the end, and what is stored consistent. `ELLIPSIS_LOCAL_FUZZ=N` makes N times as many
requests, others every time.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ellipsis_local.server import Server
from tests.integration.serving import SECONDS, Operation, World, problem_of

TIMES = int(os.environ.get("ELLIPSIS_LOCAL_FUZZ", "0"))
EXAMPLES = 4 * max(TIMES, 1)
"""Requests per operation."""
REFUSALS = (400, 401, 403, 404, 409, 413, 501)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
NUMBERS = st.integers(-200, 200) | st.floats(allow_nan=False, allow_infinity=False)
GEOMETRIES = st.builds(
    lambda kind, coordinates: {"type": kind, "coordinates": coordinates},
    st.sampled_from(["Point", "LineString", "Polygon", "MultiPolygon", "MultiPoint", "Circle"]),
    st.recursive(st.lists(NUMBERS, max_size=3), lambda inner: st.lists(inner, max_size=5), max_leaves=10),
)
EXTENTS = st.fixed_dictionaries(dict.fromkeys(("xMin", "xMax", "yMin", "yMax"), NUMBERS))

OBJECTS = st.dictionaries(st.sampled_from(["number", "colour", "id", ""]) | st.text(max_size=6), TREES, max_size=3)
FEATURES = st.builds(
    lambda geometry, properties: {"type": "Feature", "geometry": geometry, "properties": properties},
    GEOMETRIES | TREES, OBJECTS | TREES,
)  # fmt: skip
ACCESS = st.dictionaries(
    st.sampled_from(["accessLevel", "accessTier", "canShare", "hidden", "geoFence", "processingUnits"]),
    st.sampled_from([0, 100, 200, 950, 1000, "view", True]) | SCALARS, max_size=3,
)  # fmt: skip
TIMES_OF_DAY = st.datetimes(timezones=st.none() | st.timezones()).map(lambda one: one.isoformat())
KINDS: dict[str, Callable[[dict[str, str]], st.SearchStrategy[Any]]] = {
    "features": lambda _: st.lists(st.fixed_dictionaries({"feature": FEATURES}), max_size=3),
    "changes": lambda ids: st.lists(
        st.fixed_dictionaries(
            {"featureId": st.just(ids["feature"])}, optional={"newProperties": OBJECTS, "newGeometry": GEOMETRIES}
        ),
        max_size=2,
    ),
    "access": lambda _: ACCESS,
    "publicAccess": lambda _: ACCESS,
    "date": lambda _: st.fixed_dictionaries({}, optional={"from": TIMES_OF_DAY, "to": TIMES_OF_DAY}),
    "accessList": lambda ids: st.lists(
        st.fixed_dictionaries({"pathId": st.sampled_from([ids["raster"], ids["folder"]])}, optional={"access": ACCESS}),
        max_size=3,
    ),
    "properties": lambda _: OBJECTS,
    "metadata": lambda _: OBJECTS,
}
"""Values of fields of which the document says no more than that they are objects."""


class Fuzzer:
    """Makes the requests for the operations, with ids of one user's things in them."""

    def __init__(self, world: World) -> None:
        document = requests.get(f"{world.root}/openapi.json", timeout=SECONDS).json()
        self.schema = schemathesis.openapi.from_dict(document)
        self.world = world
        self.seen: Counter[int] = Counter()
        self.wrong: list[str] = []

    def run(self, operation: Operation) -> None:
        """Ask for one operation `EXAMPLES` times: for b's own things well and badly, for a's, and for anything."""
        world, strategies = self.world, self.schema[operation.template][operation.method]
        kinds: list[tuple[dict[str, str] | None, str | None, bool]] = [
            (world.own, world.b.token, False),
            (world.own, world.b.token, True),
            (world.ids, world.b.token, False),
            (world.ids, None, False),
            (None, world.b.token, False),
        ]
        made: dict[Any, st.SearchStrategy[Any]] = {}
        number = time.monotonic_ns() if TIMES else int.from_bytes(hashlib.sha256(operation.name.encode()).digest()[:4])

        @seed(number)
        @settings(
            max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(st.data())
        def ask(data: st.DataObject) -> None:
            ids, token, negative = data.draw(st.sampled_from(kinds))
            mode = schemathesis.GenerationMode.NEGATIVE if negative else schemathesis.GenerationMode.POSITIVE
            key = (id(ids), mode)
            if key not in made:
                names = [one["name"] for one in operation.named("path")]
                path = {name: world.path_value(operation, name, ids) for name in names} if ids and names else None
                made[key] = strategies.as_strategy(mode, path_parameters=path)
            case = data.draw(made[key])
            for one in operation.named("query"):
                if ids and "contentMediaType" in one["schema"]:
                    case.query = {**(case.query or {}), one["name"]: data.draw(self.query(operation, one["name"]))}
            if ids and isinstance(case.body, dict) and not negative:
                case.body = self.mixed(operation, case.body, ids, data.draw)
            self.check(operation, case, token)

        ask()

    def query(self, operation: Operation, name: str) -> st.SearchStrategy[str]:
        """JSON for a parameter that is JSON: good, of the right kind, or any."""
        of_its_kind = {
            "extent": EXTENTS,
            "geometry": GEOMETRIES,
            "locations": st.lists(st.lists(NUMBERS, max_size=3), max_size=3),
        }
        good = st.just(self.world.query_value(operation, name))
        return good | st.one_of(of_its_kind.get(name, TREES), TREES).map(json.dumps)

    def mixed(
        self, operation: Operation, body: dict[str, Any], ids: dict[str, str], draw: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """A body with real ids in the place of some made-up ones, and some of its fields good."""
        good = self.world.body(operation, ids)
        if "/compute" in operation.template:
            # What could be carried out would start an environment.
            good = {}
        found = {}
        for key, value in body.items():
            choice = draw(st.integers(0, 2))
            if choice == 1 and key in good:
                found[key] = good[key]
            elif choice == 2 and key in KINDS:
                found[key] = draw(KINDS[key](ids))
            else:
                found[key] = value
        return found

    def check(self, operation: Operation, case: Any, token: str | None) -> None:
        sent = case.as_transport_kwargs(base_url=self.world.root)
        sent["headers"] = {**sent["headers"], **({} if token is None else {"Authorization": f"Bearer {token}"})}
        try:
            answer = self.world.session.request(**sent, timeout=SECONDS, allow_redirects=False)
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidJSONError, UnicodeError):
            # Not to be sent at all by this client.
            return
        except requests.RequestException as error:
            self.wrong.append(f"{operation.name}: {error!r} for {sent}"[:2000])
            return
        self.seen[answer.status_code] += 1
        problem = None
        if str(answer.status_code) not in operation.statuses:
            problem = f"answers {answer.status_code}, which the document does not say: {answer.text[:300]}"
        elif answer.status_code not in (200, 204):
            problem = problem_of(answer, REFUSALS)
        elif answer.status_code == 200 and answer.headers["content-type"] not in operation.kinds:
            problem = f"answers {answer.headers['content-type']}, which the document does not say"
        if problem:
            self.wrong.append(f"{operation.name} {problem} for {sent}"[:2000])


def is_consistent(world: World) -> None:
    """Every row names files that are there, every file has its row, and everything can still be read."""
    home = world.emulator.home
    with closing(sqlite3.connect(home.database)) as connection:
        connection.row_factory = sqlite3.Row
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        files = {row["id"]: row for row in connection.execute("SELECT * FROM files")}
        parents = dict(connection.execute("SELECT id, parent_id FROM paths").fetchall())
    for row in files.values():
        assert row["path_id"] in parents
        for part in json.loads(row["parts"]):
            assert (home.layers / row["id"] / part).is_file(), dict(row)
    assert {folder.name for folder in home.layers.iterdir()} == set(files)
    for path_id in parents:
        above, current = set(), path_id
        while current is not None:
            assert current not in above, "folders lie in each other"
            above.add(current)
            current = parents[current]
    for person in (world.a, world.b):
        for path in (
            "/path",
            "/compute",
            "/account/root/myDrive",
            "/account/root/trash",
            "/account/security/accessToken",
        ):
            start: str | None = ""
            while start is not None:
                page = world.ask("GET", path, person.token, params={"pageStart": start} if start else {})
                assert page.status_code == 200, page.text
                start = page.json()["nextPageStart"]


def of_user(world: World, user_id: str) -> dict[str, list[str]]:
    """All that is a user's, as text."""
    with closing(sqlite3.connect(world.emulator.home.database)) as connection:
        paths = "(SELECT id FROM paths WHERE owner = :user)"
        tables = {
            "users": "SELECT * FROM users WHERE id = :user",
            "paths": "SELECT * FROM paths WHERE owner = :user",
            "timestamps": f"SELECT * FROM timestamps WHERE path_id IN {paths}",
            "files": f"SELECT * FROM files WHERE path_id IN {paths}",
            "memberships": f"SELECT * FROM memberships WHERE path_id IN {paths}",
            "invites": f"SELECT * FROM invites WHERE path_id IN {paths}",
            "hashtags": f"SELECT * FROM hashtags WHERE path_id IN {paths}",
            "computes": "SELECT * FROM computes WHERE owner = :user",
            # The good body of a login is a's, which makes tokens.
            "tokens": "SELECT f.id, f.access_list, f.revoked, t.expires FROM token_facts f JOIN tokens t ON t.token = f.token "
            "WHERE t.user = :user AND f.access_list IS NOT NULL ORDER BY t.rowid",
        }
        found = {
            name: [repr(row) for row in connection.execute(query, {"user": user_id})] for name, query in tables.items()
        }
        ids = connection.execute(f"SELECT id FROM files WHERE path_id IN {paths}", {"user": user_id}).fetchall()
    for (file_id,) in ids:
        for path in sorted((world.emulator.home.layers / file_id).rglob("*")):
            found[str(path)] = [hashlib.sha256(path.read_bytes()).hexdigest()]
    return found


@pytest.mark.slow
def test_fuzz(server: Server) -> None:
    with World(server, both=True) as world:
        world.warm()
        before = of_user(world, world.a.id)
        fuzzer = Fuzzer(world)
        for _ in range(max(TIMES, 1)):
            # What is deleted on the way is missed by the others: deletions come last.
            for operation in sorted(world.operations, key=lambda one: (one.method == "DELETE", -len(one.template))):
                fuzzer.run(operation)
            if TIMES:
                world.own = world._filled(world.b)
        if TIMES:
            print(fuzzer.seen)
        assert fuzzer.wrong == []
        # It gets beyond the checks of form and of access.
        assert {200, 400, 401, 403, 404} <= set(fuzzer.seen)
        assert fuzzer.seen[200] > 100
        assert of_user(world, world.a.id) == before
        is_consistent(world)


def test_many_at_once(server: Server) -> None:
    """Requests for things that others delete meanwhile are answered like any others."""
    with World(server, both=True) as world:
        skipped = ("POST /v3/compute", "POST /v3/account/login")
        chosen = [one for one in world.operations if one.name not in skipped]
        wrong: list[str] = []

        def ask(number: int) -> None:
            # One world per thread: sessions are not made for several.
            mine = copy.copy(world)
            mine.session = requests.Session()
            mine.session.trust_env = False
            mine.ids = world.own if number % 2 else world.ids
            person = world.b if number % 2 else world.a
            with mine:
                for operation in random.Random(number).sample(chosen, 40):
                    answer = mine.send(mine.good(operation), person.token)
                    if answer.status_code not in (200, 204, *REFUSALS):
                        wrong.append(f"{operation.name}: {answer.status_code} {answer.text[:300]}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))
        assert wrong == []
        is_consistent(world)
