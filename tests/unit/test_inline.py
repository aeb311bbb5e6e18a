"""Nodes in the calling process: it lends itself to the function, and is as it was afterwards."""

from __future__ import annotations

import inspect
import json
import linecache
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from ellipsis_local.environments import DEFAULT_INTERPRETER, OwnEnvironments
from ellipsis_local.errors import EngineError, FidelityError, FidelityWarning
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.params import answer_vector
from ellipsis_local.node_program.ellipsis_node.records import Command
from ellipsis_local.node_program.ellipsis_node.values import decode
from ellipsis_local.nodes import InlineEngine, NodeOutcome, Place, Program, describe_function

RUNNING = f"python3.{sys.version_info[1]}"


def program(folder: Path, nodes: int = 1, **given) -> tuple[Program, Callable[[], tuple], Place]:
    """What `InlineEngine.start` takes: a program without parts, and its place."""
    place = Place(folder / "compute", Path(sys.executable), folder)
    return Program("compute", nodes, **given), lambda: (), place


@pytest.fixture
def run(tmp_path):
    """The outcomes of a function on so many nodes."""

    def execute(f, nodes=1, on_outcome=None, **given) -> list[NodeOutcome]:
        found: list[NodeOutcome] = []

        def take(outcome):
            found.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FidelityWarning)
            function = describe_function(f, sys.version_info[:3], strict=False)
        pool = InlineEngine().start(*program(tmp_path, nodes, **given))
        try:
            pool.execute(Command(1, function, False), take)
        finally:
            pool.close()
        return found

    return execute


def disturbing(params):
    import logging
    import os
    import random
    import signal
    import sys
    import warnings

    import numpy as np

    os.chdir("/")
    os.environ["ELLIPSIS_TEST_NEW"] = "1"
    os.environ["HOME"] = "/elsewhere"
    os.environ.pop("PATH")
    sys.path.insert(0, "/elsewhere")
    random.seed(1)
    np.random.seed(1)
    logging.getLogger().handlers.clear()
    logging.getLogger().setLevel(logging.ERROR)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr = sys.stdin = None
    return os.getpid()


def state():
    return {
        "folder": Path.cwd(),
        "environ": dict(os.environ),
        "path": list(sys.path),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "handlers": list(logging.getLogger().handlers),
        "level": (logging.getLogger().level, logging.root.manager.disable),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "filters": list(warnings.filters),
        "signal": signal.getsignal(signal.SIGINT),
        "lines": inspect.getsource(state),
        "linecache": linecache.cache.get(__file__),
        "frames": gpd.GeoDataFrame.__getitem__,
    }


def test_the_caller_is_as_it_was(run):
    before = state()
    assert [decode(outcome.payload) for outcome in run(disturbing, nodes=2, vectors=True)] == [os.getpid()] * 2
    assert state() == before


def fails(params):
    raise RuntimeError("no")


def test_also_after_a_failure(run):
    before = state()
    assert [outcome.kind for outcome in run(fails, vectors=True)] == ["exception"]
    assert state() == before


