"""Requests that are sent again: a client that got no answer in 20 s repeats its POST, which must not be done twice.

unanswered ──> the repeat waits for the first one's answer
    └─> answered, and nobody was there any more ──> kept for a while ──> the repeat gets it
    └─> answered ──> forgotten: the next identical request is a new one
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

KEPT_SECONDS = 60.0
"""The client sends again 2 s after it gave up (seen in the client); a busy one may take longer."""
MOST_KEPT = 1000

T = TypeVar("T")
Gone = Callable[[], Awaitable[bool]]


class _Call(Generic[T]):
    """One piece of work, and the connections that want its answer."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.gone: list[Gone] = []
        self.until = float("inf")

    async def deserted(self) -> bool:
        """Whether all who asked have gone."""
        return all([await gone() for gone in self.gone])


class Idempotency(Generic[T]):
    """Joins identical requests of one event loop.

    An answer waits `seconds` for the repeat where the connection that asked was gone; of more than `most` such answers
    the oldest goes first.
    """

    def __init__(self, seconds: float = KEPT_SECONDS, most: int = MOST_KEPT) -> None:
        self._seconds = seconds
        self._most = most
        self._calls: dict[Hashable, _Call[T]] = {}

    async def run(
        self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]], gone: Gone, *, join_living: bool
    ) -> T:
        """The answer of `work`, or of an identical request that came before and got no answer.

        What `work` raises is raised. Requests are identical where they share `key`: a hash of token, method, path and
        body. `work` goes on to its end, whoever waits for it; `gone` tells whether the connection that asks now has
        gone. With `join_living` a request counts as a repeat even while the connection of the first one is open.
        """
        self._expire()
        call = self._calls.get(key)
        if call is None or not (join_living or await call.deserted()):
            call = _Call(asyncio.get_running_loop().create_task(work()))
            self._calls[key] = call
        call.gone.append(gone)
        try:
            return await asyncio.shield(call.task)
        finally:
            if await gone():
                call.until = asyncio.get_running_loop().time() + self._seconds
            elif self._calls.get(key) is call:
                del self._calls[key]

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        kept = [key for key, call in self._calls.items() if call.task.done()]
        for key in kept:
            if self._calls[key].until <= now or len(kept) > self._most:
                del self._calls[key]
                kept = kept[1:]
