"""Connections that break, sizes that are wrong, pulls that are ended and continued."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import LayerError, LayerWarning, StoreError, UpstreamError
from tests.integration.upstream.hosted import Hosted, tiff
from tests.integration.upstream.layers import HERE, got, nothing_here, pixels, scene


def test_a_dropped_connection_is_taken_up_where_it_broke(hosted: Hosted, pull, large) -> None:
    path_id, data = large
    hosted.drop("/data", times=8, share=0.2)
    numbers: list[Any] = []
    pull(path_id, progress=numbers.append)
    assert got(path_id) == data
    starts = [int(request.headers["range"][6:-1]) for request in hosted.asked("/data")[1:]]
    assert starts == sorted(starts) and starts[0] > 0 and len(starts) == 8, "more breaks than attempts without progress"
    counted = [step.done for step in numbers if step.unit == "bytes"]
    assert counted == sorted(counted) and counted[-1] == len(data)
    assert {step.total for step in numbers if step.unit == "bytes"} == {len(data)}


def test_a_server_without_ranges_begins_anew(hosted: Hosted, pull, large) -> None:
    path_id, data = large
    hosted.ranges = False
    hosted.drop("/data", times=2)
    pull(path_id)
    assert got(path_id) == data


def test_a_connection_that_always_drops(hosted: Hosted, pull, large) -> None:
    path_id, data = large
    hosted.ranges = False
    hosted.drop("/data", times=10**6)
    with pytest.raises(UpstreamError, match=r"connection broke off.* after 6 attempts .*is kept"):
        pull(path_id)
    assert nothing_here(path_id)
    hosted.well_again()
    hosted.ranges = True
    pull(path_id)
    assert int(hosted.asked("/data")[0].headers["range"][6:-1]) > 0, "the next pull goes on"
    assert got(path_id) == data


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(hosted: Hosted, pull, large, etags: bool) -> None:
    path_id, data = large
    hosted.etags = etags
    hosted.drop("/data", times=1)
    hosted.fail("/data", 503)
    with pytest.raises(UpstreamError):
        pull(path_id)
    hosted.well_again()
    hosted.data[path_id] = data[::-1][:-1]
    hosted.paths[path_id]["file"] = {}
    hosted.paths[path_id]["file"]["size"] = len(data)
    with pytest.raises(UpstreamError, match=f"should have {len(data):,} bytes.* came with {len(data) - 1:,}"):
        pull(path_id)
    assert nothing_here(path_id)


def test_a_length_that_is_not_told(hosted: Hosted, pull, large) -> None:
    path_id, data = large
    hosted.lengths = False
    pull(path_id)
    assert got(path_id) == data


def test_an_unknown_length_is_held_against_the_list(hosted: Hosted, pull, large) -> None:
    path_id, _ = large
    hosted.lengths = False
    hosted.drop("/data", times=10**6)
    with pytest.raises(UpstreamError, match="should have"):
        pull(path_id)
    assert nothing_here(path_id)


def test_other_sizes_than_the_list_says(hosted: Hosted, pull) -> None:
    path_id, timestamp_id = scene(hosted, size=10**6)
    hosted.lengths = False
    with pytest.raises(UpstreamError, match="scene.tif should have 1,000,000 bytes"):
        pull(path_id)
    assert nothing_here(path_id)
    hosted.lengths = True
    with pytest.warns(LayerWarning, match="scene.tif should have 1,000,000 bytes.*files beside it may be missing"):
        assert pull(path_id)["pulled"] == [timestamp_id]


@pytest.mark.parametrize(
    "data",
    [
        tiff(pixels(), **HERE)[:-1000],
        b"",
        b"<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand/></VRTDataset>",
        b"\xef\xbb\xbf  <GDAL_WMS></GDAL_WMS>",
        tiff(pixels(), transform=HERE["transform"]),
    ],
    ids=["truncated", "empty", "vrt", "wms", "no-crs"],
)
def test_files_that_are_no_usable_layers(hosted: Hosted, pull, data: bytes) -> None:
    path_id, _ = scene(hosted, data=data)
    with pytest.raises(LayerError, match=r"scene\.tif"):
        pull(path_id)
    assert nothing_here(path_id)


def test_no_timestamp_appears_before_it_is_whole(hosted: Hosted, pull) -> None:
    path_id, first = scene(hosted)
    second = hosted.add_timestamp(path_id, zoom=12)
    for number in range(2):
        file_id = hosted.add_layer_file(second, f"{number}.tif", tiff(pixels(number), **HERE))
    hosted.drop(f"{file_id}/data", times=10**6, share=0.0)
    with pytest.raises(UpstreamError):
        pull(path_id)
    store = current_emulator().store
    assert [one.id for one in store.catalogue.timestamps_of(path_id)] == [first]
    hosted.well_again()
    answer = pull(path_id)
    assert (answer["unchanged"], answer["pulled"]) == ([first], [second])
    assert len(hosted.asked("/data")) == 1, "the first file of the second was kept"


def test_a_pull_can_be_ended_and_continued(hosted: Hosted, pull, large) -> None:
    path_id, data = large

    def stop(step: Any) -> None:
        if step.unit == "bytes":
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        pull(path_id, progress=stop)
    assert nothing_here(path_id)
    pull(path_id)
    assert int(hosted.asked("/data")[-1].headers["range"][6:-1]) > 0
    assert got(path_id) == data


def test_a_full_disk(hosted: Hosted, pull, large, monkeypatch) -> None:
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(StoreError, match="make room first"):
        pull(large[0])


def test_two_at_once_fetch_it_once(hosted: Hosted, pull, large) -> None:
    path_id, data = large
    hosted.held = "/data"
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(pull(path_id))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while not hosted.asked("/data"):
        time.sleep(0.005)
    hosted.hold.set()
    for thread in threads:
        thread.join(60)
    assert sorted(len(one["pulled"]) for one in answers) == [0, 1]
    assert len(hosted.asked("/data")) == 1
    assert got(path_id) == data


def test_what_broken_pulls_left_goes_after_a_week(hosted: Hosted, pull, large) -> None:
    hosted.drop("/data", times=1)
    hosted.fail("/data", 503)
    with pytest.raises(UpstreamError):
        pull(large[0])
    emulator = current_emulator()
    partials = emulator.home.cache / "pulls"
    emulator.tidy()
    assert len(list(partials.iterdir())) == 1
    emulator.upstream._partials.sweep(age=-1)
    assert list(partials.iterdir()) == []
