"""The main job through the public functions: layers in, create, execute, results out or into a layer, terminate."""

from __future__ import annotations

import io
import sys
import time
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.io import MemoryFile

from ellipsis_local.errors import FidelityWarning
from tests.integration.conftest import wait_for


@pytest.fixture(autouse=True)
def nested_functions_are_meant():
    """Functions of tests stand inside tests, which the service would refuse; that is tested elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        yield


def test_sums_over_partitions_are_the_whole(el, token, raster, points, create) -> None:
    def f(params):
        import numpy

        found = {}
        for key, value in params.items():
            if isinstance(value, dict):
                r = value["raster"]
                assert type(r) is numpy.ndarray and r.flags.writeable
                h, w = r.shape[1:]
                (x0, y1), (x1, y0) = value["transform"] @ (0, 0), value["transform"] @ (w, h)
                assert value["extent"] == {"xMin": x0, "xMax": x1, "yMin": y0, "yMax": y1}
                assert value["crs"] == "EPSG:3857"
                found[key] = (float(r[0].sum()), r.shape)
            else:
                found[key] = value["number"].tolist()
        return found

    compute_id = create([raster, points], nodes=5)
    result = el.compute.execute(compute_id, f, token)
    assert len(result) == 5
    assert sum(r[raster["timestampId"]][0] for r in result) == np.arange(2400).sum()
    assert sorted(n for r in result for n in r[points["timestampId"]]) == list(range(100))
    el.compute.terminateCompute(compute_id, token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"


def test_a_vector_is_exactly_a_frame_that_answers_vector(el, token, points, create) -> None:
    def f(params):
        import geopandas

        frame = next(iter(params.values()))
        assert type(frame) is geopandas.GeoDataFrame
        assert frame["vector"] is frame
        assert frame["geometry"].equals(frame.geometry)
        assert type(frame[frame["number"] > 3]) is geopandas.GeoDataFrame
        try:
            frame["nothing"]
        except KeyError:
            pass
        return {name: str(dtype) for name, dtype in frame.dtypes.items()}

    types = el.compute.execute(create([points]), f, token)[0]
    assert types["kind"] == "category"
    assert types["maybe"] == "Int64"
    assert types["when"].startswith("datetime64") and types["when"].endswith("UTC]")
    assert types["number"] == "int64"


def test_each_execution_gets_pristine_values(el, token, raster, points, create) -> None:
    def spoil(params):
        for value in params.values():
            if isinstance(value, dict):
                value["raster"][:] = 0
                value["extent"]["xMin"] = 0
            else:
                value["number"] = 0
                value.drop(value.index, inplace=True)
        params.clear()

    def look(params):
        return [
            float(v["raster"].sum()) + v["extent"]["xMin"] if isinstance(v, dict) else int(v["number"].sum())
            for v in params.values()
        ]

    compute_id = create([raster, points])
    before = el.compute.execute(compute_id, look, token)
    el.compute.execute(compute_id, spoil, token)
    assert el.compute.execute(compute_id, look, token) == before
    assert before[0][0] > 0


def test_files_come_as_memory_files(el, token, tmp_path, create) -> None:
    def f(params):
        import io

        (value,) = params.values()
        assert type(value) is io.BytesIO and value.tell() == 0
        return value.read()

    (tmp_path / "model.bin").write_bytes(b"weights")
    path_id = el.path.file.add(token, filePath=str(tmp_path / "model.bin"))["id"]
    assert el.compute.execute(create([], nodes=3, files=[path_id]), f, token) == [b"weights"] * 3
    el.path.file.download(path_id, str(tmp_path / "copy.bin"), token)
    assert (tmp_path / "copy.bin").read_bytes() == b"weights"


def test_small_results_keep_their_type(el, token, raster, create) -> None:
    def f(params):
        import geopandas
        import numpy
        import pandas
        from shapely.geometry import Point

        r = next(iter(params.values()))["raster"]
        return (
            r.shape, numpy.float32(1.5), r[:, :2, :2], pandas.DataFrame({"a": [1]}),
            geopandas.GeoDataFrame({"a": [1]}, geometry=[Point(1, 2)], crs=3857), [{"max": r.max()}], None,
        )  # fmt: skip

    shape, number, array, frame, geo, listed, nothing = el.compute.execute(create([raster]), f, token)[1]
    assert shape == (2, 20, 60)
    assert type(number) is np.float32
    assert array.dtype == np.uint16
    assert type(frame) is pd.DataFrame
    assert type(geo) is gpd.GeoDataFrame and geo.crs.to_epsg() == 3857
    assert type(listed[0]["max"]) is np.uint16
    assert nothing is None


def test_odd_results_arrive_as_they_were(el, token, raster, create) -> None:
    def f(params):
        import collections

        import geopandas
        import numpy
        import pandas
        import pyproj
        from shapely.geometry import LinearRing, Point

        point = collections.namedtuple("Found", "id mean")
        geometries = {
            "a": geopandas.GeoSeries([Point(1, 2)], crs="EPSG:3857"),
            "b": geopandas.GeoSeries([None], crs=4326),
        }
        return {
            "objects": pandas.DataFrame({"o": pandas.Series([{"a": 1}, {"b": [2]}, 3, None], dtype=object)}),
            "large": pandas.DataFrame({"n": pandas.Series([2**70, 1], dtype=object)}),
            "classes": pandas.cut(pandas.Series([1, 2, 3]), 2),
            "index": pandas.DataFrame({"v": [1, 2]}, index=pandas.date_range("2020", periods=2, freq="D", tz="Europe/Amsterdam")),
            "two": geopandas.GeoDataFrame(geometries, geometry="a"),
            "pandas": pandas.DataFrame({"a": geometries["a"]}),
            "rest": [point(1, 2.5), LinearRing([(0, 0), (1, 0), (1, 1)]), numpy.ma.masked, pyproj.CRS(3857), "\ud800\udc00"],
        }  # fmt: skip

    found = el.compute.execute(create([raster]), f, token)[0]
    assert [type(v) for v in found["objects"]["o"]] == [dict, dict, int, type(None)]
    assert found["objects"]["o"][:2].tolist() == [{"a": 1}, {"b": [2]}]
    assert found["large"]["n"].tolist() == [2**70, 1]
    assert found["classes"].tolist() == pd.cut(pd.Series([1, 2, 3]), 2).tolist()
    assert (str(found["index"].index.tz), found["index"].index.freqstr) == ("Europe/Amsterdam", "D")
    assert (type(found["two"]), str(found["two"].crs), str(found["two"]["b"].crs)) == (
        gpd.GeoDataFrame,
        "EPSG:3857",
        "EPSG:4326",
    )
    assert (type(found["pandas"]), str(found["pandas"].dtypes["a"])) == (pd.DataFrame, "geometry")
    record, ring, masked, crs, text = found["rest"]
    assert (record.mean, ring.geom_type, masked is np.ma.masked) == (2.5, "LinearRing", True)
    assert (str(crs), text) == ("EPSG:3857", "\ud800\udc00")


def ndvi_like(kind):
    """A function that returns its partition's first band as a GeoTIFF, in a memory file of some kind."""

    def as_bytesio(params):
        import io

        import numpy
        import rasterio

        (value,) = params.values()
        out, r = io.BytesIO(), value["raster"][:1].astype("float32")
        with rasterio.open(
            out, "w", driver="GTiff", height=r.shape[1], width=r.shape[2], count=1, dtype="float32", crs=value["crs"],
            transform=value["transform"], compress="deflate",
        ) as target:  # fmt: skip
            target.write(numpy.sqrt(r))
        out.seek(0, 2)
        return out

    def as_bytes(params):
        import numpy
        from rasterio.io import MemoryFile

        (value,) = params.values()
        r = value["raster"][:1].astype("float32")
        profile = {"driver": "GTiff", "height": r.shape[1], "width": r.shape[2], "count": 1, "dtype": "float32"}
        with MemoryFile() as memory:
            with memory.open(**profile, crs=value["crs"], transform=value["transform"]) as target:
                target.write(numpy.sqrt(r))
            return memory.read()

    def as_memory_file(params):
        import numpy
        from rasterio.io import MemoryFile

        (value,) = params.values()
        r = value["raster"][:1].astype("float32")
        profile = {"driver": "GTiff", "height": r.shape[1], "width": r.shape[2], "count": 1, "dtype": "float32"}
        memory = MemoryFile()
        with memory.open(**profile, crs=value["crs"], transform=value["transform"]) as target:
            target.write(numpy.sqrt(r))
        return memory

    return {"BytesIO": as_bytesio, "bytes": as_bytes, "MemoryFile": as_memory_file}[kind]


