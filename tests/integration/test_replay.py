"""One node again: what it received is kept, and the function runs on that in the foreground, or in this process."""

from __future__ import annotations

import io
import json
import linecache
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas
import numpy as np
import pytest
from typer.testing import CliRunner

import ellipsis_local
from ellipsis_local.cli.app import app
from ellipsis_local.computes.replay_inputs import replay_command
from ellipsis_local.errors import (
    ArgumentError,
    ComputeStateError,
    FidelityWarning,
    NodeDiedError,
    NodeError,
    NodeMemoryError,
    NodeTimeoutError,
    NotFoundError,
    PartitionError,
    ResultError,
)
from ellipsis_local.testing import faults, inputs, replay

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def fails_in_a_library(params):
    import json

    layer = next(iter(params.values()))
    first = int(layer["raster"][0, 0, 0])
    print("first is", first)
    if first > 0:
        return json.loads("{")
    return first


def total(params):
    return int(next(iter(params.values()))["raster"][0].astype("int64").sum())


@pytest.fixture
def inline(el: ModuleType) -> None:
    """Nodes in this process, where it makes no difference: they start faster."""
    el.configure(inline=True)


@pytest.fixture
def failed(el: ModuleType, token: str, raster: dict[str, str], create: Callable[..., str]) -> str:
    """A compute of two nodes, of which the second failed."""
    compute_id = create([raster])
    with pytest.raises(NodeError, match="JSONDecodeError"):
        el.compute.execute(compute_id, fails_in_a_library, token)
    return compute_id


