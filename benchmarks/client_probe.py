"""The real client, in an interpreter of its own that has `ellipsis`: does one kind of job, and prints what it took.

python client_probe.py < JSON: url, token, job (a function below), and that job's arguments. Prints JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ellipsis

import functions

__all__: list[str] = []


def compute(token: str, layer: dict[str, str], nodes: int, interpreter: str, rounds: int) -> dict:
    """A compute's whole life: per round what it took, how long of that the client slept, and how often it did.

    The first round does not count.
    """
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        began = time.perf_counter()
        time.sleep(seconds)
        slept.append(time.perf_counter() - began)

    importlib.import_module("ellipsis.compute.root").time = SimpleNamespace(sleep=sleep)
    found = []
    for number in range(-1, rounds):
        slept.clear()
        began = time.perf_counter()
        made = ellipsis.compute.createCompute([layer], token, nodes=nodes, interpreter=interpreter)["id"]
        answers = ellipsis.compute.execute(made, functions.empty, token)
        ellipsis.compute.terminateCompute(made, token)
        seconds = time.perf_counter() - began
        assert answers == [1] * nodes
        if number >= 0:
            found.append({"seconds": seconds, "slept": sum(slept), "polls": len(slept)})
    return {"rounds": found}


def raster(token: str, layer: dict[str, str], extent: dict[str, float]) -> dict:
    """GetRaster of an extent in EPSG:3857: seconds, tiles, the shape, and how much of it has a value."""
    tiles = 0
    root = importlib.import_module("ellipsis.path.raster.timestamp.root")
    get = root.apiManager.get

    def counted(url: str, *given: Any) -> Any:
        nonlocal tiles
        tiles += "/tile/" in url
        return get(url, *given)

    root.apiManager = SimpleNamespace(get=counted, baseUrl=ellipsis.apiManager.baseUrl)
    began = time.perf_counter()
    made = ellipsis.path.raster.timestamp.getRaster(
        layer["pathId"], layer["timestampId"], extent, token, showProgress=False
    )["raster"]
    seconds = time.perf_counter() - began
    covered = made[-1] > 0
    return {"seconds": seconds, "tiles": tiles, "shape": made.shape, "covered": float(covered.mean())}


def transfer(token: str, file: str, target: str, layer: dict[str, str]) -> dict:
    """One file up as a file, down again, and up as a file of a raster; all is deleted again. Seconds of each."""
    took = {}
    began = time.perf_counter()
    path_id = ellipsis.path.file.add(token, filePath=file)["id"]
    took["file up"] = time.perf_counter() - began
    began = time.perf_counter()
    ellipsis.path.file.download(path_id, target, token)
    took["file down"] = time.perf_counter() - began
    ellipsis.path.delete(path_id, token)
    began = time.perf_counter()
    add = ellipsis.path.raster.timestamp.file.add
    file_id = add(layer["pathId"], layer["timestampId"], token, "tif", filePath=file)["id"]
    took["raster up"] = time.perf_counter() - began
    ellipsis.path.raster.timestamp.file.delete(layer["pathId"], layer["timestampId"], file_id, token)
    return took


def upload(token: str, target: str, file: str) -> dict:
    """The client's own upload, to anything that takes a POST: seconds."""
    began = time.perf_counter()
    ellipsis.apiManager.upload(target, file, {"name": Path(file).name}, token)
    return {"seconds": time.perf_counter() - began}


def download(token: str, source: str, target: str) -> dict:
    """The client's own download: seconds."""
    began = time.perf_counter()
    ellipsis.apiManager.download(source, target, token)
    return {"seconds": time.perf_counter() - began}


JOBS = {job.__name__: job for job in (compute, raster, transfer, upload, download)}


def main() -> None:
    given: dict[str, Any] = json.load(sys.stdin)
    ellipsis.apiManager.baseUrl = given.pop("url")
    with contextlib.redirect_stdout(sys.stderr):  # the client prints
        found = JOBS[given.pop("job")](**given)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