@pytest.mark.parametrize("kind", ["BytesIO", "bytes", "MemoryFile"])
def test_large_results_become_a_layer(el, token, raster, create, tmp_path, kind) -> None:
    compute_id = create([raster], nodes=3, largeResult=True)
    response = el.compute.execute(compute_id, ndvi_like(kind), token)
    assert all(url.startswith(f"/compute/{compute_id}/file/") for url in response)
    with MemoryFile(el.compute.downloadFile(response[0], token, memfile=io.BytesIO()).getvalue()) as memory:
        assert memory.open().count == 1
    el.compute.downloadFile(response[1], token, filePath=str(tmp_path / "one.tif"))
    target = el.path.raster.add("roots", token)["id"]
    when = el.path.raster.timestamp.add(target, token)["id"]
    el.compute.addLayer(response, target, when, token)
    el.compute.terminateAll(token)
    el.layers.export(target, when, tmp_path / "roots.tif")
    with rasterio.open(tmp_path / "roots.tif") as whole:
        np.testing.assert_array_equal(whole.read(1), np.sqrt(np.arange(2400, dtype="float32").reshape(40, 60)))
        assert whole.transform.almost_equals(rasterio.Affine(10, 0, 500_000, 0, -10, 6_000_000))
    info = el.path.get(target, token)
    assert info["raster"]["timestamps"][0]["status"] == "active"
    assert len(el.path.raster.timestamp.file.get(target, when, token)["result"]) == 3


