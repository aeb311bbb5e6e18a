"""What every group of rows gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from data import Layers, Sizes
from ours import Ours

__all__ = ["Bench"]


@dataclass
class Bench:
    """The layers, our home, and how often to measure."""

    ours: Ours
    python: Path
    """The interpreter of the environment that the computes use."""
    sizes: Sizes
    layers: Layers
    small: Layers
    """The layers of `--quick`, to compare sizes with."""
    small_sizes: Sizes
    rounds: int
    quick: bool
    rivals: list[Path] = field(default_factory=list)
    """Interpreters in which packages of rivals may be installed."""
    client: Path | None = None
    """An interpreter in which the real client is installed."""
    moto: Path | None = None
    """An interpreter in which moto is installed."""
