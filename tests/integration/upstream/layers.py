"""Layers for the double, and what has come of them in the home."""

from __future__ import annotations

import json
import uuid
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import mapping

from ellipsis_local.emulator import current_emulator
from tests.integration.upstream.hosted import Hosted, tiff

HERE = {"crs": "EPSG:3857", "transform": Affine(10, 0, 500_000, 0, -10, 6_000_000)}


def pixels(seed: int = 1, bands: int = 2, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 250, (bands, *shape)).astype("uint8")


def stored(path_id: str, timestamp_id: str) -> list[Any]:
    return list(current_emulator().store.files(path_id, timestamp_id))


def read(path_id: str, timestamp_id: str, number: int = 0) -> tuple[np.ndarray, Any]:
    with rasterio.open(stored(path_id, timestamp_id)[number].detail.location) as dataset:
        return dataset.read(), dataset.profile


def scene(hosted: Hosted, data: bytes | None = None, **info: Any) -> tuple[str, str]:
    """A raster with one timestamp of one file."""
    path_id = hosted.add_raster(bands=["red", "infrared"])
    timestamp_id = hosted.add_timestamp(path_id, zoom=12)
    hosted.add_layer_file(timestamp_id, "scene.tif", tiff(pixels(), **HERE) if data is None else data, **info)
    return path_id, timestamp_id


def nothing_here(path_id: str) -> bool:
    return current_emulator().store.catalogue.find_path(path_id) is None


def frame(count: int = 120) -> gpd.GeoDataFrame:
    rng = np.random.default_rng(3)
    return gpd.GeoDataFrame(
        {
            "id": [str(uuid.UUID(int=i)) for i in range(count)],
            "name": [None if i % 5 == 0 else f"p{i}" for i in range(count)],
            "lanes": range(count),
            "width": [i if i % 2 else i + 0.5 for i in range(count)],
            "seen": ["2024-01-01T12:00:00Z"] * count,
        },
        geometry=gpd.points_from_xy(rng.uniform(4, 6, count), rng.uniform(51, 53, count)),
        crs="EPSG:4326",
    )


def features(points: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    rows = json.loads(points.drop(columns="geometry").to_json(orient="records"))
    return [
        {"type": "Feature", "properties": row, "geometry": mapping(one)}
        for row, one in zip(rows, points.geometry, strict=True)
    ]


def roads(hosted: Hosted, points: gpd.GeoDataFrame | None = None, **more: Any) -> tuple[str, str]:
    path_id = hosted.add_vector(properties={"lanes": "integer", "seen": "datetime", "never": "float"})
    timestamp_id = hosted.add_timestamp(path_id, **more)
    hosted.features[timestamp_id] = features(frame() if points is None else points)
    return path_id, timestamp_id


def got(path_id: str) -> bytes:
    return current_emulator().store.get_plain_file(path_id).location.read_bytes()
