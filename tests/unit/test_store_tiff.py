"""Truncation of TIFFs, found without reading a pixel."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ellipsis_local.formats.tiff import is_tiff, missing_bytes

KINDS = {
    "strips": {},
    "tiles": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
    "big": {"BIGTIFF": "YES", "compress": "deflate"},
    "big endian": {"ENDIANNESS": "BIG"},
    "planes": {"interleave": "band", "compress": "lzw"},
    "sparse": {"SPARSE_OK": True, "tiled": True, "blockxsize": 64, "blockysize": 64},
}


def write(path, **options):
    values = np.random.default_rng(1).integers(0, 255, (3, 200, 150), dtype="uint8")
    if "SPARSE_OK" in options:
        values[:, 64:] = 0
    profile = {"driver": "GTiff", "width": 150, "height": 200, "count": 3, "dtype": "uint8"}
    place = {"crs": "EPSG:3857", "transform": from_origin(0, 0, 1, 1)}
    with rasterio.open(path, "w", **profile, **place, **options) as dataset:
        dataset.write(values)
        dataset.build_overviews([2, 4])


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_every_cut_is_found(tmp_path, options):
    path = tmp_path / "a.tif"
    write(path, **options)
    data = path.read_bytes()
    assert is_tiff(data)
    assert missing_bytes(path) == 0
    for part in (0.05, 0.3, 0.6, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * part)])
        assert missing_bytes(path) > 0, part


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"GIF8"])
def test_rubbish_is_an_answer_and_no_error(tmp_path, data):
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert missing_bytes(path) > 0


def test_a_directory_that_points_to_itself_ends(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0")
    assert missing_bytes(path) == 0
