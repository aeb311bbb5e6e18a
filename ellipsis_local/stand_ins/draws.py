"""Numbers out of a seed, bit for bit the same on every machine and with every release of numpy.

numpy promises that of the raw output of a bit generator only, and not of what its `Generator` makes of it. Sine and its
like differ from machine to machine in the last bit; sums, products and quotients do not.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
OCTAVES = ((3, 8.0), (10, 4.0), (33, 2.0))
"""Cells of a lattice along the longer side, and the weight of what is drawn on it."""


class Draws:
    """Draws of its own for every list of words."""

    def __init__(self, *words: Any) -> None:
        digest = hashlib.sha256("\n".join(map(str, words)).encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest))

    def uniform(self, *shape: int) -> Floats:
        """Numbers from 0 to below 1."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        found: Floats = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return found.reshape(shape)

    def below(self, limit: int, count: int) -> NDArray[np.int64]:
        """Whole numbers from 0 to below a limit."""
        return (self.uniform(count) * limit).astype(np.int64)

    def field(self, rows: int, columns: int) -> Floats:
        """A smooth field from 0 to 1, with a little grain."""
        found = self.uniform(rows, columns)
        whole = 1.0
        for cells, weight in OCTAVES:
            down, across = (max(1, cells * side // max(rows, columns)) for side in (rows, columns))
            found += weight * self._surface(rows, columns, down, across)
            whole += weight
        return found / whole

    def _surface(self, rows: int, columns: int, down: int, across: int) -> Floats:
        """Random heights on a lattice, and what lies between them."""
        lattice = self.uniform(down + 1, across + 1)
        above, share = _between(rows, down)
        strips = lattice[above] * (1 - share)[:, np.newaxis] + lattice[above + 1] * share[:, np.newaxis]
        left, share = _between(columns, across)
        surface: Floats = strips[:, left] * (1 - share) + strips[:, left + 1] * share
        return surface


def _between(count: int, cells: int) -> tuple[NDArray[np.int64], Floats]:
    """For each of `count` pixels the point of the lattice before it, and how much the next one counts."""
    place = (np.arange(count) + 0.5) * cells / count
    before = np.minimum(place.astype(np.int64), cells - 1)
    way = place - before
    return before, way * way * (3 - 2 * way)
