"""A node has what is its own: its folder, its programs, its state; and nothing of it is left when the compute ends."""

# Functions on nodes are as users write them.
# ruff: noqa: PTH100, PTH101, PTH102, PTH104, PTH110, PTH112, PTH115, PTH123, PTH208, SIM115

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from ellipsis_local.computes.replay_inputs import left_behind
from ellipsis_local.errors import FidelityWarning, NodeError, NodeTimeoutError
from ellipsis_local.processes import available_cores
from ellipsis_local.testing import replay
from tests.integration.conftest import wait_for
from tests.processes import lives


@pytest.fixture(autouse=True)
def nested_functions_are_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        yield


@pytest.fixture(params=[False, True], ids=["processes", "inline"])
def either(el: ModuleType, home: Path, request: pytest.FixtureRequest) -> ModuleType:
    """The package with nodes in processes, and in this one."""
    el.configure(home=home, progress=False, cores=2, inline=request.param)
    return el


def execution_lines(home: Path, compute_id: str) -> list[str]:
    log = home / "computes" / compute_id / "log.jsonl"
    return [json.loads(line)["text"] for line in log.read_text().splitlines()] if log.exists() else []


# The working directory


def test_every_node_of_every_execution_begins_in_an_empty_folder(either, home, token, raster, create) -> None:
    def f(params):
        import os
        from pathlib import Path

        before = os.listdir(".")
        Path("out.tif").write_text(os.getcwd())
        os.mkdir("below")
        os.chmod("below", 0o500)
        return before, Path("out.tif").read_text()

    compute_id = create([raster], nodes=4)
    caller = Path.cwd()
    places = set()
    for _ in range(2):
        for before, place in either.compute.execute(compute_id, f, token):
            assert before == []
            places.add(place)
    assert len(places) == 8
    assert not any(os.path.exists(place) for place in places)
    assert Path.cwd() == caller


def test_a_node_may_remove_its_folder(either, token, raster, create) -> None:
    def removes(params):
        import os
        import shutil

        shutil.rmtree(os.getcwd())
        return True

    def works(params):
        open("x", "w").close()
        return True

    compute_id = create([raster], nodes=3)
    for f in (removes, works, removes):
        assert either.compute.execute(compute_id, f, token) == [True] * 3


def test_the_folder_of_a_failed_node_is_kept_until_the_next_execution(either, home, token, raster, create) -> None:
    def f(params):
        open("seen.txt", "w").write("evidence")
        raise ValueError(params)

    def g(params):
        return 1

    compute_id = create([raster])
    with pytest.raises(NodeError):
        either.compute.execute(compute_id, f, token)
    folder = home / "computes" / compute_id
    kept = left_behind(folder, 1)
    assert kept is not None
    assert (kept / "seen.txt").read_text() == "evidence"
    # The replayed node begins in an empty folder, too.
    with pytest.raises(NodeError):
        replay(compute_id, 1)
    assert (kept / "seen.txt").read_text() == "evidence"
    assert either.compute.execute(compute_id, g, token) == [1, 1]
    assert left_behind(folder, 1) is None
    assert not [one for one in (folder / "scratch").iterdir() if not one.name.startswith("spare")]
    either.compute.terminateCompute(compute_id, token)
    assert not (folder / "scratch").exists()


FORBIDS = """
import os, sys
from ellipsis_local.node_program.ellipsis_node.process_state import working_folder
if os.geteuid() == 0:
    os.setuid(65534)
for number in range(3):
    with working_folder(f"{sys.argv[1]}/{number}", f"{sys.argv[1]}/spare") as remove:
        print(os.listdir("."))
        os.mkdir("below")
        open("below/file", "w").close()
        os.chmod("below", 0o500)
        os.chmod(".", 0o500)
        remove()
"""


