"""A caller of its own, whose memory is its own: makes a compute of a layer, executes, and prints what that took.

python memory_probe.py HOME FILE NODES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from functions import empty, peak_of_ndvi, touch
from ours import Ours

__all__: list[str] = []


def resident(name: str) -> int:
    """VmRSS, or VmHWM, the highest since it was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    home, file, nodes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    ours = Ours(home)
    layer = ours.layer(file)
    # Whatever is imported at the first use is imported here.
    compute_id = ours.create([ours.small_raster()], nodes)
    ours.execute(compute_id, empty)
    ours.terminate(compute_id)
    ours.forget_cuts()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    compute_id = ours.create([layer], nodes)
    touched = ours.execute(compute_id, touch)
    peaks = ours.execute(compute_id, peak_of_ndvi)
    growth = resident("VmHWM") - before
    ours.terminate(compute_id)
    print(json.dumps({"growth": growth, "touch": touched, "peak": peaks}))


if __name__ == "__main__":
    main()
