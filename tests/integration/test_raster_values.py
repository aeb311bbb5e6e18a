"""What a function receives of a raster besides its pixels, and pixels that floats and projections would lose."""

from __future__ import annotations

import os
import re
import threading
import warnings
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import LayerError, LayerWarning
from ellipsis_local.raster import files

pytestmark = pytest.mark.filterwarnings("ignore::ellipsis_local.FidelityWarning")

GRID = Affine(10, 0, 500_000, 0, -10, 6_000_000)


def write(path: Path, values: np.ndarray, transform: Affine = GRID, crs: str | None = "EPSG:3857", **options) -> Path:
    bands, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype, crs=crs,
        transform=transform, **options,
    ) as target:  # fmt: skip
        target.write(values)
    return path


@pytest.fixture
def received(el, token, create):
    """What one node receives of a layer."""

    def run(layer, **options):
        el.configure(inline=True, **options)
        compute_id = create([layer], nodes=1)
        (value,) = el.compute.execute(compute_id, lambda params: next(iter(params.values())), token)
        return value

    return run


@pytest.fixture
def mosaic(el, token):
    """A layer of several files."""

    def add(*paths, **options):
        path = el.path.raster.add("mosaic", token)["id"]
        timestamp = el.path.raster.timestamp.add(path, token)["id"]
        for file in paths:
            el.path.raster.timestamp.file.add(path, timestamp, token, fileFormat="tif", filePath=str(file), **options)
        el.path.raster.timestamp.activate(path, timestamp, token)
        return {"pathId": path, "timestampId": timestamp}

    return add


def exported(el, layer, tmp_path):
    target = tmp_path / "exported.tif"
    el.layers.export(layer["pathId"], layer["timestampId"], target)
    return rasterio.open(target)


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_mask_arrives_beside_the_raw_pixels(el, token, create, tmp_path, nodes) -> None:
    values = np.arange(2400, dtype="uint16").reshape(1, 40, 60)
    file = write(tmp_path / "a.tif", values)
    mask = np.arange(2400).reshape(40, 60) % 7 != 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(file, "r+") as target:
        target.write_mask(mask)
    el.configure(inline=True)

    def valid(params):
        part = next(iter(params.values()))
        assert part["mask"].dtype == bool
        assert part["mask"].shape == part["raster"].shape[1:]
        return int(part["raster"].sum()), int(part["mask"].sum()), int(part["raster"][0][part["mask"]].sum())

    parts = el.compute.execute(create([el.layers.add(file)], nodes=nodes), valid, token)
    assert tuple(map(sum, zip(*parts, strict=True))) == (values.sum(), mask.sum(), values[0][mask].sum())


def test_without_a_mask_there_is_no_key(el, received) -> None:
    layer = el.layers.add({"raster": np.ones((1, 4, 4)), "transform": GRID, "crs": "EPSG:3857", "nodata": 0})
    assert set(received(layer)) >= {"raster", "transform", "extent", "crs"}
    assert not {"mask", "scales", "offsets", "units"} & set(received(layer))


def test_what_values_mean_arrives_and_is_exported(el, received, mosaic, tmp_path) -> None:
    for name, column in (("a", 0), ("b", 4)):
        file = write(tmp_path / f"{name}.tif", np.ones((2, 4, 4), "int16"), GRID @ Affine.translation(column, 0))
        with rasterio.open(file, "r+") as target:
            target.scales, target.offsets, target.units = (0.1, 2.0), (5.0, 0.0), ("K", "m")
    layer = mosaic(tmp_path / "a.tif", tmp_path / "b.tif")
    part = received(layer)
    assert (part["scales"], part["offsets"], part["units"]) == ((0.1, 2.0), (5.0, 0.0), ("K", "m"))
    assert (part["raster"] == 1).all()
    with exported(el, layer, tmp_path) as found:
        assert (found.scales, found.offsets, found.units) == ((0.1, 2.0), (5.0, 0.0), ("K", "m"))


