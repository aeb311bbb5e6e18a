"""The greatest NDVI of a large raster on two nodes: the first time, and again."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from statistics import median

from bench import Bench
from functions import ndvi_max
from measuring import Case, Row, compare, interleave, settle
from ours import clean_environ
from plain import Plain, once

__all__ = ["ndvi"]

NODES = 2
WARM, FRESH = "reading the windows, 2 running processes", "reading the windows, 2 processes started for it"
MAPPED = "numpy, array mapped already, 2 processes"


def ndvi(bench: Bench) -> list[Row]:
    """First: createCompute (environment seen, cut not) and one execution. Again: one execution."""
    ours = bench.ours
    layer = ours.layer(bench.layers.raster)
    warm_up = ours.create([layer], NODES)
    windows = ours.windows(warm_up)
    ours.terminate(warm_up)
    environ = clean_environ()
    values = {}

    def memory() -> None:
        settle(4 * bench.sizes.raster_bytes)

    def anew() -> None:
        ours.forget_cuts()
        memory()

    def first() -> str:
        compute_id = ours.create([layer], NODES)
        values["ours"] = max(ours.execute(compute_id, ndvi_max))
        return compute_id

    folders = tempfile.TemporaryDirectory(prefix="ellipsis-benchmark-")
    with folders as folder, Plain(bench.python, NODES, environ) as plain:
        tasks = [
            {"path": str(bench.layers.raster), "window": window, "mapped": str(Path(folder) / f"{i}.npy")}
            for i, window in enumerate(windows)
        ]
        plain.run("load", tasks)
        values["plain"] = max(plain.run("ndvi", tasks))
        firsts = interleave(
            {
                "first": Case(first, before=anew, after=ours.terminate),
                "created": Case(lambda: ours.create([layer], NODES), before=anew, after=ours.terminate),
                WARM: Case(lambda: plain.run("read", tasks), before=memory),
                FRESH: Case(lambda: once(bench.python, "read", tasks, environ), before=memory),
            },
            bench.rounds,
        )
        compute_id = ours.create([layer], NODES)
        again = interleave(
            {
                "again": Case(lambda: ours.execute(compute_id, ndvi_max), before=memory),
                MAPPED: Case(lambda: plain.run("ndvi", tasks), before=memory),
            },
            bench.rounds * 3,
        )
        ours.terminate(compute_id)
    assert math.isclose(values["ours"], values["plain"]), values
    return [
        compare("NDVI, createCompute + first execution", firsts, "first", WARM, 1.25),
        compare("NDVI, the same, against fresh processes", firsts, "first", FRESH),
        Row(
            "NDVI, of that createCompute", firsts["created"], baseline=WARM, baseline_values=firsts[WARM],
            note=f"the rest, {median(firsts['first']) - median(firsts['created']):.2g} s, is the first execution",
        ),
        compare("NDVI, repeated execution", again, "again", MAPPED, 1.15),
    ]  # fmt: skip
