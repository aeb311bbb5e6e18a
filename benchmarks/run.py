"""Run the benchmarks: `python benchmarks/run.py [--quick] [--only NAME] [--rivals PYTHON] …`; see README.md."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
sys.path.append(str(ROOT))  # a checkout is measured where nothing is installed

import data  # noqa: E402
from bench import Bench  # noqa: E402
from ours import Ours  # noqa: E402
from rows_calls import calls  # noqa: E402
from rows_dask import dask  # noqa: E402
from rows_doubles import doubles  # noqa: E402
from rows_memory import memory  # noqa: E402
from rows_ndvi import ndvi  # noqa: E402
from rows_polygons import polygons  # noqa: E402
from rows_rivals import rivals  # noqa: E402
from rows_scaling import scaling  # noqa: E402
from rows_server import server  # noqa: E402
from rows_start import build, start  # noqa: E402
from rows_warp import warp  # noqa: E402
from table import machine, render  # noqa: E402

GROUPS = {
    "start": start,
    "calls": calls,
    "ndvi": ndvi,
    "polygons": polygons,
    "warp": warp,
    "memory": memory,
    "scaling": scaling,
    "server": server,
    "doubles": doubles,
    "dask": dask,
    "rivals": rivals,
    "build": build,
}
SLOW = {"build"}
"""Left out with --quick, unless asked for."""


def main() -> None:
    options = _options()
    facts = machine()
    sizes = data.QUICK if options.quick else data.FULL
    small = data.prepare(data.QUICK)
    layers = data.prepare(sizes)
    ours = Ours(data.folder() / "home")
    bench = Bench(
        ours, ours.environment(), sizes, layers, small, data.QUICK, options.rounds or (3 if options.quick else 5),
        options.quick, options.rivals, options.client, options.moto,
    )  # fmt: skip
    rows = []
    for name in options.only or [name for name in GROUPS if not (options.quick and name in SLOW)]:
        found = GROUPS[name](bench)
        print(f"\n{name}\n{render(found)}", flush=True)
        rows += [{"group": name, **row.to_dict()} for row in found]
    now = datetime.now(UTC)
    target = options.json or Path(__file__).parent / "results" / f"{now:%Y-%m-%dT%H-%M-%S}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    report = {"time": now.isoformat(timespec="seconds"), "quick": options.quick, "machine": facts, "rows": rows}
    target.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"\n{', '.join(f'{name} {value}' for name, value in facts.items())}\n{target.name}")


def _interpreter(text: str) -> Path:
    """The interpreter at a path, or of a name on PATH. Not resolved: a virtual environment is known by its link."""
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no program")
    return Path(found).absolute()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure ellipsis_local; a missed goal is no failure.")
    parser.add_argument("--quick", action="store_true", help="small layers, fewer rounds")
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group of rows; may be given several times")
    parser.add_argument(
        "--rivals", action="append", type=_interpreter, default=[], metavar="PYTHON",
        help="an interpreter with joblib, dask, ray, rasterio, geopandas; may be given several times",
    )  # fmt: skip
    parser.add_argument("--client", type=_interpreter, metavar="PYTHON", help="one with the real client, `ellipsis`")
    parser.add_argument("--moto", type=_interpreter, metavar="PYTHON", help="an interpreter with moto[s3] and pytest")
    parser.add_argument("--rounds", type=int, help="of the slow rows; 5, or 3 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go; benchmarks/results/ otherwise")
    return parser.parse_args()


if __name__ == "__main__":
    main()
