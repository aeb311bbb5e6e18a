"""Layers written out again: every format there and back, mosaics pixel by pixel, targets whole or not there."""

import datetime
import resource
import shutil
import tracemalloc

import geopandas
import numpy as np
import pandas
import pyogrio
import pyogrio.raw
import pytest
import rasterio
import shapely
import tifffile
from geopandas.testing import assert_geodataframe_equal
from rasterio.transform import from_origin

from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning, StoreError

RNG = np.random.default_rng(1)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def raster(values, left=1000.0, top=2000.0, size=10.0, **more):
    return {"raster": values, "transform": from_origin(left, top, size, size), "crs": "EPSG:3857", **more}


def mosaic(store, tmp_path, *objects):
    """A timestamp with one file per object."""
    path_id, timestamp_id = store.add(objects[0])
    for i, one in enumerate(objects[1:]):
        store.export(*store.add(one), tmp_path / f"{i}.tif")
        store.add_file(path_id, timestamp_id, tmp_path / f"{i}.tif")
    return path_id, timestamp_id


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.transform, dataset.profile


# ----- rasters -------------------------------------------------------------------------------------------------------


def test_a_single_file_is_copied(store, tmp_path, out):
    source = tmp_path / "a.tif"
    with rasterio.open(
        source,
        "w",
        driver="GTiff",
        width=5,
        height=5,
        count=1,
        dtype="uint8",
        crs=3857,
        transform=from_origin(0, 0, 1, 1),
    ) as dataset:
        dataset.write(np.ones((1, 5, 5), "uint8"))
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><Metadata><MDI key='k'>v</MDI></Metadata></PAMDataset>")
    ids = store.add(source)
    (out / "b.tif.ovr").write_text("stale")
    assert store.export(*ids, out / "b.tif") == out / "b.tif"
    assert (out / "b.tif").read_bytes() == source.read_bytes()
    assert sorted(one.name for one in out.iterdir()) == ["b.tif", "b.tif.aux.xml"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64", "complex64"])
def test_overrides_are_in_the_export(store, out, tmp_path, dtype):
    values = (RNG.random((2, 30, 40)) * 100).astype(dtype)
    store.export(*store.add(raster(values)), out / "a.tif")
    ids = store.add(out / "a.tif", epsg=28992, nodata=7)
    store.export(*ids, out / "b.tif")
    read_back, transform, profile = read(out / "b.tif")
    np.testing.assert_array_equal(read_back, values)
    assert (profile["crs"].to_epsg(), profile["nodata"], profile["dtype"]) == (28992, 7, dtype)
    assert transform == raster(values)["transform"]


def test_files_on_one_grid_are_pasted_exactly(store, tmp_path, out):
    first = RNG.integers(1, 60000, (2, 40, 50), dtype="uint16")
    second = RNG.integers(1, 60000, (2, 30, 30), dtype="uint16")
    second[0, :10] = 0
    # 20 columns to the left and 5 rows up: the grid grows to both sides.
    ids = mosaic(store, tmp_path, raster(first, nodata=0), raster(second, left=800, top=2050, nodata=0))
    store.export(*ids, out / "a.tif")
    expected = np.zeros((2, 45, 70), "uint16")
    expected[:, 5:45, 20:70] = first
    window = expected[:, 0:30, 0:30]
    window[...] = np.where(second == 0, window, second)
    values, transform, profile = read(out / "a.tif")
    np.testing.assert_array_equal(values, expected)
    assert (transform, profile["nodata"]) == (from_origin(800, 2050, 10, 10), 0)


def test_without_nodata_a_mask_tells_what_is_there(store, tmp_path, out):
    ids = mosaic(store, tmp_path, raster(np.full((1, 4, 4), 5.0)), raster(np.zeros((1, 4, 4)), left=1080))
    store.export(*ids, out / "a.tif")
    with rasterio.open(out / "a.tif") as dataset:
        mask = dataset.dataset_mask()
        assert dataset.read(1)[0].tolist() == [5] * 4 + [0] * 8
    assert mask[0].tolist() == [255] * 4 + [0] * 4 + [255] * 4
    assert [one.name for one in out.iterdir()] == ["a.tif"]


def test_a_cloud_optimised_export_has_tiles_overviews_and_the_same_pixels(el, store, tmp_path, out):
    """By what a validator of such files looks at: no overviews beside it, all headers before the pixels, the smallest
    image's pixels first."""
    first = RNG.integers(1, 60000, (2, 1100, 700), dtype="uint16")
    ids = mosaic(store, tmp_path, raster(first), raster(first[:, :40, :300], left=9000))
    el.layers.export(*ids, out / "plain.tif")
    el.layers.export(*ids, out / "cog.tif", format="cog")
    assert sorted(one.name for one in out.iterdir()) == ["cog.tif", "plain.tif"]
    with rasterio.open(out / "plain.tif") as plain, rasterio.open(out / "cog.tif") as cog:
        np.testing.assert_array_equal(cog.read(), plain.read())
        np.testing.assert_array_equal(cog.dataset_mask(), plain.dataset_mask())
        assert (cog.transform, cog.crs, cog.dtypes, cog.nodata) == (plain.transform, plain.crs, plain.dtypes, None)
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert cog.block_shapes == [(512, 512)] * 2 and cog.overviews(1) == cog.overviews(2) == [2, 4]
        # Nearest: an overview holds values of the layer alone.
        assert np.isin(cog.read(1, out_shape=(cog.height // 4, cog.width // 4)), [0, *np.unique(first[0])]).all()
    with tifffile.TiffFile(out / "cog.tif") as file:
        offsets = [page.offset for page in file.pages]
        pixels = [min(one for one in page.dataoffsets if one) for page in file.pages]
        images = [index for index, page in enumerate(file.pages) if page.samplesperpixel == 2]
    assert offsets == sorted(offsets) and max(offsets) < min(pixels)
    sizes = [pixels[index] for index in images]
    assert len(images) == 3 and sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64", "complex64"])
def test_every_dtype_can_be_cloud_optimised(store, out, dtype):
    values = (RNG.random((1, 30, 40)) * 100).astype(dtype)
    store.export(*store.add(raster(values, nodata=7)), out / "a.tif", cog=True)
    read_back, _, profile = read(out / "a.tif")
    np.testing.assert_array_equal(read_back, values)
    assert profile["nodata"] == 7


@pytest.mark.parametrize("name", ["a.tif", "cog.tif", "a.gpkg"])
def test_a_full_disk_is_told_of_the_target(store, out, name):
    values = RNG.integers(0, 60000, (1, 300, 300), dtype="uint16")
    points = geopandas.GeoDataFrame({"text": ["x" * 500] * 500}, geometry=shapely.points(range(500), 0), crs=3857)
    ids = store.add(points if name == "a.gpkg" else raster(values))
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, former[1]))
    try:
        with pytest.raises(StoreError, match="the disk is full") as caught:
            store.export(*ids, out / name, cog=name == "cog.tif")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert ".new-" not in str(caught.value)
    assert list(out.iterdir()) == []


def test_what_cannot_be_cloud_optimised_is_said(el, store, out):
    ids = store.add(raster(np.ones((1, 4, 4))))
    with pytest.raises(ArgumentError, match="format must be 'cog' or None, not 'png'"):
        el.layers.export(*ids, out / "a.tif", format="png")
    trees = store.add(geopandas.GeoDataFrame(geometry=[shapely.Point(1, 1)], crs=3857))
    for one, name in ((ids, "a.png"), (trees, "a.gpkg")):
        with pytest.raises(ArgumentError, match="'cog' is for a raster and a name that ends with .tif"):
            el.layers.export(*one, out / name, format="cog")
    assert list(out.iterdir()) == []


def test_nan_is_no_value(store, tmp_path, out):
    over = np.full((1, 4, 4), np.nan, "float32")
    over[0, 0, 0] = 9
    ids = mosaic(store, tmp_path, raster(np.ones((1, 4, 4), "float32"), nodata=-1), raster(over, nodata=float("nan")))
    store.export(*ids, out / "a.tif")
    values, _, profile = read(out / "a.tif")
    assert values[0].sum() == 9 + 15
    # The files disagree, and no value of a float raster is NaN.
    assert np.isnan(profile["nodata"])


@pytest.mark.parametrize("nodata", [None, 0])
def test_other_grids_and_crs_are_warped(store, tmp_path, out, nodata):
    base = np.full((1, 60, 60), 1, "uint8")
    ids = store.add(raster(base, left=500_000, top=6_800_000, size=100, nodata=nodata))
    # The same ground in degrees, a part of it, with a half pixel shift.
    whole = raster(np.full((1, 200, 200), 2, "uint8"), nodata=nodata)
    whole |= {"crs": "EPSG:4326", "transform": from_origin(4.51, 52.02, 0.0001, 0.0001)}
    store.export(*store.add(whole), tmp_path / "b.tif")
    store.add_file(*ids, tmp_path / "b.tif")
    store.export(*ids, out / "a.tif")
    values, transform, profile = read(out / "a.tif")
    assert profile["crs"].to_epsg() == 3857
    assert (transform.a, transform.e) == (100, -100)
    assert set(np.unique(values)) <= {0, 1, 2}
    assert (values == 2).sum() * 100**2 == pytest.approx(0.02**2 * 111319.49**2 / np.cos(np.radians(52.01)), rel=0.1)
    assert (values == 1).sum() > 0


def test_a_large_mosaic_takes_memory_for_a_window(store, tmp_path, out):
    ids = mosaic(
        store, tmp_path, *(raster(np.full((1, 1500, 3000), i, "float64"), top=15000.0 * (i + 1)) for i in range(4))
    )
    tracemalloc.start()
    store.export(*ids, out / "a.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 144 MB in all.
    assert peak < 60_000_000
    assert read(out / "a.tif")[0].shape == (1, 6000, 3000)


def test_where_a_file_of_a_mosaic_is_transparent_the_one_below_shows(store, tmp_path, out):
    def picture(name, color, alpha):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", width=4, height=2, count=4, dtype="uint8", crs=3857,
            transform=from_origin(0, 0, 1, 1), photometric="RGB", alpha="YES",
        ) as dataset:  # fmt: skip
            dataset.write(np.stack([*np.full((3, 2, 4), color, "uint8"), alpha]))
        return tmp_path / name

    below, above = np.full((2, 4), 255, "uint8"), np.repeat(np.uint8([[255, 255, 0, 0]]), 2, axis=0)
    below[:, 3] = 0
    path_id, timestamp_id = store.add(picture("a.tif", 10, below))
    store.add_file(path_id, timestamp_id, picture("b.tif", 20, above))
    store.export(path_id, timestamp_id, out / "c.tif")
    pixels = read(out / "c.tif")[0]
    assert pixels[3, 0].tolist() == [255, 255, 255, 0]
    assert pixels[0, 0, :3].tolist() == [20, 20, 10]


# ----- vectors -------------------------------------------------------------------------------------------------------


def frame(**columns):
    points = shapely.points(np.arange(4.0), np.arange(4.0) / 3)
    return geopandas.GeoDataFrame(
        {"name": ["a", "b", "ü", None], "n": [1, 2, 3, 4], **columns}, geometry=points, crs=28992
    )


TARGETS = ["a.gpkg", "a.geojson", "a.json", "a.fgb", "a.shp", "a.shp.zip", "a.zip", "a.parquet", "a.geoparquet"]


@pytest.mark.parametrize("name", TARGETS)
def test_there_and_back(store, out, name):
    data = frame(real=[0.1, 1 / 3, np.nan, 4])
    store.export(*store.add(data), out / name)
    ids = store.add(out / name)
    store.export(*ids, out / "again.parquet")
    back = geopandas.read_parquet(out / "again.parquet")
    back = back.sort_values("n", ignore_index=True)[list(data.columns)]
    # A number in a .dbf has a width, so a shapefile knows no int32.
    assert_geodataframe_equal(back, data, check_dtype=False, check_less_precise=True)
    assert back.crs.to_epsg() == 28992


@pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.parquet"])
def test_dtypes_there_and_back(store, out, name):
    data = frame(
        flag=[True, False, True, False],
        small=np.array([1, 2, 3, 4], "int16"),
        real=np.array([1, 2, 3, 4], "float32"),
        nullable=pandas.array([1, None, 3, 2**40], dtype="Int64"),
        moment=pandas.to_datetime([datetime.datetime(2020, 1, 1, 12, i, 0, 5000) for i in range(4)]).as_unit("ms"),
    )
    ids = store.add(data)
    store.export(*ids, out / name)
    back = geopandas.read_parquet(out / name) if name == "a.parquet" else pyogrio.read_dataframe(out / name)
    back = back.sort_values("n", ignore_index=True)
    for column in ("flag", "small", "real", "n", "moment"):
        assert back[column].tolist() == data[column].tolist()
        assert back[column].dtype == data[column].dtype
    # Twice through the store: an integer with nulls stays one.
    store.export(*store.add(out / name), out / "again.parquet")
    again = geopandas.read_parquet(out / "again.parquet").sort_values("n", ignore_index=True)
    assert again["nullable"].dtype == "Int64"
    assert again["nullable"].tolist() == data["nullable"].tolist()


def test_columns_that_a_format_uses_itself(store, out):
    data = frame(fid=[7, 7, 8, 9], geom=["x"] * 4)
    store.export(*store.add(data), out / "a.gpkg")
    back = pyogrio.read_dataframe(out / "a.gpkg")
    assert back["fid"].tolist() == [7, 7, 8, 9]
    assert back["geom"].tolist() == ["x"] * 4


def test_categories_and_spans(store, out):
    ids = store.add(frame(kind=pandas.Categorical(["x", "y", None, "x"])))
    store.export(*ids, out / "a.gpkg")
    assert pyogrio.read_dataframe(out / "a.gpkg")["kind"].fillna("-").tolist() == ["x", "y", "-", "x"]
    ids = store.add(frame(span=pandas.to_timedelta([1, 2, 3, 4], unit="s")))
    with pytest.raises(LayerError, match=r"column 'span'.*export as \.parquet"):
        store.export(*ids, out / "b.gpkg")
    assert [one.name for one in out.iterdir()] == ["a.gpkg"]


def test_shapefiles_shorten_names_and_say_so(store, out):
    ids = store.add(frame(a_very_long_name=[1, 2, 3, 4]))
    with pytest.warns(LayerWarning, match="'a_very_long_name'"):
        store.export(*ids, out / "a.shp")


def test_several_files_are_one_after_the_other(store, out):
    ids = store.add(frame())
    frame(extra=[1, 2, 3, 4]).to_crs(4326).to_file(out / "b.gpkg")
    store.add_file(*ids, out / "b.gpkg", format="gpkg")
    store.export(*ids, out / "a.parquet")
    back = geopandas.read_parquet(out / "a.parquet")
    assert (len(back), back.crs.to_epsg()) == (8, 28992)
    assert shapely.distance(back.geometry[:4].values, back.geometry[4:].values).max() < 1e-3
    assert back["extra"].isna().sum() == 4


def test_features_without_geometry_are_left_out(store, out):
    data = frame()
    data.loc[1, "geometry"] = None
    with pytest.warns(LayerWarning):
        ids = store.add(data)
    store.export(*ids, out / "a.fgb")
    assert len(pyogrio.read_dataframe(out / "a.fgb")) == 3


def test_an_empty_layer(store, out):
    ids = store.add(frame().iloc[:0])
    for name in TARGETS:
        store.export(*ids, out / name)
        assert (out / name).is_file()


# ----- targets -------------------------------------------------------------------------------------------------------


def test_targets_refused(store, out, tmp_path):
    vector, raster_ids = store.add(frame()), store.add(raster(np.ones((3, 3))))
    for ids, name, error, words in (
        (vector, "a.kml", ArgumentError, r"vector can be exported as .*\.gpkg, .*not as 'a.kml'"),
        (vector, "a", ArgumentError, "can be exported as"),
        (raster_ids, "a.png", ArgumentError, r"raster can be exported as \.tif, \.tiff"),
        (vector, "none/a.gpkg", StoreError, "is not there"),
        (vector, 7, ArgumentError, "filePath must be of type string"),
    ):
        with pytest.raises(error, match=words):
            store.export(*ids, out / name if isinstance(name, str) else name)
    (out / "dir.gpkg").mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        store.export(*vector, out / "dir.gpkg")
    path_id = store.add_layer_path("vector", "empty")
    with pytest.raises(LayerError, match="no files"):
        store.export(path_id, store.add_timestamp(path_id), out / "a.gpkg")
    assert [one.name for one in out.iterdir()] == ["dir.gpkg"]


def test_a_failure_keeps_the_old_target(store, out, monkeypatch):
    ids = store.add(frame())
    (out / "a.gpkg").write_text("old")
    monkeypatch.setattr(pyogrio.raw, "write_arrow", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(StoreError, match="disk is full"):
        store.export(*ids, out / "a.gpkg")
    assert (out / "a.gpkg").read_text() == "old"
    monkeypatch.undo()
    store.export(*ids, out / "a.gpkg")
    assert len(pyogrio.read_dataframe(out / "a.gpkg")) == 4
    assert [one.name for one in out.iterdir()] == ["a.gpkg"]


def test_downloads(store, out, tmp_path):
    frame().to_file(tmp_path / "src.shp")
    path_id, timestamp_id = store.add(tmp_path / "src.shp")
    (file,) = store.files(path_id, timestamp_id)
    store.download(path_id, timestamp_id, file.id, out / "b.shp")
    assert len(pyogrio.read_dataframe(out / "b.shp")) == 4
    store.download(path_id, timestamp_id, file.id, out / "c.zip")
    assert len(pyogrio.read_dataframe(out / "c.zip")) == 4
    shutil.rmtree(out)
    with pytest.raises(StoreError, match="is not there"):
        store.download(path_id, timestamp_id, file.id, out / "b.shp")
