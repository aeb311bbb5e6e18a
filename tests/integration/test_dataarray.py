"""Layers from xarray's DataArrays, and as these."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio

from ellipsis_local.errors import ArgumentError, LayerError, MissingExtraError


@pytest.fixture
def scene(el, fixtures):
    layer = el.layers.add(fixtures / "scene_2024.tif")
    return layer["pathId"], layer["timestampId"]


def test_an_extra_that_is_missing_is_named(el, scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    with pytest.raises(MissingExtraError, match=r"needs rioxarray, .*pip install 'ellipsis-local\[xarray\]'"):
        el.layers.open(*scene)


def test_a_layer_as_a_dataarray(el, scene, fixtures, monkeypatch):
    pytest.importorskip("rioxarray")
    from ellipsis_local.raster.dataarray import Pixels

    asked = []
    read = Pixels.read
    monkeypatch.setattr(Pixels, "read", lambda self, key: asked.append(key) or read(self, key))
    array = el.layers.open(*scene)
    assert asked == [], "nothing is read before it is used"
    with rasterio.open(fixtures / "scene_2024.tif") as source:
        whole = source.read()
        assert (array.dims, array.shape, array.dtype) == (("band", "y", "x"), whole.shape, whole.dtype)
        assert (array.rio.crs, array.rio.transform(), array.rio.nodata) == (source.crs, source.transform, source.nodata)
        assert list(array.band_name.values) == [name or f"band {n}" for n, name in enumerate(source.descriptions, 1)]
        assert (float(array.x[3]), float(array.y[2])) == source.xy(2, 3)
    for key in (
        (slice(None), slice(10, 20), slice(30, 50)), (1, 5, slice(None, None, 7)), (slice(0, 0), 0, 0),
        (slice(None, None, -1), slice(100, 50, -3), -1), ([0, 2], slice(4, 6), [9, 3]),
    ):  # fmt: skip
        expected = whole[key] if not isinstance(key[0], list) else whole[np.ix_(key[0], range(4, 6), key[2])]
        np.testing.assert_array_equal(array[key].values, expected)
    assert all(rows != slice(0, whole.shape[1], 1) for _, rows, _ in asked), "only what is asked for is read"


def test_a_dataarray_as_a_layer(el, scene, token):
    pytest.importorskip("rioxarray")
    array = el.layers.open(*scene)
    again = el.layers.open(*el.layers.add(array.transpose("y", "x", "band")).values())
    np.testing.assert_array_equal(again.values, array.values)
    assert (again.rio.crs, again.rio.transform()) == (array.rio.crs, array.rio.transform())
    with pytest.raises(LayerError, match=r"has no CRS; give it one: dataarray\.rio\.write_crs"):
        el.layers.add(array.drop_vars("spatial_ref"))
    with pytest.raises(ArgumentError, match="source must have the dimensions y and x"):
        el.layers.add(array.rename(x="a", y="b"))
    masked = array[0].where(array[0] > 400).rio.write_nodata(0, encoded=True)
    kept = el.layers.open(*el.layers.add(masked).values())
    np.testing.assert_array_equal(kept[0].values, masked.values)
    assert np.isnan(kept.rio.nodata)


def test_a_vector_is_no_dataarray(el, fixtures):
    ids = el.layers.add(fixtures / "trees.fgb")
    with pytest.raises(ArgumentError, match=r"is of a vector; `layers\.export`"):
        el.layers.open(ids["pathId"], ids["timestampId"])
