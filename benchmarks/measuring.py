"""Timing: cases take turns, round by round, so that a drifting machine touches all of them alike."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

__all__ = ["Case", "Row", "compare", "interleave", "settle"]

Times = dict[str, list[float]]


def _nothing(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """One thing to time; `before` and `after` (which gets what `run` returned) are not timed."""

    run: Callable[[], Any]
    before: Callable[[], Any] = _nothing
    after: Callable[[Any], Any] = _nothing


def interleave(cases: Mapping[str, Case], rounds: int, warm: int = 1) -> Times:
    """Seconds of each case in each round; `warm` rounds before them are not counted."""
    times: Times = {name: [] for name in cases}
    order = list(cases)
    for number in range(-warm, rounds):
        for name in order:
            case = cases[name]
            case.before()
            began = time.perf_counter()
            result = case.run()
            seconds = time.perf_counter() - began
            case.after(result)
            if number >= 0:
                times[name].append(seconds)
        order = order[1:] + order[:1]
    return times


def settle(size: int) -> None:
    """Have `size` bytes of memory at hand.

    Many virtual machines give free memory back to their host, and touching it again takes seconds per GB: whoever came
    first would pay for it. Here a process touches it just before, and ends.
    """
    subprocess.run([sys.executable, "-c", f"import numpy; numpy.ones({size}, 'u1')"], check=True)


@dataclass
class Row:
    """One line of the table."""

    name: str
    values: list[float]
    """One per round."""
    unit: str = "s"
    baseline: str = ""
    baseline_values: list[float] = field(default_factory=list)
    limit: float | None = None
    """The goal: of the ratio where there is a baseline, else of the value."""
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        """Median of the rounds' own ratios; of the medians where the rounds differ in number."""
        if not self.baseline_values:
            return None
        if len(self.values) == len(self.baseline_values):
            return median(a / b for a, b in zip(self.values, self.baseline_values, strict=True))
        return self.value / median(self.baseline_values)

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.limit

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.value,
            "values": self.values,
            "baseline": self.baseline,
            "baseline_median": median(self.baseline_values) if self.baseline_values else None,
            "baseline_values": self.baseline_values,
            "ratio": self.ratio,
            "goal": self.limit,
            "met": self.met,
            "note": self.note,
        }


def compare(name: str, times: Times, case: str, baseline: str, limit: float | None = None, note: str = "") -> Row:
    """A row of two cases of one `interleave`."""
    return Row(name, times[case], baseline=baseline, baseline_values=times[baseline], limit=limit, note=note)
