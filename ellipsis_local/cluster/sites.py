"""The side of a Dask worker: sites, each the host program of one compute of one caller, with the nodes it is given.

    caller ── ask: prepare, supply, begin, exchange, … ──> Sites, a plugin of the worker ──> Site ──> LocalPool
           <── what has come about, as answers ──────────                                              (the host)

Everything is asked for by the caller, so that nothing here needs to reach it: answers are kept until they are known to
have arrived. A site that nobody has asked for so long that its lease is over is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import socket
import tarfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from distributed import WorkerPlugin, get_worker
from distributed.core import error_message
from distributed.protocol import to_serialize
from distributed.protocol.pickle import loads

from ellipsis_local.clocks import monotonic
from ellipsis_local.cluster.part_store import PartStore
from ellipsis_local.environments import Commands, Environments, choose_interpreter, find_interpreters
from ellipsis_local.errors import EngineError, InterpreterError
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeOutcome
from ellipsis_local.nodes import LocalEngine, LocalPool, Parts, Place, Program
from ellipsis_local.nodes.local import visible_gpus
from ellipsis_local.settings import package_version, read_settings

NAME = f"ellipsis_local-{package_version()}"
"""Of the plugin: two releases on one worker would be two plugins."""
LOOK_SECONDS = 0.5
"""How long an answer waits for something to tell."""
MEMORY_SHARE = 0.9
"""Of a worker's memory, what its nodes may take together, where nobody has said it."""
LEFT_BYTES = 16 * 2**20
"""What is sent of a failed node's working directory, at most."""


class SiteGoneError(Exception):
    """The site that was asked for is not here (any more)."""


class Event(NamedTuple):
    """What has come about on a site.

    A slot is ``open``, nodes are ``granted`` with their slots, a node has ``begun`` or ``ended``, there is ``log``, a
    node has ``left`` files in its folder, the host is ``idle`` or ``lost``.
    """

    number: int
    kind: str
    value: Any = None


@dataclass(frozen=True)
class Machine:
    """A worker, as it introduces itself."""

    address: str
    instance: str
    """Of this process of it: another one may come to the same address."""
    host: str
    threads: int
    gpus: tuple[str, ...]
    store: str
    """Workers with the same share what they keep."""

    def __str__(self) -> str:
        return f"{self.host} ({self.address})"


async def greet(dask_worker: Any) -> Machine:
    """Have the plugin on a worker, and be told who that is; the caller sends this function."""
    if NAME not in dask_worker.plugins:
        # A second time would end what the first one holds.
        await dask_worker.plugin_add(Sites(), NAME, catch_errors=False)
    machine: Machine = dask_worker.plugins[NAME].greet()
    return machine


def hold(site: str, slot: int, run: int) -> None:
    """The task of Dask that lends a site one thread of the worker, for the nodes of one slot."""
    plugin = get_worker().plugins.get(NAME)
    if plugin is not None and site in plugin.sites:
        plugin.sites[site].hold(slot, run)


