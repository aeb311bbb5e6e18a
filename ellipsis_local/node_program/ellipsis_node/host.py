"""The host: one process per compute and caller, which forks the workers and routes nodes to them.

    caller ── stdin ──> host ── pebble ──> workers 0 … W-1     each owns the nodes n with n % W == its number
           <── stdout ──     <─────────                        and keeps their frames

Imports happen here, before the workers are forked, so that N cost little more than one. The host leads a process
group of its own; when its stdin ends, because the caller closed it or died, the whole group goes at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import pebble

from . import worker
from .memory import MEMORY_EXIT, how_it_ended
from .output import Collector, Recorder
from .params import answer_vector
from .pickles import HINT
from .records import Command, NodeConfig, NodeOutcome, read_message, write_message

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
        _load(vectors="--vectors" in sys.argv)
        config = NodeConfig.from_json(read_message(commands)[0])
        host = _Host(config, answers, [commands.fileno(), answers.fileno()])
        host.start()
        while True:
            host.run(Command.from_json(read_message(commands)[0]))
    except EOFError:
        pass
    finally:
        os.killpg(0, signal.SIGKILL)


class _Host:
    def __init__(self, config: NodeConfig, answers: BinaryIO, close: list[int]) -> None:
        self.config = config
        self.answers = answers
        self.close = close
        self.lock = threading.Lock()
        self.pools: list[Any] = []
        self.log = open(config.log, "ab")  # noqa: SIM115 - open as long as the process

    def start(self) -> None:
        """Fork the workers and tell the caller."""
        self.collector = Collector(Recorder(self.log, self.config.clock), self.config.workers)
        for slot in range(self.config.workers):
            pool = pebble.ProcessPool(
                max_workers=1,
                context=multiprocessing.get_context("fork"),
                initializer=worker.begin,
                initargs=(self.config, slot, self.collector.pipes[slot], self.close),
            )
            self.pools.append(pool)
        pids = [future.result() for future in [pool.schedule(worker.hello) for pool in self.pools]]
        self._answer({"event": "ready", "pids": pids})

    def run(self, command: Command) -> None:
        """Run one execution; each node's outcome is answered when it is there, in any order."""
        done = threading.Semaphore(0)
        for node in range(self.config.nodes):
            pool = self.pools[node % len(self.pools)]
            future = pool.schedule(worker.run_node, args=(command, node), timeout=command.timeout)
            future.add_done_callback(partial(self._finished, node, done, command))
        for _ in range(self.config.nodes):
            done.acquire()
        self.collector.settle()
        self._answer({"event": "done"})

    def _finished(self, node: int, done: threading.Semaphore, command: Command, future: Future[NodeOutcome]) -> None:
        failed, memory = NodeOutcome(node, "failed", None), self.config.memory
        try:
            outcome = future.result()
        except FutureTimeoutError:
            outcome = replace(failed, kind="timeout", text=TIMEOUT.format(command.timeout))
        except pebble.ProcessExpired as error:
            if error.exitcode == MEMORY_EXIT:
                outcome = replace(failed, kind="memory", text=MEMORY.format(memory))
            else:
                hint = f"; {HINT}" if command.function.kind == "dill" else ""
                outcome = replace(failed, kind="died", text=how_it_ended(error.exitcode) + hint)
        except BaseException as error:  # noqa: BLE001 - told to the caller
            outcome = replace(failed, kind="engine", text=f"{type(error).__name__}: {error}")
        if outcome.kind == "memory" and memory and outcome.text.startswith("Traceback"):
            outcome = replace(outcome, text=MEMORY.format(memory) + "\n" + outcome.text)
        self._answer({"event": "node", **outcome.to_json()}, outcome.payload)
        done.release()

    def _answer(self, header: dict[str, Any], payload: bytes = b"") -> None:
        try:
            with self.lock:
                write_message(self.answers, header, payload)
        except (BrokenPipeError, ValueError):
            os.killpg(0, signal.SIGKILL)


def _load(*, vectors: bool) -> None:
    """Import what the layers need, once for all workers."""
    import affine  # noqa: F401
    import numpy  # noqa: F401

    if vectors:
        answer_vector()


def _watch_parent(parent: int) -> None:
    """End with the caller even where a process forked by it still holds our stdin open."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)
