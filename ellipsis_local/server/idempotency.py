"""Requests that are sent again: a client that got no answer in 20 s repeats its POST, which must not be done twice.

The repeat waits for the first one's answer, which is kept for a while if nobody was there to read it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

KEPT_SECONDS = 60.0
"""The client sends again 2 s after it gave up (seen in the client); a busy one may take longer."""
MOST_KEPT = 1000

T = TypeVar("T")
Gone = Callable[[], Awaitable[bool]]


@dataclass
class _Call(Generic[T]):
    """One piece of work, and the connections that want its answer."""

    task: asyncio.Task[T]
    gone: list[Gone] = field(default_factory=list)
    until: float = math.inf

    async def deserted(self) -> bool:
        return all([await gone() for gone in self.gone])


class Idempotency(Generic[T]):
    """Joins identical requests of one event loop; keeps `most` answers that nobody took for `seconds`."""

    def __init__(self, seconds: float = KEPT_SECONDS, most: int = MOST_KEPT) -> None:
        self._seconds = seconds
        self._most = most
        self._calls: dict[Hashable, _Call[T]] = {}

    async def run(
        self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]], gone: Gone, *, join_living: bool
    ) -> T:
        """The answer of `work`, which goes on to its end, or of an unanswered request before it with the same key.

        With `join_living` a request counts as a repeat even while the connection of the first one is open.
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
