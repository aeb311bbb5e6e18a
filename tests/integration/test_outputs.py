"""What nodes return is looked at before it is added: refused where it cannot be a layer, told of where it does not fit."""

from __future__ import annotations

import linecache
import re
import sys
import warnings

import geopandas as gpd
import numpy as np
import pyogrio.core
import pyogrio.raw
import pytest
import rasterio
import shapely
from affine import Affine

from ellipsis_local.errors import LayerError, OutputWarning

pytestmark = pytest.mark.filterwarnings("ignore::ellipsis_local.FidelityWarning")

GRID = Affine(10, 0, 500_000, 0, -10, 6_000_000)


@pytest.fixture
def scene(el):
    """30 × 60 pixels of 10 m, which four nodes get in strips of 15 columns."""
    el.configure(inline=True, cut="columns")
    values = np.arange(1800, dtype="float32").reshape(30, 60)
    return el.layers.add({"raster": values, "transform": GRID, "crs": "EPSG:3857"})


@pytest.fixture
def people(el):
    """48 points, of which every one of four nodes gets twelve."""
    el.configure(inline=True)
    shapes = [shapely.Point(500_000 + 10 * i, 6_000_000) for i in range(48)]
    frame = gpd.GeoDataFrame({"id": range(48), "kind": ["a"] * 48}, geometry=shapes, crs="EPSG:3857")
    return el.layers.add(frame)


@pytest.fixture
def added(el, token):
    """Run a function into a new layer, by writeToLayer or by addLayer; the warning's text, or what was raised."""

    def run(layer, function, way="writeToLayer", kind="raster", nodes=4, **arguments):
        room = getattr(el.path, kind)
        path = room.add("results", token)["id"]
        target = {"pathId": path, "timestampId": room.timestamp.add(path, token)["id"]}
        compute_id = el.compute.createCompute(
            layers=[layer], token=token, nodes=nodes, largeResult=way == "addLayer",
            interpreter=f"python3.{sys.version_info[1]}", **arguments,
        )["id"]  # fmt: skip
        file = {"format": "tif" if kind == "raster" else "gpkg"}
        failure = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if way == "addLayer":
                    response = el.compute.execute(compute_id, function, token)
                    el.compute.addLayer(response, target["pathId"], target["timestampId"], token)
                else:
                    el.compute.execute(compute_id, function, token, writeToLayer=target | {"file": file})
            except LayerError as error:
                failure = error
        el.compute.terminateCompute(compute_id, token)
        found = len(room.timestamp.file.get(target["pathId"], target["timestampId"], token)["result"])
        assert found == (0 if failure else nodes), "all or none"
        told = [str(one.message) for one in caught if issubclass(one.category, OutputWarning)]
        assert len(told) <= 1
        return str(failure) if failure else told[0] if told else None

    return run


def writer(change: str):
    """A function that writes its part of the scene, on the node in the east in another way."""
    text = f"""
def f(params):
    import io

    import numpy
    import rasterio
    from affine import Affine

    part = next(iter(params.values()))
    values, t, crs = part["raster"], part["transform"], part["crs"]
    cut, nodata, dtype, driver, east = None, None, "float32", "GTiff", part["extent"]["xMax"] > 500500
    {change}
    file = io.BytesIO()
    with rasterio.open(
        file, "w", driver=driver, count=values.shape[0], height=values.shape[1], width=values.shape[2],
        dtype=dtype, crs=crs, transform=t, nodata=nodata,
    ) as target:
        target.write(values.astype(dtype))
    file.seek(0)
    return file if cut is None or not east else io.BytesIO(file.getvalue()[:-cut])
"""
    return made(text)


def sheet(change: str):
    text = f"""
def f(params):
    import io

    frame = next(iter(params.values()))
    as_json, east = False, frame.geometry.x.min() > 500350
    {change}
    file = io.BytesIO()
    frame.to_file(file, driver="GeoJSON" if east and as_json else "GPKG")
    file.seek(0)
    return file
"""
    return made(text)


def made(text: str):
    """A function of this text, whose source can be found."""
    name, space = f"<written {hash(text)}>", {}
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), space)
    return space["f"]


GOOD = (
    "pass",
    # Coarser pixels of its own grid, over the whole partition.
    "values, t = values[:, ::3, ::3], t @ Affine.scale(3)",
    # Another dtype and nodata than the layer's, the same on all nodes.
    "values = values.astype('uint8'); dtype = 'uint8'; nodata = 255",
)


