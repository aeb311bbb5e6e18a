"""Twice the work should take about twice the time, at most."""

from __future__ import annotations

from collections.abc import Callable

from bench import Bench
from functions import area_and_count, empty, ndvi_max
from measuring import Case, Row, compare, interleave, settle

__all__ = ["scaling"]

LIMIT = 2.1
Layer = dict[str, str]


def scaling(bench: Bench) -> list[Row]:
    """createCompute with nothing cut, and repeated executions, of one size and of twice that size."""
    ours, layers = bench.ours, bench.layers
    half, whole = ours.layer(layers.half_raster), ours.layer(layers.raster)
    few, many = ours.layer(layers.half_polygons), ours.layer(layers.polygons)
    small = ours.small_raster()
    return [
        *_twice(bench, "pixels", ("half", half, 4), ("whole", whole, 4), ndvi_max),
        *_twice(bench, "features", ("half", few, 4), ("whole", many, 4), area_and_count),
        *_twice(bench, "nodes", ("16", half, 16), ("32", half, 32), ndvi_max),
        *_twice(bench, "nodes, small raster", ("32", small, 32), ("64", small, 64), empty),
    ]


def _twice(
    bench: Bench,
    what: str,
    once: tuple[str, Layer, int],
    twice: tuple[str, Layer, int],
    function: Callable[[dict], object],
) -> list[Row]:
    ours = bench.ours
    sizes = {name: (layer, nodes) for name, layer, nodes in (once, twice)}

    def memory() -> None:
        settle(4 * bench.sizes.raster_bytes)

    def anew() -> None:
        ours.forget_cuts()
        memory()

    create = interleave(
        {
            name: Case(lambda a=layer, n=nodes: ours.create([a], n), before=anew, after=ours.terminate)
            for name, (layer, nodes) in sizes.items()
        },
        bench.rounds,
    )
    computes = {name: ours.create([layer], nodes) for name, (layer, nodes) in sizes.items()}
    execute = interleave(
        {name: Case(lambda i=i: ours.execute(i, function), before=memory) for name, i in computes.items()},
        bench.rounds * 2,
    )
    for compute_id in computes.values():
        ours.terminate(compute_id)
    return [
        compare(f"{what} ×2: createCompute, not cut", create, twice[0], once[0], LIMIT),
        compare(f"{what} ×2: execute", execute, twice[0], once[0], LIMIT),
    ]
