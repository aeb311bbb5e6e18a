"""A server with two users, one of whom owns one of everything; and its operations, out of its OpenAPI document.

What the tests of bad input, of rights and of the fuzzer have in common: a good request for every operation, from which
they make bad ones, and a digest of all that is stored.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import sqlite3
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import rasterio
import requests
from affine import Affine

from ellipsis_local.computes.parse_arguments import compute_request
from ellipsis_local.computes.specification import provisional
from ellipsis_local.node_program.ellipsis_node.values import encode
from ellipsis_local.nodes import NodeOutcome
from ellipsis_local.server import Server

__all__ = [
    "BASE",
    "UNKNOWN",
    "Operation",
    "Request",
    "World",
    "changes",
    "digest",
    "geotiff",
    "operations",
    "problem_of",
]

BASE = "/v3"
SECONDS = 10
"""No answer may take longer."""
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Request:
    """One request, without its token."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    json: Any = None
    form: dict[str, str] | None = None
    """The text fields of an upload."""
    file: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Operation:
    """One operation of the OpenAPI document, with its references resolved."""

    method: str
    template: str
    parameters: tuple[dict[str, Any], ...]
    body: dict[str, Any] | None
    """The schema of a JSON body."""
    upload: dict[str, Any] | None
    """The schema of a multipart body."""
    statuses: tuple[str, ...]
    kinds: tuple[str, ...]
    """The content types of a good answer."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    def named(self, place: str) -> list[dict[str, Any]]:
        return [one for one in self.parameters if one["in"] == place]


def resolved(node: Any, document: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            found: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return resolved(found, document)
        return {key: resolved(value, document) for key, value in node.items()}
    return [resolved(one, document) for one in node] if isinstance(node, list) else node


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """All operations, in the order of the document."""
    found = []
    for template, methods in document["paths"].items():
        for method, one in methods.items():
            content = one.get("requestBody", {}).get("content", {})
            found.append(
                Operation(
                    method.upper(),
                    template,
                    tuple(resolved(one.get("parameters", []), document)),
                    resolved(content.get("application/json", {}).get("schema"), document),
                    resolved(content.get("multipart/form-data", {}).get("schema"), document),
                    tuple(one["responses"]),
                    tuple(one["responses"]["200"]["content"]),
                )
            )
    return found


def geotiff(**options: Any) -> bytes:
    """Two bands of 40 × 60 pixels of 10 m in EPSG:3857."""
    array = np.stack([np.arange(2400, dtype="uint16").reshape(40, 60), np.full((40, 60), 7, "uint16")])
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=60, height=40, count=2, dtype="uint16", crs="EPSG:3857",
            transform=Affine(10, 0, 500_000, 0, -10, 6_000_000), **options,
        ) as dataset:  # fmt: skip
            dataset.write(array)
        return bytes(memory.getbuffer())


@dataclass(frozen=True)
class Person:
    """A user with a token."""

    name: str
    id: str
    token: str


class World:
    """Users a, b and c; a owns all that `ids` names, nothing of it is shared with b, and c is a's guest.

    b has one of everything as well, in `own`, where `both`.
    """

    def __init__(self, server: Server, *, both: bool = False) -> None:
        self.server = server
        self.emulator = server.emulator
        self.root = server.url.removesuffix(BASE)
        self.session = requests.Session()
        self.session.trust_env = False
        self.a, self.b, self.c = (self._person(name) for name in ("anna", "berta", "clara"))
        self.ids = self._filled(self.a)
        self.own = self._filled(self.b) if both else {}

    def _person(self, name: str) -> Person:
        token = self.emulator.accounts.log_in(name, f"password of {name}")
        return Person(name, self.emulator.accounts.known_user(token).id, token)

    def _filled(self, person: Person) -> dict[str, str]:
        """One of everything, by what it is."""
        import geopandas as gpd

        store, owner = self.emulator.store, person.id
        ids: dict[str, str] = {}
        with rasterio.MemoryFile(geotiff()) as memory, memory.open() as dataset:
            raster = {"raster": dataset.read(), "transform": dataset.transform, "crs": "EPSG:3857"}
        ids["folder"] = store.add_layer_path("folder", "a folder", owner=owner)
        ids["raster"], ids["raster timestamp"] = store.add(raster, name="a raster", owner=owner)
        frame = gpd.GeoDataFrame(
            {"number": [1, 2, 3]}, geometry=gpd.points_from_xy([4.5, 4.6, 4.7], [52.1, 52.2, 52.3]), crs="EPSG:4326"
        )
        ids["vector"], ids["vector timestamp"] = store.add(frame, name="a vector", owner=owner)
        for kind in ("raster", "vector"):
            ids[f"{kind} file"] = store.files(ids[kind], ids[f"{kind} timestamp"])[0].id
        ids["file"] = store.add_plain_file(b"plain", name="plain.txt", owner=owner)
        found = self.ask(
            "GET", f"/path/{ids['vector']}/vector/timestamp/{ids['vector timestamp']}/listFeatures", person.token
        ).json()
        ids["feature"] = found["result"]["features"][0]["properties"]["id"]
        user = self.emulator.accounts.known_user(person.token)
        sharing, features = self.emulator.sharing, self.emulator.features
        ids["property"] = features.add_property(ids["vector"], "colour", "string")
        sharing.add_hashtag(ids["raster"], "secret")
        guest = sharing.invites.send(ids["raster"], user, {"accessLevel": 100}, user_id=self.c.id)
        sharing.invites.accept(ids["raster"], guest, self.emulator.accounts.known_user(self.c.token))
        ids["invite"] = sharing.invites.send(ids["folder"], user, {"accessLevel": 100}, user_id=self.c.id)
        ids["token"] = self.emulator.accounts.add_access_token(owner, "a token", [])[0]
        ids["compute"], ids["result"] = self._compute(ids, owner)
        return ids

    def _compute(self, ids: Mapping[str, str], owner: str) -> tuple[str, str]:
        """A compute that has executed, as far as the records know, with one result file."""
        records = self.emulator.computes.records
        layer = {"pathId": ids["raster"], "timestampId": ids["raster timestamp"]}
        request = compute_request([layer], [ids["file"]], 1, "python3.12", [], True, False)
        spec = replace(provisional(request, self.emulator.settings), python=sys.version_info[:2])
        compute_id = records.create(owner, spec)
        records.change(compute_id, {"queued"}, "available")
        records.begin(compute_id)
        result = str(uuid.uuid4())
        folder = self.emulator.home.compute(compute_id) / "results"
        folder.mkdir(parents=True)
        (folder / result).write_bytes(b"a result")
        records.finish(compute_id, [NodeOutcome(0, "completed", 1.0, 8, encode("secret result")[0], result)])
        return compute_id, result

    # ----- good requests ---------------------------------------------------------------------------------------------

    def good(self, operation: Operation) -> Request:
        """A request that a may make, and that is answered."""
        path = operation.template
        for one in operation.named("path"):
            path = path.replace(f"{{{one['name']}}}", quote(self.path_value(operation, one["name"]), safe=""))
        query = {
            one["name"]: self.query_value(operation, one["name"])
            for one in operation.named("query")
            if one.get("required")
        }
        if operation.upload is not None:
            kind = "vector" if "/vector/" in path else "raster"
            content = geotiff() if kind == "raster" else GEOJSON
            form = {"name": "new.tif" if kind == "raster" else "new.geojson"}
            form["format"] = "tif" if kind == "raster" else "geojson"
            return Request(operation.method, path, query, form=form, file=(form["name"], content))
        body = None if operation.body is None else self.body(operation)
        return Request(operation.method, path, query, json=body)

    def path_value(self, operation: Operation, name: str, ids: Mapping[str, str] | None = None) -> str:
        """What a parameter of the path is: an id among `ids`, a's where not given."""
        template, ids = operation.template, ids or self.ids
        layer = "vector" if "/vector" in template else "raster"
        if name == "pathId":
            if "/folder/" in template or template.endswith("/list") or "/invite/" in template:
                return ids["folder"]
            return ids["file"] if template.endswith("{pathId}/file/data") else ids[layer]
        if name == "fileId":
            return ids["result"] if "/compute/" in template else ids[f"{layer} file"]
        return {
            "timestampId": ids[f"{layer} timestamp"], "computeId": ids["compute"], "userId": self.c.id,
            "inviteId": ids["invite"], "accessTokenId": ids["token"], "featurePropertyId": ids["property"],
            "featureId": ids["feature"], "rootName": "myDrive", "z": "0", "x": "0", "y": "0", "bandNumber": "1",
            "hashtag": "secret",
        }[name]  # fmt: skip

    def query_value(self, operation: Operation, name: str) -> str:
        extent = {"xMin": 500_000, "xMax": 500_100, "yMin": 5_999_900, "yMax": 6_000_000}
        if "/vector/" in operation.template or operation.template == f"{BASE}/path":
            extent = {"xMin": 4, "xMax": 5, "yMin": 52, "yMax": 53}
        polygon = {"type": "Polygon", "coordinates": [[[4, 47], [5, 47], [5, 48], [4, 47]]]}
        values: dict[str, Any] = {
            "type": ["raster"], "root": ["myDrive"], "text": "a", "userId": self.a.id, "active": True,
            "hashtag": "secret", "extent": extent, "resolution": {"min": 0, "max": 30}, "username": "anna",
            "date": {"from": "2020-01-01T00:00:00"}, "fuzzySearch": True, "loggedIn": True, "applyStyle": False,
            "width": 4, "height": 4, "locations": [[4.5, 47.3]], "timestampIds": [self.ids["raster timestamp"]],
            "geometry": polygon, "approximate": True, "geometryIds": [self.ids["feature"]], "epsg": 4326,
            "propertyFilter": [], "pageSize": 2, "actions": ["add"], "isFolder": False, "includeTrashed": False,
            "location": ["nothing"], "remote": False, "pageStart": UNKNOWN, "style": "any",
            "tiles": [{"tileId": {"zoom": 10, "tileX": 524, "tileY": 357}}],
        }  # fmt: skip
        if operation.template.endswith("traverse"):
            values |= {"location": [], "type": "folder"}
        if "/usage/user/" in operation.template:
            values["date"] = "2024-01-31T00:00:00"
        value = values[name]
        return value if isinstance(value, str) else json.dumps(value)

    def body(self, operation: Operation, ids: Mapping[str, str] | None = None) -> dict[str, Any]:
        """All fields of a body, with ids among `ids`, a's where not given."""
        template, ids = operation.template, ids or self.ids
        properties = operation.body["properties"] if operation.body and "properties" in operation.body else {}
        access = {"accessLevel": 100}
        values: dict[str, Any] = {
            "username": "anna", "password": "password of anna", "validFor": 60, "description": "words",
            "accessList": [{"pathId": ids["raster"], "access": access}], "scope": "all", "files": [ids["file"]],
            "layers": [{"pathId": ids["raster"], "timestampId": ids["raster timestamp"]}], "nodes": 1,
            "interpreter": "python3.12", "requirements": "", "largeResult": False, "enableGpu": False,
            "file": "def userFunction(params):\n def f(params):\n    return 1\n return f(params)",
            "writeToLayer": {"pathId": ids["raster"], "timestampId": ids["raster timestamp"]}, "name": "a name",
            "parentId": ids["folder"], "publicAccess": access, "metadata": {"description": "words"}, "trashed": False,
            "favorite": True, "domains": ["example.org"], "attribution": "words", "license": "words",
            "properties": {"key": "value"}, "pathIds": [ids["file"]], "userId": self.b.id, "email": "berta",
            "access": access, "sendMail": False, "accept": True, "hashtag": "another", "interpolation": "nearest",
            "includesTransparent": True, "compressionQuality": 50, "date": {"from": "2024-01-31T00:00:00"},
            "remote": False, "type": "string", "required": False, "private": False, "revert": False,
            "features": [{"feature": FEATURE}], "featureIds": [ids["feature"]],
            "changes": [{"featureId": ids["feature"], "newProperties": {"number": 5}}],
        }  # fmt: skip
        if template.endswith("/publicAccess"):
            return access
        return {name: copy.deepcopy(values[name]) for name in properties}

    # ----- asking ----------------------------------------------------------------------------------------------------

    def send(self, request: Request, token: str | None, **options: Any) -> requests.Response:
        files = None if request.file is None else {"data": (request.file[0], io.BytesIO(request.file[1]))}
        given = {"params": request.query, "json": request.json, "data": request.form, "files": files} | options
        return self.ask(request.method, request.path.removeprefix(BASE), token, **given)

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> requests.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= options.pop("headers", {})
        return self.session.request(
            method, self.server.url + path, headers=headers, timeout=SECONDS, allow_redirects=False, **options
        )

    def warm(self) -> None:
        """Let the first reading of features keep what it keeps for the next time."""
        for operation in self.operations:
            if operation.method == "GET" and "/vector/timestamp/" in operation.template:
                self.send(self.good(operation), self.a.token)

    @property
    def operations(self) -> list[Operation]:
        """Those of the document, which every server has alike; making it takes half a second."""
        if not _operations:
            _operations.extend(operations(self.session.get(f"{self.root}/openapi.json", timeout=SECONDS).json()))
        return _operations

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_operations: list[Operation] = []
FEATURE = {"type": "Feature", "properties": {"number": 4}, "geometry": {"type": "Point", "coordinates": [4.8, 52.4]}}
GEOJSON = json.dumps({"type": "FeatureCollection", "features": [FEATURE]}).encode()


def problem_of(answer: requests.Response, allowed: tuple[int, ...] = (400, 401, 403, 404, 409, 413, 501)) -> str | None:
    """What is wrong with the refusal of a request; None where nothing is."""
    if answer.status_code not in allowed:
        return f"answers {answer.status_code}: {answer.text[:300]}"
    if answer.headers.get("content-type") != "application/json":
        return f"is no JSON but {answer.headers.get('content-type')}: {answer.text[:300]}"
    found = answer.json()
    if set(found) != {"message"} or not isinstance(found["message"], str) or len(found["message"]) < 10:
        return f"has no message: {answer.text[:300]}"
    return None


def digest(world: World, *without: str) -> dict[str, str]:
    """What is stored, table by table and file by file, but for the tables `without`; usage always may grow."""
    found = {}
    with closing(sqlite3.connect(world.emulator.home.database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in ("usage", *without):
                rows = connection.execute(f"SELECT * FROM {table}").fetchall()
                found[table] = hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()
    for folder in (world.emulator.home.layers, world.emulator.home.computes):
        for path in files_below(folder):
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs between two digests."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
