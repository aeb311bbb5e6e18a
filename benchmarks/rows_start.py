"""How long until a compute is there: createCompute where everything is known, and the first environment."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import Bench
from ellipsis_local.environments import Environments, choose_interpreter
from ellipsis_local.environments.requirements import WORKER_REQUIREMENTS
from ellipsis_local.home import Home
from measuring import Case, Row, compare, interleave
from ours import INTERPRETER, clean_environ

__all__ = ["build", "start"]

MOST_ROUNDS = 3


def start(bench: Bench) -> list[Row]:
    """createCompute, 2 nodes, specification and cut seen before."""
    ours = bench.ours
    raster, vector = ours.small_raster(), ours.small_vector()

    def create(layer: dict[str, str]) -> Case:
        return Case(lambda: ours.create([layer], 2), after=ours.terminate)

    def imports(package: str) -> Case:
        command = [bench.python, "-s", "-c", f"import {package}"]
        return Case(lambda: subprocess.run(command, check=True, env=clean_environ()))

    times = interleave(
        {
            "raster": create(raster),
            "start + import numpy": imports("numpy"),
            "vector": create(vector),
            "start + import geopandas": imports("geopandas"),
        },
        bench.rounds * 4,
    )
    return [
        compare("createCompute again, raster, 2 nodes", times, "raster", "start + import numpy", 3),
        compare("createCompute again, vector, 2 nodes", times, "vector", "start + import geopandas", 2),
    ]


def build(bench: Bench) -> list[Row]:
    """The first environment, its packages in the installers' caches."""
    with tempfile.TemporaryDirectory(prefix="ellipsis-benchmark-") as text:
        folder = Path(text)
        interpreter = choose_interpreter(INTERPRETER, Home(bench.ours.home))
        environ = clean_environ()

        def ours(wait: bool) -> None:
            home = Home(folder / "home")
            home.prepare()
            environments = Environments(home, background=False, environ=environ)
            (environments.prefetch if wait else environments.ensure)(interpreter)

        def pip() -> None:
            venv = folder / "venv"
            for command in (
                [interpreter.executable, "-m", "venv", venv],
                [venv / "bin" / "python", "-m", "pip", "install", "--quiet", *WORKER_REQUIREMENTS],
            ):
                subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def remove() -> None:
            for name in ("home", "venv"):
                shutil.rmtree(folder / name, ignore_errors=True)

        times = interleave(
            {
                "ours": Case(lambda: ours(wait=False), before=remove),
                "ours compiled": Case(lambda: ours(wait=True), before=remove),
                "venv + pip": Case(pip, before=remove),
            },
            min(bench.rounds, MOST_ROUNDS),
        )
    return [
        compare("first environment, ready for use", times, "ours", "venv + pip", 1 / 3),
        compare("first environment, all bytecode compiled", times, "ours compiled", "venv + pip"),
    ]
