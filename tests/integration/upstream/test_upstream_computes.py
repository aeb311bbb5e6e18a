"""The setting `upstream`: what createCompute does not find in the home is pulled first."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from ellipsis_local.computes import lifecycle
from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError, NotFoundError, UpstreamError
from tests.integration.conftest import wait_for
from tests.integration.upstream.hosted import TOKEN, Hosted
from tests.integration.upstream.layers import nothing_here, pixels, scene


@pytest.fixture
def followed(el, hosted: Hosted) -> list[str]:
    """The steps that the setting `progress` is told, with the setting `upstream`."""
    told: list[str] = []
    el.configure(upstream=hosted.url, upstream_token=TOKEN, progress=told.append)
    return told


def entry(ids: tuple[str, str]) -> dict[str, str]:
    return {"pathId": ids[0], "timestampId": ids[1]}


def keys(params):
    return list(params)


def total(params):
    return sum(
        int(value["raster"].sum()) if isinstance(value, dict) else len(value.read()) for value in params.values()
    )


def until(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.01)


def test_layers_and_files_are_pulled_first(followed: list[str], hosted: Hosted, el, token: str, create) -> None:
    ids, file = scene(hosted), hosted.add_file("weights", b"12345")
    compute_id = create([entry(ids)], nodes=1, files=[file])
    assert el.compute.execute(compute_id, total, token) == [pixels().sum() + 5]
    assert any(text.startswith("pulled scene") for text in followed)
    assert "pulled 'weights'" in followed
    hosted.well_again()
    create([entry(ids)], files=[file])
    assert hosted.requests == [], "the service is asked for nothing that is here"


def test_keys_are_spelled_as_the_caller_did(followed: list[str], hosted: Hosted, el, token: str, create) -> None:
    path_id, timestamp_id = scene(hosted)
    compute_id = create([entry((path_id.upper(), timestamp_id.upper()))], nodes=1)
    assert el.compute.execute(compute_id, keys, token) == [[timestamp_id.upper()]]


def test_not_waiting_shows_the_pull_in_the_record(
    followed: list[str], hosted: Hosted, el, token: str, create, monkeypatch
) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0.05)
    ids = scene(hosted)
    hosted.held = "/data"
    compute_id = create([entry(ids)], nodes=1, awaitTillStarted=False)
    info = el.compute.getComputeInfo(compute_id, token)
    assert (info["status"], len(info["nodes"])) == ("queued", 1)
    assert nothing_here(ids[0])
    hosted.hold.set()
    wait_for(el, compute_id, token, "available")
    assert el.compute.execute(compute_id, total, token) == [pixels().sum()]
    assert el.compute.getComputeInfo(compute_id, token)["layers"] == [entry(ids)]


def test_the_message_tells_how_far_the_pull_is(
    followed: list[str], hosted: Hosted, el, token: str, create, monkeypatch
) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0.05)
    ids = scene(hosted)
    second = hosted.add_file("weights", b"12345")
    hosted.held = f"{second}/file/data"
    compute_id = create([entry(ids)], files=[second], awaitTillStarted=False)
    until(lambda: el.compute.getComputeInfo(compute_id, token)["message"] == f"pulled scene {ids[1]}")
    hosted.hold.set()
    wait_for(el, compute_id, token, "available")


def test_a_pull_that_fails_makes_the_compute_errored(
    followed: list[str], hosted: Hosted, el, token: str, create, monkeypatch
) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0.05)
    ids = scene(hosted)
    hosted.held = "/data"
    compute_id = create([entry(ids)], awaitTillStarted=False)
    hosted.fail("/data", 500)
    hosted.hold.set()
    until(lambda: el.compute.getComputeInfo(compute_id, token)["status"] == "errored")
    assert "fails at scene.tif (500" in el.compute.getComputeInfo(compute_id, token)["message"]


def test_terminating_ends_the_pull(followed: list[str], hosted: Hosted, el, token: str, create, monkeypatch) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0.05)
    ids = scene(hosted)
    hosted.held = "/data"
    compute_id = create([entry(ids)], awaitTillStarted=False)
    el.compute.terminateCompute(compute_id, token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"
    hosted.fail("/data", 500)
    hosted.hold.set()
    until(lambda: not _pulling())
    assert nothing_here(ids[0])
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"


def _pulling() -> bool:
    import threading

    return any(thread.name.startswith("ellipsis_local-specify") for thread in threading.enumerate())


def test_closing_ends_the_pull(followed: list[str], hosted: Hosted, el, token: str, create, monkeypatch) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0.05)
    ids = scene(hosted)
    hosted.held = "/data"
    compute_id = create([entry(ids)], awaitTillStarted=False)
    current_emulator().close()
    hosted.fail("/data", 500)
    hosted.hold.set()
    until(lambda: not _pulling())
    el.configure(cores=2)
    until(lambda: el.compute.getComputeInfo(compute_id, token)["status"] == "errored")
    assert "was closed while layers were being pulled" in el.compute.getComputeInfo(compute_id, token)["message"]


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"nodes": 1000}, "nodes must be at most"),
        ({"requirements": ["-r x"]}, "requirement"),
        ({"interpreter": "python3.1"}, "interpreter"),
        ({"twice": True}, "holds timestamp .* twice"),
        ({"unusable": True}, "has to be active"),
    ],
)
def test_bad_arguments_are_told_before_anything_is_fetched(
    followed: list[str],
    hosted: Hosted,
    el,
    create,
    raster,
    token: str,
    arguments: dict[str, Any],
    text: str,
    wait: bool,
) -> None:
    layers = [entry(scene(hosted))]
    if arguments.get("twice"):
        layers *= 2
    if arguments.get("unusable"):
        el.path.raster.timestamp.deactivate(raster["pathId"], raster["timestampId"], token)
        layers.append(raster)
    given = {name: value for name, value in arguments.items() if name not in ("twice", "unusable")}
    with pytest.raises(ValueError, match=text):
        create(layers, awaitTillStarted=wait, **given)
    assert hosted.requests == []
    assert el.compute.listComputes(token)["result"] == []


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_nowhere(followed: list[str], hosted: Hosted, el, token: str, create, wait: bool) -> None:
    path_id = str(uuid.uuid4())
    with pytest.raises(NotFoundError, match=f"{path_id} is not in this home, and {hosted.url} knows no path"):
        create([entry((path_id, str(uuid.uuid4())))], awaitTillStarted=wait)
    with pytest.raises(NotFoundError, match="is not in this home"):
        create([], files=[path_id], awaitTillStarted=wait)
    known, _ = scene(hosted)
    with pytest.raises(UpstreamError, match="has no timestamp"):
        create([entry((known, str(uuid.uuid4())))], awaitTillStarted=wait)
    hosted.token = "another"
    with pytest.raises(UpstreamError, match="does not accept the token"):
        create([entry(scene(hosted))], awaitTillStarted=wait)
    assert el.compute.listComputes(token)["result"] == []


def test_an_inactive_timestamp_stays_inactive(followed: list[str], hosted: Hosted, create) -> None:
    path_id, timestamp_id = scene(hosted)
    hosted.paths[path_id]["raster"]["timestamps"][0]["status"] = "passive"
    with pytest.raises(ArgumentError, match="is 'passive', and has to be active"):
        create([entry((path_id, timestamp_id))])


def test_without_the_setting_nothing_is_pulled(hosted: Hosted, create) -> None:
    with pytest.raises(NotFoundError):
        create([entry(scene(hosted))])
    assert hosted.requests == []