def boot() -> str:
    """The same for all processes of a machine that was started once."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return socket.gethostname()


class Sites(WorkerPlugin):  # type: ignore[misc]
    """All sites of one worker."""

    name = NAME

    def setup(self, worker: Any) -> None:
        from tornado.ioloop import PeriodicCallback

        settings = read_settings()
        self.worker = worker
        self.sites: dict[str, Site] = {}
        self.instance = os.urandom(8).hex()
        self.home = Home(settings.home, settings.environments)
        self.home.prepare()
        self.store = PartStore(self.home, settings.cache_size)
        self.store.prune()
        self.environments = Environments(self.home, offline=settings.offline)
        self.folder = Path(worker.local_directory) / "ellipsis_local"
        self._leases = PeriodicCallback(self._end_leases, 1000)
        self._leases.start()

        worker.handlers[NAME] = self.answer

    async def answer(self, operation: str, arguments: bytes) -> dict[str, Any]:
        """Do what a caller asks for, and tell what came of it."""
        try:
            found = getattr(self, operation)(*loads(arguments))
            return {"status": "OK", "result": to_serialize(await found if asyncio.iscoroutine(found) else found)}
        except Exception as error:  # noqa: BLE001 - for the caller
            return dict(error_message(error))

    async def teardown(self, worker: Any) -> None:
        worker.handlers.pop(NAME, None)
        self._leases.stop()
        await asyncio.gather(*(self.close(site) for site in list(self.sites)))
        self.environments.close()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """A task that lends its thread was cancelled, or its caller is gone: the nodes end, which Dask could not do."""
        if start == "executing" and finish in ("cancelled", "released", "forgotten"):
            for site in list(self.sites.values()):
                if str(key) in site.keys:
                    asyncio.ensure_future(self.close(site.id))  # noqa: RUF006 - it is held by what it waits for

    def _end_leases(self) -> None:
        for site in list(self.sites.values()):
            if site.lease < monotonic():
                asyncio.ensure_future(self.close(site.id))  # noqa: RUF006 - it is held by what it waits for

    def _site(self, site_id: str) -> Site:
        if site_id not in self.sites:
            raise SiteGoneError(f"worker {self.worker.address} holds no nodes of that name")
        self.sites[site_id].renew()
        return self.sites[site_id]

    def greet(self) -> Machine:
        return Machine(
            address=self.worker.address,
            instance=self.instance,
            host=socket.gethostname(),
            threads=self.worker.state.nthreads,
            gpus=visible_gpus(os.environ),
            store=self.store.id,
        )

    async def look(self) -> dict[str, Any]:
        """What `doctor` tells of a machine."""
        found = await asyncio.to_thread(find_interpreters, self.home)
        return {
            "home": str(self.home.root),
            "free": shutil.disk_usage(self.home.root).free,
            "memory": self.worker.memory_manager.memory_limit,
            "interpreters": sorted({one.name for one in found}, key=lambda name: int(name.rpartition(".")[2])),
        }

    def shares(self, mark: Path, boot_id: str) -> bool:
        """Whether this is the caller's own machine, and sees a file that it has just made."""
        return boot_id == boot() and mark.exists()

    def prepare(self, site_id: str, program: Program, place: Place | None, slots: int, lease: float) -> None:
        """Begin to start a host, with the caller's `place` where that is here, too; see `prepared`."""
        if site_id in self.sites:
            # The answer was lost on the way.
            return
        limit = self.worker.memory_manager.memory_limit
        if program.memory is None and limit:
            program = replace(program, memory=int(limit * MEMORY_SHARE / self.worker.state.nthreads))
        program = replace(program, cores=slots, gpus=visible_gpus(os.environ) if program.gpus else ())
        site = Site(site_id, program, place, self.folder / site_id, lease)
        self.sites[site_id] = site
        site.start(lambda: self._place(program, place, site))

    def _place(self, program: Program, place: Place | None, site: Site) -> Place:
        if place is not None:
            return replace(place, folder=site.folder)
        asked = program.environment
        interpreter = choose_interpreter(asked.interpreter, self.home)
        if interpreter.name != asked.interpreter:
            raise InterpreterError(f"there is no {asked.interpreter} here; install it, `uv python install` does")
        files = {file.location: self.store.path(f"{file.location}/file") for file in program.files}
        requirements = [self._local(one) for one in asked.requirements]
        made = self.environments.ensure(interpreter, requirements, commands=site.commands)
        return Place(site.folder, made.python, self.store.folder, files)

    def _local(self, requirement: str) -> str:
        """A requirement of a wheel that was sent, by where it lies here."""
        name, found, key = requirement.partition(" @ part:")
        return f"{name} @ {self.store.path(key).as_uri()}" if found else requirement

    async def prepared(self, site_id: str) -> bool:
        """Whether its environment is there; raises what it could not be made for."""
        site = self._site(site_id)
        return await site.wait_for(lambda: site.place is not None)

    async def supply(self, site_id: str, parts: Parts) -> bool:
        """Let the host have its parts, which are here; whether it is ready."""
        site = self._site(site_id)
        site.supply(parts)
        return await site.wait_for(lambda: site.pool is not None)

    def lacking(self, names: Sequence[str]) -> list[str]:
        return self.store.lacking(names)

    async def write(self, name: str, offset: int, data: bytes, sender: str) -> None:
        await asyncio.to_thread(self.store.write, name, offset, data, sender)

    def settle(self, name: str, sender: str) -> None:
        self.store.settle(name, sender)

    async def begin(
        self,
        site_id: str,
        known: int,
        run: int,
        command: Command,
        names: Sequence[str],
        keys: Collection[str],
        first: Mapping[int, Sequence[int]],
        last: Collection[int],
    ) -> list[Event]:
        """An execution, the caller's `run`, with the `first` nodes of slots: granted where the worker has idle threads.

        SiteGoneError where its parts are gone, too.
        """
        site = self._site(site_id)
        if self.store.lacking(names):
            raise SiteGoneError("its parts were removed meanwhile")
        site.begin(run, command, keys)
        state = self.worker.state
        used = max(state.executing_count, sum(len(one.slots) for one in self.sites.values()))
        slots = list(first)[: max(0, state.nthreads - used)]
        for slot in slots:
            # Waiting until Dask has brought the task that lends the thread takes longer than short nodes.
            site.open(slot, first[slot], last=slot in last)
        return await site.since(known, wait=bool(slots))

    def finish(self, site_id: str, run: int) -> None:
        """Nothing follows in a run: threads for it are given back, and not taken any more."""
        self._site(site_id).finish(run)

    async def exchange(
        self, site_id: str, known: int, runs: Sequence[tuple[int, int]], last: Collection[int]
    ) -> list[Event]:
        """Grant nodes to open slots, of which the `last` get no more, and tell what came about since `known`."""
        site = self._site(site_id)
        site.grant(runs, last)
        return await site.since(known)

    async def read(self, site_id: str, file: str, offset: int, length: int) -> bytes:
        """A piece of a result."""
        path = self._site(site_id).folder / "results" / file

        def read() -> bytes:
            with path.open("rb") as opened:
                opened.seek(offset)
                return opened.read(length)

        return await asyncio.to_thread(read)

    def renew(self, sites: Sequence[str]) -> None:
        for site_id in sites:
            if site_id in self.sites:
                self.sites[site_id].renew()

    async def close(self, site_id: str) -> None:
        site = self.sites.pop(site_id, None)
        if site is not None:
            await asyncio.to_thread(site.close)


