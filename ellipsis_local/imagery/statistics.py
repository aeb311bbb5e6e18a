"""What the values of one band come to, as they pass by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_KEPT = 2**24
"""Values of all bands together that are kept for exact percentiles."""
FINE_BINS = 2**16
BINS = 256
PERCENT = np.arange(101)
NUMBERS = ("min", "max", "mean", "median", "deviation", "sum")

Values = NDArray[Any]
Bins = list[tuple[Any, Any]]


class Tally:
    """Takes values in, keeps all of them while they are few, and answers.

    Integers of 8 and 16 bits are counted per value, which is exact for any number. Of other dtypes the values are kept
    up to a limit, which `bands` share; once there are more (`overflowed`), they have to come a second time, to be
    counted in bins between the lowest and the highest. Each value stands for `weight` pixels.
    """

    def __init__(self, dtype: np.dtype[Any], bands: int, *, weight: int = 1) -> None:
        self.count = 0
        self.overflowed = False
        self._weight = weight
        self._most = MOST_KEPT // bands
        self._kept: list[Values] = []
        self._integer = dtype.kind in "iu"
        self._per_value = self._integer and dtype.itemsize <= 2
        self._first = int(np.iinfo(dtype).min) if self._per_value else 0
        self._counts = np.zeros(2 ** (8 * dtype.itemsize) if self._per_value else FINE_BINS, dtype=np.int64)
        self._lowest: Any = None
        self._highest: Any = None
        self._mean, self._squares, self._sum = 0.0, 0.0, 0.0
        self._exact_sum = 0

    def add(self, values: Values) -> None:
        """Take in values, without missing ones."""
        if not values.size:
            return
        if self._per_value:
            self.count += values.size
            self._counts += np.bincount(values.astype(np.int64) - self._first, minlength=len(self._counts))
            return
        low, high = values.min(), values.max()
        self._lowest = low if self._lowest is None else min(self._lowest, low)
        self._highest = high if self._highest is None else max(self._highest, high)
        self._moments(values)
        if not self.overflowed:
            self._kept.append(values)
            if self.count > self._most:
                self.overflowed, self._kept = True, []

    def _moments(self, values: Values) -> None:
        """Mean and sum of squared differences, joined with those so far (Chan's update)."""
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = values.astype(np.float64)
            mean, count = float(numbers.mean()), self.count + values.size
            apart = mean - self._mean
            self._squares += float(((numbers - mean) ** 2).sum()) + apart * apart * self.count * values.size / count
            self._mean += apart * values.size / count
            self._sum += float(numbers.sum())
        if self._integer:
            # In halves, so that no sum of 64-bit integers is rounded or runs over.
            wide = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
            self._exact_sum += (int((wide >> 32).sum()) << 32) + int((wide & 0xFFFFFFFF).sum())
        self.count = count

    def add_again(self, values: Values) -> None:
        """Count values that came before, now that the lowest and the highest are known."""
        self._counts += binned(values, float(self._lowest), float(self._highest), FINE_BINS)

    def answer(self) -> dict[str, Any]:
        """Statistics as plain numbers; None, and empty lists, where nothing was counted."""
        if not self.count:
            return dict.fromkeys(NUMBERS) | {"count": 0, "percentiles": [], "histogram": []}
        facts, percentiles, histogram = self._of_counts() if self._per_value else self._of_stream()
        facts |= {"median": percentiles[50], "sum": facts["sum"] * self._weight}
        return {
            **{name: finite(facts[name]) for name in NUMBERS},
            "count": self.count * self._weight,
            "percentiles": [finite(value) for value in percentiles],
            "histogram": [{"bin": at, "count": int(n) * self._weight} for at, n in histogram if n],
        }

    def _of_counts(self) -> tuple[dict[str, Any], list[Any], Bins]:
        there = np.flatnonzero(self._counts)
        values, counts = there + self._first, self._counts[there]
        ends = np.cumsum(counts)
        total = int((values * counts).sum())
        mean = total / self.count
        deviation = math.sqrt(float((counts * (values - mean) ** 2).sum()) / self.count)
        facts = {"min": int(values[0]), "max": int(values[-1]), "mean": mean, "deviation": deviation, "sum": total}
        percentiles = percentiles_of(self.count, lambda places: values[np.searchsorted(ends, places, side="right")])
        return facts, percentiles, histogram_of(values, counts)

    def _of_stream(self) -> tuple[dict[str, Any], list[Any], Bins]:
        facts = {
            "min": self._lowest.item(),
            "max": self._highest.item(),
            "mean": self._mean,
            "deviation": math.sqrt(self._squares / self.count),
            "sum": self._exact_sum if self._integer else self._sum,
        }
        if not self.overflowed:
            ordered = np.sort(np.concatenate(self._kept))
            first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
            histogram = histogram_of(ordered[first], np.diff(first, append=len(ordered)))
            return facts, percentiles_of(self.count, lambda places: ordered[places]), histogram
        low, high = float(self._lowest), float(self._highest)
        edges = edges_of(low, high, FINE_BINS)
        ends = np.concatenate([[0], np.cumsum(self._counts)])
        percentiles = np.interp(self.count * PERCENT / 100, ends, [*edges, high]).tolist()
        percentiles[0], percentiles[-1] = facts["min"], facts["max"]
        together = self._counts.reshape(BINS, -1).sum(axis=1)
        return facts, percentiles, list(zip(edges[:: FINE_BINS // BINS].tolist(), together, strict=True))


def percentiles_of(count: int, value_at: Any) -> list[Any]:
    """0 to 100 %, linear between neighbours; `value_at` gives the values at places in their order."""
    place = (count - 1) * PERCENT / 100
    before = np.floor(place)
    low = value_at(before.astype(np.int64)).astype(np.float64)
    high = value_at(np.ceil(place).astype(np.int64)).astype(np.float64)
    part = place - before
    with np.errstate(over="ignore", invalid="ignore"):
        apart = high - low
        found: list[Any] = np.where(np.isfinite(apart), low + apart * part, low * (1 - part) + high * part).tolist()
    return found


def histogram_of(values: Values, counts: Values) -> Bins:
    """Different values in their order, or 256 bins where there are more; their lower edges and numbers."""
    if len(values) <= BINS:
        return list(zip(values.tolist(), counts, strict=True))
    low, high = float(values[0]), float(values[-1])
    into = binned(values, low, high, BINS, counts)
    return list(zip(edges_of(low, high, BINS).tolist(), into, strict=True))


def edges_of(low: float, high: float, bins: int) -> NDArray[np.float64]:
    """The lower edges of bins of one width; by halves, since the whole range may be too large a number."""
    edges: NDArray[np.float64] = 2 * (low / 2 + np.arange(bins, dtype=np.float64) * ((high / 2 - low / 2) / bins))
    return edges


def binned(values: Values, low: float, high: float, bins: int, counts: Values | None = None) -> NDArray[np.int64]:
    """How many values fall into each bin of one width from `low` to `high`."""
    span = high / 2 - low / 2
    place = (values.astype(np.float64) / 2 - low / 2) / span * bins if span else np.zeros(len(values))
    number = np.clip(place, 0, bins - 1).astype(np.int64)
    return np.bincount(number, weights=counts, minlength=bins).astype(np.int64)


def finite(number: Any) -> Any:
    """JSON has no infinity."""
    return number if isinstance(number, int) or math.isfinite(number) else None
