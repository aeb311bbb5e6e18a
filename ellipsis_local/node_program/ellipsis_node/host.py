"""The host: one process per compute and caller, which forks the workers and routes nodes to them.

    caller ── stdin ──> host ── sockets ──> workers 0 … W-1     each owns the nodes n with n % W == its number
           <── stdout ──     <───────────                       and keeps their frames

Imports happen here, before the workers are forked, so that N cost little more than one. One loop waits for all that may
happen, so that there is no thread beside which a fork would be unsafe. The host leads a process group of its own; when
its stdin ends, because the caller closed it or died, or at SIGTERM, every process below it goes at once.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
import traceback
import warnings
from collections import deque
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, BinaryIO, Callable, Deque

from .memory import MEMORY_EXIT, how_it_ended
from .output import Pipe, Recorder
from .params import answer_vector
from .pickles import HINT
from .processes import adopt_orphans, end_below, kill_below
from .records import Command, GarbledError, Inbox, NodeConfig, NodeOutcome, message
from .worker import work

TIMEOUT = "it ran longer than node_timeout={:g} s; give it less to do (more nodes), or raise node_timeout"
GARBLED = "the function wrote to file descriptors that it did not open; write to files and streams of your own"
PARENT_SECONDS = 1.0
ANNOUNCE_SECONDS = 0.02


def main(commands: int, answers: int) -> None:
    """Read the compute's program from `commands`, then serve executions until these end."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminated)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    adopt_orphans()
    host = _Host(commands, os.fdopen(answers, "wb"))
    try:
        # Before the program is there: the caller may still be cutting layers.
        _load(vectors="--vectors" in sys.argv)
        host.serve()
    except (EOFError, BrokenPipeError, SystemExit):
        pass
    except BaseException:  # noqa: BLE001 - for host.log, before this process ends
        traceback.print_exc()
    finally:
        host.end()


def _terminated(_: int, __: FrameType | None) -> None:
    raise SystemExit


def _load(*, vectors: bool) -> None:
    """Import what the layers need, once for all workers."""
    import affine  # noqa: F401
    import numpy  # noqa: F401

    if vectors:
        answer_vector()