def test_write_to_layer_raster_and_vector(el, token, raster, points, create, tmp_path) -> None:
    def as_gpkg(params):
        import io

        out = io.BytesIO()
        next(iter(params.values())).to_file(out, driver="GPKG")
        return out

    target = el.path.raster.add("written", token)["id"]
    when = el.path.raster.timestamp.add(target, token)["id"]
    compute_id = create([raster])
    ids = el.compute.execute(
        compute_id, ndvi_like("BytesIO"), token, writeToLayer={"pathId": target, "timestampId": when}
    )
    assert [f["id"] for f in el.path.raster.timestamp.file.get(target, when, token)["result"]] == ids
    assert {r["type"] for r in el.compute.getComputeInfo(compute_id, token)["result"]} == {"upload"}
    assert el.path.get(target, token)["raster"]["timestamps"][0]["status"] == "active"

    vector = el.path.vector.add("points", token)["id"]
    stamp = el.path.vector.timestamp.add(vector, token)["id"]
    where = {"pathId": vector, "timestampId": stamp, "file": {"format": "gpkg"}}
    el.compute.execute(create([points], nodes=3), as_gpkg, token, writeToLayer=where)
    el.layers.export(vector, stamp, tmp_path / "points.gpkg")
    assert sorted(gpd.read_file(tmp_path / "points.gpkg")["number"]) == list(range(100))
    # A vector is usable without being activated.
    assert el.path.get(vector, token)["vector"]["timestamps"][0]["status"] == "active"
    again = create([{"pathId": vector, "timestampId": stamp}], nodes=2)
    assert sum(el.compute.execute(again, lambda params: len(next(iter(params.values()))), token)) == 100


def test_not_waiting_returns_at_once(el, token, raster, create) -> None:
    def slow(params):

        time.sleep(0.7)
        return 5

    compute_id = create([raster], awaitTillStarted=False)
    assert el.compute.getComputeInfo(compute_id, token)["status"] in ("queued", "starting", "available")
    wait_for(el, compute_id, token, "available")
    assert el.compute.execute(compute_id, slow, token, awaitTillCompleted=False) is None
    info = el.compute.getComputeInfo(compute_id, token)
    assert info["status"] == "executing"
    assert "result" not in info
    info = wait_for(el, compute_id, token, "completed")
    assert [r["value"] for r in info["result"]] == [5, 5]
    assert all(n["state"] == "completed" and n["seconds"] >= 0.7 and n["resultSize"] > 0 for n in info["nodes"])
    el.compute.terminateCompute(compute_id, token, awaitTillTerminated=False)
    wait_for(el, compute_id, token, "stopped")


def test_both_spellings_of_the_await_argument(el, token, raster, create) -> None:
    first, second = create([raster]), create([raster])
    el.compute.terminateCompute(first, token, awaitTillCompleted=True)
    el.compute.terminateAll(token, awaitTillCompleted=True)
    assert el.compute.getComputeInfo(second, token)["status"] == "stopped"
    el.compute.terminateCompute(second, token, True)


def test_the_clients_positional_order(el, token, raster) -> None:
    made = el.compute.createCompute([raster], token, None, 2, f"python3.{sys.version_info[1]}", [], True, False, False)
    assert el.compute.execute(made["id"], ndvi_like("bytes"), token, True, None) is not None


