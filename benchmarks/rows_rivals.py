"""What else one could use, on the same work in the same run: one script per rival in `rivals/`."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench import Bench
from functions import area_and_count, empty, ndvi_max
from measuring import Case, Row, interleave, settle
from ours import clean_environ

__all__ = ["rivals"]

RIVALS = {
    "futures": "rasterio, geopandas",
    "joblib": "joblib, rasterio, geopandas",
    "dask": "distributed, dask_geopandas, rasterio",
    "ray": "ray, rasterio, geopandas",
}
JOBS = {"empty": (2, 64), "ndvi": (2,), "polygons": (4,)}
FOLDER = Path(__file__).parent / "rivals"


def rivals(bench: Bench) -> list[Row]:
    """Each job by us and by every rival, in turns."""
    found = {name: _python(bench, packages) for name, packages in RIVALS.items()}
    for name in [name for name, python in found.items() if python is None]:
        print(f"{name} is left out: none of the interpreters given with --rivals imports {RIVALS[name]}")
    rows: list[Row] = []
    for job, node_counts in JOBS.items():
        for nodes in node_counts:
            rows += _job(bench, {name: python for name, python in found.items() if python}, job, nodes)
    return rows


def _python(bench: Bench, packages: str) -> Path | None:
    for python in bench.rivals or [bench.python]:
        command = [python, "-c", f"import {packages}"]
        if not subprocess.run(command, capture_output=True, env=clean_environ(), check=False).returncode:
            return python
    return None


def _job(bench: Bench, found: dict[str, Path], job: str, nodes: int) -> list[Row]:
    firsts: dict[str, list[float]] = defaultdict(list)
    again: dict[str, list[float]] = defaultdict(list)
    starts: dict[str, list[float]] = defaultdict(list)
    repeat = 20 if job == "empty" else 3
    order = ["ours", *found]
    for _ in range(bench.rounds if job != "empty" else 1):
        for name in order:
            settle(4 * bench.sizes.raster_bytes)
            if name == "ours":
                answer = _ours(bench, job, nodes, repeat)
            else:
                answer = _run(bench, name, found[name], job, nodes, repeat)
            starts[name] += answer.get("start", [])
            firsts[name] += answer["first"]
            again[name] += answer["again"]
        order = order[1:] + order[:1]
    rows = []
    for what, times in (("first", firsts), ("again", again)):
        if job == "empty" and what == "first":
            continue
        rows.append(Row(f"{job}, {nodes} nodes, {what}: ours", times["ours"]))
        rows += [
            Row(
                f"{job}, {nodes} nodes, {what}: {name}", times[name], baseline="ours", baseline_values=times["ours"],
                note="" if what == "again" else f"and {median(starts[name]):.2g} s to start its processes",
            )
            for name in found
        ]  # fmt: skip
    return rows


def _run(bench: Bench, name: str, python: Path, job: str, nodes: int, repeat: int) -> dict[str, list[float]]:
    layer = bench.layers.polygons if job == "polygons" else bench.layers.raster
    command = [python, FOLDER / f"with_{name}.py", job, str(nodes), str(repeat), layer]
    done = subprocess.run(command, capture_output=True, env=clean_environ(), check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed at {job}:\n{done.stderr.decode()[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _ours(bench: Bench, job: str, nodes: int, repeat: int) -> dict[str, list[float]]:
    ours = bench.ours
    layer = {
        "empty": ours.small_raster,
        "ndvi": lambda: ours.layer(bench.layers.raster),
        "polygons": lambda: ours.layer(bench.layers.polygons),
    }[job]()
    function = {"empty": empty, "ndvi": ndvi_max, "polygons": area_and_count}[job]
    computes: list[str] = []

    def first() -> None:
        computes.append(ours.create([layer], nodes))
        ours.execute(computes[0], function)

    ours.forget_cuts()
    times = interleave({"first": Case(first)}, 1, warm=0)
    times |= interleave({"again": Case(lambda: ours.execute(computes[0], function))}, repeat, warm=0)
    ours.terminate(computes[0])
    return times
