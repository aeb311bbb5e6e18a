"""ellipsis_local as the benchmarks use it: a home of their own beside the data, layers under fixed ids."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

import data
import ellipsis_local as el
from ellipsis_local.emulator import current_emulator

__all__ = ["INTERPRETER", "Ours", "caller_environ", "clean_environ"]

INTERPRETER = f"python3.{sys.version_info[1]}"
NAMES = uuid.UUID("6d9b0c5e-0f5f-4d0e-9a53-0d7a2f4f6f11")


class Ours:
    """One home, one user, and the layers added so far."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        el.configure(home=home, progress=False)
        self.token = el.account.logIn("demo_user", "demo_user")
        self._layers: dict[str, dict[str, str]] = {}

    def layer(self, path: Path) -> dict[str, str]:
        """The layer of a file, added at the first use."""
        if path.name not in self._layers:
            ids = [str(uuid.uuid5(NAMES, f"{path.name} {what}")) for what in ("path", "timestamp")]
            self._layers[path.name] = el.layers.add(path, *ids, replace=True)
        return self._layers[path.name]

    def small_raster(self) -> dict[str, str]:
        """One that costs nothing to cut: what remains is the overhead."""
        import numpy as np
        from affine import Affine

        ids = [str(uuid.uuid5(NAMES, f"small {what}")) for what in ("path", "timestamp")]
        array = np.arange(2 * 512 * 512, dtype="uint16").reshape(2, 512, 512)
        transform = Affine(data.PIXEL, 0, data.LEFT, 0, -data.PIXEL, data.TOP)
        return el.layers.add({"raster": array, "transform": transform, "crs": "EPSG:3857"}, *ids, replace=True)

    def small_vector(self) -> dict[str, str]:
        import geopandas as gpd
        import numpy as np

        ids = [str(uuid.uuid5(NAMES, f"vector {what}")) for what in ("path", "timestamp")]
        random = np.random.default_rng(data.SEED)
        x, y = random.uniform(0, 5000, (2, 1000))
        points = gpd.points_from_xy(data.LEFT + x, data.TOP - y)
        return el.layers.add(gpd.GeoDataFrame({"n": range(1000)}, geometry=points, crs="EPSG:3857"), *ids, replace=True)

    def create(self, layers: list[dict[str, str]], nodes: int) -> str:
        return el.compute.createCompute(layers, self.token, nodes=nodes, interpreter=INTERPRETER)["id"]

    def execute(self, compute_id: str, function: Any) -> list[Any]:
        return el.compute.execute(compute_id, function, self.token)

    def terminate(self, compute_id: str) -> None:
        el.compute.terminateCompute(compute_id, self.token)

    def forget_cuts(self) -> None:
        """So that the next compute has to cut."""
        cuts = self.home / "cache" / "cuts"
        shutil.rmtree(cuts)
        cuts.mkdir()

    def environment(self) -> Path:
        """The interpreter of the environment that the computes get, with its bytecode compiled."""
        from ellipsis_local.environments import choose_interpreter

        emulator = current_emulator()
        environment = emulator.environments.prefetch(choose_interpreter(INTERPRETER, emulator.home))
        return environment.python

    def windows(self, compute_id: str) -> list[tuple[int, int, int, int]]:
        """Each node's pixels, as first row, first column, height and width."""
        windows = []
        for node in el.compute.getComputeInfo(compute_id, self.token)["nodes"]:
            extent = node["extent"]
            row, col = (data.TOP - extent["yMax"]) / data.PIXEL, (extent["xMin"] - data.LEFT) / data.PIXEL
            height, width = extent["yMax"] - extent["yMin"], extent["xMax"] - extent["xMin"]
            windows.append((round(row), round(col), round(height / data.PIXEL), round(width / data.PIXEL)))
        return windows


def caller_environ() -> dict[str, str]:
    """Variables for programs in this interpreter that use the package: they find the one that is measured here."""
    checkout, root = Path(__file__).resolve().parents[1], Path(el.__file__).resolve().parents[1]
    # What is installed, they find by themselves; a folder of packages must not be put before another interpreter's.
    return {**os.environ, "PYTHONPATH": str(root)} if root == checkout else dict(os.environ)


def clean_environ() -> dict[str, str]:
    """Variables for what is compared with us: those of nobody's Python settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
