"""`demo`: the main job from the command line, and the files that it leaves."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

import ellipsis_local
from ellipsis_local.cli import demo_functions, demo_job
from ellipsis_local.cli.app import app
from ellipsis_local.emulator import Emulator
from ellipsis_local.nodes import describe_function
from ellipsis_local.settings import Settings
from ellipsis_local.store import fixtures_folder


@pytest.mark.parametrize("function", [demo_functions.summary, demo_functions.ndvi_picture])
def test_the_functions_keep_the_rules_of_the_service(function):
    assert describe_function(function, (3, 12), strict=True).kind == "source"


def test_the_reduction_takes_partitions_without_pixels():
    empty = dict.fromkeys(("pixels", "buildings", "trees", "parcels", "ndvi_sum", "forest", "cover"), 0)
    empty |= {"lowest": None, "highest": None}
    full = empty | {"pixels": 4, "ndvi_sum": 2.0, "forest": 1, "cover": 2, "lowest": 1.0, "highest": 9.0}
    total = demo_job.reduced([empty, full])
    assert (total["ndvi"], total["forest_share"], total["lowest"], total["highest"]) == (0.5, 0.5, 1.0, 9.0)
    assert demo_job.Row(0, {}, empty, 0.1, 10).ndvi is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_demo(home, tmp_path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ELLIPSIS_LOCAL_")}
    environ |= {"ELLIPSIS_LOCAL_HOME": str(home), "PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1])}
    command = [sys.executable, "-m", "ellipsis_local", "demo", "--nodes", "3"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(home) in done.stdout
    assert "\x1b" not in done.stdout
    folder = tmp_path / "ellipsis_local_demo"
    assert str(folder) in done.stdout
    check_files(folder, 3)
    check_home(home)


def check_files(folder, nodes):
    with rasterio.open(folder / "ndvi.tif") as source:
        ndvi = source.read(1)
        assert (source.crs.to_epsg(), source.shape) == (3857, (480, 512))
    with rasterio.open(fixtures_folder() / "scene_2024.tif") as source:
        bands = source.read().astype("float64")
    valid = (bands != 0).all(axis=0)
    assert (np.isfinite(ndvi) == valid).all()
    expected = (bands[3] - bands[2])[valid] / (bands[3] + bands[2])[valid]
    np.testing.assert_allclose(ndvi[valid], expected, atol=1e-6)
    assert -1 <= ndvi[valid].min() < ndvi[valid].max() <= 1

    told = json.loads((folder / "summary.json").read_text())
    assert len(told["nodes"]) == nodes
    assert told["total"]["pixels"] == valid.sum()
    assert told["total"]["ndvi"] == pytest.approx(expected.mean())
    assert [told["total"][name] for name in ("buildings", "trees", "parcels")] == [452, 739, 432]

    picture = ElementTree.parse(folder / "partitions.svg")
    words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}tspan")]
    assert words.count("node 2") == 2
    assert sum(int(text.split()[0]) for text in words if text.endswith(" trees")) == 739
    images = [element.get("href") for element in picture.iter("{http://www.w3.org/2000/svg}image")]
    assert len(images) == 3
    with rasterio.MemoryFile(base64.b64decode(images[-1].partition(",")[2])) as file, file.open() as drawn:
        assert ((drawn.read(4) != 0) == valid).all()


def check_home(home):
    """One layer of NDVI is left, and no compute that is not over."""
    with Emulator(Settings(home=home)) as emulator:
        assert [record.name for record in emulator.store.list()].count(demo_job.NAME) == 1
        assert {record.status for record in emulator.computes.records.page(None, None)[0]} == {"stopped"}


def test_more_nodes_than_the_plan_has_is_one_line(home, tmp_path):
    done = CliRunner().invoke(app, ["--home", str(home), "demo", "--nodes", "65", "--output", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: nodes must be at most 64")
    assert done.stderr.count("\n") == 1
