"""Computes as GET /compute tells of them: read here the way the clients read them."""

from __future__ import annotations

import base64
import inspect
import io
import json
import math
import subprocess
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import requests
from rasterio.coords import BoundingBox
from rasterio.enums import Interleaving, Resampling

from ellipsis_local.computes.compute_json import NotJsonError, WireAnswers, json_text, wire_answer
from ellipsis_local.computes.records import SCHEMA, NodeRecord, Records
from ellipsis_local.computes.specification import ComputeRequest, Specification
from ellipsis_local.database import Database
from ellipsis_local.errors import FidelityError, FidelityWarning, NotFoundError
from ellipsis_local.node_program.ellipsis_node.values import encode
from ellipsis_local.nodes import NodeOutcome
from ellipsis_local.preflight import service_text

ROOT = Path(__file__).parents[2]
SPEC = Specification(ComputeRequest(layers=()), nodes=2, environment="e")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "test.sqlite", SCHEMA)
    yield found
    found.close()


@pytest.fixture
def records(database: Database) -> Records:
    return Records(database)


def outcome(node: int, value: Any = 1, **fields: Any) -> NodeOutcome:
    return NodeOutcome(**({"node": node, "state": "completed", "seconds": 0.1, "payload": encode(value)} | fields))


def failed(node: int, text: str = "ValueError: no") -> NodeOutcome:
    return NodeOutcome(node, "failed", 0.1, kind="exception", text=text)


def executed(records: Records, *outcomes: NodeOutcome, sent: str = "source", uploads: tuple[str, ...] = ()) -> str:
    """A compute whose execution ended so."""
    compute_id = records.create("me", replace(SPEC, nodes=len(outcomes)))
    records.change(compute_id, {"queued"}, "available")
    assert records.begin(compute_id, sent) == 1
    assert records.finish(compute_id, outcomes, uploads=uploads)
    return compute_id


def answer(records: Records, compute_id: str) -> dict[str, Any]:
    found = wire_answer(records.get(compute_id), records.nodes(compute_id))
    assert WireAnswers(records).of(records.get(compute_id)) == found
    json.dumps(found)
    return found


def read_by_new(result: list[Any]) -> list[dict[str, Any]]:
    """As client 3.3.12 does."""
    entries = [entry for node in result for entry in node]
    return [e if e["type"] in ("exception", "upload") else e | {"value": json.loads(e["value"])} for e in entries]


def read_by_old(result: list[Any]) -> list[dict[str, Any]]:
    """As client 3.2.9 does."""
    import dill

    return [entry for node in result for entry in dill.loads(base64.b64decode(node))]


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (True, True),
        ("text ü \U0001f600", "text ü \U0001f600"),
        ("\ud800", "\ud800"),
        (2**80, 2**80),
        (0.1, 0.1),
        (math.inf, math.inf),
        ([1, (2, [3])], [1, [2, [3]]]),
        ({"a": {"b": (1,)}, 1: 2, None: 3, 4.5: True}, {"a": {"b": [1]}, "1": 2, "null": 3, "4.5": True}),
        (np.float32(1.5), 1.5),
        (np.longdouble(2.5), 2.5),
        (np.uint8(200), 200),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        ({np.int64(3): np.int64(4)}, {"3": 4}),
        (np.zeros((2, 3)).shape, [2, 3]),
        ([{"id": 1, "mean": np.float64(2.5)}], [{"id": 1, "mean": 2.5}]),
        ([Counter("abb"), defaultdict(list, a=[1])], [{"a": 1, "b": 2}, {"a": [1]}]),
        ({"\udc00": BoundingBox(1, 2, 3, 4), Resampling.cubic: [Resampling.cubic]}, {"\udc00": [1, 2, 3, 4], "2": [2]}),
    ],
)
def test_what_json_holds(value, read) -> None:
    text = json_text(encode(value))
    assert text.isascii()
    assert json.loads(text) == read


def test_nan_is_written_as_python_writes_it() -> None:
    assert json_text(encode([math.nan, np.float64("nan"), -math.inf])) == "[NaN, NaN, -Infinity]"


