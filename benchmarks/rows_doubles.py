"""What a test pays for its own service; moto's `mock_aws`, with a job of the same kind, for scale."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import Bench
from measuring import Case, Row, interleave
from ours import caller_environ, clean_environ

__all__ = ["doubles"]

SCRIPTS = Path(__file__).parent / "doubles"
FIXTURES = Path(__file__).absolute().parents[1] / "fixtures"
FIXTURE_GOAL, INLINE_GOAL, NODES_GOAL, SUITE_GOAL = 0.020, 0.030, 0.300, 10.0
LINES = 500


def doubles(bench: Bench) -> list[Row]:
    """Start and end of a fixture, a compute's life, a suite of 50 tests, and the preflight of a script."""
    home = str(bench.ours.home)
    script = [SCRIPTS / "life.py", bench.rounds * 4, FIXTURES / "dem.tif", home]
    ours = _times(sys.executable, script, caller_environ())
    theirs = {} if bench.moto is None else _times(bench.moto, [SCRIPTS / "life_moto.py", 20], clean_environ())
    name = "moto, mock_aws"
    return [
        Row("fixture, start and end", ours["fixture"], limit=FIXTURE_GOAL),
        *([Row(f"fixture, start and end, {name}", theirs["fixture"])] if bench.moto else []),
        Row("createCompute + execute + terminateCompute, inline", ours["inline"], limit=INLINE_GOAL),
        Row("createCompute + execute + terminateCompute, real nodes", ours["nodes"], limit=NODES_GOAL),
        *([Row(f"put + get + delete of an object, {name}", theirs["life"])] if bench.moto else []),
        *_suites(bench, home),
        _preflight(bench),
    ]


def _times(python: Path | str, command: list[Any], environ: dict[str, str]) -> dict[str, list[float]]:
    """What a script prints: seconds by name, a list of rounds each."""
    done = subprocess.run([str(python), *map(str, command)], capture_output=True, text=True, check=True, env=environ)
    return json.loads(done.stdout)


def _suites(bench: Bench, home: str) -> list[Row]:
    """50 tests each, in one process of pytest, its start included."""
    folder = Path(tempfile.mkdtemp())
    try:
        layers = folder / "layers"
        layers.mkdir()
        shutil.copy(FIXTURES / "dem.tif", layers)
        (layers / "catalog.toml").write_text(
            '[[layer]]\nname = "dem"\ntype = "raster"\npathId = "559bf6e4-ef58-478a-a305-b0fa9db68ba7"\n'
            '[[layer.timestamp]]\nid = "b51d252d-b15a-4b63-9675-9e17ef99ebf5"\nfiles = ["dem.tif"]\n'
        )
        (folder / "pytest.ini").write_text(f"[pytest]\nellipsis_layers = layers\nellipsis_environments = {home}\n")
        for script in ("suite", "suite_moto"):
            shutil.copy(SCRIPTS / f"{script}.py", folder / f"test_{script}.py")
        cases = {"ours": Case(lambda: _pytest(sys.executable, folder, "suite", caller_environ()))}
        if bench.moto is not None:
            cases["moto"] = Case(lambda: _pytest(bench.moto, folder, "suite_moto", clean_environ(), "--noconftest"))
        times = interleave(cases, bench.rounds)
    finally:
        shutil.rmtree(folder)
    rows = [Row("50 tests, pytest's start included", times["ours"], limit=SUITE_GOAL)]
    return rows + ([Row("50 tests, moto, mock_aws", times["moto"])] if "moto" in times else [])


def _pytest(python: Any, folder: Path, script: str, environ: dict[str, str], *options: str) -> None:
    options = ("-q", "-p", "no:cacheprovider", *options)
    if script == "suite_moto":
        options = ("-c", os.devnull, *options)
    subprocess.run(
        [str(python), "-m", "pytest", *options, str(folder / f"test_{script}.py")],
        cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _preflight(bench: Bench) -> Row:
    """A script of 500 lines, with a function for nodes every 20 lines."""
    from ellipsis_local.preflight import check_script

    lines = ["import ellipsis as el"]
    for number in range(LINES // 20):
        lines += [f"def f{number}(params):", "    import numpy as np"]
        lines += [f"    x{line} = np.sum(params['a']['raster'])" for line in range(16)]
        lines += ["    return x0", f"el.compute.execute('c', f{number}, 't')"]
    text = "\n".join(lines)
    assert len(text.splitlines()) >= LINES
    times = interleave({"check": Case(lambda: check_script(text, "script.py"))}, bench.rounds * 4)
    return Row(f"preflight of {len(text.splitlines())} lines", times["check"], limit=0.1)