@pytest.mark.slow
def test_an_environment_of_another_python(el, token, raster, points, create) -> None:
    def f(params):
        import sys

        import numpy
        import pandas

        frame = next(v for v in params.values() if not isinstance(v, dict))
        raster = next(v for v in params.values() if isinstance(v, dict))["raster"]
        return (
            sys.version_info[:2],
            pandas.__version__,
            frame,
            numpy.float64(raster.mean()),
            pandas.Timestamp(0, tz="UTC"),
        )

    from ellipsis_local.emulator import current_emulator
    from ellipsis_local.environments import find_interpreters

    others = sorted({i.version[:2] for i in find_interpreters(current_emulator().home)} - {sys.version_info[:2]})
    if not others:
        pytest.skip("there is one Python only")
    name = "python{}.{}".format(*others[0])
    result = el.compute.execute(create([raster, points], interpreter=name, requirements=["pandas<3"]), f, token)
    assert {r[0] for r in result} == {others[0]}
    assert all(r[1].split(".")[0] < "3" for r in result)
    whole = pd.concat([r[2] for r in result])
    assert type(whole) is gpd.GeoDataFrame and sorted(whole["number"]) == list(range(100))
    assert str(whole["maybe"].dtype) == "Int64"
    assert all(type(r[3]) is np.float64 and r[4] == pd.Timestamp(0, tz="UTC") for r in result)


def test_keys_are_spelled_as_the_caller_did(el, token, raster, create) -> None:
    def f(params):
        return list(params)

    shouted = {name: value.upper() for name, value in raster.items()}
    assert el.compute.execute(create([shouted], nodes=1), f, token) == [[shouted["timestampId"]]]


def test_result_files_stay_after_terminating(el, token, raster, create) -> None:
    compute_id = create([raster], largeResult=True)
    response = el.compute.execute(compute_id, ndvi_like("bytes"), token)
    el.compute.terminateCompute(compute_id, token)
    assert el.compute.downloadFile(response[0], token, memfile=io.BytesIO()).getvalue()[:2] == b"II"


def test_geopackages_become_a_vector_layer(el, token, points, create, tmp_path) -> None:
    def f(params):
        import io

        out = io.BytesIO()
        next(iter(params.values()))[["number", "geometry"]].to_file(out, driver="GPKG")
        return out

    response = el.compute.execute(create([points], nodes=4, largeResult=True), f, token)
    target = el.path.vector.add("collected", token)["id"]
    when = el.path.vector.timestamp.add(target, token)["id"]
    el.compute.addToLayer(response, target, when, token)
    el.layers.export(target, when, tmp_path / "all.fgb")
    assert sorted(gpd.read_file(tmp_path / "all.fgb")["number"]) == list(range(100))
    assert el.path.vector.timestamp.getBounds(target, when, token).area > 0


def test_layers_are_for_every_token_of_the_home(el, raster) -> None:
    made = el.compute.createCompute(
        [raster], "a token of the service", nodes=1, interpreter=f"python3.{sys.version_info[1]}"
    )
    assert el.compute.getComputeInfo(made["id"], "Bearer a token of the service")["status"] == "available"


def test_warnings_point_at_the_callers_line(el, token, create, fixtures) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer = el.layers.add(fixtures / "awkward_null_geometry.geojson")
        compute_id = create([layer])
        el.compute.execute(compute_id, lambda params: 1, token)
    assert {str(w.category.__name__) for w in caught} >= {"LayerWarning", "FidelityWarning"}
    assert {w.filename for w in caught if w.category.__module__.startswith("ellipsis_local")} == {__file__}


@pytest.mark.slow
def test_the_client_itself_inside_a_function(el, token, raster, create, tmp_path) -> None:
    """Scripts save their results with the client's own helpers, which they list in the requirements."""

    def f(params):
        from io import BytesIO

        import ellipsis

        (value,) = params.values()
        ellipsis.sanitize.validNumpyArray("r", value["raster"], True)
        return ellipsis.util.saveRaster(
            r=value["raster"], epsg=3857, targetFile=BytesIO(), transform=value["transform"]
        )

    compute_id = create([raster], largeResult=True, requirements=["ellipsis==3.3.12"])
    target = el.path.raster.add("saved", token)["id"]
    when = el.path.raster.timestamp.add(target, token)["id"]
    el.compute.addLayer(el.compute.execute(compute_id, f, token), target, when, token)
    el.layers.export(target, when, tmp_path / "saved.tif")
    with rasterio.open(tmp_path / "saved.tif") as whole:
        np.testing.assert_array_equal(whole.read(1), np.arange(2400).reshape(40, 60))


def test_remote_files_are_refused(el, token, raster) -> None:
    with pytest.raises(ValueError, match="remoteInfo is not emulated"):
        el.path.raster.timestamp.file.add(
            raster["pathId"], raster["timestampId"], token, "tif", name="x", remoteInfo={"url": "s3://x"}
        )