def test_an_affine_transformation_is_a_list_as_json_makes_of_a_named_tuple() -> None:
    from affine import Affine

    assert json.loads(json_text(encode(Affine(10, 0, 5, 0, -10, 6)))) == [10, 0, 5, 0, -10, 6, 0, 0, 1]


def frames() -> Any:
    import geopandas
    import pandas
    import shapely

    point = shapely.Point(1, 2)
    return [
        ([1, {"a": pandas.DataFrame({"x": [1]})}], r"result\[1\]\['a'\] is a pandas DataFrame.*`.to_json\(\)`"),
        (geopandas.GeoDataFrame(geometry=[point]), r"result is a GeoDataFrame.*`.to_json\(\)`"),
        (pandas.Series([1]), "result is a pandas or geopandas Series"),
        ((point,), r"result\[0\] is a shapely geometry.*`.wkt`"),
        (pandas.NaT, "result is pandas.NaT"),
        (pandas.Timestamp("2024-01-01"), "Timestamp.*isoformat"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros(3), r"result is a numpy array.*`.tolist\(\)`.*largeResult=True"),
        ({"a": [0, np.ma.masked_array([1])]}, r"result\['a'\]\[1\] is a masked numpy array"),
        (np.array([None]), "result is a numpy array"),
        (np.complex64(1), "numpy scalar of dtype complex64"),
        (np.datetime64("2024-01-01"), r"numpy scalar of dtype datetime64.*`str\(…\)`"),
        (b"\0", "result is bytes"),
        ([10**5000], r"result\[0\] is an integer of more than 4,300 digits.*`hex\(…\)`"),
        ({10**5000: 1}, "a key of result is an integer of more than 4,300 digits"),
        (deque([1]), r"result is a deque.*`list\(…\)`"),
        (Interleaving.pixel, "result is of a type that JSON does not have"),
        ({1, 2}, r"result is a set.*`list\(…\)`"),
        (1j, "complex number"),
        ({(1, 2): 3}, "a key of result is of type tuple"),
        ({"a": {b"x": 1}}, r"a key of result\['a'\] is of type bytes"),
    ],
)
def test_what_json_does_not_hold_is_named_with_its_place_and_the_way_out(value, text) -> None:
    with pytest.raises(NotJsonError, match=text):
        json_text(encode(value))


def test_what_of_geopandas_and_pandas_json_does_not_hold() -> None:
    for value, text in frames():
        with pytest.raises(NotJsonError, match=text):
            json_text(encode(value))


