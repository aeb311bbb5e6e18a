"""The engine of a Dask cluster, and its pools: which worker has which nodes, and what becomes of them.

A pool has a *site* on each worker that it uses (see `sites`). A node is *granted* to a site when a slot there is free,
and by the caller alone: whatever Dask does again, no node is granted twice. Where a worker is lost, the nodes that were
granted to it and are not over have died, and the others go to other sites.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import queue
import tarfile
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ellipsis_local.clocks import monotonic
from ellipsis_local.cluster.link import WORKERS_SECONDS, Link, LostError, NotAskedError
from ellipsis_local.cluster.sites import Event, Machine, boot, hold
from ellipsis_local.cluster.transfer import bring, fetch, pinned
from ellipsis_local.errors import EllipsisLocalError, EngineError
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeOutcome, Part, files_of, node_of
from ellipsis_local.nodes import Capabilities, Parts, Place, Program
from ellipsis_local.nodes.engine import OnOutcome, OnStart, nobody

LEASE_SECONDS = 20.0
"""How long nodes outlive their caller."""
GROW_SECONDS = 2.0
"""How often an execution that could use more workers looks for some."""
MOST_ASKED = 100
MOST_TRIES = 5
AGAIN_SECONDS = 30.0
"""How long an execution waits for a worker when it has lost all."""
CLOSE_SECONDS = 2.0
MOST_GRANTED = 32
"""Nodes that a slot has at one time, where they are over at once."""
SHORT_SECONDS = 0.02
"""What is over so soon is granted by several: asking would take longer."""
OVER = object()


class DaskEngine:
    """Runs nodes on the workers of a Dask cluster.

    Parameters
    ----------
    scheduler : str, Client or Cluster
        As the setting of that name.
    share : bool
        Whether workers on the caller's own machine use its files where they lie.
    """

    def __init__(self, scheduler: Any, *, share: bool = True) -> None:
        self.link = Link(scheduler)
        self._share = share
        self.capabilities = Capabilities(environments=True, limits=True, beside=True, gpus=self._gpus)

    def _gpus(self) -> tuple[str, ...]:
        machines = self.link.run(self.link.machines())
        return tuple(f"{one.address}/{gpu}" for one in machines for gpu in one.gpus)

    def look(self) -> list[tuple[Machine, dict[str, Any]]]:
        """The workers there are, each with what `doctor` tells of it; EngineError as `start`."""

        async def ask() -> list[tuple[Machine, dict[str, Any]]]:
            machines = await self.link.machines()
            told = await asyncio.gather(*(self.link.ask(one.address, "look") for one in machines))
            return list(zip(machines, told, strict=True))

        return self.link.run(ask())

    def start(self, program: Program, parts: Callable[[], Parts], place: Place) -> DaskPool:
        """See `Engine.start`; EngineError where the cluster cannot run nodes."""
        pool = DaskPool(self.link, program, place, share=self._share)
        try:
            pool.open(parts)
        except BaseException:
            pool.close()
            raise
        return pool

    def close(self) -> None:
        """Let the cluster go."""
        self.link.close()


class _WorkerLostError(EngineError):
    """A worker was lost before its nodes could run; others may do."""


@dataclass(eq=False)
class RemoteSite:
    """A site (see `sites`) as the caller sees it: a worker, and the nodes of each of its slots."""

    machine: Machine
    slots: int
    shares: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    nodes: list[list[int]] = field(default_factory=list)
    many: dict[int, int] = field(default_factory=dict)
    """How many nodes of the function a slot is granted at one time, where that is not one."""
    function: str = ""
    """The key of the last function."""
    known: int = 0
    """The number of the last event that has come."""
    lost: bool = False


@dataclass(eq=False)
class Run:
    """What one site does of one execution."""

    site: RemoteSite
    waiting: list[deque[int]]
    """Per slot the nodes that are not granted."""
    granted: dict[int, int] = field(default_factory=dict)
    """Nodes that are not over, with their slots."""
    opened: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)
    idle: bool = False
    fetching: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def over(self) -> bool:
        return self.idle and not self.granted and not any(self.waiting)

    def offer(self) -> dict[int, list[int]]:
        """Nodes that slots begin with where they are free; they are taken out of those that wait."""
        return {
            slot: [nodes.popleft() for _ in range(min(len(nodes), self.site.many.get(slot, 1)))]
            for slot, nodes in enumerate(self.waiting)
        }

    def take_back(self, offered: Mapping[int, list[int]]) -> None:
        """Let those wait that were not granted."""
        for slot, nodes in offered.items():
            self.waiting[slot].extendleft(node for node in reversed(nodes) if node not in self.granted)

    def grants(self) -> tuple[list[tuple[int, int]], list[int]]:
        """Nodes to grant now, with their slots, and the slots that get no more after that."""
        runs: list[tuple[int, int]] = []
        for slot in self.opened:
            room = self.site.many.get(slot, 1) - list(self.granted.values()).count(slot)
            while room > 0 and self.waiting[slot]:
                runs.append((self.waiting[slot].popleft(), slot))
                room -= 1
        self.granted.update(runs)
        last = [slot for slot in self.opened - self.last if not self.waiting[slot]]
        self.last.update(last)
        return runs, last

    def ended(self, outcome: NodeOutcome) -> None:
        slot = self.granted.pop(outcome.node)
        short = outcome.seconds is not None and outcome.seconds < SHORT_SECONDS
        self.site.many[slot] = min(2 * self.site.many.get(slot, 1), MOST_GRANTED) if short else 1
        self.idle = False


class DaskPool:
    """The nodes of one compute on a cluster; one execution at a time."""

    def __init__(self, link: Link, program: Program, place: Place, *, share: bool) -> None:
        self._link = link
        self._program = program
        self._place = place
        self._share = share
        self._cut: Future[Parts] = Future()
        self._sites: list[RemoteSite] = []
        self._closed = False
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._count = 0
        """Of executions."""
        self._runs: list[Run] = []
        """Of the execution that is going on."""
        self._finishing: set[asyncio.Task[None]] = set()
        self._moved = False
        """Whether some nodes belong to another site than the first."""
        self._moving = 0
        """How many lots of nodes belong to no site as yet."""
        self._renewing: Any = None
        self._executing: asyncio.Task[None] | None = None

    # ----- sites -----------------------------------------------------------------------------------------------------

    def open(self, parts: Callable[[], Parts]) -> None:
        """Have sites on the workers, while `parts` are made."""
        for folder in ("results", "scratch"):
            (self._place.folder / folder).mkdir(parents=True, exist_ok=True)
        self._renewing = self._link.start(self._renew())
        opening = self._link.start(self._open_all())
        try:
            self._cut.set_result(parts())
            opening.result()
        except BaseException:
            opening.cancel()
            raise

    async def _open_all(self) -> None:
        """Sites for all nodes, in the place of those that there are."""
        sites, self._sites = self._sites, []
        await self._end(sites)
        self._sites = await self._open(self._program.nodes, self._groups, WORKERS_SECONDS)
        self._moved = False

    async def _open(
        self, nodes: int, groups: Callable[[int], list[list[int]]], patience: float, machines: Sequence[Machine] = ()
    ) -> list[RemoteSite]:
        """Sites that are ready, with what `groups` gives to so many slots; on these machines, or on any."""
        left = MOST_TRIES
        while True:
            try:
                sites = await self._prepare(machines or await self._machines(patience), nodes)
                await asyncio.wrap_future(self._cut)
                await self._supply(sites, groups(sum(site.slots for site in sites)))
                return sites
            except _WorkerLostError:
                # The next one may be about to go, too.
                machines, left = (), left - 1
                if not left:
                    raise

    @property
    def _parts(self) -> Parts:
        return self._cut.result()

    @property
    def _partitions(self) -> int:
        return len(self._parts) or self._program.nodes

    @property
    def _wanted(self) -> int:
        """How many nodes may run at one time."""
        return min(self._program.nodes, self._program.cores or self._program.nodes)

    def _groups(self, slots: int) -> list[list[int]]:
        """The nodes of each slot; all partitions of one node in the same."""
        count, nodes = self._partitions, self._program.nodes
        groups: list[list[int]] = [[] for _ in range(slots)]
        for number in range(count):
            groups[node_of(number, count, nodes) % slots].append(number)
        return groups

    async def _prepare(self, machines: Sequence[Machine], nodes: int) -> list[RemoteSite]:
        """Begin sites for so many nodes on workers, with their environments."""
        threads = [machine for number in range(max(one.threads for one in machines)) for machine in machines
                   if machine.threads > number]  # fmt: skip
        used = threads[: min(nodes, self._wanted)]
        sites = [RemoteSite(machine, used.count(machine)) for machine in dict.fromkeys(used)]
        try:
            await asyncio.gather(*map(self._begin, sites))
        except BaseException:
            await self._end(sites)
            raise
        return sites

    def _ask_for_workers(self, count: int, name: str = "nodes") -> Any:
        """Tasks that wait for a thread: an adaptive cluster grows by them. They do nothing, and end with the answer."""
        keys = [f"{name}-{uuid.uuid4().hex}" for _ in range(count)]
        return self._link.client.map(hold, keys, [0] * count, [0] * count, key=keys, pure=False)

    async def _machines(self, patience: float) -> list[Machine]:
        end, asked = monotonic() + patience, None
        while not (found := await self._link.machines()):
            asked = asked or self._ask_for_workers(self._wanted)
            if monotonic() > end:
                raise EngineError(f"the Dask cluster has had no worker for {patience:g} s; start some, then try again")
            await asyncio.sleep(0.1)
        return found

    async def _begin(self, site: RemoteSite) -> None:
        """A site's environment, and the start of its host."""
        ask, address = self._link.ask, site.machine.address
        mark = self._place.folder / f".new-{site.id}"
        program = self._program
        try:
            mark.touch()
            site.shares = self._share and await ask(address, "shares", mark, boot())
            if not site.shares:
                environment, wheels = await asyncio.to_thread(pinned, program.environment, self._place.folder)
                await bring(self._link, site.machine, wheels)
                program = replace(program, environment=environment)
            place = self._place if site.shares else None
            await ask(address, "prepare", site.id, program, place, site.slots, LEASE_SECONDS)
            while not await ask(address, "prepared", site.id):
                pass
        except (LostError, EllipsisLocalError) as error:
            raise self._told(site, error) from error
        finally:
            mark.unlink(missing_ok=True)

    @staticmethod
    def _told(site: RemoteSite, error: Exception) -> EllipsisLocalError:
        """An error of a worker, with its name."""
        if not isinstance(error, EllipsisLocalError):
            return _WorkerLostError(f"worker {site.machine} was lost: {error}")
        error.args = (f"worker {site.machine}: {error}",)
        return error

    async def _supply(self, sites: Sequence[RemoteSite], groups: list[list[int]]) -> None:
        """Let sites have their parts, once per machine, and wait until they can run nodes."""
        begin = 0
        for site in sites:
            site.nodes = groups[begin : begin + site.slots]
            begin += site.slots
        try:
            stores: dict[str, list[RemoteSite]] = {}
            for site in sites:
                if not site.shares:
                    stores.setdefault(site.machine.store, []).append(site)
            sending = (bring(self._link, same[0].machine, self._files(same)) for same in stores.values())
            await asyncio.gather(*sending)
            await asyncio.gather(*map(self._supply_one, sites))
        except BaseException:
            await self._end(sites)
            raise

    async def _supply_one(self, site: RemoteSite) -> None:
        own = {number for nodes in site.nodes for number in nodes}
        parts = tuple(node if number in own else () for number, node in enumerate(self._parts))
        try:
            while not await self._link.ask(site.machine.address, "supply", site.id, parts):
                pass
        except (LostError, EllipsisLocalError) as error:
            raise self._told(site, error) from error

    def _own_parts(self, sites: Sequence[RemoteSite]) -> Iterator[Part]:
        for number in (number for site in sites for nodes in site.nodes for number in nodes):
            yield from self._parts[number] if self._parts else ()

    def _files(self, sites: Sequence[RemoteSite]) -> dict[str, Path]:
        """What nodes of sites read, by its name on every machine."""
        names = dict.fromkeys(name for part in self._own_parts(sites) for name in files_of(part))
        files = {f"{file.location}/file": self._place.files[file.location] for file in self._program.files}
        return {name: Path(self._place.part(name)) for name in names} | files

    async def _renew(self) -> None:
        """Tell the workers that the caller lives."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 5)
            sites = [site for site in self._sites if not site.lost]
            asked = (self._link.ask(site.machine.address, "renew", [site.id]) for site in sites)
            await asyncio.gather(*asked, return_exceptions=True)

    async def _end(self, sites: Sequence[RemoteSite]) -> None:
        asked = (self._link.ask(site.machine.address, "close", site.id) for site in sites if not site.lost)
        await asyncio.gather(*asked, return_exceptions=True)

    # ----- executions ------------------------------------------------------------------------------------------------

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        """See `Pool.execute`; an interruption (Ctrl-C) closes the pool."""
        if self._closed:
            raise EngineError("the nodes were ended")
        try:
            news: queue.SimpleQueue[Any] = queue.SimpleQueue()
            self._news = news
            running = self._link.start(self._execute(replace(command, timeout=self._program.timeout)))
            running.add_done_callback(lambda _: news.put(OVER))
            while (told := news.get()) is not OVER:
                if isinstance(told, NodeOutcome):
                    on_outcome(told)
                else:
                    on_start(told)
            if self._closed:
                running.cancel()
                raise EngineError("the nodes were ended")
            running.result()
        except BaseException:
            self.close()
            raise

    async def _execute(self, command: Command) -> None:
        self._executing = asyncio.current_task()
        await self._settle()
        self._runs, self._moving, self._count = [], 0, self._count + 1
        serving: set[asyncio.Task[list[int]]] = set()
        growing: asyncio.Task[list[RemoteSite]] | None = None
        sites = list(self._sites)
        try:
            while serving or sites or self._moving:
                serving |= {asyncio.create_task(self._serve(site, command)) for site in sites}
                sites = []
                if growing is None and sum(site.slots for site in self._sites if not site.lost) < self._wanted:
                    growing = asyncio.create_task(self._grow(command.function.name or "function"))
                waited = [*serving, *([growing] if growing else [])]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if growing is not None and growing.done():
                    sites, growing = growing.result(), None
                done = {task for task in serving if task.done()}
                serving -= done
                left = sorted(number for task in done for number in task.result())
                sites += await self._move(left) if left else []
        finally:
            for task in (*serving, *([growing] if growing else [])):
                task.cancel()

    async def _grow(self, name: str) -> list[RemoteSite]:
        """Sites on workers that have come, with nodes that waited elsewhere; it is waited for them."""
        used = {site.machine.instance for site in self._sites}
        await asyncio.sleep(GROW_SECONDS)
        asked = self._ask_for_workers(min(self._wanted, MOST_ASKED), name)
        new: list[Machine] = []
        while not new:
            await asyncio.sleep(GROW_SECONDS)
            # One that cannot work with this process is no reason to end what runs.
            with contextlib.suppress(EngineError):
                new = [machine for machine in await self._link.machines() if machine.instance not in used]
        del asked
        queues = [nodes for run in self._runs if not run.site.lost for nodes in run.waiting]
        if not any(queues):
            return []
        # The share of the new slots, from where most wait.
        slots = sum(machine.threads for machine in new)
        share = max(1, slots * sum(map(len, queues)) // (slots + len(queues)))
        return await self._move([max(queues, key=len).pop() for _ in range(share)], new)

    async def _move(self, nodes: list[int], machines: Sequence[Machine] = ()) -> list[RemoteSite]:
        """Further sites for nodes that no other has begun, on these machines, or on any; see `_settle`."""
        self._moved, self._moving = True, self._moving + 1
        sites = await self._open(
            len(nodes), lambda slots: [sorted(nodes)[slot::slots] for slot in range(slots)], AGAIN_SECONDS, machines
        )
        self._sites += sites
        self._moving -= 1
        return sites

    async def _settle(self) -> None:
        """See to it that the sites are those that the cluster allows now: workers come and go."""
        slots = sum(site.slots for site in self._sites)
        usable = not self._moved and not any(site.lost for site in self._sites)
        if usable and slots < self._wanted:
            machines = {one.instance: one.threads for one in await self._link.machines()}
            usable = slots == min(self._wanted, sum(machines.values()))
        if not usable:
            await self._open_all()

    async def _serve(self, site: RemoteSite, command: Command) -> list[int]:
        """Have a site run its nodes; those that it has not begun when it is lost."""
        address, name = site.machine.address, command.function.name or "function"
        if site.function != command.function.key:
            site.function, site.many = command.function.key, {}
        run = Run(site, [deque(nodes) for nodes in site.nodes])
        self._runs.append(run)
        keys = [f"{name}-{self._count}-{site.id}-{slot}" for slot in range(site.slots)]
        names = [] if site.shares else list(self._files([site]))
        number, offered = self._count, run.offer()
        last = [slot for slot, nodes in enumerate(run.waiting) if not nodes]
        tasks: list[Any] = []
        try:
            begin = "begin", site.id, site.known, number, command, names, keys, offered, last
            try:
                events = await self._link.ask(address, *begin)
            except LostError as error:
                if not isinstance(error, NotAskedError):
                    # Nobody knows whether they had begun.
                    run.granted.update((node, slot) for slot, nodes in offered.items() for node in nodes)
                run.take_back(offered)
                raise
            for event in events:
                if event.kind == "granted":
                    run.granted.update(event.value)
                    run.opened.update(slot for _, slot in event.value)
            run.last.update(run.opened.intersection(last))
            run.take_back(offered)
            slots = range(site.slots)
            same = [site.id] * site.slots, slots, [number] * site.slots
            tasks = self._link.client.map(hold, *same, key=keys, workers=[address], pure=False)
            while True:
                for event in events:
                    site.known = event.number
                    self._take(run, event)
                if run.over:
                    break
                events = await self._link.ask(address, "exchange", site.id, site.known, *run.grants())
        except LostError as error:
            site.lost = True
            text = f"worker {site.machine} was lost while it ran: {error}"
            for node in run.granted:
                self._tell(NodeOutcome(node, "failed", None, kind="died", text=text, machine=str(site.machine)))
            # Where the worker is there, and its host alone is not.
            await asyncio.gather(self._link.ask(address, "close", site.id), return_exceptions=True)
        except asyncio.CancelledError:
            for fetching in run.fetching:
                fetching.cancel()
            raise
        finally:
            finishing = asyncio.create_task(self._finish(site, number, tasks))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
        await asyncio.gather(*run.fetching)
        return [number for nodes in run.waiting for number in nodes]

    async def _finish(self, site: RemoteSite, number: int, tasks: list[Any]) -> None:
        """Give the threads of an execution back; before, a task that is forgotten would end the site."""
        with contextlib.suppress(LostError, EngineError):
            await self._link.ask(site.machine.address, "finish", site.id, number)
        for task in tasks:
            task.release()

    def _take(self, run: Run, event: Event) -> None:
        """What has come about on a site."""
        if event.kind == "open":
            run.opened.add(event.value)
        elif event.kind == "granted":
            # It was taken down before all others.
            pass
        elif event.kind == "begun":
            self._tell(event.value)
        elif event.kind == "idle":
            run.idle = True
        elif event.kind == "lost":
            raise LostError(event.value)
        elif event.kind == "log":
            with (self._place.folder / "log.jsonl").open("ab", buffering=0) as log:
                log.write(event.value)
        elif event.kind == "left":
            with tarfile.open(fileobj=io.BytesIO(event.value)) as archive, contextlib.suppress(OSError):
                archive.extractall(self._place.folder / "scratch", filter="data")
        else:
            outcome = replace(event.value, machine=str(run.site.machine))
            run.ended(outcome)
            if outcome.file is None or run.site.shares:
                self._tell(outcome)
            else:
                run.fetching.add(asyncio.ensure_future(self._fetch(run.site, outcome)))

    async def _fetch(self, site: RemoteSite, outcome: NodeOutcome) -> None:
        """Tell of a large result when it is here."""
        target = self._place.folder / "results" / str(outcome.file)
        try:
            await fetch(self._link, site.machine, site.id, str(outcome.file), outcome.size, target)
        except LostError as error:
            text = f"worker {site.machine} was lost before its result was here: {error}"
            outcome = replace(outcome, state="failed", kind="died", text=text, file=None, size=0)
        except OSError as error:
            outcome = replace(outcome, state="failed", kind="storage", text=str(error), file=None, size=0)
        self._tell(outcome)

    def _tell(self, told: NodeOutcome | int) -> None:
        self._news.put(told)

    # ----- its end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the nodes on all machines; where one does not answer, its lease ends them."""
        if self._closed:
            return
        self._closed = True
        self._news.put(OVER)
        if self._renewing is not None:
            self._renewing.cancel()
        if self._link.alive:
            with contextlib.suppress(TimeoutError, EngineError, OSError, RuntimeError):
                self._link.run(self._end_all(), CLOSE_SECONDS)

    async def _end_all(self) -> None:
        """End an execution, too: it would have the nodes that are left run on other sites."""
        executing = self._executing
        if executing is not None:
            executing.cancel()
        await self._end(self._sites)
        if executing is not None:
            await asyncio.wait([executing])

    @property
    def alive(self) -> bool:
        return not self._closed and self._link.alive