@pytest.mark.parametrize("way", ["writeToLayer", "addLayer"])
@pytest.mark.parametrize("change", GOOD)
def test_nothing_is_said_of_what_fits(scene, added, way, change) -> None:
    assert added(scene, writer(change), way) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("if east: crs = 'EPSG:32631'", r"CRS EPSG:32631 on node 3, and EPSG:3857 on the others"),
        ("if east: nodata = -1", r"nodata -1 on node 3, and none on the others"),
        ("if east: t = t @ Affine.translation(0.4, 0)", r"node 3's pixels lie off the grid of the others by 0\.4 and "),
        ("if east: values, t = values[:, ::3, ::3], t @ Affine.scale(3)", r"pixel size 30 x 30 on node 3, and 10 x 10"),
        ("if east: values = values[:, 2:]", r"node 3's file leaves a hole: .* y 5999720 to 6000000, and its partition"),
        ("if east: values = values[:, :, :-1]", r"node 3's file leaves a hole"),
        ("t = Affine(10, 0, 500000, 0, -10, 6000000)", r"node 1's file leaves a hole: it covers x 500000 to 500150"),
        ("values = numpy.pad(values, ((0, 0), (0, 0), (0, 3)))", r"node 0's file reaches beyond its partition, over"),
    ],
)
def test_what_does_not_fit_is_told_with_the_node(el, scene, added, change, words) -> None:
    function = writer(change)
    text = added(scene, function)
    assert text.startswith("what the nodes return does not make one layer:\n  ")
    assert re.search(words, text), text
    assert added(scene, function, "addLayer") == text
    el.configure(strict=True)
    assert added(scene, function).startswith(text)


@pytest.mark.parametrize("way", ["writeToLayer", "addLayer"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "if east: crs = None",
            r"node 3 returned a file that cannot be added as a GeoTIFF with a CRS \(.* bytes\): it has no CRS; nothing",
        ),
        ("if east: values = numpy.repeat(values, 2, 0)", "bands 2 on node 3, and 1 on the others; nothing was added"),
        ("if east: dtype = 'float64'", "dtype float64 on node 3, and float32 on the others; nothing was added"),
        (
            "if east: return io.BytesIO(b'rubbish')",
            r"node 3 returned a file that cannot be added as a GeoTIFF with a CRS \(7 b",
        ),
        (
            "if east: driver, dtype = 'PNG', 'uint8'",
            r"node 3 returned a file that cannot be added as a GeoTIFF with a CRS \(",
        ),
        (
            "cut = 100",
            r"node [0-3] returned a file that cannot be added as a GeoTIFF .* at least 100 bytes are missing",
        ),
    ],
)
def test_what_no_layer_holds_is_refused_with_the_node(scene, added, way, change, words) -> None:
    assert re.search(words, added(scene, writer(change), way))


def test_with_an_overlap_files_may_reach_so_far(el, scene, added) -> None:
    el.configure(overlap=20)
    assert added(scene, writer("pass")) is None
    el.configure(overlap=0)
    assert added(scene, writer("pass")) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pass", None),
        ("if east: frame = frame.iloc[:0]", None),
        ("if east: frame = frame.to_crs('EPSG:4326')", "CRS EPSG:4326 on node 3, and EPSG:3857 on the others"),
        ("if east: frame = frame.drop(columns='kind')", "columns on node 3 are not those of the others: not kind;"),
        ("as_json = True", "bytes): it is geojson, and not gpkg; nothing was added"),
        ("if east: frame['more'] = 1", "columns on node 3 are not those of the others: more more;"),
        ("if east: frame['id'] = frame['id'].astype(str)", "column 'id' is string on node 3, and int64 on the others"),
        ("if east: frame['geometry'] = frame.buffer(3)", "geometries are polygons on node 3, and points on the others"),
    ],
)
def test_frames_that_do_not_make_one_layer(people, added, change, words) -> None:
    text = added(people, sheet(change), kind="vector")
    assert text is None if words is None else words in text, text
    if "to_crs" in change:
        assert added(people, sheet(change), "addLayer", kind="vector") == text


def test_rubbish_in_place_of_a_geopackage(people, added) -> None:
    text = added(people, sheet("if east: return io.BytesIO(b'rubbish')"), kind="vector")
    assert "node 3 returned a file that cannot be added as a GeoPackage of one layer with a CRS (7 bytes)" in text


def test_with_real_nodes(el, scene, added) -> None:
    el.configure(inline=False)
    text = added(scene, writer("if east: values = values[:, 2:]"), nodes=2)
    assert "node 1's file leaves a hole" in text


@pytest.mark.parametrize("kind", ["raster", "vector"])
def test_each_is_opened_once(el, token, scene, people, monkeypatch, kind) -> None:
    """By whichever way their libraries open a file."""
    layer, function = (scene, writer("pass")) if kind == "raster" else (people, sheet("pass"))
    room = getattr(el.path, kind)
    path = room.add("results", token)["id"]
    timestamp = room.timestamp.add(path, token)["id"]
    compute_id = el.compute.createCompute(
        [layer], token, nodes=3, largeResult=True, interpreter=f"python3.{sys.version_info[1]}"
    )["id"]
    response = el.compute.execute(compute_id, function, token)
    opened = []

    def counted(original):
        def call(location, *arguments, **options):
            opened.append(location)
            return original(location, *arguments, **options)

        return call

    monkeypatch.setattr(rasterio, "open", counted(rasterio.open))
    for module in (pyogrio.raw, pyogrio.core):
        for name in vars(module).copy():
            if name.startswith("ogr_"):
                monkeypatch.setattr(module, name, counted(getattr(module, name)))
    el.compute.addLayer(response, path, timestamp, token)
    monkeypatch.undo()
    el.compute.terminateCompute(compute_id, token)
    assert len(opened) == len(set(map(str, opened))) == 3
