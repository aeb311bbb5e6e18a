"""The main job on real layers: what N partitions give, put together, is what the whole gives."""

from __future__ import annotations

import warnings
from collections import Counter

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.features import geometry_mask

from ellipsis_local.errors import FidelityWarning, LayerWarning

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(autouse=True)
def nested_functions_are_meant():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        yield


def ndvi(params):
    import io

    import numpy as np
    import rasterio

    (value,) = params.values()
    r = value["raster"].astype("float32")
    nir, red = r[1], r[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (nir - red) / (nir + red)
    memory = io.BytesIO()
    with rasterio.open(
        memory,
        "w",
        driver="GTiff",
        height=out.shape[0],
        width=out.shape[1],
        count=1,
        dtype="float32",
        crs=value["crs"],
        transform=value["transform"],
    ) as target:
        target.write(out, 1)
    return memory


@pytest.mark.parametrize("nodes", [1, 2, 5, 16])
def test_landsat_ndvi_is_that_of_the_whole_file(el, token, data, create, tmp_path, nodes) -> None:
    el.configure(crs="native")
    source = data / "landsat_pucallpa_2020_u8.tif"
    compute_id = create([el.layers.add(source)], nodes=nodes, largeResult=True)
    response = el.compute.execute(compute_id, ndvi, token)
    target = el.path.raster.add("ndvi", token)["id"]
    when = el.path.raster.timestamp.add(target, token)["id"]
    el.compute.addLayer(response, target, when, token)
    el.compute.terminateAll(token)
    el.layers.export(target, when, tmp_path / "ndvi.tif")
    with rasterio.open(source) as whole, rasterio.open(tmp_path / "ndvi.tif") as ours:
        r = whole.read().astype("float32")
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = (r[1] - r[2]) / (r[1] + r[2])
        assert ours.crs == whole.crs
        assert ours.transform.almost_equals(whole.transform, 1e-9)
        np.testing.assert_array_equal(ours.read(1), expected)


def count_inside(params):
    import numpy as np
    from rasterio.features import geometry_mask

    land = next(v for v in params.values() if isinstance(v, dict))
    park = next(v for v in params.values() if not isinstance(v, dict))
    r = land["raster"][0]
    if not len(park) or not r.size:
        return {}
    outside = geometry_mask(park.geometry, r.shape, land["transform"])
    values, counts = np.unique(r[~outside], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_land_cover_inside_zion_counts_as_the_whole(el, token, data, create) -> None:
    el.configure(crs="native", features="intersecting")
    park = gpd.read_file(data / "zion.gpkg").to_crs("EPSG:26912")
    layers = [el.layers.add(data / "nlcd_zion_u8.tif"), el.layers.add(park)]
    with rasterio.open(data / "nlcd_zion_u8.tif") as source:
        r = source.read(1)
        values, counts = np.unique(r[~geometry_mask(park.geometry, r.shape, source.transform)], return_counts=True)
    expected = dict(zip(values.tolist(), counts.tolist(), strict=True))
    for nodes in (1, 7):
        total: Counter[int] = Counter()
        for found in el.compute.execute(create(layers, nodes=nodes), count_inside, token):
            total.update(found)
        assert total == expected


def test_warped_counts_do_not_depend_on_the_cut(el, token, data, create) -> None:
    """In EPSG:3857 the pixels are other ones than the file's, and the same ones however many nodes there are."""
    el.configure(features="intersecting")
    layers = [el.layers.add(data / "nlcd_zion_u8.tif"), el.layers.add(data / "zion.gpkg")]
    totals = []
    for nodes in (1, 5):
        total: Counter[int] = Counter()
        for found in el.compute.execute(create(layers, nodes=nodes), count_inside, token):
            total.update(found)
        totals.append(total)
    assert all(total == totals[0] for total in totals)
    assert sum(totals[0].values()) > 500_000


def names(params):
    (frame,) = params.values()
    return [list(frame.columns), frame.drop(columns="geometry").to_dict("list"), frame.geometry.to_wkb().tolist()]


@pytest.mark.parametrize(
    ("file", "nodes"),
    [
        ("tiger_roads_nyc.geojson", 16),
        ("buildings_alexandria.geojson", 5),
        ("ne_110m_countries.fgb", 7),
        ("zion_points.gpkg", 3),
    ],
)
def test_every_feature_is_in_one_partition(el, token, data, create, file, nodes) -> None:
    whole = gpd.read_file(data / file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compute_id = create([el.layers.add(data / file)], nodes=nodes)
    found = el.compute.execute(compute_id, names, token)
    assert len(found) == nodes
    assert sum(len(wkb) for _, _, wkb in found) == len(whole)
    for column in whole.columns.drop("geometry"):
        ours = [value for _, columns, _ in found for value in columns[column]]
        assert Counter(map(str, ours)) == Counter(map(str, whole[column])), column
    clipped = [w for w in caught if issubclass(w.category, LayerWarning)]
    assert bool(clipped) == (file == "ne_110m_countries.fgb")
    geometries = gpd.GeoSeries.from_wkb([wkb for _, _, wkbs in found for wkb in wkbs])
    assert np.abs(geometries.total_bounds).max() <= 20_037_508.35


def test_sampling_elevation_at_points_and_two_dates_on_one_grid(el, token, data, create) -> None:
    def change(params):
        import numpy as np

        first, second = (v["raster"].astype("int32") for v in params.values())
        assert first.shape == second.shape
        assert len({v["transform"] for v in params.values()}) == 1
        return int(np.abs(first - second).sum())

    files = [data / f"landsat_pucallpa_{year}_u8.tif" for year in (1985, 2020)]
    el.configure(crs="native")
    result = el.compute.execute(create([el.layers.add(file) for file in files], nodes=6), change, token)
    with rasterio.open(files[0]) as first, rasterio.open(files[1]) as second:
        assert sum(result) == np.abs(first.read().astype("int32") - second.read()).sum()


def test_buildings_on_their_surface_model(el, token, data, create) -> None:
    """A raster and a vector of different CRS meet in one; every building finds ground below it."""

    def heights(params):

        surface = next(v for v in params.values() if isinstance(v, dict))
        buildings = next(v for v in params.values() if not isinstance(v, dict))
        assert str(buildings.crs) == surface["crs"] == "EPSG:3857"
        r = surface["raster"][0]
        found = []
        for point in buildings.geometry.representative_point():
            column, row = ~surface["transform"] @ (point.x, point.y)
            if 0 <= row < r.shape[0] and 0 <= column < r.shape[1]:
                found.append(float(r[int(row), int(column)]))
        return len(buildings), found

    layers = [el.layers.add(data / "dsm_alexandria_f32.tif"), el.layers.add(data / "buildings_alexandria.geojson")]
    result = el.compute.execute(create(layers, nodes=4), heights, token)
    assert sum(count for count, _ in result) == 84
    values = np.array([value for _, found in result for value in found])
    assert len(values) >= 80
    assert np.all((values > -10) & (values < 200))