def test_what_the_files_do_not_share_is_told(el, received, mosaic, tmp_path) -> None:
    for name, column, scale in (("a", 0, 0.1), ("b", 4, 0.5)):
        file = write(tmp_path / f"{name}.tif", np.ones((1, 4, 4), "int16"), GRID @ Affine.translation(column, 0))
        with rasterio.open(file, "r+") as target:
            target.scales = (scale,)
    layer = mosaic(tmp_path / "a.tif", tmp_path / "b.tif")
    with pytest.warns(LayerWarning, match="scale"):
        assert "scales" not in received(layer)


def test_zeros_stay_beside_a_file_whose_nodata_is_zero(el, received, mosaic, tmp_path) -> None:
    one, two = np.full((1, 4, 4), 3, "uint8"), np.zeros((1, 4, 4), "uint8")
    one[0, 0], two[0, 1] = 0, 255
    write(tmp_path / "a.tif", one, nodata=0)
    write(tmp_path / "b.tif", two, GRID @ Affine.translation(4, 0), nodata=255)
    layer = mosaic(tmp_path / "a.tif", tmp_path / "b.tif")
    there = np.ones((4, 8), bool)
    there[0, :4] = there[1, 4:] = False
    part = received(layer)
    np.testing.assert_array_equal(part["mask"], there)
    np.testing.assert_array_equal(part["raster"][0][there], np.concatenate([one, two], 2)[0][there])
    with exported(el, layer, tmp_path) as found:
        np.testing.assert_array_equal(found.read_masks(1) > 0, there)
        np.testing.assert_array_equal(found.read(1)[there], part["raster"][0][there])


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_integers_beyond_floats(el, received, mosaic, tmp_path, dtype) -> None:
    ids = np.arange(16, dtype=dtype).reshape(1, 4, 4) + 2**62 + 1
    nodata = {"nodata": 2**63} if dtype == "uint64" else {}
    layer = el.layers.add({"raster": ids, "transform": GRID, "crs": "EPSG:3857"} | nodata)
    np.testing.assert_array_equal(received(layer)["raster"], ids)
    one, two = write(tmp_path / "a.tif", ids), write(tmp_path / "b.tif", ids + 100, GRID @ Affine.translation(4.4, 0))
    layer = mosaic(one, two)
    part = received(layer)
    assert part["raster"].dtype == dtype
    assert set(ids.ravel().tolist()) | set((ids + 100).ravel().tolist()) >= set(part["raster"].ravel().tolist()) - {0}
    np.testing.assert_array_equal(part["raster"][:, :, :4], ids)
    with exported(el, layer, tmp_path) as found:
        np.testing.assert_array_equal(found.read()[:, :, :4], ids)


def test_a_nodata_value_that_no_float_holds(el, received) -> None:
    ids = np.array([[[2**63, 2**63 + 1, 2**63 - 1, 7]]], "uint64")
    layer = el.layers.add({"raster": ids, "transform": GRID, "crs": "EPSG:3857", "nodata": 2**63})
    part = received(layer)
    np.testing.assert_array_equal(part["raster"], ids)
    places = [[500_005 + 10 * column, 5_999_995] for column in range(4)]
    to_degrees = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform
    emulator = current_emulator()
    timestamp = emulator.store.timestamp(layer["pathId"], layer["timestampId"])
    answer = emulator.imagery.locations(timestamp, [list(to_degrees(*place)) for place in places])
    assert [values[0] for values in answer] == [None, 2**63 + 1, 2**63 - 1, 7]


def test_float_noise_in_a_transform_is_no_rotation(el, received, tmp_path) -> None:
    values = np.arange(9600, dtype="int32").reshape(1, 80, 120)
    noisy = Affine(30, 4.76e-19, 500_000, -1.2e-15, -10, 4e6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LayerWarning)
        part = received(el.layers.add(write(tmp_path / "a.tif", values, noisy, "EPSG:32631")), crs="native")
    np.testing.assert_array_equal(part["raster"], values)
    assert (part["transform"].a, part["transform"].e) == (30, -10)


