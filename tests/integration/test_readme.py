"""The README's examples, word for word, with real environments on the shipped layers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pytest
import rasterio

import ellipsis_local
from ellipsis_local.environments import DEFAULT_INTERPRETER, find_interpreters
from ellipsis_local.home import Home

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNNING = f"python3.{sys.version_info[1]}"


class Example(NamedTuple):
    """A block of Python, and what stands below it as its output."""

    code: str
    output: str | None


EXAMPLES = [
    Example(match[1], match[2])
    for match in re.finditer(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", README, re.DOTALL | re.MULTILINE)
]


@pytest.fixture
def run(home: Path, shared_environments: Path, tmp_path: Path):
    """Run an example from a file, as a user would: its functions need a source."""
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures", target_is_directory=True)
    package = str(Path(ellipsis_local.__file__).parents[1])
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ELLIPSIS_LOCAL_")}
    environ["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    environ["ELLIPSIS_LOCAL_HOME"] = str(home)

    def start(example: Example) -> str:
        code = example.code
        if DEFAULT_INTERPRETER not in {
            interpreter.name for interpreter in find_interpreters(Home(shared_environments))
        }:
            code = code.replace(DEFAULT_INTERPRETER, RUNNING)
        script = tmp_path / "script.py"
        script.write_text(code, encoding="utf-8")
        command = [sys.executable, "-W", "error::UserWarning", str(script)]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == example.output
        return done.stdout

    return start


def test_there_are_two_examples_with_their_output() -> None:
    assert len(EXAMPLES) == 2
    assert all(example.output for example in EXAMPLES)


def test_first_example(run, tmp_path: Path, fixtures: Path) -> None:
    run(EXAMPLES[0])
    with rasterio.open(fixtures / "scene_2024.tif") as scene, rasterio.open(tmp_path / "ndvi.tif") as result:
        _, _, red, infrared = scene.read().astype("float32")
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(result.read(1), (infrared - red) / (infrared + red))
        assert result.transform == scene.transform
        assert result.crs == scene.crs


def test_second_example(run, fixtures: Path) -> None:
    lines = run(EXAMPLES[1]).splitlines()
    parcels = gpd.read_parquet(fixtures / "parcels.parquet")
    trees = gpd.read_file(fixtures / "trees.fgb").to_crs(3857)
    whole = trees.sjoin(parcels[["crop", "geometry"]], predicate="within").groupby("crop").size()
    assert lines == [f"{crop}: {count} trees" for crop, count in whole.items()]


def test_every_setting_is_in_the_table() -> None:
    from dataclasses import fields

    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \|", README.partition("## Settings")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert [name for name, _ in rows] == [field.name for field in fields(ellipsis_local.Settings)]
    given = {field.name: field.default for field in fields(ellipsis_local.Settings)}
    for name, default in rows:
        if name not in ("home", "cache_size"):
            assert default.strip("` ") == str(given[name])
    assert dict(rows)["cache_size"].strip() == f"{given['cache_size'] // 2**30} GiB"


def test_links_lead_to_files() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", ["fidelity.md", "threat_model.md"])
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(\w+)::(test_\w+)", page))
    assert named
    there = {
        (path.stem.removeprefix("test_"), name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - there == set()
