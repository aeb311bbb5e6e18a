"""What is known around a function: its compute, and where a name outside of it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ellipsis_local.preflight.installed import Installed


class Origin(NamedTuple):
    """Where a name outside of a function comes from."""

    kind: Literal["closure", "global"]
    way_out: str
    """How to bring it into the body."""


Look = Callable[[str], Origin | None]
"""From a name to what defines it outside of the function; None where nothing does."""


def _nothing() -> Installed | None:
    return None


@dataclass(frozen=True)
class Surroundings:
    """What is known of the compute that a function is for; the rules are silent on what is not."""

    python: tuple[int, ...] = (3, 12)
    """The version of the environment's interpreter: two numbers or more."""
    layers: tuple[tuple[str, str], ...] | None = None
    """Path id and timestamp id of each, as they are spelled in createCompute; None: not known."""
    files: tuple[str, ...] | None = None
    """Path ids; None: not known."""
    requirements: tuple[str, ...] | None = None
    """PEP 508; None: not known."""
    large: bool | None = None
    """Whether the function has to return a memory file (largeResult, writeToLayer); None: not known."""
    installed: Callable[[], Installed | None] = _nothing
    """What the environment holds, called only where a rule depends on it; None: there is none to look at."""