def test_telling_so_does_not_import_pandas() -> None:
    payloads = [encode(value).hex() for value, _ in frames()] + [encode([1, "a", 2.5, {"b": (None,)}]).hex()]
    code = f"""
import sys
from ellipsis_local.computes.compute_json import NotJsonError, json_text
for payload in {payloads!r}:
    try:
        print(json_text(bytes.fromhex(payload)))
    except NotJsonError:
        print("refused")
assert not {{"pandas", "geopandas", "shapely", "dill"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == '[1, "a", 2.5, {"b": [null]}]'
    assert done.stdout.count("refused") == len(payloads) - 1


def test_a_result_nested_deeply_is_an_exception_or_arrives() -> None:
    value: Any = 1
    for _ in range(400):
        value = [value]
    assert json.loads(json_text(encode(value))) == value


# --- answers --------------------------------------------------------------------------------------------------------


def test_each_kind_of_result(records: Records) -> None:
    compute_id = executed(records, outcome(0, (1, "a")), outcome(1, file="f-1"), failed(2), outcome(3, np.zeros(2)))
    found = answer(records, compute_id)
    assert found["status"] == "completed"
    assert [node["state"] for node in found["nodes"]] == ["completed", "completed", "failed", "completed"]
    first, second, third, fourth = read_by_new(found["result"])
    assert first == {"type": "object", "value": [1, "a"]}
    assert second == {"type": "file", "value": "f-1"}
    assert third["type"] == fourth["type"] == "exception"
    assert third["value"] == f"node 2 of compute {compute_id} failed: ValueError: no"
    assert fourth["value"].startswith(
        f"node 3 of compute {compute_id} returned what cannot be taken: result is a numpy"
    )


def test_uploads(records: Records) -> None:
    compute_id = executed(records, outcome(0, file="f-1"), outcome(1, file="f-2"), uploads=("u-1", "u-2"))
    assert read_by_new(answer(records, compute_id)["result"]) == [
        {"type": "upload", "value": "u-1"},
        {"type": "upload", "value": "u-2"},
    ]


def test_there_is_a_result_only_once_an_execution_ended(records: Records) -> None:
    compute_id = records.create("me", SPEC)
    assert "result" not in answer(records, compute_id)
    records.change(compute_id, {"queued"}, "available")
    assert "result" not in answer(records, compute_id)
    records.begin(compute_id)
    assert "result" not in answer(records, compute_id)
    # All outcomes may be stored before the execution is over, as with writeToLayer.
    records.progress(compute_id, [outcome(0), outcome(1)])
    assert "result" not in answer(records, compute_id)
    assert [node["state"] for node in answer(records, compute_id)["nodes"]] == ["completed", "completed"]
    records.finish(compute_id, [outcome(0), outcome(1)])
    assert len(answer(records, compute_id)["result"]) == 2
    records.change(compute_id, {"completed"}, "stopping")
    assert "result" not in answer(records, compute_id)
    records.change(compute_id, {"stopping"}, "stopped")
    assert len(answer(records, compute_id)["result"]) == 2


def test_a_compute_stopped_half_way_has_no_result(records: Records) -> None:
    compute_id = records.create("me", SPEC)
    records.change(compute_id, {"queued"}, "available")
    records.begin(compute_id)
    records.progress(compute_id, [outcome(0)])
    records.change(compute_id, {"executing"}, "stopped")
    assert "result" not in answer(records, compute_id)


def test_an_exception_with_half_a_surrogate_pair_arrives(records: Records) -> None:
    found = wire_answer(
        records.get(executed(records, failed(0))), [NodeRecord(0, "failed", None, failed(0, "\ud800 no"), None)]
    )
    assert found["result"][0][0]["value"].endswith("\\ud800 no")
    found["result"][0][0]["value"].encode()


# --- old clients ----------------------------------------------------------------------------------------------------


def test_an_old_client_gets_the_values_themselves(records: Records) -> None:
    import geopandas
    import shapely

    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs="EPSG:3857")
    values = (frame, np.arange(3), {(1, 2): {3}})
    compute_id = executed(
        records, *(outcome(i, v) for i, v in enumerate(values)), outcome(3, file="f"), failed(4), sent="dill"
    )
    assert records.get(compute_id).spec.sent == "dill"
    read = read_by_old(answer(records, compute_id)["result"])
    assert [entry["type"] for entry in read] == ["object", "object", "object", "file", "exception"]
    assert read[0]["value"].equals(frame)
    assert read[0]["value"].crs == frame.crs
    assert read[1]["value"].tolist() == [0, 1, 2]
    assert read[2]["value"] == {(1, 2): {3}}
    assert read[3]["value"] == "f"
    # The client raises it.
    assert type(read[4]["value"]) is ValueError
    assert str(read[4]["value"]) == f"node 4 of compute {compute_id} failed: ValueError: no"


def test_an_old_client_gets_uploads(records: Records) -> None:
    compute_id = executed(records, outcome(0, file="f"), sent="dill", uploads=("u-1",))
    assert read_by_old(answer(records, compute_id)["result"]) == [{"type": "upload", "value": "u-1"}]


def test_a_stopped_compute_keeps_new_clients_from_pickles(records: Records) -> None:
    compute_id = executed(records, outcome(0), sent="dill")
    records.change(compute_id, {"completed"}, "stopped")
    assert "result" not in answer(records, compute_id)


def test_the_last_execution_decides_how_it_is_told(records: Records) -> None:
    compute_id = executed(records, outcome(0), sent="dill")
    records.begin(compute_id, "source")
    records.finish(compute_id, [outcome(0, 2)])
    assert read_by_new(answer(records, compute_id)["result"]) == [{"type": "object", "value": 2}]


# --- what is kept ---------------------------------------------------------------------------------------------------


class Counted(Records):
    """Records that count how often the nodes' results were read."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads: list[bool] = []

    def nodes(self, compute_id: str, *, results: bool = True) -> list[NodeRecord]:
        self.reads.append(results)
        return super().nodes(compute_id, results=results)


