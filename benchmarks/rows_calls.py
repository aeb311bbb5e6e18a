"""What an execution costs beyond the function: an empty one, on workers that run."""

from __future__ import annotations

from bench import Bench
from functions import empty
from measuring import Case, Row, interleave

__all__ = ["calls"]

GOALS = {2: 0.003, 64: 0.030}


def calls(bench: Bench) -> list[Row]:
    """An empty function on 2 and on 64 nodes."""
    ours = bench.ours
    layer = ours.small_raster()
    computes = {nodes: ours.create([layer], nodes) for nodes in GOALS}
    times = interleave(
        {str(n): Case(lambda i=i: ours.execute(i, empty)) for n, i in computes.items()}, bench.rounds * 10, warm=5
    )
    for compute_id in computes.values():
        ours.terminate(compute_id)
    return [Row(f"execute, empty function, {n} nodes", times[str(n)], limit=goal) for n, goal in GOALS.items()]
