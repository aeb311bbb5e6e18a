"""Area and count of many polygons on four nodes, from a GeoPackage and a GeoParquet file: first, and again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import data
from bench import Bench
from functions import area_and_count
from measuring import Case, Row, compare, interleave, settle
from ours import clean_environ
from plain import Plain, once

__all__ = ["MOST_FIRST", "READ", "polygons", "read_file"]

NODES = 4
READ = "pyogrio reads the GeoPackage (use_arrow), 1 process started for it"
PARQUET = "geopandas.read_parquet, 1 process started for it"
KEPT = "geopandas, frames loaded, 2 processes"
MOST_FIRST, MOST_AGAIN, MOST_AGAIN_SECONDS = 1.3, 1.4, 0.1


def read_file(bench: Bench) -> None:
    """What the polygons are compared with, whichever file they come from."""
    once(bench.python, "frames", [{"path": str(bench.layers.polygons)}], clean_environ())


def polygons(bench: Bench) -> list[Row]:
    """First: createCompute (environment seen, cut not) and one execution. Again: one execution."""
    parquet = data.parquet(bench.layers)

    def memory() -> None:
        settle(2000 * bench.sizes.polygons)

    def read_parquet() -> None:
        once(bench.python, "parquet", [{"path": str(parquet)}], clean_environ())

    cases = {READ: Case(lambda: read_file(bench), before=memory), PARQUET: Case(read_parquet, before=memory)}
    files = {"GeoPackage": bench.layers.polygons, "GeoParquet": parquet}
    for name, file in files.items():
        cases |= _first(bench, name, file, memory)
    firsts = interleave(cases, bench.rounds)
    rows = []
    for name in files:
        first = f"polygons, {name}, createCompute + first execution"
        rows.append(compare(first, firsts, name, READ, MOST_FIRST))
        if name == "GeoParquet":
            rows.append(compare(f"{first}, against its own reader", firsts, name, PARQUET))
        rows.append(compare(f"polygons, {name}, the same, cut seen before", firsts, f"{name}, seen", READ))
    return rows + _again(bench)


def _first(bench: Bench, name: str, file: Path, memory: Callable[[], None]) -> dict[str, Case]:
    ours = bench.ours
    layer = ours.layer(file)

    def first() -> str:
        compute_id = ours.create([layer], NODES)
        results = ours.execute(compute_id, area_and_count)
        assert sum(n for _, n in results) == bench.sizes.polygons, results
        return compute_id

    def anew() -> None:
        ours.forget_cuts()
        memory()

    def seen() -> None:
        # Another case has forgotten the cut.
        ours.terminate(ours.create([layer], NODES))
        memory()

    return {
        name: Case(first, before=anew, after=ours.terminate),
        f"{name}, seen": Case(first, before=seen, after=ours.terminate),
    }


def _again(bench: Bench) -> list[Row]:
    ours, count, path = bench.ours, bench.sizes.polygons, str(bench.layers.polygons)
    halves = [{"path": path, "rows": [0, count // 2]}, {"path": path, "rows": [count // 2, count]}]
    compute_id = ours.create([ours.layer(bench.layers.polygons)], NODES)
    with Plain(bench.python, 2, clean_environ()) as plain:
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
        Row("polygons, repeated execution", again["again"], limit=MOST_AGAIN_SECONDS),
        compare("polygons, repeated execution, against", again, "again", KEPT, MOST_AGAIN),
    ]
