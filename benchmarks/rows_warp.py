"""A scene in UTM into EPSG:3857: the cut that warps it, and tiles. Rows that two checkouts can be compared by."""

from __future__ import annotations

import data
from bench import Bench
from ellipsis_local.emulator import current_emulator
from measuring import Case, Row, compare, interleave, settle
from ours import clean_environ
from plain import Plain
from rows_server import percentiles, places, tile_zooms, without_http

__all__ = ["warp"]

NODES = 2
PLAIN = "rasterio's WarpedVRT, nearest, 2 running processes"


def warp(bench: Bench) -> list[Row]:
    """createCompute (environment seen, cut not), and `Imagery.tile` in this process."""
    ours, scene = bench.ours, data.scene(bench.layers)
    layer = ours.layer(scene)
    tasks = [{"path": str(scene), "crs": "EPSG:3857", "share": [number, NODES]} for number in range(NODES)]

    def memory() -> None:
        settle(4 * bench.sizes.raster_bytes)

    def anew() -> None:
        ours.forget_cuts()
        memory()

    with Plain(bench.python, NODES, clean_environ()) as plain:
        times = interleave(
            {
                "ours": Case(lambda: ours.create([layer], NODES), before=anew, after=ours.terminate),
                PLAIN: Case(lambda: plain.run("warp", tasks), before=memory),
            },
            bench.rounds,
        )
    rows = [compare("warp, EPSG:32631 into EPSG:3857, createCompute, not cut", times, "ours", PLAIN)]
    timestamp = current_emulator().store.timestamp(layer["pathId"], layer["timestampId"])
    for name, zooms in tile_zooms(timestamp).items():
        rounds = [without_http(timestamp, places(timestamp, zooms, number))[0] for number in range(bench.rounds)]
        rows.append(Row(f"Imagery.tile, {name}: p50", percentiles(rounds, 50)))
    return rows
