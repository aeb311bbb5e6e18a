"""Whatever is wrong with a request, the answer says so: for every field and parameter of every operation, made from the
OpenAPI document. Nothing is stored meanwhile."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest

from ellipsis_local.server import Server
from tests.integration.conftest import INTERPRETER, wait_for
from tests.integration.serving import BASE, UNKNOWN, Operation, World, changes, digest, geotiff, problem_of

SAMPLES = {"string": "x", "integer": 7, "number": 1.5, "boolean": True, "array": [[]], "object": {"a": 1}, "null": None}
"""A value of every type that JSON has."""
JSON = {"content-type": "application/json"}


@pytest.fixture
def world(server: Server) -> Iterator[World]:
    with World(server) as world:
        world.warm()
        yield world


class Raw:
    """JSON text, or what is none, that Python's json would not write."""

    def __init__(self, text: bytes) -> None:
        self.text = text


def written(body: Any) -> bytes:
    raws: list[bytes] = []

    def other(value: Raw) -> str:
        raws.append(value.text)
        return f"@@raw{len(raws) - 1}@@"

    text = json.dumps(body, default=other).encode()
    for index, raw in enumerate(raws):
        text = text.replace(f'"@@raw{index}@@"'.encode(), raw)
    return text


def nested(levels: int) -> Raw:
    return Raw(b'{"a":' * levels + b"1" + b"}" * levels)


# ----- bodies --------------------------------------------------------------------------------------------------------


def types_of(schema: dict[str, Any]) -> set[str]:
    if "anyOf" in schema:
        return set().union(*(types_of(one) for one in schema["anyOf"]))
    given = schema.get("type", list(SAMPLES))
    found = {given} if isinstance(given, str) else set(given)
    return found | {"integer"} if "number" in found else found


def of_type(schema: dict[str, Any], kind: str) -> dict[str, Any] | None:
    return next((one for one in schema.get("anyOf", [schema]) if kind in (one.get("type"), *one.get("type", ()))), None)


def bad_values(name: str, schema: dict[str, Any], good: Any) -> Iterator[tuple[str, Any]]:
    """Values that a field must not have, by what is wrong with them."""
    for kind, sample in SAMPLES.items():
        if kind not in types_of(schema):
            yield f"of type {kind}", sample
    if text := of_type(schema, "string"):
        yield from bad_texts(name, text)
    if of_type(schema, "integer") or of_type(schema, "number"):
        yield "not a number", Raw(b"NaN")
        yield "infinite", Raw(b"-Infinity")
        yield "more than a float", Raw(b"1e400")
        yield "huge", Raw(b"1" + b"0" * 5000)
        yield "beyond 64 bits", 2**64
        yield "negative", -1
    if listed := of_type(schema, "array"):
        good = good if isinstance(good, list) else []
        first = good[0] if good else "x"
        if "maxItems" in listed:
            yield "too long", [first] * (listed["maxItems"] + 1)
        if good:
            yield "with one good and one bad", [first, Raw(b"[[1]]")]
            for text, value in bad_values(name, listed["items"], first):
                yield f"with one {text}", [value]
    tree = of_type(schema, "object")
    if tree and "properties" in tree:
        yield from bad_bodies(tree, good)
    elif tree:
        yield "nested 1000 deep", nested(1000)
        yield "nested 5000 deep", nested(5000)
        yield "with NaN in it", Raw(b'{"a": NaN}')
        yield "with half a surrogate pair in it", Raw(b'{"\\udc00": 1}')
        yield "with what is not UTF-8 in it", Raw(b'{"a": "\xff"}')


