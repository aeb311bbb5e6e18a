"""Nodes on a Dask cluster whose workers share no file with the caller, and Dask alone on the same cluster and work."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rasterio

from bench import Bench
from functions import empty, ndvi_max
from measuring import Case, Row, compare, interleave
from ours import INTERPRETER

__all__ = ["dask"]

WORKERS = 2
RESULTS = 8


def a_file(params):  # noqa: ARG001
    return bytes(2**27)


def dask(bench: Bench) -> list[Row]:
    """An empty function, NDVI on partitions that are there, and a gigabyte of results into files, by turns."""
    if importlib.util.find_spec("distributed") is None:
        print("dask: distributed is not installed, the group is left out")
        return []
    with cluster() as client, on(bench, client), tempfile.TemporaryDirectory() as folder:
        return [*calls(bench, client), *again(bench, client), transfer(bench, client, Path(folder))]


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """Two workers of one thread, with a home of their own."""
    from distributed import Client, LocalCluster

    with tempfile.TemporaryDirectory(prefix="ellipsis-benchmark-") as home:
        environ = {"ELLIPSIS_LOCAL_HOME": home}
        options = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options, env=environ) as running, Client(running, set_as_default=False) as client:
            yield client


@contextlib.contextmanager
def on(bench: Bench, client: Any) -> Iterator[None]:
    """The public functions on the benchmark's home, with their nodes on the cluster."""
    from ellipsis_local.cluster import DaskEngine
    from ellipsis_local.emulator import Emulator, use
    from ellipsis_local.settings import read_settings

    settings = read_settings({"home": bench.ours.home, "progress": False})
    with contextlib.closing(DaskEngine(client, share=False)) as engine:
        use(Emulator(settings, engine=engine))
        try:
            yield
        finally:
            use(None)


def alone(client: Any, function: Any, params: list[Any]) -> list[Any]:
    return client.gather(client.map(function, params, pure=False))


def calls(bench: Bench, client: Any) -> list[Row]:
    """What an execution costs beyond the function."""
    rows = []
    for nodes in (2, 64):
        compute_id = bench.ours.create([bench.ours.small_raster()], nodes)
        times = interleave(
            {
                "ours": Case(lambda i=compute_id: bench.ours.execute(i, empty)),
                "dask alone": Case(lambda n=nodes: alone(client, empty, [{}] * n)),
            },
            bench.rounds * 5,
            warm=3,
        )
        bench.ours.terminate(compute_id)
        rows.append(compare(f"execute on Dask, empty function, {nodes} nodes", times, "ours", "dask alone", 1))
    return rows


def again(bench: Bench, client: Any) -> list[Row]:
    """NDVI on partitions that the workers hold: ours in files that are mapped, Dask's in memory."""
    with rasterio.open(bench.layers.raster) as dataset:
        pixels = dataset.read()
    layer, rows = bench.ours.layer(bench.layers.raster), []
    for nodes in (2, 64):
        compute_id = bench.ours.create([layer], nodes)
        parts = [pixels[:, row : row + height, column : column + width].copy()
                 for row, column, height, width in bench.ours.windows(compute_id)]  # fmt: skip
        held = client.scatter([{"layer": {"raster": part}} for part in parts])
        times = interleave(
            {
                "ours": Case(lambda i=compute_id: bench.ours.execute(i, ndvi_max)),
                "dask alone": Case(lambda held=held: alone(client, ndvi_max, held)),
            },
            bench.rounds,
        )
        bench.ours.terminate(compute_id)
        del held
        rows.append(compare(f"NDVI again on Dask, {nodes} nodes", times, "ours", "dask alone", 1))
    return rows


def transfer(bench: Bench, client: Any, folder: Path) -> Row:
    """Results of a gigabyte, until they lie in files of the caller."""
    import ellipsis_local as el

    compute_id = el.compute.createCompute(
        [bench.ours.small_raster()], bench.ours.token, nodes=RESULTS, interpreter=INTERPRETER, largeResult=True
    )["id"]

    def gather() -> None:
        for number, data in enumerate(alone(client, a_file, [{}] * RESULTS)):
            (folder / str(number)).write_bytes(data)

    cases = {"ours": Case(lambda: bench.ours.execute(compute_id, a_file)), "dask alone": Case(gather)}
    times = interleave(cases, bench.rounds)
    bench.ours.terminate(compute_id)
    return compare("1 GB of results from Dask into files", times, "ours", "dask alone", 1)
