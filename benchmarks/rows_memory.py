"""Memory: the caller never holds a layer, a worker holds its partition once."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from bench import Bench
from measuring import Row
from ours import caller_environ

__all__ = ["memory"]

NODES = 2
MB = 1e6
CALLER_LIMIT = 5.0
"""MB that the caller may grow more with the large raster than with the small one."""


def memory(bench: Bench) -> list[Row]:
    """Of a caller that makes a compute of a raster, not cut yet, and executes on it."""
    if not Path("/proc/self/smaps_rollup").exists():
        return []
    small, large = _probe(bench, bench.small.raster), _probe(bench, bench.layers.raster)
    part, before, after = max(large["touch"])
    size, peak = max(large["peak"])
    whole = sum(nbytes for nbytes, *_ in large["touch"])
    return [
        Row("caller grows, small raster", [small["growth"] / MB], "MB"),
        Row("caller grows, large raster", [large["growth"] / MB], "MB"),
        Row("caller grows with the layer by", [(large["growth"] - small["growth"]) / MB], "MB", limit=CALLER_LIMIT),
        Row(
            "worker that saw every pixel of its partition (PSS)", [(after - before) / MB], "MB",
            baseline="its partition", baseline_values=[part / MB], limit=1.1,
        ),
        Row(
            "worker at the peak of NDVI (RSS)", [peak / MB], "MB",
            baseline="its partition", baseline_values=[size / MB], limit=2.1,
            note="half of it is touched, and float32 arrays are held, each half as large as the partition",
        ),
        Row(
            "all processes at the peak (PSS)", [large["tree"] / MB], "MB",
            baseline="the raster", baseline_values=[whole / MB],
        ),
    ]  # fmt: skip


def _probe(bench: Bench, raster: Path) -> dict:
    """What the probe says of itself, and the highest sum of its and its descendants' memory."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # descendants that lose their parent stay ours to see
    command = [sys.executable, str(Path(__file__).with_name("memory_probe.py")), bench.ours.home, raster, str(NODES)]
    peak, done = 0, threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=caller_environ()) as process:

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, _proportional(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        output = process.stdout.read()
        done.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError("the memory probe failed")
    return json.loads(output) | {"tree": peak}


def _proportional(pid: int) -> int:
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            with Path(f"/proc/{process.pid}/smaps_rollup").open() as file:
                total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total