def test_a_folder_that_is_gone_is_no_obstacle(run, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(node_folder)[0].state == "completed"


def leaves_a_handler(params):
    import logging
    import multiprocessing
    import sys

    logger = logging.getLogger("ellipsis_test.left")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.warning("while it runs")
    child = multiprocessing.get_context("fork").Process(target=print, args=("of a child",))
    child.start()
    child.join()
    return child.exitcode


def test_a_handler_that_the_function_leaves_is_gone(run, tmp_path, capsys):
    logger = logging.getLogger("ellipsis_test.left")
    assert decode(run(leaves_a_handler)[0].payload) == 0
    assert (logger.handlers, logger.propagate) == ([], True)
    log = [json.loads(line)["text"] for line in (tmp_path / "compute" / "log.jsonl").read_text().splitlines()]
    assert log == ["while it runs", "of a child"]


def keeps_its_stream(params):
    import sys

    import ellipsis_test_kept

    ellipsis_test_kept.stream = sys.stderr
    print("while it runs", file=sys.stderr)


def test_a_stream_that_is_kept_writes_where_the_caller_does(run, tmp_path, capsys):
    sys.modules["ellipsis_test_kept"] = kept = type(sys)("ellipsis_test_kept")
    try:
        assert run(keeps_its_stream)[0].state == "completed"
    finally:
        del sys.modules["ellipsis_test_kept"]
    print("after it", file=kept.stream)
    log = [json.loads(line)["text"] for line in (tmp_path / "compute" / "log.jsonl").read_text().splitlines()]
    assert log == ["while it runs"]
    assert capsys.readouterr() == ("", "after it\n")


def node_folder(params):
    import os

    return os.getcwd()


def test_nodes_take_turns_in_order_and_draw_other_numbers(run):
    random.seed(5)
    np.random.seed(5)
    found = [decode(outcome.payload) for outcome in run(draws, nodes=4)]
    assert len({one[0] for one in found}) == len({one[1] for one in found}) == 4
    # The caller's own go on as if nothing had been.
    assert random.random() == random.Random(5).random()
    assert np.random.random() == np.random.RandomState(5).random()


def draws(params):
    import random

    import numpy as np

    return random.random(), float(np.random.random())


def test_draws_of_a_seed(run):
    first, again, other = (
        [decode(outcome.payload) for outcome in run(draws, nodes=3, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert not {*first} & {*other}
    assert len({*first}) == 3


def test_outcomes_come_in_order_and_a_close_ends_the_rest(tmp_path):
    pool = InlineEngine().start(*program(tmp_path, 3))
    seen = []

    def close(outcome):
        seen.append(outcome.node)
        if outcome.node == 1:
            pool.close()

    function = describe_function(node_folder, sys.version_info[:3], strict=False)
    with pytest.raises(EngineError, match="the nodes were ended"):
        pool.execute(Command(1, function, False), close)
    assert seen == [0, 1]
    assert not pool.alive


@pytest.mark.parametrize("limit", [{"timeout": 1.0}, {"memory": 10**9}])
def test_limits_are_refused(tmp_path, limit):
    with pytest.raises(EngineError, match=f"node_{next(iter(limit))} cannot be kept"):
        InlineEngine().start(*program(tmp_path, **limit))


def interrupted(params):
    import signal

    signal.raise_signal(signal.SIGINT)


def swallows(params):
    import signal

    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return "swallowed"


def raises_it(params):
    raise KeyboardInterrupt


@pytest.mark.parametrize("f", [interrupted, swallows])
def test_ctrl_c_is_the_callers(tmp_path, f):
    before = state()
    pool = InlineEngine().start(*program(tmp_path, 2))
    seen = []
    with pytest.raises(KeyboardInterrupt):
        pool.execute(Command(1, describe_function(f, sys.version_info[:3], strict=False), False), seen.append)
    assert seen == []
    assert not pool.alive
    assert state() == before


def test_one_that_the_function_raises_is_its_own(run):
    (outcome,) = run(raises_it)
    assert outcome.kind == "exception"
    assert outcome.text.endswith("KeyboardInterrupt")


def test_other_threads_print_and_log_where_they_did(tmp_path, capsys, caplog):
    """The function waits until another thread of the caller has printed; only its own output is the node's."""
    pool = InlineEngine().start(*program(tmp_path))
    (tmp_path / "compute" / "scratch").mkdir(exist_ok=True)
    ready, printed = threading.Event(), threading.Event()

    def other():
        ready.wait(20)
        print("of the caller")
        logging.getLogger("caller").warning("logged by the caller")
        printed.set()

    sys.modules["ellipsis_test_events"] = events = type(sys)("ellipsis_test_events")
    events.ready, events.printed = ready, printed
    thread = threading.Thread(target=other)
    thread.start()
    try:
        function = describe_function(waits, sys.version_info[:3], strict=False)
        seen = []
        pool.execute(Command(1, function, False), seen.append)
    finally:
        ready.set()
        thread.join()
        del sys.modules["ellipsis_test_events"]
        pool.close()
    assert decode(seen[0].payload) is True
    log = (tmp_path / "compute" / "log.jsonl").read_text()
    assert "of the node" in log
    assert "by a thread of the node" in log
    assert "the caller" not in log
    assert capsys.readouterr().out == "of the caller\n"
    assert "logged by the caller" in caplog.text
    assert "of the node" not in caplog.text


def waits(params):
    import threading

    import ellipsis_test_events as events

    print("of the node")
    thread = threading.Thread(target=print, args=("by a thread of the node",))
    thread.start()
    thread.join()
    events.ready.set()
    return events.printed.wait(20)


def test_two_threads_do_not_mix(tmp_path):
    """Each prints its own number; the logs hold nothing else."""
    results: dict[int, list] = {}

    def work(number):
        pool = InlineEngine().start(*program(tmp_path / str(number), 20, seed=number))
        found: list[NodeOutcome] = []
        pool.execute(Command(number, function, False), found.append)
        pool.close()
        results[number] = [decode(outcome.payload) for outcome in found]

    function = describe_function(prints_its_folder, sys.version_info[:3], strict=False)
    before = state()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        scratch = tmp_path / str(number) / "compute" / "scratch"
        folder = str(scratch / str(number))
        assert results[number] == [f"{folder}-{node}" for node in range(20)]
        assert [one.name for one in scratch.iterdir()] == ["spare-0"]
        log = (tmp_path / str(number) / "compute" / "log.jsonl").read_text().splitlines()
        assert len(log) == 20
        assert all(folder in line for line in log)
    assert state() == before


def prints_its_folder(params):
    import os
    import time

    print(os.getcwd())
    time.sleep(0.0005)
    return os.getcwd()


def test_answering_vector_can_be_nested_and_undone():
    original = gpd.GeoDataFrame.__getitem__
    end = answer_vector()
    inner = answer_vector()
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=gpd.points_from_xy([0], [0]))
    object.__setattr__(frame, "_answers_vector", True)
    assert frame["vector"] is frame
    inner()
    assert frame["vector"] is frame
    end()
    assert gpd.GeoDataFrame.__getitem__ is original
    with pytest.raises(KeyError):
        frame["vector"]


# --- what is asked for and is not what this process has --------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    return OwnEnvironments(Home(tmp_path / "home"), strict=False)


def test_what_this_process_has_is_not_told(own):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interpreter = own.choose(RUNNING)
        assert own.choose(DEFAULT_INTERPRETER).version == interpreter.version == sys.version_info[:3]
        key = own.plan(interpreter, ["numpy>=1", "Shapely", "nothing-such; python_version < '3'"])
    assert own.ensure(interpreter, ["numpy"]).python == own.get(key).python == Path(sys.executable)
    assert not own._home.root.exists()


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        ("numpy<1", "the requirement 'numpy<1' is not met by version"),
        ("no-such-package-anywhere", "the requirement 'no-such-package-anywhere' is not installed"),
    ],
)
def test_what_it_lacks_is_told(own, requirement, text):
    with pytest.warns(FidelityWarning, match=text):
        own.plan(own.choose(RUNNING), [requirement])
    strict = OwnEnvironments(own._home, strict=True)
    with pytest.raises(FidelityError, match=f"{text}.*strict=True"):
        strict.plan(strict.choose(RUNNING), [requirement])


def test_another_interpreter_is_told(own):
    other = "python3.9" if sys.version_info[1] != 9 else "python3.10"
    with pytest.warns(FidelityWarning, match=f"they run with {RUNNING}, not with {other}"):
        assert own.choose(other).version == sys.version_info[:3]
    with pytest.raises(ValueError, match="interpreter must be one of"):
        own.choose("python2.7")


AS_ON_WINDOWS = """
import asyncio, multiprocessing, os, shutil, signal, subprocess, sys, tempfile, time
import filelock, geopandas, platformdirs, psutil, rasterio
for name in "fcntl resource pwd grp termios tty pty syslog readline".split():
    sys.modules[name] = None
for module, names in (
    (os, "fork forkpty getuid geteuid getgid getpgrp getpgid setsid killpg register_at_fork sched_getaffinity statvfs "
         "uname mkfifo chown nice posix_spawn pread WNOHANG"),
    (signal, "SIGKILL SIGALRM SIGCHLD SIGHUP SIGSTOP SIGCONT SIGXCPU setitimer getitimer pthread_sigmask"),
    (time, "tzset"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

import ellipsis_local as el

def f(params):
    os.environ["TZ"] = "UTC"
    print("told")
    return sum(len(value) if hasattr(value, "columns") else int(value["raster"].size) for value in params.values())

el.configure(home=sys.argv[1], inline=True, seed=1)
layers = [el.layers.add(file) for file in sys.argv[2:]]
token = el.account.logIn("demo_user", "demo_user")
compute = el.compute.createCompute(layers, token, nodes=3)["id"]
print(sum(el.compute.execute(compute, f, token)))
el.compute.terminateAll(token)
el.configure(inline=False)
try:
    el.compute.createCompute(layers, token, nodes=3)
except el.errors.EngineError as error:
    print(error)
"""


@pytest.mark.slow
def test_nothing_is_needed_that_windows_does_not_have(tmp_path, fixtures):
    files = [str(fixtures / name) for name in ("scene_2024.tif", "trees.fgb")]
    (tmp_path / "lesson.py").write_text(AS_ON_WINDOWS)
    command = [sys.executable, "lesson.py", str(tmp_path / "home"), *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    pixels = 4 * 480 * 512
    assert done.returncode == 0, done.stderr
    total, refusal = done.stdout.splitlines()
    assert int(total) == pixels + len(gpd.read_file(fixtures / "trees.fgb"))
    assert refusal.startswith("nodes are forked processes, which Windows does not have: el.configure(inline=True) runs")
