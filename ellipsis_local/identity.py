"""Ids and times of what a home stores, which asks by way of its database; what measures goes by the real clock."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

STEP = 1e-6
"""Seconds between two times that must differ although the clock stands: the least that a float of today's holds."""


@dataclass(frozen=True)
class Identity:
    """Where ids and times come from.

    With a seed, the ids of a home are a function of the seed and of how many were made before (our choice). So the same
    calls in the same order on a fresh home give the same ids on every machine; and two homes with one seed have the
    same. Secrets (tokens, salts of passwords) are drawn from the system all the same.

    With a clock, every time is that instant (our choice; as freezegun does it).
    """

    seed: int | None = None
    clock: datetime | None = None
    """Aware."""

    def now(self) -> datetime:
        """In UTC."""
        return datetime.now(UTC) if self.clock is None else self.clock.astimezone(UTC)

    def seconds(self) -> float:
        """As `time.time`."""
        return time.time() if self.clock is None else self.clock.timestamp()

    def id(self, number: int) -> str:
        """A UUID in its canonical text: the one that the seed has for this number, without a seed a new one."""
        if self.seed is None:
            return str(uuid4())
        digest = hashlib.sha256(f"ellipsis_local\n{self.seed}\n{number}".encode()).digest()
        return str(UUID(bytes=digest[:16], version=4))
