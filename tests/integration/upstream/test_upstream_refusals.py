"""What the service refuses, other servers, addresses and tokens."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path

import numpy as np
import pytest
from rasterio.io import MemoryFile

from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError, FidelityWarning, UpstreamError
from ellipsis_local.upstream import http_client
from tests.integration.upstream.hosted import TOKEN, Hosted
from tests.integration.upstream.layers import pixels, roads, scene, stored


@pytest.mark.parametrize(
    ("status", "token", "text"),
    [
        (401, "wrong", "does not accept the token .401: Not authorized.*log in there again.*upstream_token"),
        (401, None, "asks for a token .401.*ELLIPSIS_LOCAL_UPSTREAM_TOKEN"),
        (403, TOKEN, "no access to path .*ask its owner for an invite"),
        (404, TOKEN, "knows no path .*usually /v3"),
        (501, TOKEN, "does not offer path"),
        (400, TOKEN, "refuses path .*400: the service is unwell"),
        (500, TOKEN, "fails at path .*500.*try again later"),
    ],
)
def test_refusals_name_what_to_do(hosted: Hosted, pull, status: int, token: str | None, text: str) -> None:
    path_id, _ = scene(hosted)
    if status != 401:
        hosted.fail("/path/", status)
    with pytest.raises(UpstreamError, match=text):
        pull(path_id, token=token)
    assert len(hosted.requests) == (6 if status == 500 else 1)


def test_public_layers_need_no_token(hosted: Hosted, pull) -> None:
    hosted.token = None
    path_id, timestamp_id = scene(hosted)
    assert pull(path_id, token=None)["pulled"] == [timestamp_id]
    assert all("authorization" not in request.headers for request in hosted.requests)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_failures_are_waited_out(hosted: Hosted, pull, status: int) -> None:
    path_id, timestamp_id = scene(hosted)
    hosted.fail(f"path/{path_id}$", status, times=3, headers={"Retry-After": "0"})
    hosted.fail("/data", status, times=5)
    assert pull(path_id)["pulled"] == [timestamp_id]


def test_the_service_says_how_long_to_wait(hosted: Hosted, pull, monkeypatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(http_client.Client, "_sleep", lambda self, seconds: waits.append(seconds))
    path_id, _ = scene(hosted)
    hosted.fail("path/", 429, times=2, headers={"Retry-After": "7"})
    pull(path_id)
    assert waits == [7, 7]
    hosted.fail("path/", 429, times=1, headers={"Retry-After": "86400"})
    pull(path_id)
    assert waits[-1] == http_client.LONGEST_WAIT


def test_a_host_that_is_not_there(el) -> None:
    with pytest.raises(UpstreamError, match="cannot be reached .*refused.* after 3 attempts.*check the address"):
        el.layers.pull(str(uuid.uuid4()), fromUrl="http://127.0.0.1:9/v3")
    with pytest.raises(UpstreamError, match="cannot be reached"):
        el.layers.pull(str(uuid.uuid4()), fromUrl="https://nowhere.invalid/v3")


def test_another_kind_of_server(hosted: Hosted, pull, monkeypatch) -> None:
    path_id, _ = scene(hosted)
    hosted.fail("path/", 200, text="<html>hello</html>")
    with pytest.raises(UpstreamError, match="did not answer with JSON.*is it the address of a service"):
        pull(path_id)
    hosted.well_again()
    hosted.paths[path_id]["id"] = str(uuid.uuid4())
    with pytest.raises(UpstreamError, match="not the answer for this id"):
        pull(path_id)
    hosted.fail("path/", 200, text="[" * 100_000)
    with pytest.raises(UpstreamError, match="did not answer with JSON"):
        pull(path_id)
    hosted.well_again()
    hosted.fail("path/", 200, text="[" + "1," * 10**6 + "1]")
    monkeypatch.setattr(
        http_client.Client.json, "__kwdefaults__", {**http_client.Client.json.__kwdefaults__, "most": 10**6}
    )
    with pytest.raises(UpstreamError, match="more than 1,000,000 bytes"):
        pull(path_id)


def test_pages_that_go_round_in_a_circle(hosted: Hosted, pull) -> None:
    hosted.level = 100
    path_id, _ = roads(hosted)
    page = {"result": {"features": []}, "nextPageStart": "again"}
    hosted.fail("listFeatures", 200, text=json.dumps(page))
    with pytest.raises(UpstreamError, match="round in a circle"):
        pull(path_id)
    hosted.level = 900
    hosted.fail("upload", 200, text=json.dumps({"result": [], "nextPageStart": "again"}))
    with pytest.raises(UpstreamError, match="round in a circle"):
        pull(path_id)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://example.com/v3", "must begin with https://.*insecure=True"),
        ("ftp://example.com", "must be an address such as"),
        ("example.com/v3", "must be an address such as"),
        ("https://user:word@example.com/v3", "without user"),
        ("https://example.com/v3?token=x", "without user, query"),
        ("https://exa mple.com/v3", "must be an address such as"),
        ("https://example.com:port/v3", "must be an address such as"),
        ("file:///etc/passwd", "must be an address such as"),
    ],
)
def test_impossible_addresses(el, url: str, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        el.layers.pull(str(uuid.uuid4()), fromUrl=url, token=TOKEN)


def test_without_an_address(el) -> None:
    with pytest.raises(ArgumentError, match="fromUrl .* is needed"):
        el.layers.pull(str(uuid.uuid4()))
    with pytest.raises(ArgumentError, match="token must be the text") as caught:
        el.layers.pull(str(uuid.uuid4()), fromUrl="http://127.0.0.1:9", token="two\nlines")
    assert "lines" not in str(caught.value)


def test_the_token_is_in_no_address_text_or_log(hosted: Hosted, pull, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    path_id, _ = scene(hosted)
    said: list[str] = []
    pull(path_id, progress=lambda step: said.append(str(step)))
    hosted.fail("path/", 400, text=f"what is {TOKEN}?")
    with pytest.raises(UpstreamError) as caught:
        pull(path_id)
    assert "what is …?" in str(caught.value)
    texts = [*said, str(caught.value), *(record.getMessage() for record in caplog.records)]
    texts += [request.path + json.dumps(request.query) for request in hosted.requests]
    texts += [path.read_text(errors="replace") for path in current_emulator().home.root.rglob("*") if path.is_file()]
    assert not any(TOKEN in text for text in texts)


def test_a_redirect_does_not_take_the_token_along(hosted: Hosted, pull, monkeypatch) -> None:
    path_id, _ = scene(hosted)
    with Hosted() as other:
        other.token = None
        hosted.redirect = other.url.removesuffix("/v3")
        with pytest.raises(UpstreamError, match="which is not followed: only https is"):
            pull(path_id)
        assert other.requests == []
        # As if the other were reached by https.
        monkeypatch.setattr(http_client.Client, "_followed", lambda self, url, response: response.headers["location"])
        with pytest.raises(UpstreamError):
            pull(path_id)
        assert len(other.requests) == 1 and "authorization" not in other.requests[0].headers
        assert hosted.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_redirects_have_an_end(hosted: Hosted, pull) -> None:
    path_id, _ = scene(hosted)
    hosted.redirect = hosted.url.removesuffix("/v3")
    with pytest.raises(UpstreamError, match="redirects more than 5 times"):
        pull(path_id)


def test_no_credentials_of_a_netrc_file(hosted: Hosted, pull, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "netrc").write_text("default login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    hosted.token = None
    path_id, _ = scene(hosted)
    pull(path_id, token=None)
    pull(path_id, token=TOKEN)
    sent = {request.headers.get("authorization") for request in hosted.requests}
    assert sent == {None, f"Bearer {TOKEN}"}


def test_the_token_of_the_setting_goes_to_its_service_only(hosted: Hosted, el) -> None:
    path_id, timestamp_id = scene(hosted)
    el.configure(upstream="https://example.com/v3", upstream_token=TOKEN)
    with pytest.raises(UpstreamError, match="asks for a token"):
        el.layers.pull(path_id, fromUrl=hosted.url)
    el.configure(upstream=hosted.url)
    assert el.layers.pull(path_id)["pulled"] == [timestamp_id]


def test_a_pulled_layer_is_computed_with(hosted: Hosted, pull, token: str, create, el) -> None:
    path_id, timestamp_id = scene(hosted)
    compute_id = create([pull(path_id)])

    def f(params):
        return [int(value["raster"].sum()) for value in params.values()]

    with pytest.warns(FidelityWarning):
        result = el.compute.execute(compute_id, f, token)
    assert sum(value for [value] in result) == pixels().sum()
    with MemoryFile(stored(path_id, timestamp_id)[0].location.read_bytes()) as memory, memory.open() as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels())
