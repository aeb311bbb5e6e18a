"""What else one could use, on the same work in the same run: one script per rival in `rivals/`."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import data
from bench import Bench
from functions import area_and_count, empty, ndvi_max
from measuring import Case, Row, interleave, settle
from ours import clean_environ
from rows_polygons import MOST_FIRST, READ, read_file

__all__ = ["rivals"]

RIVALS = {
    "futures": "rasterio, geopandas",
    "joblib": "joblib, rasterio, geopandas",
    "dask": "distributed, dask_geopandas, rasterio",
    "ray": "ray, rasterio, geopandas",
}
FUNCTIONS = {"empty": empty, "ndvi": ndvi_max, "polygons": area_and_count}
MOST_POLYGONS, MOST_NDVI = 0.9, 1.0
"""Of the first time by the fastest rival."""
FOLDER = Path(__file__).parent / "rivals"


@dataclass(frozen=True)
class Job:
    """One job for all."""

    name: str
    kind: str
    """A key of FUNCTIONS; rivals/jobs.py knows it by the same word."""
    nodes: int
    file: Path
    limit: float | None = None


def rivals(bench: Bench) -> list[Row]:
    """Each job by us and by every rival, in turns."""
    pythons = {name: _python(bench, packages) for name, packages in RIVALS.items()}
    for name in [name for name, python in pythons.items() if python is None]:
        print(f"{name} is left out: none of the interpreters given with --rivals imports {RIVALS[name]}")
    raster, gpkg = bench.layers.raster, bench.layers.polygons
    jobs = [
        Job("empty, 2 nodes", "empty", 2, raster),
        Job("empty, 64 nodes", "empty", 64, raster),
        Job("ndvi, 2 nodes", "ndvi", 2, raster, MOST_NDVI),
        Job("polygons, GeoPackage, 4 nodes", "polygons", 4, gpkg, MOST_POLYGONS),
        Job("polygons, GeoParquet, 4 nodes", "polygons", 4, data.parquet(bench.layers), MOST_POLYGONS),
    ]
    rows: list[Row] = []
    for job in jobs:
        rows += _job(bench, {name: python for name, python in pythons.items() if python}, job)
    return rows


def _python(bench: Bench, packages: str) -> Path | None:
    for python in bench.rivals or [bench.python]:
        command = [python, "-c", f"import {packages}"]
        if not subprocess.run(command, capture_output=True, env=clean_environ(), check=False).returncode:
            return python
    return None


def _job(bench: Bench, pythons: dict[str, Path], job: Job) -> list[Row]:
    firsts: dict[str, list[float]] = defaultdict(list)
    again: dict[str, list[float]] = defaultdict(list)
    starts: dict[str, list[float]] = defaultdict(list)
    repeat = 20 if job.kind == "empty" else 3
    order = ["ours", *pythons, *([READ] if job.kind == "polygons" else [])]
    for _ in range(bench.rounds if job.kind != "empty" else 1):
        for name in order:
            settle(4 * bench.sizes.raster_bytes)
            if name == "ours":
                answer = _ours(bench, job, repeat)
            elif name == READ:
                answer = _read(bench)
            else:
                answer = _run(name, pythons[name], job, repeat)
            starts[name] += answer.get("start", [])
            firsts[name] += answer["first"]
            again[name] += answer.get("again", [])
        order = order[1:] + order[:1]
    rows = [] if job.kind == "empty" else _first(job, firsts, starts, pythons)
    rows.append(Row(f"{job.name}, again: ours", again["ours"]))
    return rows + [_against_ours(f"{job.name}, again: {name}", name, again) for name in pythons]


def _first(
    job: Job, firsts: dict[str, list[float]], starts: dict[str, list[float]], names: dict[str, Path]
) -> list[Row]:
    ours = f"{job.name}, first: ours"
    rows = [Row(ours, firsts["ours"])]
    if READ in firsts:
        rows = [Row(ours, firsts["ours"], baseline=READ, baseline_values=firsts[READ], limit=MOST_FIRST)]
    for name in names:
        note = f"and {median(starts[name]):.2g} s to start its processes"
        rows.append(_against_ours(f"{job.name}, first: {name}", name, firsts, note))
    if names:
        best = min(names, key=lambda name: median(firsts[name]))
        baseline = f"the fastest rival, {best}"
        rows.append(Row(ours, firsts["ours"], baseline=baseline, baseline_values=firsts[best], limit=job.limit))
    return rows


def _against_ours(row: str, name: str, times: dict[str, list[float]], note: str = "") -> Row:
    return Row(row, times[name], baseline="ours", baseline_values=times["ours"], note=note)


def _run(name: str, python: Path, job: Job, repeat: int) -> dict[str, list[float]]:
    command = [python, FOLDER / f"with_{name}.py", job.kind, str(job.nodes), str(repeat), job.file]
    done = subprocess.run(command, capture_output=True, env=clean_environ(), check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed at {job.name}:\n{done.stderr.decode()[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _read(bench: Bench) -> dict[str, list[float]]:
    began = time.perf_counter()
    read_file(bench)
    return {"first": [time.perf_counter() - began]}


def _ours(bench: Bench, job: Job, repeat: int) -> dict[str, list[float]]:
    ours, function = bench.ours, FUNCTIONS[job.kind]
    layer = ours.small_raster() if job.kind == "empty" else ours.layer(job.file)
    computes: list[str] = []

    def first() -> None:
        computes.append(ours.create([layer], job.nodes))
        ours.execute(computes[0], function)

    ours.forget_cuts()
    times = interleave({"first": Case(first)}, 1, warm=0)
    times |= interleave({"again": Case(lambda: ours.execute(computes[0], function))}, repeat, warm=0)
    ours.terminate(computes[0])
    return times