class Site:
    """The host of some nodes of one compute, and what has come about there that the caller may not know."""

    def __init__(self, site_id: str, program: Program, shared: Place | None, folder: Path, lease: float) -> None:
        self.id = site_id
        self.folder = folder
        self.commands = Commands()
        self.place: Place | None = None
        self.pool: LocalPool | None = None
        self.keys: Collection[str] = ()
        """Of the tasks that lend it threads."""
        self._program = program
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._lease_seconds = lease
        self._news = asyncio.Event()
        self._error: BaseException | None = None
        self._parts: Parts = ()
        self._supplied = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._command: Command | None = None
        self._run = 0
        """The caller's number of the execution, in which nothing follows where it `_is_finished`."""
        self._is_finished = True
        self._sent = False
        """Whether the host has the function of the execution."""
        self._events: list[Event] = []
        self._number = 0
        self.slots: dict[int, threading.Event] = {}
        """Those that are open; set once one gets no more nodes and has none left."""
        self._last: set[int] = set()
        self._granted: set[int] = set()
        self._runs: dict[int, int] = {}
        """Granted nodes that are not over, with their slots."""
        self._logged = 0
        self.renew()

    def renew(self) -> None:
        self.lease = monotonic() + self._lease_seconds

    def start(self, find: Callable[[], Place]) -> None:
        """Find or make the environment, start the host, and go on with what comes of it, in a thread."""
        threading.Thread(target=self._live, args=(find,), name="ellipsis_local-site", daemon=True).start()

    def _live(self, find: Callable[[], Place]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.place = find()
            self._tell()
            pool = LocalEngine().start(self._program, self._wait_for_parts, self.place)
            with self._lock:
                self.pool = pool
                closed = self._closed.is_set()
            if closed:
                pool.close()
            self._tell()
            self._follow(pool)
        except BaseException as error:  # noqa: BLE001 - for the caller
            self._error = error
            self._add("lost", str(error))

    def _wait_for_parts(self) -> Parts:
        self._supplied.wait()
        if self._closed.is_set():
            raise EngineError("the nodes were ended")
        return self._parts

    def _follow(self, pool: LocalPool) -> None:
        while True:
            event = pool.receive()
            self._add_log()
            if event is None:
                self._add("idle")
            elif isinstance(event, NodeOutcome):
                self._ended(event)
            else:
                self._add("begun", event)

    def _ended(self, outcome: NodeOutcome) -> None:
        if outcome.state == "failed":
            self._send_left(outcome.node)
        elif outcome.file is not None and self._shared is not None:
            results = self._shared.folder / "results"
            results.mkdir(parents=True, exist_ok=True)
            shutil.move(self.folder / "results" / outcome.file, results / outcome.file)
        with self._lock:
            slot = self._runs.pop(outcome.node)
            self._append("ended", outcome)
            over = not self._runs and self._last >= self.slots.keys()
        self._release(slot)
        if not over:
            self._tell()
        # Else the host says at once that it is idle, and both are one answer.

    def _send_left(self, node: int) -> None:
        """What a failed node left in its working directory, as far as it is little."""
        name = f"{self._command.execution}-{node}" if self._command is not None else ""
        folder = self.folder / "scratch" / name
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        if files and sum(path.stat().st_size for path in files) <= LEFT_BYTES:
            with io.BytesIO() as memory, tarfile.open(fileobj=memory, mode="w") as archive:
                archive.add(folder, name)
                archive.close()
                self._add("left", memory.getvalue())
        shutil.rmtree(folder, ignore_errors=True)

    def _add_log(self) -> None:
        """The whole lines of the log that were not sent yet."""
        with contextlib.suppress(FileNotFoundError), self._lock, (self.folder / "log.jsonl").open("rb") as file:
            file.seek(self._logged)
            data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            self._logged += len(data)
            if data:
                self._append("log", data)

    def _add(self, kind: str, value: Any = None) -> None:
        with self._lock:
            self._append(kind, value)
        self._tell()

    def _append(self, kind: str, value: Any) -> None:
        self._number += 1
        self._events.append(Event(self._number, kind, value))

    def _tell(self) -> None:
        # The loop ends with its worker.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)
        self._news.clear()

    async def wait_for(self, done: Callable[[], bool]) -> bool:
        """Wait a moment for what the thread is at; raises what went wrong there."""
        if not done() and self._error is None:
            await self._wait()
        if self._error is not None:
            raise self._error
        return done()

    def supply(self, parts: Parts) -> None:
        if not self._supplied.is_set():
            self._parts = parts
            self._supplied.set()

    def begin(self, run: int, command: Command, keys: Collection[str]) -> None:
        """An execution; what is asked for again is none."""
        if self._run == run:
            return
        self.finish(self._run)
        with self._lock:
            self._run, self._command, self.keys, self._is_finished = run, command, keys, False
            self._granted, self._runs, self._sent = set(), {}, False

    def finish(self, run: int) -> None:
        with self._lock:
            if self._run != run:
                return
            self._is_finished, self.keys = True, ()
            slots, self.slots = self.slots, {}
            self._last.clear()
        for done in slots.values():
            done.set()

    def open(self, slot: int, nodes: Sequence[int], *, last: bool) -> None:
        """Have nodes run in a slot before a thread is lent to it."""
        with self._lock:
            if self._granted.intersection(nodes):
                # The answer was lost on the way.
                return
            self.slots.setdefault(slot, threading.Event())
            self._append("granted", [(node, slot) for node in nodes])
        self.grant([(node, slot) for node in nodes], [slot] if last else [])

    def hold(self, slot: int, run: int) -> None:
        """Lend a thread to a slot until it is done; in that thread."""
        with self._lock:
            if self._closed.is_set() or self._run != run or self._is_finished or slot in self._last:
                # It comes late.
                return
            if slot not in self.slots:
                self.slots[slot] = threading.Event()
                self._append("open", slot)
                self._tell()
            done = self.slots[slot]
        done.wait()

    def grant(self, runs: Sequence[tuple[int, int]], last: Collection[int]) -> None:
        """Have nodes run that are the site's from now on."""
        with self._lock:
            self._last.update(last)
            # Where the answer was lost on the way, the same is asked for again.
            runs = [(node, slot) for node, slot in runs if node not in self._granted]
            self._granted.update(node for node, _ in runs)
            self._runs.update(runs)
        if runs and self.pool is not None and self._command is not None:
            # Where the host is gone, the thread that follows it says so.
            with contextlib.suppress(EngineError):
                if self._sent:
                    self.pool.send_more(runs)
                else:
                    self.pool.send(replace(self._command, runs=tuple(runs)))
            self._sent = True
        for slot in last:
            self._release(slot)

    def _release(self, slot: int) -> None:
        """Give the thread of a slot back, where nothing is left for it."""
        with self._lock:
            if slot in self.slots and slot in self._last and slot not in self._runs.values():
                self.slots.pop(slot).set()

    async def since(self, known: int, *, wait: bool = True) -> list[Event]:
        """What came about after the event of that number, which the caller has with all before it."""
        with self._lock:
            self._events = [event for event in self._events if event.number > known]
            waiting = wait and not self._events
        if waiting:
            await self._wait()
            self._add_log()
        with self._lock:
            return list(self._events)

    def close(self) -> None:
        """End the host and all that it runs."""
        with self._lock:
            self._closed.set()
            pool, slots = self.pool, list(self.slots.values())
        self._supplied.set()
        self.commands.end()
        if pool is not None:
            pool.close()
        for done in slots:
            done.set()
        shutil.rmtree(self.folder, ignore_errors=True)
