"""Wrong passwords from the network, counted per user and address: beyond a few, each lets the next one wait longer."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from ellipsis_local.clocks import monotonic
from ellipsis_local.errors import TooManyLoginsError

FREE, FREE_OF_ADDRESS = 5, 50
"""So many for one user, and for all users together, before an address has to wait."""
FIRST_SECONDS, MOST_SECONDS = 1.0, 60.0
"""How long after the first that is not free; twice as long after each further one, up to the most."""
FORGET_SECONDS = 900.0
MOST_KEPT = 10_000


@dataclass
class _Count:
    number: int = 0
    last: float = 0.0
    free_at: float = 0.0


class WrongPasswords:
    """In memory: who can restart the server needs no password."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str | None], _Count] = {}
        self._lock = threading.Lock()

    def check(self, address: str, name: str) -> None:
        """TooManyLoginsError, with the seconds to wait, where the address has to."""
        with self._lock:
            left = max(self._count(key).free_at for key in ((address, name), (address, None))) - monotonic()
        if left > 0:
            seconds = math.ceil(left)
            text = f"too many wrong passwords for user {name!r} came from here: try again in {seconds} s"
            raise TooManyLoginsError(f"{text}; tokens that were given out stay valid", seconds=seconds)

    def add(self, address: str, name: str) -> None:
        """Count one."""
        with self._lock:
            for key, free in (((address, name), FREE), ((address, None), FREE_OF_ADDRESS)):
                count, now = self._count(key), monotonic()
                count.number, count.last = count.number + 1, now
                if count.number > free:
                    count.free_at = now + min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(count.number - free - 1, 30))
                # Last in order: the first ones are those that were not seen for longest.
                self._counts.pop(key, None)
                self._counts[key] = count
            while len(self._counts) > MOST_KEPT:
                del self._counts[next(iter(self._counts))]

    def forget(self, address: str, name: str) -> None:
        """After the right one: the user's own mistakes count no longer."""
        with self._lock:
            self._counts.pop((address, name), None)

    def _count(self, key: tuple[str, str | None]) -> _Count:
        count = self._counts.get(key)
        return count if count is not None and monotonic() - count.last < FORGET_SECONDS else _Count()
