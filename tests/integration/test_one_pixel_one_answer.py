"""One pixel, one answer: what a node receives, an export, a window, a tile, a location and statistics say the same.

Layers are drawn: CRS, grid (turned, mirrored, sheared, over the antimeridian), dtype, nodata, mask, alpha, and one to
three files over each other, of one grid or several. The oracle goes through the files pixel by pixel with PROJ.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellipsis_local.database import Database
from ellipsis_local.errors import LayerWarning
from ellipsis_local.home import Home
from ellipsis_local.imagery import Imagery
from ellipsis_local.raster.grid import apply
from ellipsis_local.store import SCHEMA, LayerStore
from ellipsis_local.types import Extent

from .imagery_tools import WORLD, opened, tile_extent, tiles_of, write
from .test_partitions_factory import make_partitions

PLACES = {
    "EPSG:3857": (500_003.0, 6_000_007.0, 10.0),
    "EPSG:32631": (600_000.0, 5_800_020.0, 10.0),
    "EPSG:4326": (4.1, 52.3, 0.0003),
    "EPSG:28992": (120_000.0, 480_000.0, 25.0),
    "EPSG:3413": (-200_000.0, -2_000_000.0, 500.0),
    "EPSG:3031": (-900_000.0, 900_000.0, 90_000.0),
    "EPSG:32660": (700_000.0, 5_800_000.0, 3000.0),
}
WORLDWIDE = {
    "world": (-180.0, 90.0, 9.0, 40, 20),
    "from 0": (0.0, 90.0, 9.0, 40, 20),
    "crossing": (172.0, 9.0, 0.7, 30, 20),
}
TURNS = {
    "north up": (1, 0, 0, -1), "south up": (1, 0, 0, 1), "mirrored": (-1, 0, 0, -1), "half round": (-1, 0, 0, 1),
    "on its side": (0, 1, 1, 0), "quarter round": (0, -1, 1, 0), "rotated": (0.8, 0.6, 0.6, -0.8),
    "sheared": (1, 0.2, 0.3, -1.1), "a breath off": (1, 1e-17, -1e-17, -1),
}  # fmt: skip
DTYPES = ("uint8", "int16", "uint16", "int32", "uint64", "int64", "float32", "float64", "complex64")


@dataclass
class Drawn:
    """One file."""

    values: np.ndarray
    crs: str
    transform: Affine
    nodata: float | None
    mask: np.ndarray | None
    alpha: bool


def values_of(rng, dtype, shape):
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        few = np.array(
            [limits.min, limits.max, 0, 1, 2, min(255, limits.max), min(2**53, limits.max), limits.max // 2 + 1], dtype
        )
        return rng.choice(few, shape)
    values = rng.integers(-3, 4, shape).astype(dtype)
    values[rng.random(shape) < 0.1] = np.nan
    return values


@st.composite
def files(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype, bands = draw(st.sampled_from(DTYPES)), draw(st.sampled_from((1, 1, 2, 4)))
    made = []
    first = draw(st.sampled_from((*PLACES, *WORLDWIDE)))
    for number in range(draw(st.sampled_from((1, 1, 2, 3)))):
        name = first if first in WORLDWIDE or not number or draw(st.booleans()) else draw(st.sampled_from(("EPSG:3857", "EPSG:4326", "EPSG:32631")))  # fmt: skip
        near = first in ("EPSG:3857", "EPSG:4326", "EPSG:32631", "EPSG:28992")
        name = name if name == first or near else first
        if name in WORLDWIDE:
            west, north, size, width, height = WORLDWIDE[name]
            crs, transform = "EPSG:4326", Affine(size, 0, west, 0, -size, north)
        else:
            crs = name
            x, y, size = PLACES[name]
            if number and name != first:
                # Somewhere on the first one.
                at = apply(tuple(made[0].transform)[:6], 7, 5)
                x, y = pyproj.Transformer.from_crs(made[0].crs, crs, always_xy=True).transform(*at)
            elif number:
                x, y = (
                    x + size * draw(st.sampled_from((0, 5, 7.5, -3.25))),
                    y + size * draw(st.sampled_from((0, 4, 0.5))),
                )
                size *= draw(st.sampled_from((1, 1, 2, 0.4)))
            a, b, d, e = (
                TURNS[draw(st.sampled_from(sorted(TURNS)))] if not number or draw(st.booleans()) else TURNS["north up"]
            )
            dy = draw(st.sampled_from((1, 1, 0.35)))
            transform = Affine(size * a, size * b * dy, x, size * d, size * e * dy, y)
            width, height = draw(st.integers(1, 45)), draw(st.integers(1, 40))
        values = values_of(rng, dtype, (bands, height, width))
        how = draw(st.sampled_from(("none", "none", "nodata", "other nodata", "mask", "alpha")))
        nodata = mask = None
        if how in ("nodata", "other nodata"):
            nodata = {"nodata": 0, "other nodata": 1 if dtype != "uint64" else 2**53}[how]
            nodata = draw(st.sampled_from((nodata, np.nan))) if np.dtype(dtype).kind == "f" else nodata
        if np.dtype(dtype).kind == "c":
            nodata = None
        if how == "mask":
            mask = rng.random((height, width)) < 0.7
        made.append(Drawn(values, crs, transform, nodata, mask, alpha=how == "alpha" and bands in (2, 4)))
    return made


def oracle(drawn, x, y, crs):
    """Values (bands, n) under points of a CRS, which of them are there, and where an edge is so near that two are right."""
    bands = drawn[0].values.shape[0]
    values, there = np.zeros((bands, len(x)), drawn[0].values.dtype), np.zeros((bands, len(x)), bool)
    edge = np.zeros(len(x), bool)
    for file in drawn:
        there_in_file = ~np.isnan(file.values)
        if file.nodata is not None and not np.isnan(file.nodata):
            there_in_file &= file.values != np.array(file.nodata).astype(file.values.dtype)
        if file.mask is not None:
            there_in_file &= file.mask
        if file.alpha:
            there_in_file &= file.values[-1].real > 0
        own_x, own_y = pyproj.Transformer.from_crs(crs, file.crs, always_xy=True).transform(x, y)
        for shift in (360.0, -360.0, 0.0) if file.crs == "EPSG:4326" else (0.0,):
            with np.errstate(invalid="ignore"):
                column, row = apply(tuple(~file.transform)[:6], own_x + shift, own_y)
            height, width = file.values.shape[1:]
            known = np.isfinite(column) & np.isfinite(row)
            inside = known & (column >= 0) & (column < width) & (row >= 0) & (row < height)
            for place in (column, row):
                edge |= known & (np.abs(place - np.rint(np.where(known, place, 0.5))) < 1e-5)
            r, c = np.floor(row[inside]).astype(int), np.floor(column[inside]).astype(int)
            found = np.zeros(there.shape, bool)
            found[:, inside] = there_in_file[:, r, c]
            under = np.zeros(values.shape, values.dtype)
            under[:, inside] = file.values[:, r, c]
            values[found] = under[found]
            there |= found
    return values, there, edge


class Answers:
    """A layer in a home of its own, asked at every face."""

    def __init__(self, folder: Path, drawn: list[Drawn], paths: list[Path] | None = None) -> None:
        home = Home(folder / "home")
        home.prepare()
        self.folder = folder
        self.database = Database(home.database, SCHEMA)
        self.store = LayerStore(home, self.database)
        self.imagery = Imagery()
        self.partitions = make_partitions(folder, here="all")
        paths = paths or [
            write(folder / f"{number}.tif", file.values, crs=file.crs, transform=file.transform, nodata=file.nodata,
                  mask=file.mask, alpha=file.alpha)
            for number, file in enumerate(drawn)
        ]  # fmt: skip
        for file, path in zip(drawn, paths, strict=True):
            # GDAL calls the fourth of four bands of bytes alpha; where there is a nodata value or a mask, these count.
            with rasterio.open(path) as dataset:
                called = dataset.colorinterp[-1].name == "alpha"
            file.alpha = called and file.nodata is None and file.mask is None
        self.ids = self.store.add(paths[0])
        if paths[1:]:
            self.store.add_files(*self.ids, [(path, path.name) for path in paths[1:]])
        self.timestamp = self.store.timestamp(*self.ids)

    def close(self) -> None:
        self.imagery.close()
        self.store.close()
        self.database.close()

    def nodes(self, crs, nodes):
        """Values, validity and transform of the whole, put together from what nodes receive."""
        cut = self.partitions.ensure(self.partitions.plan([self.timestamp], nodes, crs=crs))
        parts = [part for (part,) in cut.parts if 0 not in part.shape]
        a, _, _, _, e, _ = parts[0].transform
        left, top = min(p.extent["xMin"] for p in parts), max(p.extent["yMax"] for p in parts)
        right, bottom = max(p.extent["xMax"] for p in parts), min(p.extent["yMin"] for p in parts)
        shape = (parts[0].shape[0], round((bottom - top) / e), round((right - left) / a))
        values, there = np.zeros(shape, parts[0].dtype), np.zeros(shape, bool)
        for part in parts:
            row, col = round((part.transform[5] - top) / e), round((part.transform[2] - left) / a)
            array = np.load(part.path)
            where = (slice(None), slice(row, row + array.shape[1]), slice(col, col + array.shape[2]))
            values[where] = array
            there[where] = known(part, array)
        return values, there, (a, 0.0, left, 0.0, e, top)


def known(part, array):
    """What a function makes of `nodata` and `mask`."""
    there = np.ones(array.shape, bool)
    if array.dtype.kind in "fc":
        there &= ~np.isnan(array)
    if part.nodata is not None and part.nodata != "nan":
        there &= array != np.array(part.nodata).astype(array.dtype)
    if part.mask is not None:
        there &= np.load(part.mask)
    return there


def centres(transform, shape):
    rows, columns = np.mgrid[: shape[1], : shape[2]] + 0.5
    x, y = apply(transform, columns.ravel(), rows.ravel())
    return x, y


def assert_same(values, there, expected, edge):
    """Where an edge is so near that rounding decides, nothing is said."""
    want, want_there, near = expected
    sure = ~(edge | near)
    np.testing.assert_array_equal(there[:, sure], want_there[:, sure])
    both = there & want_there & sure
    np.testing.assert_array_equal(values[both], want[both])


def check(answers, drawn, draw_nodes):
    target = "EPSG:3857"
    values, there, transform = answers.nodes(target, draw_nodes)
    x, y = centres(transform, values.shape)
    flat = (values.reshape(len(values), -1), there.reshape(len(values), -1))
    want = oracle(drawn, x, y, target)
    assert_same(*flat, want, np.zeros(len(x), bool))
    # The window of the same ground: pixel for pixel, edges too, because it is the same question.
    extent = Extent(transform[2], transform[5] + transform[4] * values.shape[1], transform[2] + transform[0] * values.shape[2], transform[5])  # fmt: skip
    window = opened(answers.imagery.window(answers.timestamp, extent, values.shape[2], values.shape[1]))
    if not want[2].any():
        np.testing.assert_array_equal(window[-1] != 0, there.any(axis=0))
        np.testing.assert_array_equal(window[:-1][there], values[there])
    # Locations.
    some = np.random.default_rng(0).permutation(len(x))[:150]
    lon, lat = pyproj.Transformer.from_crs(target, "EPSG:4326", always_xy=True).transform(x[some], y[some])
    found = answers.imagery.locations(answers.timestamp, np.column_stack([lon, lat]).tolist())
    for place, answer in zip(some[: len(found)], found, strict=True):
        if not want[2][place]:
            expected = [
                plain(value) if ok else None for value, ok in zip(flat[0][:, place], flat[1][:, place], strict=True)
            ]
            assert answer == expected
    check_tile(answers, drawn)
    check_statistics(answers, drawn)
    check_export(answers, drawn, draw_nodes)


def plain(value):
    value = value.item()
    return [value.real, value.imag] if isinstance(value, complex) else value


def check_tile(answers, drawn):
    zoom = answers.imagery.zoom(answers.timestamp)
    if zoom is None:
        return
    tiles = tiles_of(answers.timestamp, zoom)
    for column, row in tiles[:: max(1, len(tiles) // 2)][:2]:
        answer = answers.imagery.tile(answers.timestamp, zoom, column, row)
        extent = tile_extent(zoom, column, row)
        step = WORLD / 2**zoom / 256
        x, y = centres((step, 0, extent.x_min, 0, -step, extent.y_max), (1, 256, 256))
        # A quarter of its pixels, others for each tile: PROJ takes its time for all of them.
        some = np.random.default_rng([column, row]).permutation(256 * 256)[: 128 * 128]
        want = oracle(drawn, x[some], y[some], "EPSG:3857")
        if answer is None:
            assert not want[1][:, ~want[2]].any()
            continue
        image = opened(answer).reshape(-1, 256 * 256)[:, some]
        sure = ~want[2]
        np.testing.assert_array_equal(image[-1, sure] != 0, want[1][:, sure].any(axis=0))
        both = want[1] & sure
        np.testing.assert_array_equal(image[:-1][both], want[0][both])


def check_statistics(answers, drawn):
    if drawn[0].values.dtype.kind == "c" or drawn[0].crs == "EPSG:3031":
        return
    everything = {"type": "Polygon", "coordinates": [[[-180, -84], [180, -84], [180, 84], [-180, 84], [-180, -84]]]}
    if drawn[0].crs != "EPSG:4326":
        west, south, east, north = answers.store.bounds(*answers.ids).bounds
        around = [[west - 1, south - 1], [east + 1, south - 1], [east + 1, north + 1], [west - 1, north + 1]]
        everything = {"type": "Polygon", "coordinates": [[*around, around[0]]]}
    if not -179 < everything["coordinates"][0][0][0] < 178:
        return
    (found,) = answers.imagery.analyse([answers.timestamp], everything)
    values, there, _, near = native(answers, drawn)
    if near.any():
        return
    for band, ok, result in zip(values, there, found["result"], strict=True):
        ok = ok & np.isfinite(band)
        statistics = result["statistics"]
        assert statistics["count"] == ok.sum()
        if ok.any():
            assert (statistics["min"], statistics["max"]) == (band[ok].min(), band[ok].max())
            if band.dtype.kind in "iu":
                assert statistics["sum"] == sum(map(int, band[ok]))


def native(answers, drawn):
    """The export: values, validity, transform, and where edges are near."""
    target = answers.folder / "export.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerWarning)
        answers.store.export(*answers.ids, target)
    with rasterio.open(target) as dataset:
        values, transform, crs = dataset.read(), tuple(dataset.transform)[:6], dataset.crs.to_string()
        there = dataset.read_masks() > 0
        nodata = dataset.nodata
        if any(file.alpha for file in drawn) and dataset.colorinterp[-1].name == "alpha":
            there = there & (values[-1:].real > 0)
    if values.dtype.kind in "fc":
        there = there & ~np.isnan(values)
    if nodata is not None and not math.isnan(nodata) and any(file.mask is not None for file in drawn):
        there = there & (values != np.array(nodata).astype(values.dtype))
    x, y = centres(transform, values.shape)
    want = oracle(drawn, x, y, crs)
    if partly_missing(drawn):
        # The one mask of a GeoTIFF cannot say it, and the export has warned.
        there = there & want[1].reshape(there.shape)
    return values, there, want, want[2].reshape(values.shape[1:])


def check_export(answers, drawn, nodes):
    values, there, want, near = native(answers, drawn)
    assert_same(values.reshape(len(values), -1), there.reshape(len(values), -1), want, near.ravel())
    a, b, _, d, e, _ = drawn[0].transform[:6]
    if len({file.crs for file in drawn}) > 1 or not (abs(b) < 1e-9 and abs(d) < 1e-9) or a < 0 or e > 0:
        return
    received, known_there, _ = answers.nodes("native", nodes)
    assert received.shape == values.shape
    full = there & known_there
    np.testing.assert_array_equal(received[full], values[full])
    if not partly_missing(drawn):
        np.testing.assert_array_equal(known_there, there)


def partly_missing(drawn):
    kinds = {repr(file.nodata) for file in drawn}
    return len(kinds) > 1 and drawn[0].values.dtype.kind in "iu" and len(drawn[0].values) > 1


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(files(), st.sampled_from((1, 2, 5)))
def test_every_face_gives_the_same_pixel(drawn, nodes):
    pixels = sum(file.values.shape[1] * file.values.shape[2] for file in drawn)
    with tempfile.TemporaryDirectory() as folder:
        answers = Answers(Path(folder), drawn)
        try:
            check(answers, drawn, min(nodes, max(1, pixels // len(drawn) // 50)))
        finally:
            answers.close()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "landsat_pucallpa_1985_u8.tif",
        "l7_olinda_6band_u8.tif",
        "nlcd_zion_u8.tif",
        "dsm_alexandria_f32.tif",
        "copdem30_saotome_crop_f32.tif",
    ],
)
def test_real_layers_give_the_same_pixel(data, tmp_path, name):
    with rasterio.open(data / name) as dataset:
        drawn = [Drawn(dataset.read(), dataset.crs.to_wkt(), dataset.transform, dataset.nodata, None, alpha=False)]
    answers = Answers(tmp_path, drawn, [data / name])
    try:
        check(answers, drawn, 4)
    finally:
        answers.close()