def bad_texts(name: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "too long", "x" * (schema.get("maxLength", 100_000) + 1)
    yield "half a surrogate pair", Raw(b'"\\ud800"')
    yield "not UTF-8", Raw(b'"\xff\xfe"')
    if name != "password":
        yield "with a null character", "a\0b"
        yield "with control characters", "a\x1b[31mb\x07"
    if schema.get("minLength"):
        yield "empty", ""
    if schema.get("format") == "uuid":
        yield "one character longer than a uuid", UNKNOWN + "0"
    if schema.get("format") == "date-time":
        yield "before all times", "0001-01-01T00:00:00+23:59"
        yield "after all times", "9999-12-31T23:59:59-23:59"


def bad_bodies(schema: dict[str, Any], good: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in schema.get("required", ()):
        yield f"{name} missing", {key: value for key, value in good.items() if key != name}
    for name, one in schema["properties"].items():
        for text, value in bad_values(name, one, good.get(name)):
            yield f"{name} {text}", {**good, name: value}


def no_bodies(operation: Operation, good: bytes) -> Iterator[tuple[str, bytes, str | None]]:
    """What is no body: what is wrong, the bytes, and the content type."""
    kind = JSON["content-type"]
    yield "nothing", b"", kind
    for text in (
        b"null", b"[{}]", b"1", b'"text"', b"NaN", b"{", b"\xff\xfe", good + b" trailing", good.decode().encode("utf-16"),
        b"[" * 100_000,
    ):  # fmt: skip
        yield f"{text[:20]!r}", text, kind
    if operation.body and operation.body.get("required"):
        yield "nested 1000 deep", nested(1000).text, kind
        first = operation.body["required"][0]
        yield "with a field twice, the second bad", good[:-1] + f', "{first}": {{"a": []}}}}'.encode(), kind
    for other in (None, "text/plain", "multipart/form-data; boundary=b"):
        yield f"good, of type {other}", good, other


def test_the_requests_that_the_others_vary_are_good(world: World) -> None:
    """What is refused below is so for what is bad in it, and for nothing else."""
    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    others = {
        # The invite is clara's, the usage that may be asked for one's own; the rest starts environments.
        "POST /v3/path/{pathId}/invite/{inviteId}/accept": 404,
        "GET /v3/path/usage/user/{userId}/processingUnits": 403,
    }
    wrong = []
    # Deepest first: what is deleted takes along what lies in it.
    for operation in sorted(world.operations, key=lambda one: (methods.index(one.method), -len(one.template))):
        if operation.name not in ("POST /v3/compute", "POST /v3/compute/{computeId}/execute"):
            answer = world.send(world.good(operation), world.a.token)
            expected = others.get(operation.name, 204 if "/tile/" in operation.template else 200)
            if answer.status_code != expected:
                wrong.append(f"{operation.name}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []


def test_bodies(world: World) -> None:
    wrong, count = [], 0
    before = digest(world)
    for operation in world.operations:
        if operation.body is None:
            continue
        good = world.good(operation)
        path = good.path.removeprefix(BASE)
        cases: list[tuple[str, bytes, str | None, str]] = []
        if "properties" in operation.body:
            for text, body in bad_bodies(operation.body, good.json):
                cases.append((text, written(body), "application/json", text.partition(" ")[0]))
        else:
            for text, body in bad_values("body", operation.body, good.json):
                cases.append((text, written(body), "application/json", ""))
        cases += [(f"body {text}", data, kind, "") for text, data, kind in no_bodies(operation, written(good.json))]
        for text, data, kind, field in cases:
            count += 1
            headers = {} if kind is None else {"content-type": kind}
            answer = world.ask(operation.method, path, world.a.token, data=data, headers=headers)
            problem = problem_of(answer, (400, 404, 413))
            if problem is None and field not in answer.text and "JSON" not in answer.text:
                problem = f"does not name {field}: {answer.text[:200]}"
            if problem:
                wrong.append(f"{operation.name}, {text}: {problem}")
        after = digest(world)
        wrong += [f"{operation.name} changed {what}" for what in changes(before, after)]
        before = after
    assert wrong == []
    assert count > 1000


# ----- parameters ----------------------------------------------------------------------------------------------------

TEXTS = ("", "x", "[", "-1", "9" * 4000, "9" * 5000, "a\0b\x1b[31m\ufffd\U0010ffff", "x" * 20_000)
"""For parameters of any type."""
VALUES = (
    "{}", "[[]]", "null", "1e400", "[null]", "[[4, 91]]", "[" * 1500, '{"from": "0001-01-01T00:00:00+10:00"}',
    '{"xMin": -1e300, "xMax": 1e300, "yMin": -1e300, "yMax": 1e300}',
    '{"xMin": 0, "xMax": 1e-320, "yMin": 0, "yMax": 1e-320}', '{"type": "Point", "coordinates": [1e300, 1e300]}',
    '{"type": "Feature", "geometry": null}',
    '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}',
    '{"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}',
)  # fmt: skip
"""For those that are JSON."""
PATHS = ("x", "9" * 5000, UNKNOWN + "0", "../../etc/passwd", "a\0b\n", "\ud7ff", "'; DROP TABLE paths; --")


def in_path(world: World, operation: Operation, name: str, value: str) -> str:
    path = operation.template
    for one in operation.named("path"):
        filled = value if one["name"] == name else world.path_value(operation, one["name"])
        path = path.replace(f"{{{one['name']}}}", quote(filled, safe=""))
    return path


def test_queries(world: World) -> None:
    """Any text: whatever is not refused may be answered, but nothing breaks."""
    wrong = []
    before = digest(world)
    for operation in world.operations:
        good = world.good(operation)
        for parameter in operation.named("query"):
            name = parameter["name"]
            if operation.method != "GET":
                continue
            is_json = "contentMediaType" in parameter["schema"]
            values = (*TEXTS, *VALUES) if is_json else TEXTS
            cases = [(value, replace(good, query={**good.query, name: value})) for value in values]
            if parameter.get("required"):
                left = {key: value for key, value in good.query.items() if key != name}
                cases.append(("missing", replace(good, query=left)))
            for value, request in cases:
                answer = world.send(request, world.a.token)
                must = value == "missing" or (value in ("x", "[") and is_json)
                if answer.status_code in (200, 204) and not must:
                    continue
                problem = problem_of(answer, (400, 403, 404, 413))
                if problem is None and answer.status_code == 400 and name not in answer.text:
                    problem = f"does not name it: {answer.text[:200]}"
                if problem:
                    wrong.append(f"{operation.name}, {name}={value[:60]}: {problem}")
        if operation.template.endswith("/rasterByExtent"):
            # Their product has more digits than Python writes.
            sizes = {"width": "9" * 4000, "height": "9" * 4000}
            if problem := problem_of(world.send(replace(good, query={**good.query, **sizes}), world.a.token)):
                wrong.append(f"{operation.name}, huge numbers: {problem}")
    assert wrong == []
    assert changes(before, digest(world)) == []


def test_malformed_ids(world: World) -> None:
    """They never get further than the check of their form."""
    wrong = []
    before = digest(world)
    for operation in world.operations:
        good = world.good(operation)
        for parameter in operation.named("path"):
            for value in PATHS:
                path = in_path(world, operation, parameter["name"], value)
                problem = problem_of(world.send(replace(good, path=path), world.a.token), (400, 404, 501))
                if problem:
                    wrong.append(f"{operation.name}, {parameter['name']}={value[:60]!r}: {problem}")
    assert wrong == []
    assert changes(before, digest(world)) == []


def test_unknown_ids(world: World) -> None:
    wrong = []
    before = digest(world)
    for operation in world.operations:
        good = world.good(operation)
        for parameter in operation.named("path"):
            if parameter["schema"].get("format") == "uuid":
                path = in_path(world, operation, parameter["name"], UNKNOWN)
                answer = world.send(replace(good, path=path), world.a.token)
                allowed = (403,) if "/path/usage/" in path else (404,)
                if (problem := problem_of(answer, allowed)) or (UNKNOWN not in answer.text and allowed == (404,)):
                    wrong.append(f"{operation.name}, {parameter['name']}: {problem or answer.text}")
    # Which user's usage is asked for is a filter: nobody's is none.
    wrong = [one for one in wrong if "/usage/user/{userId}/processingUnits, userId" not in one]
    assert wrong == []
    # In bodies, too.
    raster, there = world.ids["raster"], world.ids["raster timestamp"]
    layer = {"pathId": raster, "timestampId": there}
    execute = {"file": "def userFunction(params):\n return 1"}
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "/path/parentId", {"pathIds": [UNKNOWN]}),
        ("PUT", "/path/parentId", {"pathIds": [raster], "parentId": UNKNOWN}),
        ("POST", "/path/folder", {"name": "x", "parentId": UNKNOWN}),
        ("POST", "/compute", {"layers": [layer | {"pathId": UNKNOWN}]}),
        ("POST", "/compute", {"layers": [layer | {"timestampId": UNKNOWN}]}),
        ("POST", "/compute", {"layers": [layer], "files": [UNKNOWN]}),
        ("POST", f"/compute/{world.ids['compute']}/execute", execute | {"writeToLayer": layer | {"pathId": UNKNOWN}}),
        ("POST", f"/path/{raster}/invite", {"userId": UNKNOWN, "access": {"accessLevel": 100}}),
    ]
    for method, path, body in cases:
        answer = world.ask(method, path, world.a.token, json=body)
        assert problem_of(answer, (404,)) is None, (path, body, answer.text)
        assert UNKNOWN in answer.text
    assert changes(before, digest(world)) == []


# ----- uploads -------------------------------------------------------------------------------------------------------


def form(*parts: tuple[bytes, bytes], end: bytes = b"--b--\r\n") -> bytes:
    """A multipart body of parts, each given by what follows `form-data; `, and its content."""
    text = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return text + end


def zipped(**files: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return memory.getvalue()


TIFF = geotiff()
VRT = (
    b'<VRTDataset rasterXSize="60" rasterYSize="40"><SRS>EPSG:3857</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
    b'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename relativeToVRT="0">SECRET</SourceFilename>'
    b"<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)
FILE = (b'name="data"; filename="a.tif"', TIFF)
NAME, FORMAT = (b'name="name"', b"a.tif"), (b'name="format"', b"tif")
KIND = "multipart/form-data; boundary=b"
FORMS: dict[str, tuple[bytes, str]] = {
    "truncated in the file": (form(NAME, FORMAT, FILE)[:-500], "truncated"),
    "truncated in the boundary": (form(NAME, FORMAT, FILE)[:-5], "truncated"),
    "truncated in a header": (form(NAME, FORMAT, FILE)[:30], "truncated"),
    "without a file": (form(NAME, FORMAT), "data"),
    "with the file as a text": (form(NAME, FORMAT, (b'name="data"', TIFF)), "data"),
    "with two files": (form(NAME, FORMAT, FILE, FILE), "data"),
    "with two names": (form(NAME, NAME, FORMAT, FILE), "name"),
    "without a format": (form(NAME, FILE), "format"),
    "of an unknown format": (form(NAME, (b'name="format"', b"exe"), FILE), "exe"),
    "with a name of bytes": (form((b'name="name"', b"\xff\xfe"), FORMAT, FILE), "name"),
    "with a name of 1001 characters": (form((b'name="name"', b"x" * 1001), FORMAT, FILE), "name"),
    "with a name of 2 MB": (form((b'name="name"', b"x" * 2**21), FORMAT, FILE), "name"),
    "with a name with control characters": (form((b'name="name"', b"a\0b"), FORMAT, FILE), "name"),
    "with a header of bytes": (form((b'name="\xff"', b"x"), NAME, FORMAT, FILE), "field"),
    "with a header of 1 MB": (form((b'name="' + b"x" * 2**20 + b'"', b"x"), NAME, FORMAT, FILE), "form"),
    "with 100 headers": (form((b"x\r\n" + b"X: y\r\n" * 100, b"x"), NAME, FORMAT, FILE), "form"),
    "with 100 fields": (form(*((b'name="%d"' % i, b"x") for i in range(100)), NAME, FORMAT, FILE), "fields"),
    "with an epsg of text": (form(NAME, FORMAT, (b'name="epsg"', b"RD"), FILE), "epsg"),
    "with an unknown epsg": (form(NAME, FORMAT, (b'name="epsg"', b"99999999"), FILE), "epsg"),
    "with a negative epsg": (form(NAME, FORMAT, (b'name="epsg"', b"-1"), FILE), "epsg"),
    "with a huge epsg": (form(NAME, FORMAT, (b'name="epsg"', b"9" * 5000), FILE), "epsg"),
    "with nodata of text": (form(NAME, FORMAT, (b'name="noDataValue"', b"none"), FILE), "noDataValue"),
    "with nodata NaN": (form(NAME, FORMAT, (b'name="noDataValue"', b"NaN"), FILE), "noDataValue"),
    "with an unknown priority": (form(NAME, FORMAT, (b'name="mosaicPriority"', b"best"), FILE), "mosaicPriority"),
}  # fmt: skip
BROKEN: dict[str, tuple[bytes, str]] = {
    "with an empty file": (form(NAME, FORMAT, (FILE[0], b"")), "empty"),
    "with a file of zeros": (form(NAME, FORMAT, (FILE[0], b"\0" * 10_000)), "a.tif"),
    "with half a GeoTIFF": (form(NAME, FORMAT, (FILE[0], TIFF[: len(TIFF) // 2])), "a.tif"),
    "with a GeoTIFF that is a ZIP": (form(NAME, FORMAT, (FILE[0], zipped(a_tif=TIFF))), "a.tif"),
    "with a GeoTIFF that is a ZIP bomb": (form(NAME, FORMAT, (FILE[0], zipped(a_tif=b"\0" * 10**8))), "a.tif"),
    "with a GeoTIFF that is GeoJSON": (
        form(NAME, FORMAT, (FILE[0], b'{"type": "FeatureCollection", "features": []}')), "a.tif",
    ),
    "with a raster that shows another file": (
        form(NAME, (b'name="format"', b"vrt"), (
            b'name="data"; filename="a.vrt"',
            VRT,
        )), "a.tif",
    ),
}  # fmt: skip


def test_uploads(world: World) -> None:
    """Every form is refused with what is wrong with it, a file that is no layer is errored; nothing else stays."""
    ids = world.ids
    path = f"/path/{ids['raster']}/raster/timestamp/{ids['raster timestamp']}/file"
    secret = world.emulator.store.files(ids["raster"], ids["raster timestamp"])[0].location
    before = digest(world)
    wrong = []
    for text, (data, named) in FORMS.items():
        answer = world.ask("POST", path, world.a.token, data=data, headers={"content-type": KIND})
        problem = problem_of(answer, (400, 413))
        if problem or named not in answer.text:
            wrong.append(f"a form {text}: {problem or answer.text}")
    for text, (data, named) in BROKEN.items():
        message = errored(world, path, path, data.replace(b"SECRET", str(secret).encode()))
        if named not in message or str(world.emulator.home.root) in message:
            wrong.append(f"a form {text}: {message}")
    for kind in (
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=b", "application/json",
        f"multipart/form-data; boundary={'b' * 300}", "multipart/form-data; boundary=\u00ff".encode("latin-1"), "",
    ):  # fmt: skip
        data = form(NAME, FORMAT, FILE)
        answer = world.ask("POST", path, world.a.token, data=data, headers={"content-type": kind})
        if problem := problem_of(answer, (400,)):
            wrong.append(f"a form of type {kind[:60]!r}: {problem}")
    assert wrong == []
    assert changes(before, digest(world)) == []
    assert sorted(one.name for one in world.emulator.home.layers.iterdir()) == sorted(
        {one.parent.name for one in world.emulator.home.layers.glob("*/*")}
    ), "an upload left its folder"


def errored(world: World, path: str, listed: str, data: bytes) -> str:
    """What is said of an upload that is taken, and turns out to be no layer; it is deleted then."""
    made = world.ask("POST", path, world.a.token, data=data, headers={"content-type": KIND}).json()["id"]
    found = world.ask("GET", listed, world.a.token).json()["result"][-1]
    assert (found["id"], found["status"]) == (made, "errored")
    assert world.ask("DELETE", f"{path}/{made}", world.a.token).status_code == 200
    return found["message"]


def test_uploads_of_plain_files_and_vectors(world: World) -> None:
    ids = world.ids
    vector = f"/path/{ids['vector']}/vector/timestamp/{ids['vector timestamp']}/file"
    plain = (b'name="data"; filename="a"', b"x")
    data = (b'name="data"; filename="a.geojson"', b'{"type": "FeatureCollection", "features": [')
    bomb = (b'name="data"; filename="a.geojson"', b'{"type": "FeatureCollection", "features": ' + b"[" * 100_000)
    geojson = (b'name="format"', b"geojson")
    broken = [
        form((b'name="name"', b"a.geojson"), geojson, data),
        form((b'name="name"', b"a.geojson"), geojson, bomb),
        form(NAME, FORMAT, FILE),
        form(NAME, (b'name="format"', b"zip"), (b'name="data"; filename="a.zip"', zipped(a_shp=b"x"))),
    ]
    cases = [
        (vector, form(NAME, FORMAT, (b'name="dateColumns"', b"x"), FILE)),
        ("/path/file", form(plain, (b'name="name"', b""), (b'name="parentId"', b"x"))),
        ("/path/file", form(plain, (b'name="parentId"', UNKNOWN.encode()))),
        ("/path/file", form(plain, (b'name="metadata"', b"[]"))),
        ("/path/file", form(plain, (b'name="metadata"', nested(1000).text))),
        ("/path/file", form(plain, (b'name="publicAccess"', b'{"accessLevel": "all"}'))),
        ("/path/file", form((b'name="data"; filename=""', b"x"))),
    ]  # fmt: skip
    before = digest(world)
    assert all(errored(world, vector, f"{vector.removesuffix('file')}upload", body) for body in broken)
    for path, body in cases:
        answer = world.ask("POST", path, world.a.token, data=body, headers={"content-type": KIND})
        assert problem_of(answer, (400, 404, 413)) is None, (path, body[:300], answer.text)
    assert changes(before, digest(world)) == []


# ----- functions -----------------------------------------------------------------------------------------------------


FUNCTIONS = {
    "def userFunction(params):\n def f(params:\n    return 1\n return f(params)": "syntax error in line 1",
    "def userFunction(params):\n @cached\n  def f(params)\n    return 1\n return f(params)": "syntax error",
    "import os": "file",
    "gASVBAAAAAAAAABLAS4=x": "file",
    "x = 1\n": "userFunction",
    "(" * 10_000 + "\n": "file",
}


def test_functions_that_cannot_run(world: World) -> None:
    before = digest(world)
    for file, named in FUNCTIONS.items():
        answer = world.ask("POST", f"/compute/{world.ids['compute']}/execute", world.a.token, json={"file": file})
        assert problem_of(answer, (400,)) is None, answer.text
        assert named in answer.text, (file[:100], answer.text)
    assert changes(before, digest(world)) == []


def test_a_result_that_is_not_json(server: Server, el: ModuleType) -> None:
    """It is an exception in the result, in words, and the list of computes stays readable."""
    with World(server) as world:
        layer = {"pathId": world.ids["raster"], "timestampId": world.ids["raster timestamp"].upper()}
        body = {"layers": [layer], "nodes": 1, "interpreter": INTERPRETER}
        compute_id = world.ask("POST", "/compute", world.a.token, json=body).json()["id"]
        emulator = server.emulator

        def status() -> dict[str, Any]:
            return next(
                one for one in world.ask("GET", "/compute", world.a.token).json()["result"] if one["id"] == compute_id
            )

        class Through:
            """The computes of the server, as `wait_for` asks for them."""

            class compute:
                @staticmethod
                def getComputeInfo(compute_id: str, token: str) -> dict[str, Any]:
                    return status()

        wait_for(Through, compute_id, world.a.token, "available")  # type: ignore[arg-type]
        function = "def userFunction(params):\n def f(params):\n    return {1, 2}\n return f(params)"
        answer = world.ask("POST", f"/compute/{compute_id}/execute", world.a.token, json={"file": function})
        assert answer.status_code == 200, answer.text
        found = wait_for(Through, compute_id, world.a.token, "completed")["result"][0][0]  # type: ignore[arg-type]
        assert found["type"] == "exception"
        assert "result is a set" in found["value"] and "list(" in found["value"]
        assert emulator.computes.records.get(compute_id).status == "completed"
