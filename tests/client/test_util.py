"""The client's `util`, which asks nobody: that it works beside the versions of libraries that this project needs."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from types import ModuleType

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.io import MemoryFile

from tests.client.covers import covers

EXTENT = {"xMin": 500_000.0, "xMax": 500_600.0, "yMin": 6_000_000.0, "yMax": 6_000_400.0}


@pytest.fixture
def raster() -> np.ndarray:
    return np.arange(2 * 40 * 60, dtype="uint16").reshape(2, 40, 60)


@pytest.fixture
def squares() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"kind": ["a", "b", "a"]}, geometry=[shapely.box(x, 0, x + 1, 1) for x in (0, 1, 2)], crs="EPSG:4326"
    )


@covers("util.saveRaster", "util.saveVector", "util.reprojectRaster", "util.reprojectVector", "util.transformPoint")
def test_rasters_and_vectors_are_written_and_moved(
    client: ModuleType, raster: np.ndarray, squares: gpd.GeoDataFrame
) -> None:
    written = client.util.saveRaster(raster, 3857, BytesIO(), extent=EXTENT)
    with MemoryFile(written.getvalue()) as memory, memory.open() as file:
        assert np.array_equal(file.read(), raster) and file.crs.to_epsg() == 3857
        assert file.bounds == (500_000, 6_000_000, 500_600, 6_000_400)
    transform = rasterio.transform.from_origin(0, 10, 1, 1)
    written = client.util.saveRaster(raster, 4326, BytesIO(), transform=transform)
    with MemoryFile(written.getvalue()) as memory, memory.open() as file:
        assert file.transform == transform
    gpkg = client.util.saveVector(BytesIO(), squares)
    assert gpd.read_file(BytesIO(gpkg.getvalue()))["kind"].to_list() == ["a", "b", "a"]

    same = client.util.reprojectRaster(raster, dict(EXTENT), dict(EXTENT), 60, 40, 3857, 3857)
    assert np.array_equal(same["raster"], raster) and same["crs"] == "EPSG:3857"
    assert client.util.reprojectVector(squares, 3857).crs.to_epsg() == 3857
    assert client.util.transformPoint((4.0, 52.0), 4326, 3857) == pytest.approx((445277.963, 6800125.454), abs=1e-3)


@covers("util.mergeGeometriesByColumn", "util.simplifyGeometries", "util.cutIntoTiles", "util.chunks")
def test_features_are_merged_simplified_and_cut(client: ModuleType, squares: gpd.GeoDataFrame) -> None:
    merged = client.util.mergeGeometriesByColumn(squares.copy(), "kind")
    assert merged["kind"].to_list() == ["a", "b"] and merged.geometry.area.to_list() == pytest.approx([2, 1])
    circle = gpd.GeoDataFrame(geometry=[shapely.Point(0, 0).buffer(1, quad_segs=64)], crs="EPSG:4326")
    simple = client.util.simplifyGeometries(circle.copy(), 0.1)
    assert len(simple.geometry.iloc[0].exterior.coords) < 20
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy([-90, 90, 91], [45, 45, -45]), crs="EPSG:4326")
    # With one core it takes the parts themselves for what was made of them.
    with pytest.raises(KeyError):
        client.util.cutIntoTiles(points, 1)
    assert client.util.chunks(list(range(7)), 3) == [[0, 1, 2], [3, 4, 5], [6]]


@covers("util.plotRaster", "util.plotVector", "util.plotPointCloud", "util.loadingBar")
def test_pictures(
    client: ModuleType,
    raster: np.ndarray,
    squares: gpd.GeoDataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import matplotlib.pyplot as plt
    from PIL import Image

    shown: list[object] = []
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(image))
    client.util.plotRaster(raster)
    client.util.plotRaster(np.concatenate([raster, raster])[:3])
    assert len(shown) == 2 and shown[1].size == (60, 40)
    client.util.plotVector(squares)
    assert plt.gca().collections
    plt.close("all")
    with pytest.raises(ModuleNotFoundError, match="open3d"):
        client.util.plotPointCloud(None)
    client.util.loadingBar(1, 4)
    assert "001/004" in capsys.readouterr().out


@covers("util.stringToDate", "util.dateToString", "util.cover", "util.parseGlb")
def test_dates_covers_and_point_clouds(client: ModuleType) -> None:
    moment = datetime(2024, 5, 1, 10, 30, 0, 500_000)
    assert client.util.stringToDate("2024-05-01T10:30:00.500000Z") == moment
    # It formats a text that it has just formatted.
    with pytest.raises(AttributeError):
        client.util.dateToString(moment)
    # It appends to a DataFrame, as pandas 1 could.
    with pytest.raises(AttributeError, match="append"):
        client.util.cover({"xMin": 4.0, "xMax": 4.1, "yMin": 52.0, "yMax": 52.1}, 5000)
    points = np.array([[1, 2, 3], [4, 5, 6]], dtype="float32")
    colours = np.array([[0, 0, 0], [1, 1, 1]], dtype="float32")
    cloud = client.util.parseGlb(glb(points, colours))
    assert np.array_equal(cloud["x"], [11, 14]) and np.array_equal(cloud["z"], [33, 36])
    assert np.array_equal(cloud["red"], [0, 255])


def glb(points: np.ndarray, colours: np.ndarray) -> bytes:
    """A point cloud 10, 20, 30 away from where its coordinates say."""
    import pygltflib

    data = points.tobytes() + colours.tobytes()
    half, count = len(data) // 2, len(points)
    made = pygltflib.GLTF2(
        nodes=[pygltflib.Node(mesh=0, translation=[10, 20, 30])],
        meshes=[
            pygltflib.Mesh(
                primitives=[pygltflib.Primitive(attributes=pygltflib.Attributes(POSITION=0, COLOR_0=1), mode=0)]
            )
        ],
        accessors=[
            pygltflib.Accessor(bufferView=i, byteOffset=0, componentType=5126, count=count, type="VEC3")
            for i in range(2)
        ],
        bufferViews=[pygltflib.BufferView(buffer=0, byteOffset=i * half, byteLength=half) for i in range(2)],
        buffers=[pygltflib.Buffer(byteLength=len(data))],
    )
    made.set_binary_blob(data)
    return b"".join(made.save_to_bytes())