def test_results_are_read_and_encoded_once(database: Database) -> None:
    records = Counted(database)
    ids = [executed(records, outcome(0, i)) for i in range(3)]
    answers = WireAnswers(records)
    pages = [answers.page("me", None) for _ in range(3)]
    assert pages[0] == pages[1] == pages[2]
    assert [found["id"] for found in pages[0][0]] == ids[::-1]
    assert records.reads == [True] * 3
    # What is left running is looked at, without what it returned so far.
    records.begin(ids[0])
    assert [("result" in found) for found in answers.page("me", None)[0]] == [True, True, False]
    answers.of(records.get(ids[0]))
    assert records.reads == [True] * 3 + [False] * 2


def test_another_execution_is_told_anew(records: Records) -> None:
    compute_id = executed(records, outcome(0, "first"))
    answers = WireAnswers(records)
    assert read_by_new(answers.of(records.get(compute_id))["result"])[0]["value"] == "first"
    former = records.get(compute_id)
    records.begin(compute_id)
    assert "result" not in answers.of(records.get(compute_id))
    records.finish(compute_id, [outcome(0, "second")])
    assert read_by_new(answers.of(records.get(compute_id))["result"])[0]["value"] == "second"
    # Also to whoever read the record long ago.
    assert read_by_new(answers.of(former)["result"])[0]["value"] == "second"


def test_an_execution_that_begins_between_two_reads_is_not_told_as_completed(database: Database) -> None:
    class Late(Records):
        def nodes(self, compute_id: str, *, results: bool = True) -> list[NodeRecord]:
            if self.get(compute_id).executions == 1:
                self.begin(compute_id)
            return super().nodes(compute_id, results=results)

    records = Late(database)
    compute_id = executed(records, outcome(0))
    found = WireAnswers(records).of(records.get(compute_id))
    assert (found["status"], found["executions"], "result" in found) == ("executing", 2, False)


def test_outcomes_that_come_after_the_end_are_told(records: Records) -> None:
    compute_id = records.create("me", replace(SPEC, nodes=1))
    records.change(compute_id, {"queued"}, "available")
    records.begin(compute_id)
    records.change(compute_id, {"executing"}, "stopped")
    answers = WireAnswers(records)
    assert "result" not in answers.of(records.get(compute_id))
    assert not records.finish(compute_id, [failed(0, "terminated")])
    assert "terminated" in answers.of(records.get(compute_id))["result"][0][0]["value"]


def test_what_is_kept_has_a_bound(database: Database) -> None:
    records = Counted(database)
    ids = [executed(records, outcome(0, "x" * 10_000)) for _ in range(5)]
    answers = WireAnswers(records, kept_bytes=27_000)
    for compute_id in ids:
        answers.of(records.get(compute_id))
    assert set(answers._kept) == set(ids[-2:])
    assert answers._size <= 27_000
    answers.of(records.get(ids[-2]))
    assert len(records.reads) == 5
    assert len(answers.of(records.get(ids[0]))["result"][0][0]["value"]) == 10_002
    assert set(answers._kept) == {ids[-2], ids[0]}
    small = WireAnswers(records, kept_bytes=100)
    assert small.of(records.get(ids[0])) == answers.of(records.get(ids[0]))
    assert (len(small._kept), small._size) == (0, 0)


def test_a_deleted_compute_is_left_out_of_a_page(database: Database) -> None:
    class Deleting(Records):
        def nodes(self, compute_id: str, *, results: bool = True) -> list[NodeRecord]:
            self.delete(compute_id)
            return super().nodes(compute_id, results=results)

    records = Deleting(database)
    compute_id = records.create("me", SPEC)
    records.change(compute_id, {"queued"}, "stopped")
    assert WireAnswers(records).page("me", None) == ([], None)
    with pytest.raises(NotFoundError):
        WireAnswers(records).page("me", compute_id)


