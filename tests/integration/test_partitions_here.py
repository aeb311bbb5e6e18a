"""Small cuts in the calling process: when, and that they leave nothing of themselves in it."""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from ellipsis_local.errors import PartitionError
from ellipsis_local.home import Home
from ellipsis_local.partitions import Part, Partitions, cut_workers, cutting, frames, pixels, tasks
from tests.integration.test_partitions_factory import raster_layer, vector_layer
from tests.integration.test_partitions_vectors import squares

GRID = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.prepare()
    return found


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many helper processes were asked for; none starts."""
    asked: list[int] = []

    def start(count: int, *_: object) -> None:
        asked.append(count)
        raise PartitionError("a helper was asked for")

    monkeypatch.setattr(cutting, "Helpers", start)
    return asked


@pytest.fixture
def raster(tmp_path: Path):
    return raster_layer(tmp_path / "a.tif", np.arange(10_000, dtype="u2").reshape(1, 100, 100), GRID)


@pytest.fixture
def vector(tmp_path: Path):
    return vector_layer(tmp_path / "a.gpkg", squares(100))


def made(home: Home, place: cut_workers.Place, *layers) -> list[list[Part]]:
    home.prepare()
    partitions = Partitions(home, cores=2, cache_size=10**9, here=place)
    return [list(node) for node in partitions.ensure(partitions.plan(layers, 2)).parts]


def test_whatever_is_small(home: Home, helpers: list[int], raster, vector) -> None:
    assert len(made(home, "all", raster, vector)) == 2
    assert helpers == []
    with pytest.raises(PartitionError, match="a helper was asked for"):
        made(Home(home.root.parent / "other"), "never", raster)


def test_rasters_only_where_their_library_is_loaded(
    home: Home, helpers: list[int], raster, vector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(made(home, "rasters", raster)) == 2
    with pytest.raises(PartitionError, match="a helper was asked for"):
        made(home, "rasters", raster, vector)
    partitions = Partitions(home, cores=2, cache_size=10**9)
    request = partitions.plan([raster], 3)
    monkeypatch.delitem(sys.modules, "rasterio")
    assert not cut_workers.is_for_here(request, "rasters")
    assert cut_workers.is_for_here(request, "all")


def test_not_what_is_large(home: Home, helpers: list[int], raster, vector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SMALL_BYTES", 19_999)
    with pytest.raises(PartitionError, match="a helper was asked for"):
        made(home, "all", raster)
    with pytest.raises(PartitionError, match="a helper was asked for"):
        made(home, "all", vector)
    monkeypatch.setattr(tasks, "SMALL_BYTES", 20_000)
    assert len(made(home, "all", raster)) == 2


def test_nothing_stays(home: Home, helpers: list[int], raster, vector, tmp_path: Path) -> None:
    """No data, no open file, and what the caller has set for numpy and warnings neither counts nor changes."""
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        made(home, "all", raster, vector)
        assert np.geterr()["over"] == "raise"
        assert warnings.filters[0][0] == "error"
    assert frames._layers == pixels._layers == {}
    (tmp_path / "a.tif").write_bytes(b"gone")
    with pytest.raises(PartitionError, match=f"layer {raster.id} cannot be cut"):
        made(Home(tmp_path / "again"), "all", raster)
    assert frames._layers == pixels._layers == {}


def test_threads_take_turns(home: Home, helpers: list[int], raster, vector) -> None:
    """Each cuts into another number of nodes, and all see every feature once."""
    found: dict[int, int] = {}

    def work(nodes: int) -> None:
        partitions = Partitions(home, cores=2, cache_size=10**9, here="all")
        parts = partitions.ensure(partitions.plan([vector, raster], nodes)).parts
        found[nodes] = sum(node[0].rows for node in parts)

    threads = [threading.Thread(target=work, args=(nodes,)) for nodes in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys((1, 2, 3, 4), 100)