class _Worker:
    """A place for a process that runs the nodes of one number, and what it has still to do."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.pipe = Pipe()
        self.pid: int | None = None
        """None before it is needed, and after its end."""
        self.channel: socket.socket
        self.inbox: Inbox
        self.nodes: Deque[int] = deque()
        """The first one runs."""
        self.announced: float | None = None
        """When the caller is told that it runs; sooner its end tells that."""
        self.deadline: float | None = None
        self.late = False
        self.garbled = False
        """Whether something else than answers came of it."""


class _Host:
    config: NodeConfig
    command: Command
    log: BinaryIO
    recorder: Recorder

    def __init__(self, commands: int, answers: BinaryIO) -> None:
        self.answers = answers
        self.parent = os.getppid()
        self.workers: list[_Worker] = []
        self.inbox = Inbox(lambda: os.read(commands, 1 << 20))
        self.selector = selectors.DefaultSelector()
        self.woken, wake = os.pipe()
        for end in (self.woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.private = [commands, answers.fileno(), self.woken, wake]
        """Descriptors that are none of a worker's."""
        self._watch(commands, self._told)
        self._watch(self.woken, self._reap)

    def _watch(self, source: Any, then: Callable[[], object]) -> None:
        self.selector.register(source, selectors.EVENT_READ, then)

    def _unwatch(self, source: Any) -> None:
        if source in self.selector.get_map():
            self.selector.unregister(source)

    def serve(self) -> None:
        """Wait for what happens, for ever; EOFError where the caller is gone."""
        while True:
            now = time.monotonic()
            moments = [moment for one in self.workers for moment in (one.announced, one.deadline) if moment is not None]
            patience = max(0, min([PARENT_SECONDS, *(moment - now for moment in moments)]))
            ready = {key.fd: key.data for key, _ in self.selector.select(patience)}
            # A worker's end closes what it may have said something by.
            ended = ready.pop(self.woken, None)
            for then in [*ready.values(), *([ended] if ended else [])]:
                then()
            now = time.monotonic()
            for worker in self.workers:
                if worker.announced is not None and worker.announced <= now:
                    worker.announced = None
                    self._answer({"event": "started", "node": worker.nodes[0]})
                if worker.deadline is not None and worker.deadline <= now:
                    self._too_late(worker)
            self.answers.flush()
            # A process forked by the caller may hold our stdin open after its end.
            if os.getppid() != self.parent:
                raise EOFError

    def end(self) -> None:
        """End every process below, keep what they have said, and go."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_below(os.getpid())
        with suppress(OSError):
            for worker in self.workers:
                self.recorder.drain(worker.pipe)
                self.recorder.end(worker.pipe)
        os.killpg(0, signal.SIGKILL)

    def _told(self) -> None:
        for header, _ in self.inbox.read():
            if "runs" in header and "function" not in header:
                self._run(replace(self.command, runs=tuple(map(tuple, header["runs"]))))
            elif self.workers:
                self._run(Command.from_json(header))
            else:
                self._start(NodeConfig.from_json(header))

    def _start(self, config: NodeConfig) -> None:
        """Fork the workers and tell the caller."""
        self.config = config
        self.log = open(config.log, "ab", buffering=0)  # noqa: SIM115 - open as long as the process
        self.recorder = Recorder(self.log, config.clock)
        self.workers = [_Worker(slot) for slot in range(config.workers)]
        self.private += [self.log.fileno(), *(worker.pipe.reading for worker in self.workers)]
        for worker in self.workers:
            self._watch(worker.pipe.reading, partial(self.recorder.drain, worker.pipe))
            self._fork(worker)
        self._answer({"event": "ready", "pids": [worker.pid for worker in self.workers]})

    def _fork(self, slot: _Worker) -> None:
        slot.channel, theirs = socket.socketpair()
        slot.inbox = Inbox(partial(slot.channel.recv, 1 << 20, socket.MSG_DONTWAIT))
        # Their handlers are the host's.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
        slot.pid = os.fork()
        if slot.pid == 0:
            try:
                others = [one.channel.fileno() for one in self.workers if one.pid is not None]
                pipes = [one.pipe.writing for one in self.workers if one is not slot]
                work(self.config, slot.slot, theirs, slot.pipe.writing, [*self.private, *others, *pipes])
            except BaseException:  # noqa: BLE001 - for the log
                traceback.print_exc()
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})
        theirs.close()
        self._watch(slot.channel, partial(self._answered, slot))

    def _run(self, command: Command) -> None:
        """Begin an execution, or go on with it; each node's outcome is answered when it is there, in any order."""
        self.command = replace(command, runs=None)
        runs = command.runs
        if runs is None:
            runs = tuple((number, self.config.worker_of(number)) for number in range(self.config.partitions))
        for worker in self.workers:
            more = [number for number, slot in runs if slot == worker.slot]
            busy = bool(worker.nodes)
            worker.nodes.extend(more)
            if not busy:
                self._dispatch(worker)
            elif more and worker.pid is not None:
                # Without the command, which it has: nobody may read as long as its node runs, and the pipe is short.
                self._send(worker, {"nodes": more})

    def _dispatch(self, worker: _Worker) -> None:
        if worker.nodes:
            if worker.pid is None:
                self._fork(worker)
            self._send(worker, {"command": self.command.to_json(), "nodes": list(worker.nodes)})
        self._next(worker)

    @staticmethod
    def _send(worker: _Worker, header: dict[str, Any]) -> None:
        # Where it has just died, the end of its process tells.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.channel.sendall(message(header))

    def _next(self, worker: _Worker) -> None:
        """Another node begins, if there is one."""
        now, timeout = time.monotonic(), self.command.timeout
        worker.deadline = now + timeout if worker.nodes and timeout is not None else None
        worker.announced = now + ANNOUNCE_SECONDS if worker.nodes else None
        if not worker.nodes and not any(one.nodes for one in self.workers):
            for one in self.workers:
                self.recorder.end(one.pipe)
            self._answer({"event": "done"})

    def _answered(self, worker: _Worker) -> bool:
        """Take what has come of a worker's answers; whether there may be more."""
        try:
            for header, payload in worker.inbox.read():
                self._finished(worker, NodeOutcome.from_json(header, payload))
        except BlockingIOError:
            return False
        except (EOFError, ConnectionResetError):
            self._unwatch(worker.channel)
            return False
        except GarbledError:
            self._unwatch(worker.channel)
            worker.garbled = True
            self._kill(worker)
            return False
        return True

    def _finished(self, worker: _Worker, outcome: NodeOutcome) -> None:
        """What the node has said is in the log when its outcome is told."""
        self.recorder.drain(worker.pipe)
        self._tell(outcome)
        worker.nodes.popleft()
        self._next(worker)

    def _tell(self, outcome: NodeOutcome) -> None:
        if outcome.kind == "memory" and self.config.memory and outcome.text.startswith("Traceback"):
            outcome = replace(outcome, text=self.config.too_much_memory + "\n" + outcome.text)
        self._answer({"event": "node", **outcome.to_json()}, outcome.payload)

    def _too_late(self, worker: _Worker) -> None:
        """End a worker and all that its function has started; `_ended` says why."""
        pid, node = worker.pid, worker.nodes[0]
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        while self._answered(worker):
            pass
        if not worker.nodes or worker.nodes[0] != node:
            # Its answer was on the way.
            os.kill(pid, signal.SIGCONT)
            return
        worker.late, worker.deadline = True, None
        self._kill(worker)

    @staticmethod
    def _kill(worker: _Worker) -> None:
        """A worker's process and all that its function has started; its end is noticed then."""
        if worker.pid is not None:
            kill_below(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.woken, 1 << 16)
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                for worker in self.workers:
                    if worker.pid == pid:
                        self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        """A worker's process ended: the node that it ran has failed, others go to a new process."""
        worker.pid = None
        while self._answered(worker):
            # What it said before.
            pass
        # A process that it forked may hold the other end.
        self._unwatch(worker.channel)
        worker.channel.close()
        late, worker.late = worker.late, False
        garbled, worker.garbled = worker.garbled, False
        if not worker.nodes:
            return
        self.recorder.drain(worker.pipe)
        failed = NodeOutcome(worker.nodes.popleft(), "failed", None)
        if late:
            outcome = replace(failed, kind="timeout", text=TIMEOUT.format(self.command.timeout))
        elif garbled:
            outcome = replace(failed, kind="died", text=GARBLED)
        elif code == MEMORY_EXIT:
            outcome = replace(failed, kind="memory", text=self.config.too_much_memory)
        else:
            hint = f"; {HINT}" if self.command.function.kind == "dill" else ""
            outcome = replace(failed, kind="died", text=how_it_ended(code) + hint)
        self._tell(outcome)
        self._dispatch(worker)

    def _answer(self, header: dict[str, Any], payload: bytes = b"") -> None:
        self.answers.write(message(header, payload))
