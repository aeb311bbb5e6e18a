"""What rooms and processes hand each other: there and back by JSON, and as the release 0.1.0 wrote it."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellipsis_local.computes.replay_inputs import (
    ExecutionInputs,
    Keeper,
    NodeInputs,
    read_execution_inputs,
    read_node_inputs,
)
from ellipsis_local.computes.specification import ComputeRequest, Specification, provisional
from ellipsis_local.node_program.ellipsis_node.params import make_params
from ellipsis_local.node_program.ellipsis_node.records import (
    Command,
    NodeConfig,
    NodeFile,
    NodeFunction,
    NodeOutcome,
    RasterPart,
    ReplayPlan,
    VectorPart,
    files_of,
    moved,
    part_from_json,
    read_message,
    write_message,
)
from ellipsis_local.settings import Settings

OLD = json.loads((Path(__file__).parents[1] / "integration" / "data" / "compute-0.1.0.json").read_text())
EXTENT = {"xMin": 0.0, "xMax": 3.0, "yMin": 0.0, "yMax": 2.0}
RASTER = RasterPart(
    "0.npy", "<u2", (1, 2, 3), 128, (1.0, 0.0, 0.0, 0.0, -1.0, 2.0), EXTENT, "EPSG:3857", "nan", "an id"
)
MASKED = replace(RASTER, mask="0.mask.npy", mask_shape=(2, 3))
VECTOR = VectorPart("0.parquet", 5, "EPSG:3857", "another id")
FUNCTION = NodeFunction("source", "key", text="t", source="s", filename="f.py", line=3, faults={"0": [{"do": "kill"}]})
CONFIG = NodeConfig(
    "compute", "/folder", 2, ((MASKED, VECTOR), (RASTER, VECTOR)), (NodeFile("a", "/a"),), workers=2, gpus=("0",),
    memory=5, seed=7, clock=1.5, closed=("host",),
)  # fmt: skip
COMMAND = Command(3, FUNCTION, large=True, timeout=1.5)
GIVEN = ExecutionInputs(3, FUNCTION, large=True, executable="/python", seed=7, memory=5, timeout=1.5)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value.to_json(), allow_nan=False))


@pytest.mark.parametrize(
    "record",
    [NodeFile("a", "/a"), FUNCTION, COMMAND, CONFIG, ReplayPlan(CONFIG, COMMAND, 1, pdb=True), GIVEN,
     NodeInputs((MASKED, VECTOR), (NodeFile("a", "/a"),), "exception", "no"), ComputeRequest((("p", "t"),), ("f",)),
     Specification(ComputeRequest((("p", "t"),), nodes=2), 2, (3, 12, 1), "/python", "key", None, ("0",), "dill"),
     NodeOutcome(1, "failed", 0.5, kind="memory", text="no", peak_memory=3)],
    ids=lambda record: type(record).__name__,
)  # fmt: skip
def test_there_and_back(record: Any) -> None:
    assert type(record).from_json(through_json(record)) == record


@pytest.mark.parametrize("part", [RASTER, MASKED, VECTOR])
def test_parts_there_and_back(part: Any) -> None:
    assert part_from_json(through_json(part)) == part


def test_what_is_asked_of_a_config_follows_from_it() -> None:
    assert CONFIG.vectors
    assert not replace(CONFIG, parts=((RASTER,),)).vectors
    assert (CONFIG.results, CONFIG.scratch, CONFIG.log) == ("/folder/results", "/folder/scratch", "/folder/log.jsonl")


def test_all_files_of_a_part_move() -> None:
    found = moved(MASKED, "/cut/".__add__, id="new")
    assert (found.id, files_of(found)) == ("new", ["/cut/0.npy", "/cut/0.mask.npy"])
    assert files_of(moved(RASTER, "/cut/".__add__)) == ["/cut/0.npy"]
    assert files_of(moved(VECTOR, "/cut/".__add__)) == ["/cut/0.parquet"]


def test_messages_carry_a_header_and_a_payload() -> None:
    stream = io.BytesIO()
    write_message(stream, {"a": 1}, b"payload")
    write_message(stream, {"b": [2]})
    stream.seek(0)
    assert [read_message(stream), read_message(stream)] == [({"a": 1}, b"payload"), ({"b": [2]}, b"")]
    with pytest.raises(EOFError, match="the other end of the pipe is gone"):
        read_message(stream)


# ----- the mask of a raster ------------------------------------------------------------------------------------------


@pytest.fixture
def masked(tmp_path: Path) -> RasterPart:
    np.save(tmp_path / "0.npy", np.arange(6, dtype="<u2").reshape(1, 2, 3))
    np.save(tmp_path / "0.mask.npy", np.array([[True, False, True], [False, True, False]]))
    return moved(MASKED, lambda name: str(tmp_path / name))


def test_the_mask_is_an_array_of_bool(masked: RasterPart) -> None:
    value = make_params([masked], [], {})["an id"]
    assert value["mask"].dtype == bool
    assert value["mask"].tolist() == [[True, False, True], [False, True, False]]
    assert value["raster"][0][value["mask"]].tolist() == [0, 2, 4]


def test_what_is_written_to_it_reaches_no_file(masked: RasterPart) -> None:
    make_params([masked], [], {})["an id"]["mask"][:] = False
    assert make_params([masked], [], {})["an id"]["mask"].sum() == 3


def test_a_mask_may_have_bands_and_be_empty(masked: RasterPart) -> None:
    banded = replace(masked, mask_shape=(1, 2, 3))
    assert make_params([banded], [], {})["an id"]["mask"].shape == (1, 2, 3)
    empty = replace(masked, shape=(1, 0, 3), mask_shape=(0, 3))
    assert make_params([empty], [], {})["an id"]["mask"].shape == (0, 3)


def test_a_raster_without_a_mask_has_no_such_key(masked: RasterPart) -> None:
    value = make_params([replace(masked, mask=None, mask_shape=None)], [], {})["an id"]
    assert sorted(value) == ["crs", "extent", "nodata", "raster", "transform"]


# ----- what 0.1.0 wrote ----------------------------------------------------------------------------------------------


def test_a_specification_of_0_1_0() -> None:
    spec = Specification.from_json(OLD["spec"])
    assert spec.request.layers[0] == ("12148508-e113-42ec-bd17-057661fc5ab0", "e7ea1474-9a09-4328-bc44-780a89c2d470")
    assert (spec.nodes, spec.python, spec.request.requirements, spec.sent) == (2, (3, 11, 7), ("numpy",), "source")
    assert spec.cut is not None and spec.vectors
    assert [layer.type for layer in spec.cut.layers] == ["raster", "raster", "vector"]
    # The cut is written as this release writes it, all else as it was.
    again = through_json(spec)
    assert through_json(Specification.from_json(again)) == again
    assert {**again, "cut": None} == {**OLD["spec"], "cut": None}


def test_parts_of_0_1_0_have_no_mask() -> None:
    raster, vector = (part_from_json(OLD["index"]["layers"][layer]["parts"][1]) for layer in (1, 2))
    assert raster == RasterPart(
        "1.npy", "<f4", (1, 20, 60), 128, (10.0, 0.0, 500000.0, 0.0, -10.0, 5999800.0),
        {"xMin": 500000.0, "xMax": 500600.0, "yMin": 5999600.0, "yMax": 5999800.0}, "EPSG:3857", "nan",
    )  # fmt: skip
    assert vector == VectorPart("1.parquet", 47)


def test_what_an_execution_of_0_1_0_was_given() -> None:
    given = ExecutionInputs.from_json(OLD["execution"])
    assert (given.execution, given.seed, given.function.line, given.function.wrapped) == (1, 7, 18, True)
    received = NodeInputs.from_json(OLD["inputs"])
    assert [part.type for part in received.parts] == ["raster", "raster", "vector"]
    assert received.files == (NodeFile(*["fa54e3b6-7c3d-4919-81c7-96abbfcf7f86"] * 2),)
    assert received.kind == "exception"


def test_a_request_that_is_not_held_against_the_machine_yet(tmp_path: Path) -> None:
    spec = provisional(ComputeRequest((("p", "t"),), nodes=3), Settings(home=tmp_path))
    assert Specification.from_json(through_json(spec)) == spec
    empty = {field.name: getattr(spec, field.name) for field in fields(spec)[2:]}
    assert empty == {
        "python": (), "executable": "", "environment": "", "cut": None, "gpus": None, "sent": "source",
    }  # fmt: skip


# ----- what is kept of a failed node ---------------------------------------------------------------------------------


def test_the_mask_is_kept_with_the_raster(masked: RasterPart, tmp_path: Path) -> None:
    """Links beside each other, none in the place of another; what the node received is found without the cut."""
    note = tmp_path / "note.txt"
    note.write_text("a note")
    vector = moved(VECTOR, lambda name: str(tmp_path / name))
    Path(vector.path).write_bytes(b"features")
    parts = ((), (masked, vector))
    keeper = Keeper(tmp_path / "compute", lambda: (parts, (NodeFile("a", str(note)),)))
    keeper.begin(GIVEN)
    keeper.keep(NodeOutcome(1, "failed", 0.5, kind="exception", text="no"))
    for path in (masked.path, str(masked.mask), str(note)):
        Path(path).unlink()
    assert read_execution_inputs(tmp_path / "compute", 3) == GIVEN
    received = read_node_inputs(tmp_path / "compute", 1)
    assert received is not None
    assert (received.kind, received.text) == ("exception", "no")
    params = make_params(received.parts[:1], received.files, {})
    assert params["an id"]["mask"].tolist() == [[True, False, True], [False, True, False]]
    assert params["an id"]["raster"].tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert params["a"].getvalue() == b"a note"
    assert Path(received.parts[1].path).read_bytes() == b"features"
