"""A home that 0.1.0 wrote: its computes execute, on the cuts that are in its cache, and their nodes run again."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ellipsis_local.errors import NodeError
from ellipsis_local.testing import inputs

OLD = json.loads((Path(__file__).parent / "data" / "compute-0.1.0.json").read_text())


def reduced(new: Any, old: Any) -> Any:
    """JSON of today with only the names that 0.1.0 knew."""
    if isinstance(new, dict):
        # A raster source was flat.
        new = {**new, **new.get("file", {}), **new.get("placement", {})}
        return {name: reduced(value, old[name]) for name, value in new.items() if name in old}
    if isinstance(new, list) and new and isinstance(new[0], dict):
        return [reduced(item, next((o for o in old if o.get("type") == item.get("type")), old[0])) for item in new]
    return new


def rewrite(path: Path, old: Any) -> None:
    path.write_text(json.dumps(reduced(json.loads(path.read_text()), old)))


def sums(params):
    return [int(value["raster"].sum()) if isinstance(value, dict) else len(value) for value in params.values()]


def fails(params):
    raise ValueError(len(params))


@pytest.mark.parametrize("inline", [True, False])
def test_its_computes_execute(el, token, raster, points, create, home, inline) -> None:
    el.configure(inline=inline)
    compute_id = create([raster, points])
    expected = el.compute.execute(compute_id, sums, token)
    with pytest.raises(NodeError):
        el.compute.execute(compute_id, fails, token)
    with contextlib.closing(sqlite3.connect(home / "ellipsis.sqlite")) as database, database:
        (text,) = database.execute("SELECT spec FROM computes").fetchone()
        spec = reduced(json.loads(text), OLD["spec"])
        assert spec.keys() == OLD["spec"].keys()
        database.execute("UPDATE computes SET spec = ?", (json.dumps(spec),))
    cuts = {cut["parts"][0]["type"]: cut for cut in OLD["cuts"].values()}
    for path in (home / "cache" / "cuts").glob("*/cut.json"):
        rewrite(path, cuts[json.loads(path.read_text())["parts"][0]["type"]])
    (index,) = (home / "cache" / "cuts").glob("*.json")
    layers = {layer["parts"][0]["type"]: layer for layer in OLD["index"]["layers"]}
    found = json.loads(index.read_text())
    found["layers"] = [reduced(layer, layers[layer["parts"][0]["type"]]) for layer in found["layers"]]
    index.write_text(json.dumps(found))
    folder = home / "computes" / compute_id
    rewrite(folder / "execution.json", OLD["execution"])
    rewrite(folder / "kept" / "1" / "inputs.json", OLD["inputs"])
    # Another emulator, which has nothing but what is written.
    el.configure(inline=inline, node_timeout=None if inline else 100)
    assert sorted(inputs(compute_id, 1)) == sorted([raster["timestampId"], points["timestampId"]])
    assert el.compute.execute(compute_id, sums, token) == expected
