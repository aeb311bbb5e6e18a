"""Layers as tables: in a notebook, and as a GeoDataFrame."""

from __future__ import annotations

import json
import pickle
import re
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine

from ellipsis_local.errors import LayerError, LayerWarning, MissingExtraError
from ellipsis_local.layer_tables import MOST_ROWS, Layer, Layers

NASTY = "<script>alert('x')</script> & \x1b[31m"
GRID = Affine(1000, 0, 500_000, 0, -1000, 6_800_000)


class Table(HTMLParser):
    """Cells by rows, and the names of the elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows:
            self.rows[-1][-1] += data


@pytest.fixture
def layers(el):
    raster = {"raster": np.ones((2, 4, 6), "uint8"), "transform": GRID, "crs": "EPSG:3857"}
    dates = [
        {"from": datetime(year, 5, 1, tzinfo=UTC), "to": datetime(year, 5, 2, tzinfo=UTC)} for year in (2020, 2021)
    ]
    scene = el.layers.add(raster, name=NASTY, date=dates[0])
    later = el.layers.add(raster | {"raster": np.zeros((2, 4, 6), "uint8")}, scene["pathId"], date=dates[1])
    wells = geopandas.GeoDataFrame({"depth": [3.5]}, geometry=[shapely.Point(5, 52)], crs=4326)
    return scene, later, el.layers.add(wells, name="wells", date=dates[0])


def test_a_notebook_shows_layers_as_a_table(el, layers):
    scene, later, wells = layers
    shown = el.layers.list()
    text = shown._repr_html_()
    ElementTree.fromstring(text)
    table = Table(text)
    assert "script" not in table.elements and "prefers-color-scheme: dark" in text
    head, *rows = table.rows
    assert head[:3] == ["name", "type", "content"]
    assert rows == [
        [NASTY.replace("\x1b", "\ufffd"), "raster", "2 × uint8: band 1, band 2", "2", "2021-05-02", *later.values()],
        ["wells", "vector", "depth", "1", "2020-05-02", *wells.values()],
    ]

    one = el.layers.get(scene["pathId"])
    ElementTree.fromstring(one._repr_html_())
    _, *rows = Table(one._repr_html_()).rows
    assert [row[:4] for row in rows] == [
        [scene["timestampId"], "2020-05-01 – 2020-05-02", "active", "1"],
        [later["timestampId"], "2021-05-01 – 2021-05-02", "active", "1"],
    ]
    assert rows[0][5:7] == ["4.4916 – 4.5455", "51.977 – 51.999"]

    # They are what they were besides.
    assert set(one) == set(el.path.get(scene["pathId"])) and json.loads(json.dumps(one, default=str))["name"] == NASTY
    assert pickle.loads(pickle.dumps(shown)) == shown == list(shown)
    assert Layers()._repr_html_().count("no layers") == 1
    many = Layers([Layer(type="folder", name="a", id="b")] * (MOST_ROWS + 1234))
    assert "and 1,234 more" in many._repr_html_() and len(Table(many._repr_html_()).rows) == MOST_ROWS + 1


def test_layers_as_a_frame(el, token, layers):
    empty = el.layers.list(as_frame=True).iloc[:0]
    assert empty.crs == "EPSG:4326"
    frame = el.layers.list(as_frame=True)
    assert frame[["pathId", "timestampId"]].to_dict("records") == [*layers]
    assert list(frame["type"]) == ["raster", "raster", "vector"] and not frame["standIn"].any()
    assert [f"{date:%Y-%m-%d %Z}" for date in frame["from"]] == ["2020-05-01 UTC", "2021-05-01 UTC", "2020-05-01 UTC"]
    corners = shapely.box(500_000, 6_796_000, 506_000, 6_800_000)
    expected = geopandas.GeoSeries([corners], crs=3857).to_crs(4326)[0]
    assert shapely.equals_exact(shapely.normalize(frame.geometry[0]), shapely.normalize(expected), 1e-6)
    with pytest.raises(el.EllipsisLocalError, match="as_frame"):
        el.layers.list(as_frame="yes")
    el.path.folder.add("a folder", token)
    empty_layer = el.path.raster.add("without timestamps", token)["id"]
    assert len(el.layers.list(as_frame=True)) == 3
    el.path.raster.timestamp.add(empty_layer, token)
    last = el.layers.list(as_frame=True).iloc[-1]
    assert (last["name"], last["files"], last.geometry) == ("without timestamps", 0, None)


def test_a_map_needs_an_extra(el, layers, monkeypatch):
    monkeypatch.setitem(sys.modules, "folium", None)
    for layer in layers:
        with pytest.raises(MissingExtraError, match=r"needs folium, .*pip install 'ellipsis-local\[explore\]'"):
            el.layers.explore(*layer.values())


def test_layers_and_partitions_on_one_map(el, layers, token):
    pytest.importorskip("folium")
    pytest.importorskip("mapclassify")
    scene, _, wells = layers
    names = geopandas.GeoDataFrame({NASTY: [NASTY, None]}, geometry=[shapely.Point(5, 52), None], crs=4326)
    shown = el.layers.explore(*scene.values(), opacity=0.5)
    el.configure(inline=True)
    compute = el.compute.createCompute(layers=[scene], token=token, nodes=2)
    with pytest.warns(LayerWarning, match="1 of 2 features of the GeoDataFrame have no geometry"):
        named = el.layers.add(names)
    for more in (wells, named):
        assert el.layers.explore(*more.values(), m=shown) is shown
    assert el.report(compute["id"]).explore(m=shown) is shown
    html = shown.get_root().render()
    assert re.findall(r"https?:[^\"' ]*", html) == [], "nothing is loaded"
    assert "data:image/png;base64," in html and '"opacity": 0.5' in html
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html.replace("\\u0026", "&")
    with pytest.raises(LayerError, match="has no files"):
        el.layers.explore(wells["pathId"], el.path.vector.timestamp.add(wells["pathId"], token)["id"])


def test_a_map_shows_a_page_of_features_and_says_so(el, monkeypatch):
    pytest.importorskip("folium")
    pytest.importorskip("mapclassify")
    trees = geopandas.GeoDataFrame({"n": range(10_001)}, geometry=shapely.points(range(10_001), 0), crs=3857)
    with pytest.warns(LayerWarning, match="shows the first 10,000 features; `layers.export` writes all"):
        el.layers.explore(*el.layers.add(trees).values())