# --- one verdict in both faces --------------------------------------------------------------------------------------


def gives_frame(params):
    import geopandas

    return {"found": [geopandas.GeoDataFrame(geometry=[])]}


def gives_tuple(params):
    import numpy as np

    return (1, np.float64(2.5), (np.zeros((2, 3)).shape,))


def gives_scalar(params):
    import numpy as np

    return [np.float32(1.5)]


def gives_numbers_as_keys(params):
    return {1: "a"}


class Faces:
    """One compute on a file, asked in process and over HTTP; a node's failure is its text."""

    def __init__(self, el: ModuleType, home: Path, strict: Any) -> None:
        self.el = el
        el.configure(home=home, progress=False, inline=True, strict=strict)
        self.token = el.account.logIn("demo_user", "demo_user")
        file = el.path.file.add(self.token, memFile=io.BytesIO(b"x"), name="x")["id"]
        self.id = el.compute.createCompute([], self.token, files=[file], nodes=1)["id"]

    def here(self, f: Any) -> Any:
        try:
            return self.el.compute.execute(self.id, f, self.token)[0]
        except FidelityError as error:
            self.notes = error.__notes__
            return str(error)

    def info(self) -> Any:
        return self.el.compute.getComputeInfo(self.id, self.token)["result"][0]["value"]

    def over_http(self, server: Any, f: Any) -> Any:
        head = {"Authorization": f"Bearer {self.token}"}
        text = service_text(inspect.getsource(f))[0]
        url = f"{server.url}/compute"
        requests.post(f"{url}/{self.id}/execute", json={"file": text}, headers=head, timeout=20).raise_for_status()
        (answer,) = requests.get(url, headers=head, timeout=20).json()["result"]
        return read_by_new(answer["result"])[0]["value"]


@pytest.mark.parametrize("strict", [True, "service"])
def test_with_strict_both_faces_say_and_give_the_same(el: ModuleType, home: Path, strict: Any) -> None:
    faces = Faces(el, home, strict)
    refused = [gives_frame] if strict == "service" else [gives_frame, gives_scalar, gives_numbers_as_keys]
    with el.serve() as server:
        for f in (gives_frame, gives_tuple, gives_scalar, gives_numbers_as_keys):
            found = faces.here(f)
            assert json.dumps(faces.info()) == json.dumps(found)
            # Both are lists as JSON; only `service` makes it one here.
            assert json.dumps(faces.over_http(server, f)) == json.dumps(found)
            assert (f in refused) == (isinstance(found, str) and f"of compute {faces.id} returned what" in found)
            if f is gives_tuple:
                assert found == ([1, 2.5, [[2, 3]]] if strict == "service" else (1, 2.5, ((2, 3),)))
                assert type(found[1]) is (float if strict == "service" else np.float64)
            if f is gives_frame:
                line = f.__code__.co_firstlineno + 3
                assert faces.notes == [f"returned by gives_frame ({__file__}:{line}), on a home with strict={strict!r}"]
                assert found.endswith(
                    "result['found'][0] is a GeoDataFrame; small results travel to the client as JSON: return "
                    "`.to_json()` instead, or create the compute with largeResult=True and return a memory file "
                    "(BytesIO), as ellipsis.util.saveVector makes of it"
                )


def test_without_strict_the_warning_names_the_line_and_the_ways(el: ModuleType, home: Path) -> None:
    faces = Faces(el, home, False)
    line = gives_frame.__code__.co_firstlineno + 3
    with pytest.warns(FidelityWarning) as told:
        assert type(faces.here(gives_frame)["found"][0]).__name__ == "GeoDataFrame"
    text = str(told[0].message)
    assert text.startswith(f"gives_frame ({__file__}:{line}): on node 0, result['found'][0] is a GeoDataFrame; ")
    assert "`.to_json()`" in text and "ellipsis.util.saveVector" in text
