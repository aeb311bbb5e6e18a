"""Area and count of many polygons on four nodes: the first time, and again."""

from __future__ import annotations

from bench import Bench
from functions import area_and_count
from measuring import Case, Row, compare, interleave, settle
from ours import clean_environ
from plain import Plain, once

__all__ = ["polygons"]

NODES = 4
READ = "geopandas reads the file, 1 process started for it"
KEPT = "geopandas, frames loaded, 2 processes"


def polygons(bench: Bench) -> list[Row]:
    """First: createCompute (environment seen, cut not) and one execution. Again: one execution."""
    ours = bench.ours
    layer = ours.layer(bench.layers.polygons)
    count = bench.sizes.polygons
    environ = clean_environ()
    path = str(bench.layers.polygons)

    def first() -> str:
        compute_id = ours.create([layer], NODES)
        results = ours.execute(compute_id, area_and_count)
        assert sum(n for _, n in results) == count, results
        return compute_id

    def memory() -> None:
        settle(2000 * count)

    def anew() -> None:
        ours.forget_cuts()
        memory()

    firsts = interleave(
        {
            "first": Case(first, before=anew, after=ours.terminate),
            "seen": Case(first, before=memory, after=ours.terminate),
            READ: Case(
                lambda: once(bench.python, "frame", [{"path": path, "rows": [0, count]}], environ), before=memory
            ),
        },
        bench.rounds,
    )
    halves = [{"path": path, "rows": [0, count // 2]}, {"path": path, "rows": [count // 2, count]}]
    compute_id = ours.create([layer], NODES)
    with Plain(bench.python, 2, environ) as plain:
        plain.run("frame", halves)
        again = interleave(
            {
                "again": Case(lambda: ours.execute(compute_id, area_and_count)),
                KEPT: Case(lambda: plain.run("area", halves)),
            },
            bench.rounds * 3,
        )
    ours.terminate(compute_id)
    return [
        compare("polygons, createCompute + first execution", firsts, "first", READ),
        compare("polygons, the same, cut seen before", firsts, "seen", READ),
        Row("polygons, repeated execution", again["again"], limit=0.1),
        compare("polygons, repeated execution, against", again, "again", KEPT),
    ]