def kept(home: Path, compute_id: str) -> list[str]:
    folder = home / "computes" / compute_id / "kept"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def program(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ELLIPSIS_LOCAL_")}
    environ |= {"PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1])}
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False, **options)


def test_a_failed_nodes_inputs_outlive_cache_and_layers(el, token, raster, failed, home) -> None:
    assert kept(home, failed) == ["1"]
    found = json.loads((home / "computes" / failed / "kept" / "1" / "inputs.json").read_text())
    assert found["kind"] == "exception"
    assert "JSONDecodeError" in found["text"]
    # A link, which takes no room beside the cut.
    assert (home / "computes" / failed / "kept" / "1" / "0.npy").stat().st_nlink > 1
    before = inputs(failed, 1)[raster["timestampId"]]["raster"].copy()
    el.compute.terminateAll(token)
    shutil.rmtree(home / "cache" / "cuts")
    shutil.rmtree(home / "layers")
    (home / "cache" / "cuts").mkdir()
    assert np.array_equal(inputs(failed, 1)[raster["timestampId"]]["raster"], before)
    with pytest.raises(NodeError, match=r"(?s)node 1 of compute .*JSONDecodeError"):
        replay(failed, 1)
    # A mended function, on the same pixels.
    assert replay(failed, 1, f=total) == int(before[0].astype("int64").sum())
    # Of the other node nothing was kept, and nothing is left from which it could be made again.
    with pytest.raises(PartitionError, match=r"node 0 .* was not kept, and cannot be made again"):
        replay(failed, 0)


def test_a_node_that_did_not_fail_gets_the_same_again(el, token, raster, failed, home, capfd) -> None:
    assert replay(failed, 0) == 0
    assert "first is 0" in capfd.readouterr().out
    shutil.rmtree(home / "cache" / "cuts")
    (home / "cache" / "cuts").mkdir()
    assert replay(failed, 0) == 0
    info = el.compute.getComputeInfo(failed, token)
    assert (info["executions"], [node["state"] for node in info["nodes"]]) == (1, ["completed", "failed"])
    assert [path.name for path in (home / "computes" / failed).glob("replay-*")] == []


@pytest.mark.usefixtures("inline")
def test_the_next_execution_and_deleting_drop_what_was_kept(el, token, failed, home) -> None:
    el.compute.execute(failed, total, token)
    assert kept(home, failed) == []
    assert replay(failed, 1, inline=True) == total(inputs(failed, 1))
    with pytest.raises(NodeError):
        el.compute.execute(failed, fails_in_a_library, token)
    assert kept(home, failed) == ["1"]
    el.compute.terminateAll(token)
    assert kept(home, failed) == ["1"]
    with el.Emulator(el.configure()) as emulator:
        emulator.computes.delete(failed)
    assert not (home / "computes" / failed).exists()


@pytest.mark.usefixtures("inline")
def test_links_that_cannot_be_made_are_copies_up_to_a_limit(
    el, token, raster, create, home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    compute_id = create([raster])
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(NodeError):
        el.compute.execute(compute_id, fails_in_a_library, token)
    assert (home / "computes" / compute_id / "kept" / "1" / "0.npy").stat().st_nlink == 1
    monkeypatch.setattr("ellipsis_local.computes.replay_inputs.COPIED_BYTES", 10)
    with pytest.raises(NodeError):
        el.compute.execute(compute_id, fails_in_a_library, token)
    assert kept(home, compute_id) == []
    with pytest.raises(NodeError, match="JSONDecodeError"):
        replay(compute_id, 1, inline=True)


def dies(params):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(params):
    import time

    here = "where it hangs"
    time.sleep(50)
    return here


def eats(params):
    return len(bytearray(600_000_000))


def too_large(params):
    return "x" * 3_000_000


@pytest.mark.parametrize(
    ("f", "kind", "text", "settings"),
    [
        (dies, NodeDiedError, "SIGKILL", {}),
        (sleeps, NodeTimeoutError, r"(?s)longer than node_timeout=1 s, and was here:.*time\.sleep\(50\)", {"node_timeout": 1}),
        pytest.param(
            eats, NodeMemoryError, r"(?s)node_memory=300,000,000 bytes.*bytearray", {"node_memory": 300_000_000},
            marks=pytest.mark.skipif(sys.platform != "linux", reason="the limit is the kernel's on Linux only"),
        ),
        (too_large, ResultError, "a small result may take 2,000,000", {}),
    ],
)  # fmt: skip
def test_every_kind_of_failure_is_kept_and_repeats_itself(
    el, token, raster, create, home, f, kind, text, settings
) -> None:
    el.configure(**settings)
    compute_id = create([raster], nodes=1)
    with pytest.raises(kind):
        el.compute.execute(compute_id, f, token)
    assert kept(home, compute_id) == ["0"]
    with pytest.raises(kind, match=text):
        replay(compute_id, 0)


def writes_a_file(params):
    import io

    assert next(iter(params.values()))["raster"][0, 0, 0] == 0, "not the first"
    return io.BytesIO(b"the content")


def test_large_results_and_write_to_layer(el, token, raster, create, home) -> None:
    compute_id = create([raster], largeResult=True)
    with pytest.raises(NodeError, match="not the first"):
        el.compute.execute(compute_id, writes_a_file, token)
    assert kept(home, compute_id) == ["1"]
    value = replay(compute_id, 0)
    assert isinstance(value, io.BytesIO)
    assert value.read() == b"the content"
    assert replay(compute_id, 0, inline=True).read() == b"the content"
    layer = el.path.raster.add("target", token)["id"]
    timestamp = el.path.raster.timestamp.add(layer, token)["id"]
    other = create([raster])
    with pytest.raises(NodeError, match="not the first"):
        el.compute.execute(other, writes_a_file, token, writeToLayer={"pathId": layer, "timestampId": timestamp})
    assert kept(home, other) == ["1"]
    assert replay(other, 0).read() == b"the content"


def looks(params):
    import random

    frame, file = list(params.values())
    assert frame["vector"] is frame
    return [len(frame), file.read().decode(), random.random()]


def test_frames_files_and_seeds_are_those_of_the_node(el, token, points, create) -> None:
    el.configure(seed=7)
    file = el.path.file.add(token=token, memFile=io.BytesIO(b"notes"), name="notes.txt")["id"]
    compute_id = create([points], files=[file])
    results = el.compute.execute(compute_id, looks, token)
    # The seed is that of the execution.
    el.configure(seed=None)
    state = random.getstate()
    assert replay(compute_id, 1) == results[1]
    assert [replay(compute_id, node, inline=True) for node in (0, 1)] == results
    assert random.getstate() == state
    assert sum(count for count, *_ in results) == 100


@pytest.mark.usefixtures("inline")
def test_inputs_are_fresh_and_leave_geopandas_as_it_was(el, token, points, raster, create) -> None:
    compute_id = create([points, raster], nodes=1)
    original = geopandas.GeoDataFrame.__getitem__
    params = inputs(compute_id, 0)
    frame = params[points["timestampId"]]
    assert type(frame) is geopandas.GeoDataFrame
    assert frame["vector"] is frame
    frame["number"] = 0
    params[raster["timestampId"]]["raster"][:] = 0
    again = inputs(compute_id, 0)
    assert again[points["timestampId"]]["number"].sum() == 4950
    assert again[raster["timestampId"]]["raster"][0].sum() == sum(range(2400))
    plain = geopandas.GeoDataFrame({"a": [1]})
    with pytest.raises(KeyError):
        plain["vector"]
    del params, frame, again
    assert geopandas.GeoDataFrame.__getitem__ is original


def test_inline_runs_in_this_process(el, failed) -> None:
    def here(params):
        import os

        return os.getpid()

    folder, lines = Path.cwd(), linecache.getlines(__file__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        assert replay(failed, 1, f=here, inline=True) == os.getpid()
        assert replay(failed, 1, f=here) != os.getpid()
    with pytest.raises(NodeError, match="JSONDecodeError"):
        replay(failed, 1, inline=True)
    assert Path.cwd() == folder
    assert linecache.getlines(__file__) == lines


def test_an_environment_that_was_removed_is_built_again(el, failed, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    from ellipsis_local.environments import Environments

    ready, ensure = Environments.get, Environments.ensure

    def again(self: Environments, *arguments: Any) -> Any:
        built.append(arguments[1])
        return ensure(self, *arguments)

    monkeypatch.setattr(Environments, "get", lambda self, key: None if not built else ready(self, key))
    monkeypatch.setattr(Environments, "ensure", again)
    assert replay(failed, 0) == 0
    assert built == [()]


@pytest.mark.usefixtures("inline")
def test_bad_arguments(el, token, raster, create, failed, home) -> None:
    with pytest.raises(NotFoundError, match=UNKNOWN):
        replay(UNKNOWN, 0)
    with pytest.raises(ArgumentError, match="compute_id must be a valid uuid|compute_id"):
        replay("x", 0)
    with pytest.raises(ArgumentError, match="the nodes 0 to 1, and no node 2"):
        replay(failed, 2)
    with pytest.raises(ArgumentError, match="node must be of type int, not str"):
        inputs(failed, "1")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="pdb and inline exclude each other"):
        replay(failed, 1, pdb=True, inline=True)
    with pytest.raises(ArgumentError, match="parameter f must be a function"):
        replay(failed, 1, f=3)  # type: ignore[arg-type]
    fresh = create([raster])
    with pytest.raises(ComputeStateError, match=r"has not executed a function yet: .*f="):
        replay(fresh, 0)
    assert sum(replay(fresh, node, f=total, inline=True) for node in (0, 1)) == sum(range(2400))
    (home / "computes" / failed / "execution.json").unlink()
    with pytest.raises(ComputeStateError, match="its function was not kept"):
        replay(failed, 1)


@pytest.mark.usefixtures("inline")
def test_the_error_says_how_to_replay(el, token, raster, create, home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(home.parent))
    compute_id = create([raster])
    with pytest.raises(NodeError) as caught:
        el.compute.execute(compute_id, fails_in_a_library, token)
    assert caught.value.__notes__ == [f"run it again: ellipsis_local.testing.replay({compute_id!r}, 1)"]
    monkeypatch.setattr(tempfile, "tempdir", str(home / "elsewhere"))
    with pytest.raises(NodeError) as caught:
        el.compute.execute(compute_id, fails_in_a_library, token)
    assert caught.value.__notes__ == [f"run it again: ellipsis-local --home {home} replay {compute_id} 1 --pdb"]
    assert "ellipsis-local" not in str(caught.value)


def test_the_usual_home_need_not_be_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("ELLIPSIS_LOCAL_HOME", str(tmp_path))
    assert replay_command(tmp_path, UNKNOWN, 3) == f"ellipsis-local replay {UNKNOWN} 3 --pdb"
    assert replay_command(tmp_path / "a b", UNKNOWN, 3).startswith(f"ellipsis-local --home '{tmp_path}/a b' replay")


def test_prints_go_where_the_callers_go(failed, capsys) -> None:
    # `sys.stdout` is no file here, as in a notebook.
    assert replay(failed, 0) == 0
    assert capsys.readouterr().out == "first is 0\n"


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_shows_what_came_of_it(el, token, failed, home) -> None:
    good = program(home, "replay", failed[:8], "0")
    assert (good.returncode, good.stdout.splitlines()[0]) == (0, "first is 0")
    assert re.search(r"node 0 completed after .* and returned .*\n0\n", good.stdout)
    bad = program(home, "replay", failed, "1")
    assert bad.returncode == 1
    assert "first is" in bad.stdout
    assert 'return json.loads("{")' in bad.stderr
    assert "JSONDecodeError" in bad.stderr
    missing = CliRunner().invoke(app, ["--home", str(home), "replay", failed, "5"])
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "no node 5" in missing.stderr


def hangs(params):
    import time

    print("begun", flush=True)
    time.sleep(50)


def test_ctrl_c_tells_where_it_was(el, token, raster, create, home) -> None:
    compute_id = create([raster], nodes=1)
    with faults(killed=[0]), pytest.raises(NodeDiedError):
        el.compute.execute(compute_id, hangs, token)
    environ = os.environ | {"PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1])}
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), "replay", compute_id, "0"]
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        # As a terminal sends it: to all of the group.
        os.killpg(process.pid, signal.SIGINT)
    finally:
        _, said = process.communicate(timeout=60)
    assert (first, process.returncode) == ("begun\n", 130)
    assert ", in hangs\n" in said
    assert "interrupted" in said


def test_the_debugger_stands_at_the_users_line(failed, home) -> None:
    answer = program(home, "replay", failed, "1", "--pdb", input="p sorted(params)[0][:8], first\nl .\nq\n")
    assert answer.returncode == 1
    # In the function, not in the library that raised; its lines are there.
    assert 'return json.loads("{")' in answer.stdout
    assert re.search(r"\('[0-9a-f]{8}', \d+\)", answer.stdout)
    assert re.search(r'->\s+return json\.loads\("\{"\)', answer.stdout)
    assert "JSONDecodeError" in answer.stderr


def test_the_debugger_on_a_terminal(failed, home) -> None:
    leader, follower = pty.openpty()
    environ = os.environ | {"PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1]), "TERM": "dumb"}
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), "replay", failed, "1", "--pdb"]
    process = subprocess.Popen(command, env=environ, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    seen = b""

    def until(mark: bytes) -> None:
        nonlocal seen
        while mark not in seen:
            seen += os.read(leader, 10_000)

    try:
        until(b"(Pdb) ")
        seen = b""
        os.write(leader, b"p 'first', first\n")
        until(b"(Pdb) ")
        assert re.search(rb"\('first', \d+\)", seen)
        os.write(leader, b"q\n")
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.wait()
        os.close(leader)
