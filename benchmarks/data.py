"""The benchmark's own layers: made once, from a seed, and kept.

raster-SIZE.tif     SIZE × SIZE, 4 bands, uint16, EPSG:3857, tiles of 512, deflate with predictor 2
raster-SIZE-half.tif  its northern half
scene-SIZE.tif      the same pixels in EPSG:32631, with overviews; made when `scene` is called
polygons-N.gpkg     N squares of several sizes and directions, EPSG:3857
polygons-N.parquet  the same as GeoParquet, as geopandas writes it; made when `parquet` is called
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FULL", "QUICK", "Layers", "Sizes", "folder", "parquet", "prepare", "scene"]

SEED = 7
BLOCK = 512
PIXEL = 10.0
LEFT, TOP = 500_000.0, 6_800_000.0
UTM_LEFT, UTM_TOP = 500_000.0, 5_800_000.0
WORLD = 2 * math.pi * 6_378_137.0
"""Width of EPSG:3857."""
BANDS = 4
OVERVIEW = 128
"""The smallest overview has no more than twice so many pixels along a side."""
LOOKS = (500, 120, -20), (750, 150, -40), (900, 220, -260), (2700, 300, 750)
"""Of each band: its level, how much the ground changes it, and how much green does."""


@dataclass(frozen=True)
class Sizes:
    """How large the layers are."""

    side: int
    polygons: int

    @property
    def raster_bytes(self) -> int:
        return self.side * self.side * BANDS * 2


FULL = Sizes(10980, 1_000_000)
"""A Sentinel-2 tile, and the buildings of a province."""
QUICK = Sizes(2745, 100_000)


@dataclass(frozen=True)
class Layers:
    """Where the files are."""

    raster: Path
    half_raster: Path
    polygons: Path
    half_polygons: Path


def folder() -> Path:
    """Where data and the benchmark's home lie."""
    given = os.environ.get("ELLIPSIS_LOCAL_BENCHMARK_DATA")
    return Path(given).absolute() if given else Path(__file__).absolute().parent / "data"


def prepare(sizes: Sizes) -> Layers:
    """Make what is not there yet."""
    base = folder()
    base.mkdir(parents=True, exist_ok=True)
    layers = Layers(
        base / f"raster-{sizes.side}.tif",
        base / f"raster-{sizes.side}-half.tif",
        base / f"polygons-{sizes.polygons}.gpkg",
        base / f"polygons-{sizes.polygons // 2}.gpkg",
    )
    _once(layers.raster, lambda path: _raster(path, sizes.side, sizes.side))
    _once(layers.half_raster, lambda path: _raster(path, sizes.side, sizes.side // 2))
    _once(layers.polygons, lambda path: _polygons(path, sizes.polygons, sizes.side))
    _once(layers.half_polygons, lambda path: _polygons(path, sizes.polygons // 2, sizes.side))
    return layers


def scene(layers: Layers) -> Path:
    """The raster in a CRS that is not that of tiles, with overviews: as a satellite's scene comes."""
    path = layers.raster.with_name(layers.raster.name.replace("raster", "scene"))
    _once(path, lambda draft: _scene(draft, layers.raster))
    return path


def parquet(layers: Layers) -> Path:
    """The polygons as GeoParquet."""
    path = layers.polygons.with_suffix(".parquet")
    _once(path, lambda draft: _parquet(draft, layers.polygons))
    return path


def _parquet(path: Path, polygons: Path) -> None:
    import pyogrio

    pyogrio.read_dataframe(polygons, use_arrow=True).to_parquet(path)


def _scene(path: Path, raster: Path) -> None:
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import from_origin

    shutil.copyfile(raster, path)
    with rasterio.open(path, "r+") as file:
        file.crs = "EPSG:32631"
        file.transform = from_origin(UTM_LEFT, UTM_TOP, PIXEL, PIXEL)
        file.build_overviews([2**n for n in range(1, 10) if max(file.shape) >> n >= OVERVIEW], Resampling.nearest)


def _once(path: Path, make: Callable[[Path], None]) -> None:
    if path.exists():
        return
    print(f"making {path.name}", flush=True)
    draft = path.with_name(f"new-{path.name}")
    draft.unlink(missing_ok=True)
    make(draft)
    draft.rename(path)


def _raster(path: Path, width: int, height: int) -> None:
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": BANDS, "dtype": "uint16", "crs": "EPSG:3857",
        "transform": from_origin(LEFT, TOP, PIXEL, PIXEL), "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "compress": "deflate", "predictor": 2, "num_threads": "all_cpus", "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for row, pixels in _strips(width, height):
            file.write(pixels, window=Window(0, row, width, pixels.shape[1]))


def _strips(width: int, height: int) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """A landscape of waves of many lengths, greener in places, with the noise of a sensor; strip by strip."""
    waves = np.random.default_rng(SEED)
    lengths = np.geomspace(30, width * 2, 14)
    turns = waves.uniform(0, 2 * np.pi, (2, len(lengths)))
    x = np.sin(2 * np.pi * np.arange(width) / lengths[:, None] + turns[0][:, None])
    for row in range(0, height, BLOCK):
        rows = np.arange(row, min(row + BLOCK, height))
        y = np.sin(2 * np.pi * rows / lengths[:, None] * 1.07 + turns[1][:, None])
        ground = (y[:7].T @ x[:7] + y[7:].T @ x[7:]).astype("f4") * 0.2
        green = (y[3::3].T @ x[3::3]).astype("f4") * 0.4
        noise = np.random.default_rng([SEED, row])
        pixels = np.empty((BANDS, len(rows), width), np.uint16)
        for band, (level, spread, tint) in enumerate(LOOKS):
            values = level + spread * ground + tint * green
            values += noise.standard_normal(values.shape, "f4") * (14 + 3 * band)
            pixels[band] = values.clip(1, 10_000)
        yield row, pixels


def _polygons(path: Path, count: int, side: int) -> None:
    import geopandas as gpd
    import shapely

    random = np.random.default_rng(SEED)
    extent = side * PIXEL
    x, y = LEFT + random.uniform(50, extent - 50, count), TOP - random.uniform(50, extent - 50, count)
    turn = random.uniform(0, np.pi / 2, count)[:, None] + np.arange(5) * np.pi / 2
    reach = random.uniform(3, 20, count)[:, None]
    corners = np.stack([x[:, None] + reach * np.cos(turn), y[:, None] + reach * np.sin(turn)], axis=-1)
    corners[:, 4] = corners[:, 0]
    columns: dict[str, Any] = {
        "number": np.arange(count),
        "height": random.uniform(2, 60, count).round(1),
        "use": np.array(["house", "barn", "shed"])[random.integers(0, 3, count)],
    }
    frame = gpd.GeoDataFrame(columns, geometry=shapely.polygons(corners), crs="EPSG:3857")
    frame.to_file(path, layer="polygons", engine="pyogrio")
