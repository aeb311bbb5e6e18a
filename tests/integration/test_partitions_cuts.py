"""The setting `cut`: other partitions, and still every pixel and every feature in exactly one."""

from __future__ import annotations

import sys

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from ellipsis_local.errors import SettingsError

CUTS = ("balanced", "rows", "columns", "blocks", "medians", "random")


def content(params):
    found = {}
    for key, part in params.items():
        if isinstance(part, dict):
            found[key] = part["raster"].ravel().tolist()
        else:
            found[key] = part["id"].tolist()
    return found


@pytest.fixture
def both(el):
    """A raster of numbers, and squares that crowd in its south-west and reach beyond it."""
    el.configure(inline=True)
    raster = el.layers.add(
        {"raster": np.arange(1200, dtype="int32").reshape(30, 40), "transform": Affine(10, 0, 0, 0, -10, 300),
         "crs": "EPSG:3857"}
    )  # fmt: skip
    places = np.random.default_rng(3).exponential(80, (60, 2)) - 20
    shapes = [shapely.box(x, y, x + 15, y + 15) for x, y in places]
    vector = el.layers.add(gpd.GeoDataFrame({"id": range(60)}, geometry=shapes, crs="EPSG:3857"))
    return raster, vector


@pytest.fixture
def cut(el, token):
    """What each node of a cut holds, and where it is."""

    def run(layers, nodes, **settings):
        el.configure(**settings)
        made = el.compute.createCompute(layers, token, nodes=nodes, interpreter=f"python3.{sys.version_info[1]}")
        values = el.compute.execute(made["id"], content, token)
        extents = [tuple(node["extent"].values()) for node in el.compute.getComputeInfo(made["id"], token)["nodes"]]
        el.compute.terminateCompute(made["id"], token)
        return values, extents

    return run


@pytest.mark.parametrize("way", CUTS)
def test_everything_is_in_one_partition(both, cut, way) -> None:
    raster, vector = both
    for layers in ([raster, vector], [vector]):
        values, extents = cut(layers, 5, cut=way)
        for layer, everything in ((raster, range(1200)), (vector, range(60))):
            if layer in layers:
                held = sorted(one for value in values for one in value[layer["timestampId"]])
                assert held == list(everything)
        areas = [(x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in extents]
        x0, x1, y0, y1 = (f(column) for f, column in zip((min, max, min, max), zip(*extents, strict=True), strict=True))
        assert sum(areas) == pytest.approx((x1 - x0) * (y1 - y0))


def test_cuts_differ_and_the_random_one_follows_the_seed(both, cut) -> None:
    raster, vector = both
    for layers in ([vector], [raster]):
        found = {way: cut(layers, 3, cut=way)[1] for way in CUTS}
        assert len({str(extents) for extents in found.values()}) >= 5
        assert cut(layers, 3, cut="random", seed=0)[1] == found["random"]
        assert cut(layers, 3, cut="random", seed=8)[1] != found["random"]
        rows = cut(layers, 3, cut="rows", seed=None)[1]
        assert len({extent[:2] for extent in rows}) == 1
        columns = cut(layers, 3, cut="columns")[1]
        assert len({extent[2:] for extent in columns}) == 1


def test_medians_go_by_the_features(both, cut) -> None:
    raster, vector = both
    values, _ = cut([raster, vector], 4, cut="medians")
    assert [len(value[vector["timestampId"]]) for value in values] == [15] * 4


def test_a_cut_that_there_is_not(el) -> None:
    with pytest.raises(SettingsError, match="cut must be one of balanced, rows, .*, not 'diagonal'"):
        el.configure(cut="diagonal")
