"""The host: one process per compute and caller, which forks the workers and routes nodes to them.

    caller ── stdin ──> host ── pebble ──> workers 0 … W-1     each owns the nodes n with n % W == its number
           <── stdout ──     <─────────                        and keeps their frames

Imports happen here, before the workers are forked, so that N cost little more than one. The host leads a process
group of its own; when its stdin ends, because the caller closed it or died, the whole group goes at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any, BinaryIO

import pebble

from . import running, worker
from .frames import read_frame, write_frame
from .memory import MEMORY_EXIT
from .output import Collector, Recorder
from .params import answer_vector
from .pickles import HINT

__all__ = ["main"]

TIMEOUT = "it ran longer than node_timeout={:g} s; give it less to do (more nodes), or raise node_timeout"
MEMORY = "it asked for more than node_memory={:,} bytes; give it less (more nodes), or raise node_memory"


def main() -> None:
    """Read the compute's program from stdin, then serve executions until stdin ends."""
    # On Python 3.12 and later a fork beside threads warns; the workers touch nothing that these threads hold.
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    commands = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints at import must not end up between the answers.
    os.dup2(2, 1)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    try:
        # Before the program is there: the caller may still be cutting layers.
        loaded = _load(vectors="--vectors" in sys.argv)
        config, _ = read_frame(commands)
        host = _Host(config, answers, [commands.fileno(), answers.fileno()])
        host.start(loaded)
        while True:
            command, _ = read_frame(commands)
            host.run(command)
    except EOFError:
        pass
    finally:
        os.killpg(0, signal.SIGKILL)


class _Host:
    def __init__(self, config: dict[str, Any], answers: BinaryIO, close: list[int]) -> None:
        self.config = config
        self.answers = answers
        self.close = close
        self.lock = threading.Lock()
        self.pools: list[Any] = []
        self.log = open(config["log"], "ab")  # noqa: SIM115 - open as long as the process

    def start(self, loaded: dict[str, str]) -> None:
        """Fork the workers and tell the caller."""
        program = running.Program(self.config)
        count = self.config["workers"]
        self.collector = Collector(Recorder(self.log, self.config["clock"]), count)
        for slot in range(count):
            pool = pebble.ProcessPool(
                max_workers=1,
                context=multiprocessing.get_context("fork"),
                initializer=worker.begin,
                initargs=(program, slot, self.collector.pipes[slot], self.close),
            )
            self.pools.append(pool)
        pids = [future.result() for future in [pool.schedule(worker.hello) for pool in self.pools]]
        self._answer({"event": "ready", "pids": pids, "python": list(sys.version_info[:3]), "packages": loaded})

    def run(self, command: dict[str, Any]) -> None:
        """Run one execution; each node's outcome is answered when it is there, in any order."""
        nodes = command["nodes"]
        done = threading.Semaphore(0)
        for node in nodes:
            future = self.pools[node % len(self.pools)].schedule(
                worker.run_node,
                args=(command["execution"], node, command["function"], command["large"]),
                timeout=command["timeout"],
            )
            future.add_done_callback(
                partial(self._finished, node, done, command["timeout"], command["function"]["kind"])
            )
        for _ in nodes:
            done.acquire()
        self.collector.settle()
        self._answer({"event": "done"})

    def _finished(
        self, node: int, done: threading.Semaphore, timeout: float | None, function: str, future: Future[Any]
    ) -> None:
        try:
            header, payload = future.result()
        except FutureTimeoutError:
            header, payload = {"state": "failed", "kind": "timeout", "text": TIMEOUT.format(timeout)}, b""
        except pebble.ProcessExpired as error:
            kind = "memory" if error.exitcode == MEMORY_EXIT else "died"
            text = MEMORY.format(self.config["memory"]) if kind == "memory" else _end_of_process(error.exitcode)
            if kind == "died" and function == "dill":
                text += f"; {HINT}"
            header, payload = {"state": "failed", "kind": kind, "text": text}, b""
        except BaseException as error:  # noqa: BLE001 - told to the caller
            header, payload = {"state": "failed", "kind": "engine", "text": f"{type(error).__name__}: {error}"}, b""
        if header.get("kind") == "memory" and self.config["memory"] and header["text"].startswith("Traceback"):
            header["text"] = MEMORY.format(self.config["memory"]) + "\n" + header["text"]
        self._answer({"event": "node", "node": node, "seconds": None, **header}, payload)
        done.release()

    def _answer(self, header: dict[str, Any], payload: bytes = b"") -> None:
        try:
            with self.lock:
                write_frame(self.answers, header, payload)
        except (BrokenPipeError, ValueError):
            os.killpg(0, signal.SIGKILL)


def _load(*, vectors: bool) -> dict[str, str]:
    """Import what the layers need, once for all workers; the versions."""
    import affine
    import numpy

    loaded = {"numpy": numpy.__version__, "affine": affine.__version__}
    if vectors:
        import geopandas

        answer_vector()
        loaded["geopandas"] = geopandas.__version__
    return loaded


def _watch_parent(parent: int) -> None:
    """End with the caller even where a process forked by it still holds our stdin open."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def _end_of_process(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"
