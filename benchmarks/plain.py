"""What we are compared with: plain rasterio, numpy and geopandas in processes of the same environment.

Run as a program it is one such process: a line of JSON in, a line of JSON out. `Plain` starts several of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Plain", "once"]


def read(task: dict[str, Any]) -> int:
    """Decode a window, all bands."""
    return int(_read(task).nbytes)


def load(task: dict[str, Any]) -> int:
    """Keep a window as a mapped file for `ndvi`."""
    import numpy

    numpy.save(task["mapped"], _read(task))
    held["array"] = numpy.load(task["mapped"], mmap_mode="c")
    return int(held["array"].max())


def ndvi(_: dict[str, Any]) -> float:
    """The greatest NDVI of the window that is mapped already."""
    raster = held["array"]
    red, nir = raster[2].astype("f4"), raster[3].astype("f4")
    return float(((nir - red) / (nir + red)).max())


def frame(task: dict[str, Any]) -> int:
    """Read features and keep them for `area`."""
    import geopandas

    held["frame"] = geopandas.read_file(task["path"], engine="pyogrio", use_arrow=True, rows=slice(*task["rows"]))
    return len(held["frame"])


def frames(task: dict[str, Any]) -> int:
    """Read all features of a file."""
    import pyogrio

    return len(pyogrio.read_dataframe(task["path"], use_arrow=True))


def parquet(task: dict[str, Any]) -> int:
    """Read all features of a GeoParquet file."""
    import geopandas

    return len(geopandas.read_parquet(task["path"]))


def warp(task: dict[str, Any]) -> int:
    """Warp the task's share of a raster, all bands, onto the grid that GDAL suggests."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window

    number, count = task["share"]
    with rasterio.open(task["path"]) as file, WarpedVRT(file, crs=task["crs"], resampling=Resampling.nearest) as warped:
        first, end = (warped.height * n // count for n in (number, number + 1))
        return int(warped.read(window=Window(0, first, warped.width, end - first)).nbytes)


def area(_: dict[str, Any]) -> list[float]:
    return [float(held["frame"].geometry.area.sum()), len(held["frame"])]


held: dict[str, Any] = {}
JOBS = {job.__name__: job for job in (read, load, ndvi, frame, frames, parquet, warp, area)}


def _read(task: dict[str, Any]) -> Any:
    import rasterio
    from rasterio.windows import Window

    row, col, height, width = task["window"]
    with rasterio.open(task["path"]) as file:
        return file.read(window=Window(col, row, width, height))


class Plain:
    """Running processes, each with its own task; used as a context manager."""

    def __init__(self, python: Path, count: int, environ: dict[str, str]) -> None:
        self._processes = [
            subprocess.Popen([python, "-s", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
            for _ in range(count)
        ]

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.communicate()

    def run(self, job: str, tasks: Sequence[dict[str, Any]]) -> list[Any]:
        """One task per process, at the same time."""
        for process, task in zip(self._processes, tasks, strict=True):
            process.stdin.write(json.dumps({"job": job, **task}).encode() + b"\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in self._processes]


def once(python: Path, job: str, tasks: Sequence[dict[str, Any]], environ: dict[str, str]) -> list[Any]:
    """As `Plain.run`, in processes started for it."""
    with Plain(python, len(tasks), environ) as plain:
        return plain.run(job, tasks)


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(JOBS[order["job"]](order)), flush=True)
