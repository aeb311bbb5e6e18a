"""What the demo does, as a script of a user would do it: the public functions and nothing else."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local import compute, layers, path
from ellipsis_local.cli.demo_functions import ndvi_picture, summary
from ellipsis_local.environments import DEFAULT_INTERPRETER
from ellipsis_local.errors import LayerWarning
from ellipsis_local.store import fixtures_folder

if TYPE_CHECKING:
    from ellipsis_local.emulator import Emulator

TOKEN = "ellipsis-local demo"  # noqa: S105 - any text is a token, of a user of its own
USED = ("scene", "dem", "landcover", "buildings", "roads", "trees", "parcels")
NAME = "ndvi of the demo"
FILES = {
    "partitions.svg": "what the nodes got, and what they made of it",
    "ndvi.tif": "the NDVI of all nodes as one GeoTIFF",
    "summary.json": "the numbers per node and their sums",
}

Step = Callable[[str], AbstractContextManager[Callable[[str], None]]]


@dataclass(frozen=True)
class Row:
    """One node: its partition, what it returned, and how long it took."""

    node: int
    extent: dict[str, float]
    value: dict[str, Any]
    seconds: float
    size: int

    @property
    def ndvi(self) -> float | None:
        return self.value["ndvi_sum"] / self.value["pixels"] if self.value["pixels"] else None


@dataclass(frozen=True)
class Outcome:
    compute_id: str
    rows: list[Row]
    total: dict[str, Any]


def run_demo(emulator: Emulator, nodes: int, interpreter: str | None, output: Path, step: Step) -> Outcome:
    """The whole job; files are written to `output`, which is made where it is not there."""
    output.mkdir(parents=True, exist_ok=True)
    with step("load the fixture layers") as tell:
        with warnings.catch_warnings():
            # features without geometry are among them on purpose
            warnings.simplefilter("ignore", LayerWarning)
            loaded = layers.load(fixtures_folder())
        tell(f"{len(loaded)} layers of one invented valley")
    # of a layer with several timestamps, timestampId is the last one
    wanted = [{"pathId": loaded[name]["pathId"], "timestampId": loaded[name]["timestampId"]} for name in USED]
    create = {"layers": wanted, "token": TOKEN, "nodes": nodes, "requirements": ["numpy"]}
    create["interpreter"] = interpreter or DEFAULT_INTERPRETER
    outcome = numbers(create, step)
    pictures(emulator, create, output / "ndvi.tif", step)
    with step("draw the partitions"):
        from ellipsis_local.cli.demo_picture import draw

        draw(fixtures_folder(), output / "ndvi.tif", outcome.rows, output / "partitions.svg")
    nodes_told = [{"node": row.node, "extent": row.extent, **row.value} for row in outcome.rows]
    told = json.dumps({"total": outcome.total, "nodes": nodes_told}, indent=2)
    (output / "summary.json").write_text(f"{told}\n", encoding="utf-8")
    return outcome


def numbers(create: dict[str, Any], step: Step) -> Outcome:
    """Small results: a few numbers per node, reduced here."""
    with step("start a compute") as tell:
        compute_id = compute.createCompute(**create)["id"]
        tell(f"{create['nodes']} nodes, {len(create['layers'])} layers")
    try:
        with step("run `summary` on every node") as tell:
            values = compute.execute(compute_id, summary, TOKEN)
            info = compute.getComputeInfo(compute_id, TOKEN)
            tell(f"{sum(node['resultSize'] for node in info['nodes']):,} bytes of numbers")
    finally:
        compute.terminateCompute(compute_id, TOKEN)
    assert values is not None  # noqa: S101
    rows = [
        Row(node["node"], node["extent"], value, node["seconds"], node["resultSize"])
        for node, value in zip(info["nodes"], values, strict=True)
    ]
    return Outcome(compute_id, rows, reduced(values))


def reduced(values: list[dict[str, Any]]) -> dict[str, Any]:
    """The sums over all partitions, and what follows from them."""
    total = {name: sum(value[name] for value in values) for name in ("pixels", "buildings", "trees", "parcels")}
    heights = [value for value in values if value["lowest"] is not None]
    return total | {
        "ndvi": sum(value["ndvi_sum"] for value in values) / total["pixels"],
        "forest_share": sum(value["forest"] for value in values) / sum(value["cover"] for value in values),
        "lowest": min(value["lowest"] for value in heights),
        "highest": max(value["highest"] for value in heights),
    }


def pictures(emulator: Emulator, create: dict[str, Any], target: Path, step: Step) -> None:
    """Large results: a GeoTIFF per node, added to a new layer, which is exported as one."""
    with step("start a compute for large results"):
        compute_id = compute.createCompute(**create, largeResult=True)["id"]
    try:
        with step("run `ndvi_picture` on every node") as tell:
            response = compute.execute(compute_id, ndvi_picture, TOKEN)
            tell("a GeoTIFF per node")
        with step("join them in a new layer and export it"):
            path_id, timestamp_id = new_layer(emulator)
            compute.addLayer(response or [], path_id, timestamp_id, TOKEN)
            layers.export(path_id, timestamp_id, target)
    finally:
        with step("terminate"):
            compute.terminateCompute(compute_id, TOKEN)


def new_layer(emulator: Emulator) -> tuple[str, str]:
    """An empty layer of the demo's user, in the place of the one of a former run."""
    owner = emulator.user(TOKEN).id
    for record in emulator.store.list():
        if record.name == NAME and record.owner == owner:
            layers.remove(record.id)
    path_id = path.raster.add(NAME, TOKEN)["id"]
    return path_id, path.raster.timestamp.add(path_id, TOKEN)["id"]