def test_a_folder_that_cannot_be_emptied_is_nobodys_next() -> None:
    """As a user who may not remove what the function has closed."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        done = subprocess.run([sys.executable, "-c", FORBIDS, folder], capture_output=True, text=True, check=True)
        for below in Path(folder).glob("*/below"):
            below.chmod(0o700)
    assert done.stdout == "[]\n" * 3


# Programs


def test_python_pip_and_scripts_are_the_environments(el, token, raster, create) -> None:
    def f(params):
        import os
        import shutil
        import subprocess
        import sys

        asked = "import sys; print(sys.prefix)"
        by_name = subprocess.run(["python", "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
        pip = subprocess.run(["pip", "--version"], capture_output=True, text=True, check=True).stdout
        return sys.prefix, by_name, shutil.which("pip"), pip, shutil.which("rio"), os.environ["VIRTUAL_ENV"]

    prefix, by_name, pip, version, rio, environment = el.compute.execute(create([raster]), f, token)[0]
    assert by_name == prefix == environment
    assert pip == f"{prefix}/bin/pip"
    assert prefix in version
    assert rio == f"{prefix}/bin/rio"


# State


def test_a_node_sees_nothing_of_the_one_before(either, home, token, raster) -> None:
    """All nodes on one worker see the same as each on a worker of its own."""

    def f(params):
        import decimal
        import gc
        import locale
        import logging
        import os
        import random
        import signal
        import socket
        import sys
        import warnings

        import numpy as np
        import pandas as pd

        def opened():
            found = []
            for one in os.listdir("/dev/fd"):
                try:
                    found.append(os.readlink(f"/dev/fd/{one}"))
                except OSError:
                    pass
            return sum("left_open.txt" in one for one in found)

        def remember(more=[]):  # noqa: B006
            more.append(1)
            return len(more)

        mask = os.umask(0o022)
        seen = {
            "environ": os.environ.get("ELLIPSIS_TEST"), "tz": os.environ.get("TZ"), "numpy": dict(np.geterr()),
            "printing": np.get_printoptions()["precision"], "pandas": pd.get_option("display.max_rows"),
            "filters": len(warnings.filters), "locale": locale.setlocale(locale.LC_ALL), "mask": mask,
            "signal": str(signal.getsignal(signal.SIGUSR1)), "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
            "path": "/ellipsis_test" in sys.path, "recursion": sys.getrecursionlimit(),
            "socket": socket.getdefaulttimeout(), "decimal": decimal.getcontext().prec, "gc": gc.isenabled(),
            "logger": len(logging.getLogger("ellipsis_test.own").handlers), "root": logging.getLogger().level,
            "globals": "kept" in globals(), "hook": sys.excepthook is sys.__excepthook__, "argument": remember(),
            "opened": opened(),
        }  # fmt: skip
        drawn = random.random(), float(np.random.random())
        os.environ["ELLIPSIS_TEST"], os.environ["TZ"] = "1", "Asia/Tokyo"
        np.seterr(all="raise")
        np.set_printoptions(precision=2)
        pd.set_option("display.max_rows", 7)
        warnings.simplefilter("error")
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        try:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.alarm(3000)
        except ValueError:
            pass
        os.umask(0o077)
        sys.path.append("/ellipsis_test")
        sys.setrecursionlimit(4321)
        socket.setdefaulttimeout(1.5)
        decimal.getcontext().prec = 3
        gc.disable()
        logging.getLogger("ellipsis_test.own").addHandler(logging.NullHandler())
        logging.getLogger().setLevel(logging.ERROR)
        random.seed(1)
        np.random.seed(1)
        global kept
        kept = open("left_open.txt", "w")
        os.open("left_open.txt", os.O_RDONLY)
        sys.excepthook = print
        return seen, drawn

    found = {}
    for cores in (1, 4):
        either.configure(cores=cores)
        created = either.compute.createCompute([raster], token, nodes=4)["id"]
        answers = either.compute.execute(created, f, token) + either.compute.execute(created, f, token)
        found[cores] = [seen for seen, _ in answers]
        assert len({drawn for _, drawn in answers}) == 8
        either.compute.terminateCompute(created, token)
    assert found[1] == [found[1][0]] * 8
    assert found[4] == found[1]
    assert found[1][0]["environ"] is None
    assert found[1][0]["globals"] is False


def test_what_a_function_starts_can_be_interrupted(el, token, raster, create) -> None:
    def f(params):
        import subprocess
        import sys

        asked = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
        python = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
        shell = subprocess.run(["sh", "-c", "kill -INT $$; echo survived"], capture_output=True, text=True)
        return python.strip(), shell.returncode, shell.stdout

    assert el.compute.execute(create([raster]), f, token) == [("True", -2, "")] * 2


# What it leaves


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if lives(pid)]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="shared memory is not a folder here")
def test_a_compute_that_is_terminated_leaves_no_process_and_no_shared_memory(el, home, token, raster, create) -> None:
    def f(params):
        import multiprocessing
        import os
        import subprocess
        import sys
        import time
        from multiprocessing import shared_memory

        block = shared_memory.SharedMemory(create=True, size=1 << 20)
        spawning = multiprocessing.get_context("spawn")
        lock, process = spawning.Lock(), spawning.Process(target=time.sleep, args=(600,))
        process.start()
        # A daemon: neither the child of anybody nor of our session and group.
        daemon = "import os, sys, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        daemon += "open(sys.argv[1], 'w').write(str(os.getpid()))\ntime.sleep(600)"
        place = os.path.abspath("daemon")
        subprocess.run([sys.executable, "-c", daemon, place], check=True)
        while not (os.path.exists(place) and open(place).read()):
            time.sleep(0.01)
        with open(os.environ["HOME"] + "/started-" + str(os.getpid()) + ".new", "w") as file:
            file.write(f"{os.getpid()} {process.pid} {open(place).read()} {block.name}")
        os.rename(file.name, file.name[:-4])
        time.sleep(600)
        return lock

    told = home / "told"
    told.mkdir()
    before = shared_memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(told))
        el.configure(home=home, progress=False, cores=2)
        compute_id = create([raster])
    el.compute.execute(compute_id, f, token, awaitTillCompleted=False)
    while len(ready := [one for one in told.glob("started-*") if one.suffix != ".new"]) < 2:
        time.sleep(0.02)
    words = [one.read_text().split() for one in ready]
    pids = [int(word) for line in words for word in line[:3]]
    assert alive(pids) == pids
    assert {line[3] for line in words} <= shared_memory()
    el.compute.terminateCompute(compute_id, token)
    assert alive(pids) == []
    assert not {name for name in shared_memory() - before if name in {line[3] for line in words} or "sem." in name}


def test_what_a_host_that_was_killed_leaves_ends_with_the_compute(el, home, token, raster, create) -> None:
    def f(params):
        import os
        import time

        child = os.fork()
        if not child:
            time.sleep(600)
            os._exit(0)
        return child, os.getppid()

    compute_id = create([raster])
    children, hosts = zip(*el.compute.execute(compute_id, f, token), strict=True)
    host = psutil.Process(hosts[0])
    host.kill()
    host.wait(10)
    assert alive(list(children)) == list(children)
    el.compute.terminateCompute(compute_id, token)
    # They were sent a signal; nobody is left who would wait for their end.
    end = time.monotonic() + 60
    while alive(list(children)) and time.monotonic() < end:
        time.sleep(0.01)
    assert alive(list(children)) == []


def test_a_node_that_takes_too_long_takes_along_what_it_started(el, home, token, raster, create) -> None:
    def f(params):
        import subprocess
        import sys

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid, flush=True)
        child.wait()

    el.configure(home=home, progress=False, cores=2, node_timeout=2)
    compute_id = create([raster])
    with pytest.raises(NodeTimeoutError):
        el.compute.execute(compute_id, f, token)
    pids = [int(line) for line in execution_lines(home, compute_id)]
    assert len(pids) == 2
    assert alive(pids) == []


# Its log


def test_a_log_is_there_while_the_node_runs_and_after_the_compute_is_terminated(
    el, home, token, raster, create
) -> None:
    def f(params):
        import sys
        import time

        print("first", flush=True)
        sys.stdout.write("no end of line")
        sys.stdout.flush()
        time.sleep(600)

    compute_id = create([raster])
    el.compute.execute(compute_id, f, token, awaitTillCompleted=False)
    while execution_lines(home, compute_id).count("first") < 2:
        time.sleep(0.02)
    assert wait_for(el, compute_id, token, "executing")["status"] == "executing"
    el.compute.terminateCompute(compute_id, token)
    assert sorted(execution_lines(home, compute_id)) == ["first"] * 2 + ["no end of line"] * 2


def test_a_node_that_died_leaves_what_it_printed(el, home, token, raster, create) -> None:
    def f(params):
        import os
        import signal
        import sys

        sys.stderr.write("last words")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    compute_id = create([raster], nodes=3)
    with pytest.raises(NodeError):
        el.compute.execute(compute_id, f, token)
    assert execution_lines(home, compute_id) == ["last words"] * 3


def test_what_a_function_writes_to_descriptors_of_others_ends_its_node_alone(el, token, raster, create) -> None:
    def f(params):
        import os

        (part,) = params.values()
        if part["raster"][0, 0, 0] == 0:
            for descriptor in range(3, 40):
                try:
                    os.write(descriptor, b"rubbish" * 10)
                except OSError:
                    pass
        return 1

    def works(params):
        return 2

    compute_id = create([raster])
    with pytest.raises(NodeError, match="died before it answered: the function wrote to file descriptors"):
        el.compute.execute(compute_id, f, token)
    states = [one["state"] for one in el.compute.getComputeInfo(compute_id, token)["nodes"]]
    assert "completed" in states
    assert el.compute.execute(compute_id, works, token) == [2, 2]


def test_a_process_that_a_function_forks_and_that_comes_back_is_no_node(el, token, raster, create) -> None:
    def f(params):
        import os

        return "parent" if os.fork() else "child"

    compute_id = create([raster], nodes=3)
    for _ in range(2):
        assert el.compute.execute(compute_id, f, token) == ["parent"] * 3


# Cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "90000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_quotas_of_control_groups_count(tmp_path: Path, files: dict[str, str], cores: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    unlimited = available_cores(tmp_path / "nothing")
    assert available_cores(tmp_path) == (unlimited if cores is None else cores)


# The function's own lines


def adds_its_raster(params):
    return sum(int(value["raster"].sum()) for value in params.values())


def test_inline_executions_in_threads_leave_the_lines_of_its_file_alone(el, home, token, raster, create) -> None:
    """`inspect` reads them at the same time, for another thread's call of the same function."""
    el.configure(home=home, progress=False, inline=True, strict=True)
    computes = [create([raster]) for _ in range(4)]
    found: list[Any] = []

    def work(compute_id: str) -> None:
        for _ in range(20):
            try:
                found.append(el.compute.execute(compute_id, adds_its_raster, token))
            except Exception as error:  # noqa: BLE001 - it is what the test looks for
                found.append(error)

    threads = [threading.Thread(target=work, args=(compute_id,)) for compute_id in computes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 80
