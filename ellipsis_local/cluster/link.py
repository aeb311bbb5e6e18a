"""The connection to a Dask cluster: the handshake, and questions to its workers, direct where that goes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

from distributed import Client
from distributed.core import clean_exception
from distributed.protocol.pickle import dumps

from ellipsis_local.cluster.sites import NAME, Machine, SiteGoneError, greet
from ellipsis_local.errors import EngineError, EnvironmentWarning, SettingsError
from ellipsis_local.notices import warn
from ellipsis_local.settings import is_loopback

T = TypeVar("T")

CONNECT_SECONDS = 10
DIRECT_SECONDS = 3.0
"""How long a worker is tried to be reached past the scheduler."""
LOST_SECONDS = 25.0
"""How long a worker may be silent."""
GREET_SECONDS = 8.0
"""The same where it has not been heard of before."""
WORKERS_SECONDS = 300.0
"""How long a cluster may take to have a first worker."""

PROBE = """(lambda imported: {
    "python": tuple(imported("sys").version_info[:3]),
    "host": imported("socket").gethostname(),
    "there": imported("importlib.util").util.find_spec("ellipsis_local") is not None,
    "version": next((one.version for one in imported("importlib.metadata").metadata.distributions(
        name="ellipsis-local")), None),
})(__import__)"""
"""What each machine is asked before anything else, as text: it may have another Python, and nothing of ours."""


class LostError(Exception):
    """A worker that does not answer any more, or a site that it has no more; nobody knows what was done since."""


def check_probe(who: str, found: dict[str, Any]) -> None:
    """EngineError in one sentence for a machine that cannot work with this one."""
    own: dict[str, Any] = eval(PROBE)  # noqa: S307 - our own text
    wanted = "ellipsis-local[dask]" + ("" if own["version"] is None else f"=={own['version']}")
    who = f"{who} on {found['host']}"
    install = f'`pip install "{wanted}"` there, and start it again'
    if not found["there"]:
        raise EngineError(f"{who} has no ellipsis_local, and this process has version {own['version']}: {install}")
    if found["version"] != own["version"]:
        text = f"has ellipsis_local {found['version']}, and this process {own['version']}"
        raise EngineError(f"{who} {text}: {install}")
    if tuple(found["python"])[:2] != own["python"][:2]:
        here, there = (".".join(map(str, python[:2])) for python in (own["python"], found["python"]))
        text = f"runs Python {there}, and this process {here}"
        raise EngineError(f"{who} {text}: start it with Python {here} (the nodes' own interpreter is another matter)")


class NotAskedError(LostError):
    """The same, where it is known that nothing was done: the worker was not asked."""


class Link:
    """A client of a cluster, made at the first use, and the workers that have introduced themselves to it."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._client: Any = None
        self._machines: dict[str, Machine] = {}
        self._relayed: set[str] = set()
        """Addresses of workers that are reached through the scheduler only."""

    @property
    def client(self) -> Any:
        """The client; EngineError where the scheduler cannot be reached, or is not as this process needs it."""
        with self._lock:
            if self._client is not None and self._client is not self._scheduler and self._client.status == "closed":
                self._client = None
            if self._client is None:
                client = self._connected()
                try:
                    self._check_scheduler(client)
                except BaseException:
                    self._let_go(client)
                    raise
                self._client = client
            return self._client

    def _connected(self) -> Any:
        given = self._scheduler
        if isinstance(given, Client):
            if given.asynchronous:
                raise SettingsError("scheduler must be a Client of Dask that is not asynchronous")
            return given
        address = given if isinstance(given, str) else given.scheduler_address
        if urlsplit(address).scheme == "tcp" and not is_loopback(urlsplit(address).hostname or ""):
            text = "everybody who reaches it can read what is sent, and run code; tls:// is for networks of others, too"
            warn(f"the scheduler {address} is reached without encryption: {text}", EnvironmentWarning)
        try:
            return Client(given, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            way = "start it with `dask scheduler`, or correct the setting scheduler"
            raise EngineError(f"the scheduler {address} cannot be reached: {error}; {way}") from error

    @staticmethod
    def _check_scheduler(client: Any) -> None:
        try:
            found = client.run_on_scheduler(eval, PROBE)
        except Exception as error:
            text = f"answers no questions: {error}; it must be allowed to (distributed.scheduler.pickle)"
            raise EngineError(f"the scheduler {client.scheduler.address} {text}") from error
        check_probe(f"the scheduler {client.scheduler.address}", found)

    def close(self) -> None:
        """Let the cluster go; a client that was given stays open."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            self._let_go(client)

    def _let_go(self, client: Any) -> None:
        if client is not self._scheduler:
            client.close()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Have the client's loop do it."""
        try:
            loop = self.client.loop.asyncio_loop
        except BaseException:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, loop)

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Do it in the client's loop, and wait for it."""
        future = self.start(coroutine)
        try:
            return future.result(seconds)
        except CancelledError:
            raise EngineError("the nodes were ended") from None
        except BaseException:
            future.cancel()
            raise

    @property
    def alive(self) -> bool:
        return self._client is not None and self._client.status == "running"

    def check(self) -> None:
        """EngineError where the scheduler is gone."""
        if not self.alive:
            raise EngineError("the scheduler of the Dask cluster is gone; what ran on its workers was ended")

    async def machines(self) -> list[Machine]:
        """The workers there are, each after its handshake; EngineError for one that cannot work with this process."""
        self.check()
        try:
            found = (await self.client.scheduler.identity(n_workers=-1))["workers"]
        except OSError as error:
            raise EngineError(f"the scheduler of the Dask cluster is gone: {error}") from error
        self._machines = {address: one for address, one in self._machines.items() if address in found}
        new = [address for address in found if address not in self._machines]
        for machine in await asyncio.gather(*map(self._greet, new)):
            if machine is not None:
                self._machines[machine.address] = machine
        return list(self._machines.values())

    async def _is_reachable(self, address: str) -> bool:
        """Whether a worker can be reached, if need be through the scheduler."""
        if address in self._relayed:
            return True
        try:
            comm = await asyncio.wait_for(self.client.rpc.connect(address), DIRECT_SECONDS)
        except OSError:
            return False
        self.client.rpc.reuse(address, comm)
        return True

    async def _greet(self, address: str) -> Machine | None:
        self._relayed.discard(address)
        if not await self._is_reachable(address):
            self._relayed.add(address)
        probe = {"function": dumps(eval), "args": dumps((PROBE,))}
        try:
            check_probe(f"worker {address}", await self._call(address, "run", GREET_SECONDS, **probe))
            machine: Machine = await self._call(address, "run", GREET_SECONDS, function=dumps(greet))
            return machine
        except LostError:
            # It is about to leave.
            return None

    async def ask(self, address: str, operation: str, *arguments: Any) -> Any:
        """Have our plugin of a worker do something; LostError where it is gone, or what was asked for is."""
        if address not in self._machines:
            raise NotAskedError("it is gone")
        try:
            return await self._call(address, NAME, operation=operation, arguments=dumps(arguments))
        except SiteGoneError as error:
            raise NotAskedError(str(error)) from error
        except LostError:
            self._machines.pop(address, None)
            raise

    async def _call(self, address: str, handler: str, seconds: float = LOST_SECONDS, **message: Any) -> Any:
        """What a handler of a worker answers; it is asked once more where only the connection was lost."""
        lost: type[LostError] = NotAskedError
        for last in (False, True):
            self.check()
            try:
                if address in self._relayed:
                    lost = LostError
                    asked = self.client.scheduler.broadcast(msg={"op": handler, **message}, workers=[address])
                    answer = (await asyncio.wait_for(asked, seconds))[address]
                else:
                    if not await self._is_reachable(address):
                        raise OSError("it cannot be reached")
                    lost = LostError
                    answer = await asyncio.wait_for(getattr(self.client.rpc(address), handler)(**message), seconds)
                break
            except TimeoutError as error:
                raise LostError(f"it has not answered for {seconds:g} s") from error
            except OSError as error:
                # The scheduler hears of it at the same moment.
                await asyncio.sleep(0 if last else 0.1)
                if last or address not in await self._known():
                    raise lost(f"its connection ended: {error}") from error
                if handler == NAME:
                    # Another process may have come to the address, who lacks the handler.
                    await self._call(address, "run", GREET_SECONDS, function=dumps(greet))
        if answer is None:
            # Nothing of ours is there, and no answer for it.
            raise NotAskedError("another process has come to its address, or it is about to leave")
        if answer["status"] == "error":
            raise clean_exception(**answer)[1]
        return answer["result"]

    async def _known(self) -> dict[str, Any]:
        """The workers that the scheduler has not lost."""
        self.check()
        with contextlib.suppress(OSError):
            found: dict[str, Any] = (await self.client.scheduler.identity(n_workers=-1))["workers"]
            return found
        return {}
