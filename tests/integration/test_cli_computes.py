"""`computes` on computes that another process, or another user, made."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import ellipsis_local
from ellipsis_local.cli import printing
from ellipsis_local.cli.app import app
from tests.integration.conftest import wait_for

KEYS = {
    "id",
    "status",
    "message",
    "createdAt",
    "executions",
    "layers",
    "files",
    "interpreter",
    "requirements",
    "owner",
    "nodes",
    "failedNodes",
}


def program(home, *arguments):
    """The command line as a process of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ELLIPSIS_LOCAL_")}
    environ |= {"ELLIPSIS_LOCAL_HOME": str(home), "PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1])}
    command = [sys.executable, "-m", "ellipsis_local", *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def run(home, el):
    def invoke(*arguments, code=0):
        answer = CliRunner().invoke(app, ["--home", str(home), "computes", *arguments])
        assert answer.exit_code == code, answer.output
        if code:
            return answer.stderr
        return json.loads(answer.stdout) if "--json" in arguments and arguments[0] != "logs" else answer.stdout

    return invoke


def talk(params):
    layer = next(iter(params.values()))
    print("I have", layer["raster"].shape)
    return layer["raster"].sum()


def fail_on_one(params):
    layer = next(iter(params.values()))
    if layer["raster"][0, 0, 0] == 0:
        raise RuntimeError("it is [bold]zero[/bold]")
    return 1


def wait(params):

    time.sleep(30)


@pytest.fixture
def computed(el, raster, create, token):
    compute_id = create([raster])
    el.compute.execute(compute_id, talk, token)
    el.compute.execute(compute_id, talk, token)
    return compute_id


def test_list_and_show_those_of_all_users(run, el, raster, create, computed, home):
    other = el.compute.createCompute(
        [raster], "another token", nodes=1, interpreter=f"python3.{sys.version_info[1]}"
    )["id"]  # fmt: skip
    listed = run("list", "--json")
    assert [one["id"] for one in listed] == [other, computed]
    assert listed[0]["owner"] != listed[1]["owner"]
    assert all(set(one) >= KEYS for one in listed)
    assert (listed[1]["nodes"], listed[1]["executions"], listed[1]["status"]) == (2, 2, "completed")
    assert [one["id"] for one in run("list", "--json", "--limit", "1")] == [other]
    assert [one["id"] for one in run("list", "--json", "--status", "completed")] == [computed]
    table = run("list")
    assert other in table
    row = next(line for line in table.splitlines() if computed in line)
    assert all(text in row for text in ("completed", "talk", " kB"))
    assert "none of queued, starting" in " ".join(run("list", "--status", "done", code=2).replace("│", " ").split())


def test_the_shell_completes_ids_and_names(run, el, raster, create, home):
    from ellipsis_local.cli import completion

    compute_id = create([raster])
    ctx = typer.Context(typer.main.get_command(app))
    ctx.params["home"] = home
    assert completion.complete_computes(ctx, compute_id[:4]) == [(compute_id, "available")]
    names = {layer["name"] for layer in el.layers.list()}
    assert names <= {value for value, _ in completion.complete_layers(ctx, "")}
    assert completion.complete_environments(ctx, "py")
    assert completion.complete_environments(ctx, "no") == []
    ctx.params["home"] = home / "nowhere"
    assert completion.complete_users(ctx, "") == []


def test_show(run, computed):
    shown = run("show", computed[:13], "--json")
    assert shown["id"] == computed
    assert [node["state"] for node in shown["nodes"]] == ["completed"] * 2
    assert sum(result["value"] for result in shown["result"]) == sum(range(2400)) + 2400 * 7
    text = run("show", computed)
    assert computed in text
    assert "Python 3." in text
    assert "no compute 'f00'" in run("show", "f00", code=1)


def test_show_a_failure(run, el, raster, create, token):
    compute_id = create([raster])
    with pytest.raises(el.NodeError):
        el.compute.execute(compute_id, fail_on_one, token)
    text = run("show", compute_id)
    assert "RuntimeError: it is [bold]zero[/bold]" in text
    assert {result["type"] for result in run("show", compute_id, "--json")["result"]} == {"exception", "object"}


def fail(params):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("function", "text", "style"),
    [
        (talk, "completed", "\x1b[32m"),
        (fail_on_one, "completed, 1 of 2 nodes failed", "\x1b[33m"),
        (fail, "completed, 2 of 2 nodes failed", "\x1b[31m"),
    ],
)
def test_what_failed_is_not_shown_green(run, el, raster, create, token, monkeypatch, function, text, style):
    compute_id = create([raster])
    with contextlib.suppress(el.NodeError):
        el.compute.execute(compute_id, function, token)
    monkeypatch.setenv("FORCE_COLOR", "1")
    for shown in (run("list"), run("show", compute_id)):
        assert f"{style}{text}\x1b[0m" in shown
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "completed"
    [listed] = run("list", "--json")
    assert (listed["status"], listed["failedNodes"]) == (
        "completed",
        {"talk": 0, "fail_on_one": 1}.get(function.__name__, 2),
    )


def test_history_is_kept_with_the_compute(run, el, raster, create, token, tmp_path):
    compute_id = create([raster])
    for function in (talk, fail_on_one):
        with contextlib.suppress(el.NodeError):
            el.compute.execute(compute_id, function, token)
    el.compute.terminateCompute(compute_id, token)
    history = run("show", compute_id, "--json")["history"]
    assert [(one["execution"], one["function"], one["outcome"], one["failedNodes"]) for one in history] == [
        (1, "talk", "completed", 0), (2, "fail_on_one", "failed", 1)
    ]  # fmt: skip
    assert all(len(one["hash"]) == 64 and one["seconds"] > 0 and one["startedAt"] > "20" for one in history)
    text = run("show", compute_id)
    assert "fail_on_one" in text and "failed, 1 of 2 nodes failed" in text
    assert "history" not in el.compute.getComputeInfo(compute_id, token)
    el.state.import_home(el.state.export_home(tmp_path / "home.zip").file, home=tmp_path / "copy")
    answer = CliRunner().invoke(app, ["--home", str(tmp_path / "copy"), "computes", "show", compute_id, "--json"])
    assert json.loads(answer.stdout)["history"] == history


def test_logs(run, computed):
    lines = run("logs", computed).splitlines()
    assert len(lines) == 4
    assert "run 1 node 0 │ I have (2, " in "\n".join(lines)
    records = [
        json.loads(line) for line in run("logs", computed, "--json", "--node", "1", "--execution", "2").splitlines()
    ]
    assert [(one["execution"], one["node"]) for one in records] == [(2, 1)]
    assert set(records[0]) == {"time", "execution", "node", "text"}
    assert run("logs", computed, "--node", "7", "--json") == ""
    assert "nothing" in run("logs", computed, "--node", "7")


def test_logs_by_their_end_their_text_and_their_age(run, computed):
    lines = [json.loads(line) for line in run("logs", computed, "--json").splitlines()]
    tail = [json.loads(line) for line in run("logs", computed, "--json", "--tail", "1").splitlines()]
    assert tail == lines[-1:]
    assert len(run("logs", computed, "--json", "--grep", "I h.ve", "--since", "1h").splitlines()) == 4
    assert "of what was asked for" in run("logs", computed, "--grep", "you have")
    assert run("logs", computed, "--json", "--since", "0s") == ""
    assert "no regular expression" in run("logs", computed, "--grep", "(", code=2)


def test_logs_follow_until_the_execution_is_over(el, home, raster, create, token):
    compute_id = create([raster])
    process = program(home, "computes", "logs", compute_id, "--follow")
    try:
        el.compute.execute(compute_id, talk, token)
        assert process.wait(30) == 0
    finally:
        process.kill()
        out, errors = process.communicate()
    assert out.count("I have") == len(out.splitlines()) == 2
    assert errors == ""


def test_an_interrupt_is_code_130_and_one_word(home, raster, create):
    compute_id = create([raster])
    line = {"time": 0.0, "execution": 1, "node": 0, "text": "a line"}
    (home / "computes" / compute_id / "log.jsonl").write_text(json.dumps(line) + "\n")
    process = program(home, "computes", "logs", compute_id, "--follow")
    try:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == "interrupted\n"


def test_terminate_one_that_another_process_holds(run, el, home, computed):
    process = program(home, "computes", "terminate", computed[:8])
    out, errors = process.communicate(timeout=40)
    assert (process.returncode, errors) == (0, "")
    assert computed in out
    assert run("show", computed, "--json")["status"] == "stopped"


def test_terminate_all_and_prune(run, el, raster, create, home, computed):
    other = create([raster], nodes=1)
    assert "nothing" in run("prune")
    out = run("terminate", "--all", "--yes")
    assert computed in out
    assert other in out
    assert "nothing" in run("terminate", "--all")
    assert (home / "computes" / computed).is_dir()
    assert "nothing" in run("prune", "--older-than", "1", "--yes")
    idle = create([raster], nodes=1)
    assert "2 computes" in run("prune", "--yes", "--idle", "7d")
    assert [one["id"] for one in run("list", "--json")] == [idle]
    assert "1 compute" in run("prune", "--yes", "--idle", "0s")
    assert run("list", "--json") == []
    assert not (home / "computes" / computed).exists()


def test_a_script_that_waits_hears_of_a_termination_by_command(run, el, raster, create, token, tmp_path, home):
    compute_id = create([raster])
    caught = []

    def execute():
        try:
            el.compute.execute(compute_id, wait, token)
        except ValueError as error:
            caught.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    wait_for(el, compute_id, token, "executing")
    program(home, "computes", "terminate", compute_id).communicate(timeout=40)
    thread.join(20)
    assert len(caught) == 1
    assert "terminated" in str(caught[0])


def thrice(params):
    (part,) = params.values()
    if 2399 in part["raster"]:
        raise ValueError("a text that says at some length what was wrong with this very shard")
    return int(part["raster"].sum()) * 1_000_003


@pytest.mark.parametrize("wide", [60, 80, 120])
def test_a_narrow_terminal_loses_nothing(el, home, token, raster, monkeypatch, wide):
    el.configure(inline=True, cut="shards", shard_size=64, shard_buffer=0)
    compute = el.compute.createCompute([raster], token, nodes=2)["id"]
    with pytest.raises(ValueError, match="at some length"):
        el.compute.execute(compute, thrice, token)
    results = el.compute.getComputeInfo(compute, token)["result"]
    monkeypatch.setattr(printing, "PLAIN_WIDTH", wide)
    shown = {}
    for command in (("computes", "list"), ("computes", "show", compute), ("layers", "list"), ("users", "list")):
        answer = CliRunner().invoke(app, ["--home", str(home), *command])
        assert answer.exit_code == 0, answer.output
        shown[command[:2]] = answer.stdout
    assert compute in shown["computes", "list"]
    assert "shards failed" in shown["computes", "list"]
    assert raster["pathId"] in shown["layers", "list"]
    numbers = [str(one["value"]) for one in results if one["type"] == "object"]
    assert numbers and all(number in shown["computes", "show"] for number in numbers)
    # No column is so narrow that a text stands in it letter by letter.
    assert len(shown["computes", "show"].splitlines()) < 30 + 6 * len(results)