def test_control_points_name_the_tool(el, tmp_path) -> None:
    points = [GroundControlPoint(row, column, 5 + column, 52 - row) for row in range(15) for column in range(14)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", width=15, height=15, count=1, dtype="uint8", gcps=points, crs=CRS()
        ) as target:
            target.write(np.ones((1, 15, 15), "uint8"))
        for options in ({}, {"epsg": 4326}):
            with pytest.raises(LayerError, match="gdalwarp|warp it first") as caught:
                el.layers.add(tmp_path / "a.tif", **options)
            assert "pass epsg" not in str(caught.value)


def test_around_the_pole_every_pixel_has_its_place_or_is_counted(el, received, tmp_path) -> None:
    """Antarctica to 60° S: none is lost at 180°, and those beyond Web Mercator are counted."""
    values = np.arange(1, 1 + 300 * 300, dtype="int32").reshape(1, 300, 300)
    file = write(
        tmp_path / "a.tif", values, Affine(22_000, 0, -3_300_000, 0, -22_000, 3_300_000), "EPSG:3031", nodata=0
    )
    with pytest.warns(LayerWarning, match="pixels"):
        part = received(el.layers.add(file))
    assert part["extent"]["xMin"] <= -20_037_508
    assert part["extent"]["xMax"] >= 20_037_508
    # No column of the grid is empty, those beside the antimeridian neither.
    assert (part["raster"][0] != 0).any(axis=0).all()


def test_a_full_disk_of_a_geostationary_satellite(el, token, create) -> None:
    file = Path(os.environ.get("ELLIPSIS_LOCAL_TEST_DATA", "")).parent / "failing" / "goes_fulldisk_rasterio.tif"
    if not file.is_file():
        pytest.skip("the file is not there")
    el.configure(inline=True)
    with pytest.warns(LayerWarning, match="pixels"):
        compute_id = create([el.layers.add(file)], nodes=4)
    parts = el.compute.execute(
        compute_id, lambda params: [int(v) for v in set(next(iter(params.values()))["raster"].flat)], token
    )
    with rasterio.open(file) as source:
        there = set(np.unique(source.read()).tolist())
    received = set().union(*parts)
    assert received <= there | {0}
    assert len(received) > 0.5 * len(there)


def test_a_bug_of_ours_is_no_damaged_file(el, tmp_path, monkeypatch) -> None:
    def broken(*arguments, **options):
        return {}["bands"]

    file = write(tmp_path / "scene.tif", np.ones((1, 4, 4), "uint8"))
    monkeypatch.setattr(files, "facts", broken)
    with pytest.raises(KeyError, match="bands"):
        el.layers.add(file)


def test_warnings_of_other_threads_are_theirs(el, tmp_path) -> None:
    """No filter is set while files are read; pytest's own are those of the caller."""
    file = write(tmp_path / "a.tif", np.ones((1, 400, 400), "uint8"))
    filters, seen, done = list(warnings.filters), set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(tuple(map(str, warnings.filters)))

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(5):
        el.layers.add(file)
    done.set()
    thread.join()
    assert seen == {tuple(map(str, filters))}


def test_what_lies_nowhere_is_told_so_at_once(el, tmp_path) -> None:
    """Not first that its CRS is missing: with one it would still lie nowhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = write(tmp_path / "a.tif", np.ones((1, 4, 4), "uint8"), Affine.identity(), None)
    for options in ({}, {"epsg": 3857}):
        with pytest.raises(LayerError, match="no georeference: .* give it a transform and a CRS"):
            el.layers.add(file, **options)


def test_a_way_out_names_arguments_that_exist(el, tmp_path) -> None:
    file = write(tmp_path / "a.tif", np.arange(32, dtype="uint8").reshape(2, 4, 4))
    rasterio.shutil.copy(file, tmp_path / "a.vrt", driver="VRT")
    text = (tmp_path / "a.vrt").read_text()
    for band, number in ((1, 3), (2, 20)):
        text = re.sub(rf'(band="{band}"[^>]*>)', rf"\g<1><NoDataValue>{number}</NoDataValue>", text)
    (tmp_path / "a.vrt").write_text(text)
    with pytest.raises(LayerError, match=r"per band .*; pass noDataValue=… with the one that counts"):
        el.layers.add(tmp_path / "a.vrt")
    el.layers.add(tmp_path / "a.vrt", noDataValue=3)
