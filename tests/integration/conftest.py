"""Layers and computes for tests that run the whole thing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ellipsis_local.database import Database
from ellipsis_local.home import Home
from ellipsis_local.imagery import Imagery
from ellipsis_local.store import SCHEMA, LayerStore

INTERPRETER = f"python3.{sys.version_info[1]}"
"""The running one: it is on every machine that runs the tests."""


def wait_for(el: ModuleType, compute_id: str, token: str, status: str, seconds: float = 120) -> dict[str, Any]:
    """The compute's info once it has the status; fails where it errors instead, or takes too long."""
    end = time.monotonic() + seconds
    while (info := el.compute.getComputeInfo(compute_id, token))["status"] != status:
        assert info["status"] != "errored", info["message"]
        assert time.monotonic() < end, f"still {info['status']}, not {status}"
        time.sleep(0.01)
    return info


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LayerStore]:
    """A store on a new home, without an emulator around it."""
    home = Home(tmp_path / "home")
    home.prepare()
    database = Database(home.database, SCHEMA)
    yield LayerStore(home, database)
    database.close()


@pytest.fixture
def imagery() -> Iterator[Imagery]:
    """Its open files are closed with the test."""
    made = Imagery()
    yield made
    made.close()


@pytest.fixture
def raster(el: ModuleType) -> dict[str, str]:
    """Two bands of 40 × 60 pixels of 10 m in EPSG:3857; every value of the first band is another."""
    array = np.stack([np.arange(2400, dtype="uint16").reshape(40, 60), np.full((40, 60), 7, "uint16")])
    return el.layers.add({"raster": array, "transform": Affine(10, 0, 500_000, 0, -10, 6_000_000), "crs": "EPSG:3857"})


@pytest.fixture
def points(el: ModuleType) -> dict[str, str]:
    """100 points over the raster, with a column of every common type."""
    import geopandas as gpd
    import pandas as pd

    rng = np.random.default_rng(1)
    x, y = 500_000 + rng.uniform(0, 600, 100), 6_000_000 - rng.uniform(0, 400, 100)
    frame = gpd.GeoDataFrame(
        {
            "number": np.arange(100),
            "name": [f"p{i}" if i % 3 else None for i in range(100)],
            "kind": pd.Categorical(["a", "b"] * 50),
            "when": pd.date_range("2024-01-01", periods=100, tz="UTC"),
            "maybe": pd.array([None, 1] * 50, dtype="Int64"),
        },
        geometry=gpd.points_from_xy(x, y),
        crs="EPSG:3857",
    )
    return el.layers.add(frame)


@pytest.fixture
def create(el: ModuleType, token: str) -> Callable[..., str]:
    """createCompute with the running interpreter; the id."""

    def make(layers: list[dict[str, str]], nodes: int = 2, **arguments: Any) -> str:
        return el.compute.createCompute(
            layers=layers, token=token, nodes=nodes, **({"interpreter": INTERPRETER} | arguments)
        )["id"]

    return make
