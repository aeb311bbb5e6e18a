"""What map clients are built on, `ellipsis-js-util` (an npm package), reads of a server; skipped where node has it not.

`NODE_PATH` names the folder of node_modules that holds it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from ellipsis_local.server import Server

# It is made for browsers.
SCRIPT = """
globalThis.self = globalThis;
const util = require('ellipsis-js-util');
const [url, token, raster, vector] = process.argv.slice(1);
util.EllipsisApi.setApiUrl(url);
const Layer = util.VectorLayerUtil.EllipsisVectorLayerBase;
const layer = new Layer({pathId: vector, token, loadAll: true});
layer.getMapBounds = () => ({zoom: 14, bounds: {xMin: 5.9, xMax: 6, yMin: 51.8, yMax: 52}});
const loaded = new Promise(resolve => layer.updateView = resolve);
Promise.all([util.RasterLayerUtil.getSlippyMapUrlWithDefaults({pathId: raster, token}), layer.update(), loaded]).then(
    ([tiles]) => {
        const drawn = layer.getFeatures().map(feature => feature.properties.compiledStyle.fillColor);
        console.log(JSON.stringify({tiles, drawn}));
        process.exit();
    });
"""


def test_it_finds_layers_and_draws_vectors(el: ModuleType, server: Server, fixtures: Path) -> None:
    node = shutil.which("node")
    find = "globalThis.self = globalThis; require('ellipsis-js-util')"
    if node is None or subprocess.run([node, "-e", find], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("node or its package ellipsis-js-util is not here")
    raster, vector = (el.layers.add(fixtures / name) for name in ("ortho_west.tif", "buildings.gpkg"))
    token = el.account.logIn("demo_user", "demo_user")
    arguments = [node, "-e", SCRIPT, server.url, token, raster["pathId"], vector["pathId"]]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["tiles"]["zoom"] == 16 and raster["timestampId"] in found["tiles"]["url"]
    assert found["drawn"] == ["#f57c00"] * 452
