"""The dashboard as a browser asks for it, over real HTTP: who is let in, what pages say, and that they hear of changes."""

from __future__ import annotations

import errno
import hashlib
import html
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import requests
from rasterio.io import MemoryFile

from ellipsis_local.dashboard import compute, layers, request_log
from ellipsis_local.dashboard.outlines import outlines
from ellipsis_local.dashboard.pages import POLICY
from ellipsis_local.dashboard.routes import static_files, vendored
from ellipsis_local.home import Home
from ellipsis_local.partitions import Shards, preview
from ellipsis_local.server import Server

ACT = {"X-Ellipsis-Local": "1"}


class Browser(requests.Session):
    """What has the cookie of a server, and asks for its pages by their path."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.origin = server.url.removesuffix("/v3")
        entered = self.get(server.link().removeprefix(self.origin))
        assert entered.status_code == 200, entered.text

    def request(self, method, url, **more):
        return super().request(method, self.origin + url, timeout=20, **more)

    def post(self, url, data=None, json=None, **more):
        return super().post(url, data, json, **({"headers": ACT} | more))


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    with Browser(server) as made:
        yield made


def test_what_others_wrote_is_as_it_was_taken() -> None:
    own = {"app.js", "lesson.js", "log.js", "maps.js", "app.css"}
    assert {one["file"] for one in vendored()} == set(static_files()) - own
    for one in vendored():
        assert hashlib.sha256(static_files()[one["file"]]).hexdigest() == one["sha256"], one["file"]
        assert one["licence"] and one["version"] and one["source"] and one["taken_from"]


def test_a_link_lets_one_browser_in_once(server: Server) -> None:
    link, origin = server.link(), server.url.removesuffix("/v3")
    for address in (f"{origin}/ui/", origin, server.url):
        refused = requests.get(address, timeout=20)
        assert refused.status_code == 401
        assert "open the link that ellipsis-local serve or ellipsis-local ui printed" in refused.text
    with requests.Session() as first:
        answer = first.get(link, timeout=20)
        assert (answer.status_code, answer.url) == (200, f"{origin}/ui/")
        (cookie,) = answer.history[0].headers["set-cookie"].splitlines()
        assert (
            "Path=/ui" in cookie and "HttpOnly" in cookie and "SameSite=strict" in cookie and str(server.port) in cookie
        )
        other = first.post(f"{origin}/ui/link", headers=ACT, timeout=20).text
    again = requests.get(link, timeout=20)
    assert again.status_code == 401
    assert "works once" in again.text
    assert requests.get(other, timeout=20).status_code == 200


def test_a_page_names_no_other_host_and_runs_no_script_of_another(browser: Browser) -> None:
    page = browser.get("/ui/")
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-store"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(one.startswith(("/ui/", "#", "data:,")) for one in loaded)
    assert not re.search(r"<script>|<style| style=| on[a-z]+=", page.text)
    for one in loaded:
        if "/static/" in one:
            assert browser.get(one).status_code == 200


NEAR = {"Sec-Fetch-Site": "same-site"}
DOCUMENT = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
LET_IN = (
    # A link in a notebook on another port.
    ("GET", "/ui/", NEAR | DOCUMENT, 200),
    # A script there, a frame, another site, the API, another name for this machine.
    ("GET", "/ui/", NEAR | {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
    ("GET", "/ui/", NEAR | DOCUMENT | {"Sec-Fetch-Dest": "iframe"}, 403),
    ("GET", "/ui/", DOCUMENT | {"Sec-Fetch-Site": "cross-site"}, 403),
    ("GET", "/v3/account", NEAR | DOCUMENT, 403),
    ("GET", "/ui/", {"Host": "evil.example"}, 421),
    # A change without the header, of another origin, of a form there.
    ("POST", "/ui/computes/prune", {}, 401),
    ("POST", "/ui/computes/prune", ACT | {"Origin": "http://127.0.0.1:1"}, 403),
    ("POST", "/ui/computes/prune", ACT | NEAR | DOCUMENT, 403),
    ("POST", "/ui/computes/prune", ACT, 200),
)


def test_who_is_let_in(browser: Browser) -> None:
    for method, path, headers, status in LET_IN:
        assert browser.request(method, path, headers=headers).status_code == status, (method, path, headers)


def test_errors_are_pages_in_words(browser: Browser) -> None:
    unknown = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    for path, said in (
        ("nowhere", "there is no page /ui/nowhere"),
        ("static/..%2fvendored.json", "there is no page"),
        ("static/vendored.json", "there is no file"),
        (f"events?of={unknown}", "listComputes shows them"),
        (f"computes/{unknown}", "listComputes shows them"),
        (f"?before={unknown}", "no compute of yours"),
    ):
        answer = browser.get(f"/ui/{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert said in answer.text
        # A script of a page wants the words alone.
        assert "<" not in browser.get(f"/ui/{path}", headers={"HX-Request": "true"}).text


def test_a_home_that_a_newer_release_took_over(browser: Browser, server: Server) -> None:
    with server.emulator.database.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    answer = browser.get("/ui/")
    assert answer.status_code == 507
    assert "was written by a newer ellipsis_local" in answer.text


def test_computes_are_listed_found_terminated_and_deleted(
    browser: Browser, server: Server, el: ModuleType, token: str, raster: dict[str, str], create: Callable[..., str]
) -> None:
    server.emulator.store.catalogue.rename(raster["pathId"], "<b>")
    first, second = create([raster], nodes=2), create([raster], nodes=1)
    page = browser.get("/ui/").text
    assert page.index(second) < page.index(first)
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "2 ready" in page
    assert second not in browser.get(f"/ui/?q={first}").text
    assert first not in browser.get("/ui/?status=stopped").text
    refused = browser.post(f"/ui/computes/{first}/delete", headers=ACT | {"HX-Request": "true"})
    assert refused.status_code == 409
    assert refused.text == f"compute {first} is available: terminate it, then it can be deleted"
    for compute_id in (first, second):
        browser.post(f"/ui/computes/{compute_id}/terminate")
        while el.compute.getComputeInfo(compute_id, token)["status"] != "stopped":
            time.sleep(0.01)
    assert browser.post(f"/ui/computes/{first}/delete").text == f"deleted {first}"
    assert browser.post("/ui/computes/prune").text == "deleted 1 compute"
    assert "No computes yet" in browser.get("/ui/").text


def test_a_page_hears_of_what_others_do(
    browser: Browser, server: Server, raster: dict[str, str], create: Callable[..., str]
) -> None:
    """The stream ends with the server; what came between a page's reading and its stream, or in a break, is told."""

    def told(coming: Iterator[str]) -> list[str]:
        return [*itertools.takewhile(bool, coming)]

    with browser.get("/ui/events?of=computes", stream=True) as stream:
        coming = stream.iter_lines(decode_unicode=True)
        assert told(coming)[:2] == ["retry: 500", "event: changed"]
        # By an emulator of its own, as in another process.
        create([raster])
        state = server.emulator.computes.records.state_of_all()
        assert "event: changed" in iter(coming)
        while next(coming) != f"id: {state}":
            pass
    with browser.get("/ui/events?of=layers", stream=True) as stream:
        coming = stream.iter_lines(decode_unicode=True)
        assert "event: changed" in told(coming)
        server.emulator.store.catalogue.rename(raster["pathId"], "another name")
        assert "event: changed" in iter(coming)
    with browser.get("/ui/events?of=computes", stream=True, headers={"Last-Event-ID": state}) as stream:
        assert told(stream.iter_lines(decode_unicode=True)) == ["retry: 500", f"id: {state}"]
    with browser.get("/ui/events?of=computes", stream=True, headers={"Last-Event-ID": "former"}) as stream:
        coming = stream.iter_lines(decode_unicode=True)
        assert told(coming)[:3] == ["retry: 500", "event: changed", f"id: {state}"]
        ended = threading.Thread(target=server.stop)
        ended.start()
        assert "event: changed" not in [*coming]
        ended.join()


def halves(params):
    values = list(params.values())
    print("half \x1b[31mof <it>")
    if values[0]["transform"].f < 6_000_000:
        raise ValueError("no <luck>")
    return float(values[0]["raster"].shape[2])


@pytest.fixture
def half_failed(
    el: ModuleType, token: str, raster: dict[str, str], points: dict[str, str], create: Callable[..., str]
) -> str:
    """A compute of two nodes, of which the southern one failed."""
    compute_id = create([raster, points])
    with pytest.raises(el.NodeError, match="no <luck>"):
        el.compute.execute(compute_id, halves, token)
    return compute_id


def test_a_compute_with_all_that_is_known_of_it(
    browser: Browser, server: Server, el: ModuleType, token: str, half_failed: str
) -> None:
    records = server.emulator.computes.records
    page = browser.get(f"/ui/computes/{half_failed}").text
    for said in ("1 of 2 failed", "def halves(params):", "ValueError: no &lt;luck&gt;", "Failed: node 1", ">60.0<"):
        assert said in page
    assert "<!DOCTYPE" not in browser.get(f"/ui/computes/{half_failed}", headers={"HX-Request": "true"}).text
    # The call makes another one like it.
    call = html.unescape(re.search(r'<pre id="call"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])
    made = records.get(eval(call, {"el": el, "token": token})["id"]).spec
    assert (made.request, made.nodes) == (records.get(half_failed).spec.request, 2)

    drawn = browser.get(f"/ui/computes/{half_failed}/map.json").json()
    assert [one["type"] for one in drawn["layers"]] == ["raster", "vector"]
    north, south = drawn["partitions"]
    assert (north["state"], north["result"], north["pixels"]) == ("completed", 60.0, 1200)
    assert (south["failure"], south["result"]) == ("exception", None)
    assert north["features"] + south["features"] == 100
    assert drawn["degrees"]
    x = [place[0] for place in (*north["ring"], *south["ring"])]
    # EPSG:3857 in degrees of longitude.
    assert (min(x), max(x)) == pytest.approx((500_000 / 111_319.49, 500_600 / 111_319.49), abs=1e-5)

    log = browser.get(f"/ui/computes/{half_failed}/log").json()
    assert sorted(line[1:] for line in log["lines"]) == [[1, node, "half \x1b[31mof <it>"] for node in (0, 1)]
    assert browser.get(f"/ui/computes/{half_failed}/log?after={log['next']}").json()["lines"] == []


def test_a_node_with_what_it_received(browser: Browser, half_failed: str) -> None:
    page = browser.get(f"/ui/computes/{half_failed}/nodes/1").text
    for said in (
        "ValueError: no &lt;luck&gt;",
        "in halves",
        f"replay(&#39;{half_failed}&#39;, 1)",
        "2 × 20 × 60 of uint16",
    ):
        assert said in page
    # Two bands: min, max, missing.
    rows = re.findall(r'<tr><th scope="row" class="number">(.*?)</tr>', page)
    assert [re.findall(r">([^<>]+)<", f">{row}") for row in rows] == [
        ["1", "1200", "2399", "0.0 %"],
        ["2", "7", "7", "0.0 %"],
    ]
    picture = browser.get(f"/ui/computes/{half_failed}/nodes/1/inputs/0.png")
    with MemoryFile(picture.content) as memory, memory.open() as dataset:
        assert (dataset.width, dataset.height, dataset.count) == (60, 20, 4)
        assert np.unique(dataset.read(1)).size > 100
        assert (dataset.read(4) == 255).all()
    assert "which count from 0; there is no 2" in browser.get(f"/ui/computes/{half_failed}/nodes/2").text
    assert browser.get(f"/ui/computes/{half_failed}/nodes/1/inputs/1.png").status_code == 404


def test_a_log_is_read_in_pieces_and_up_to_the_last_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "LOG_BYTES", 100)
    lines = [{"time": 1.0, "execution": 1, "node": 0, "text": "x" * size} for size in (5, 500, 5, 5)]
    path = tmp_path / "log.jsonl"
    assert compute.read_log(path, 0) == ([], 0)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"time": 1')
    found, start = [], -1
    while start != (start := (piece := compute.read_log(path, max(start, 0)))[1]):
        found += piece[0]
    assert [line[3] for line in found] == [line["text"] for line in lines]


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["somewhere",UNIT["metre",1]]'])
def test_partitions_without_a_place_on_the_globe_are_drawn_in_their_own_crs(crs: str | None) -> None:
    rings, degrees = outlines([{"xMin": 0, "xMax": 8, "yMin": 0, "yMax": 16}, None], crs)
    assert not degrees
    assert rings[1] is None
    assert {(0, 0), (8, 0), (8, 16), (0, 16)} < set(rings[0])


def test_layers_as_a_tree_with_sizes_and_ids(browser: Browser, server: Server, raster: dict[str, str]) -> None:
    catalogue = server.emulator.store.catalogue
    folder = catalogue.add_path("folder", "<top>")
    catalogue.move([raster["pathId"]], folder)
    plain = server.emulator.store.add_plain_file(io.BytesIO(b"12345"), name="a.txt")
    page = browser.get("/ui/layers").text
    assert page.index("&lt;top&gt;") < page.index(raster["pathId"]) < page.index(plain)
    assert 'class="depth1"><a href="/ui/layers/' + raster["pathId"] in page
    for said in ("60 × 40, 2 × uint16", "5 bytes", raster["timestampId"]):
        assert said in page
    assert "a.txt, 5 bytes" in browser.get(f"/ui/layers/{plain}").text
    assert browser.get(f"/ui/layers/{'0' * 8}-0000-4000-8000-{'0' * 12}").status_code == 404
    assert browser.get("/ui/layers/nonsense").status_code == 400


def test_a_raster_with_its_values_and_tiles(browser: Browser, server: Server, raster: dict[str, str]) -> None:
    layer = f"/ui/layers/{raster['pathId']}/{raster['timestampId']}"
    page = browser.get(layer).text
    (places,) = re.findall("data-places='([^']*)'", page)
    (place,) = json.loads(html.unescape(places))
    west, _, east, north = place["bounds"]
    assert browser.get(f"{layer}/value?x={west + 1e-6}&y={north - 1e-6}").json() == {"bands": [0, 7]}
    assert browser.get(f"{layer}/value?x={east + 1}&y={north}").json() == {"bands": [None, None]}
    assert browser.get(f"{layer}/value?x=a").status_code == 400
    low, high = re.search(r"one stretch for all of it: ([\d.]+) to ([\d.]+)\.<", page).groups()
    values = np.percentile(np.arange(2400), (2, 98))
    assert [float(low), float(high)] == pytest.approx([*values])
    # The tile of zoom 12 in which it lies, as the timestamp's one stretch has it.
    x, y = (
        math.floor((west + 180) / 360 * 4096),
        math.floor((20037508.342789 - 6_000_000) / (2 * 20037508.342789) * 4096),
    )
    grey, drawn = pixels_of(browser.get(f"{layer}/tiles/12/{x}/{y}.png"))
    assert grey[drawn].min() < 10 and grey[drawn].max() > 235
    dark, _ = pixels_of(browser.get(f"{layer}/tiles/12/{x}/{y}.png?low=0&high=100000"))
    assert dark[drawn].max() == 6
    second, _ = pixels_of(browser.get(f"{layer}/tiles/12/{x}/{y}.png?bands=2&low=0&high=14"))
    assert set(second[drawn]) == {128}
    empty, there = pixels_of(browser.get(f"{layer}/tiles/12/0/0.png"))
    assert empty.shape == (1, 1) and not there.any()
    for query in ("bands=3", "bands=1,2", "bands=a", "low=1", "low=2&high=1", "low=nan&high=1"):
        answer = browser.get(f"{layer}/tiles/12/{x}/{y}.png?{query}")
        assert answer.status_code == 400, query


def pixels_of(answer: requests.Response) -> tuple[np.ndarray, np.ndarray]:
    """The first band of a PNG, and where it is opaque."""
    assert answer.headers["content-type"] == "image/png"
    with MemoryFile(answer.content) as memory, memory.open() as dataset:
        return dataset.read(1), dataset.read(4) > 0


def test_a_vector_with_its_features(browser: Browser, points: dict[str, str]) -> None:
    layer = f"/ui/layers/{points['pathId']}/{points['timestampId']}"
    assert "100 features, EPSG:3857" in browser.get(f"/ui/layers/{points['pathId']}").text
    table = browser.get(f"{layer}/table").text
    assert re.findall(r'<th scope="col">(.*?)</th>', table) == ["number", "name", "kind", "when", "maybe"]
    assert table.count("<tr>") == 101
    drawn = browser.get(f"{layer}/features.json").json()
    assert len(drawn["features"]) == 100 and not drawn["truncated"]
    x, y = drawn["features"][7]["geometry"]["coordinates"]
    assert "7" in [one["number"] for one in browser.get(f"{layer}/value?x={x}&y={y}").json()["features"]]


def test_a_table_goes_on_where_the_page_ended(
    browser: Browser, points: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "ROWS", 60)
    page = browser.get(f"/ui/layers/{points['pathId']}/{points['timestampId']}/table").text
    following = html.unescape(re.search(r'hx-get="([^"]+)"', page)[1])
    rest = browser.get(following).text
    assert (page.count("<tr>"), rest.count("<tr>")) == (61, 41)
    assert "hx-get" not in rest


def test_a_file_that_is_dropped_becomes_a_layer(
    browser: Browser, server: Server, el: ModuleType, tmp_path: Path
) -> None:
    fields = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5, 52]}, "properties": {"a": 1}}
    content = json.dumps({"type": "FeatureCollection", "features": [fields]}).encode()
    said = browser.post("/ui/layers?name=../<b>.geojson", content).text
    (layer,) = server.emulator.store.list()
    assert (layer.name, layer.id in said) == ("<b>", True)
    assert browser.post(f"/ui/layers?name=b.geojson&path={layer.id}", content.replace(b"52", b"53")).status_code == 200
    assert len(el.layers.get(layer.id)["vector"]["timestamps"]) == 2
    for name, body, status in (
        ("a.tif", b"none", 400),
        ("", content, 400),
        ("..", content, 400),
        ("a%00.tif", b"", 400),
    ):
        answer = browser.post(f"/ui/layers?name={name}", body)
        assert answer.status_code == status, name
    assert browser.post("/ui/layers?name=a.geojson", content, headers={}).status_code == 401
    # Nothing is left of what was refused.
    kept = {file.id for one in server.emulator.store.catalogue.timestamps_of(layer.id) for file in one.files}
    assert {folder.name for folder in server.emulator.home.layers.iterdir()} == kept


@pytest.mark.parametrize("names", [("raster",), ("raster", "points"), ("points",)], ids="+".join)
@pytest.mark.parametrize(
    "options", [{}, {"overlap": 100.0}, {"cut": "rows", "features": "intersecting", "overlap": 50.0}, {"cut": "medians"}, {"cut": "shards"}]
)  # fmt: skip
def test_what_if_tells_what_the_cut_makes(
    el: ModuleType, raster: dict[str, str], points: dict[str, str], names: tuple[str, ...], options: dict[str, Any]
) -> None:
    emulator = el.emulator.current_emulator()
    given = {"raster": raster, "points": points}
    timestamps = [emulator.store.timestamp(*given[name].values()) for name in names]
    shards = {"shards": Shards(16, 2)} if options.get("cut") == "shards" else {}
    cut = emulator.partitions.plan(timestamps, 3, **options | shards)
    found = emulator.partitions.preview(cut)
    if shards and names == ("points",):
        assert found is None  # which shards there are, the features alone decide
        return
    made = emulator.partitions.ensure(cut)
    if shards and "points" in names:
        assert set(found.extents) <= set(made.extents)  # the features may add some
        return
    assert found.extents == made.extents
    rasters = [[math.prod(part.shape[-2:]) for part in node if part.type == "raster"] for node in made.parts]
    vectors = [[part.rows for part in node if part.type == "vector"] for node in made.parts]
    assert found.pixels == (tuple(map(sum, rasters)) if "raster" in names else None)
    assert found.features == (tuple(map(sum, vectors)) if "points" in names else None)


def test_a_preview_does_not_read_many_features(
    el: ModuleType, points: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = el.emulator.current_emulator()
    cut = emulator.partitions.plan([emulator.store.timestamp(*points.values())], 3)
    monkeypatch.setattr(preview, "SMALL_BYTES", 1)
    assert emulator.partitions.preview(cut) is None


def test_the_page_of_what_if(browser: Browser, server: Server, raster: dict[str, str]) -> None:
    layer = f"{raster['pathId']}/{raster['timestampId']}"
    assert f'value="{layer}" selected' in browser.get("/ui/what-if").text
    page = browser.get(f"/ui/what-if?layer={layer}&nodes=4").text
    assert re.findall(r'data-label="Pixels" class="number">([\d,]+)<', page) == ["600"] * 4
    drawn = browser.get(f"/ui/what-if/map.json?layer={layer}&nodes=4").json()
    assert [one["pixels"] for one in drawn["partitions"]] == [600] * 4
    assert drawn["degrees"] and drawn["layers"][0]["timestamp"] == raster["timestampId"]
    assert server.emulator.computes.records.page(None, None) == ([], None)
    for query, said in (
        ("nodes=0", "nodes"),
        ("nodes=a", "must be a number"),
        ("cut=b", "must be one of balanced"),
        ("overlap=-1", "must be 0 or more"),
    ):
        answer = browser.get(f"/ui/what-if?layer={layer}&{query}", headers={"HX-Request": "true"})
        assert answer.status_code == 400, query
        assert said in answer.text
        assert said in browser.get(f"/ui/what-if?layer={layer}&{query}").text


def test_requests_are_kept_without_what_lets_anybody_in(browser: Browser, server: Server) -> None:
    sent = {"username": "demo_user", "password": "very secret"}
    token = requests.post(f"{server.url}/account/login", json=sent, timeout=20).json()["token"]
    requests.get(f"{server.url}/account?token={token}&userId=<b>", timeout=20)
    requests.post(f"{server.url}/nothing/of/ours", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    page = browser.get("/ui/requests").text
    assert "very secret" not in page and token not in page
    assert page.index("/v3/nothing/of/ours") < page.index("/v3/account?token=•••") < page.index("/v3/account/login")
    for said in ("501, not emulated", "demo_user", "&lt;b&gt;" if "&lt;b&gt;" in page else "%3Cb%3E"):
        assert said in page
    assert "/ui/" not in "".join(re.findall(r"<summary>(.*?)</summary>", page))
    assert "account" not in "".join(re.findall(r"<summary>(.*?)</summary>", browser.get("/ui/requests?q=501").text))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"token": "abc", "a": "b"}', '{"token": "•••", "a": "b"}'),
        ('{"newPassword":"a\\"b", "c": 1}', '{"newPassword":"•••", "c": 1}'),
        ('{"accessToken": "cut o', '{"accessToken": "•••"'),
        ("a=1&token=abc&b=2", "a=1&token=•••&b=2"),
        (f"see local_{'x' * 30} there", "see ••• there"),
    ],
)  # fmt: skip
def test_what_is_masked(text: str, kept: str) -> None:
    assert request_log.masked(text) == kept


def test_the_last_requests_are_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    log = request_log.RequestLog()
    for number in range(request_log.MOST + 5):
        scope = {"type": "http", "method": "GET", "path": f"/{number}", "query_string": b"", "headers": []}
        log.recorded(scope, None, None)
    assert [log.entries[0].path, log.entries[-1].path] == ["/5", f"/{request_log.MOST + 4}"]


def test_the_description_of_the_api_is_a_page(browser: Browser) -> None:
    assert "POST /v3/compute/{computeId}/execute" in browser.get("/ui/api").text


def test_the_disk_and_the_environments(
    browser: Browser, server: Server, el: ModuleType, token: str, raster: dict[str, str], create: Callable[..., str]
) -> None:
    fragment = {"HX-Request": "true"}
    compute_id = create([raster])
    spec = server.emulator.computes.records.get(compute_id).spec
    (server.emulator.home.computes / compute_id / "big").write_bytes(b"x" * 5_000_000)
    page = browser.get("/ui/disk", headers=fragment).text
    shown = re.findall(r'<th scope="row">(\w+) <code.*?<td data-label="Size" class="number">(.*?)</td>', page)
    assert dict(shown)["Computes"] == "5.0 MB"
    assert f"--home {server.emulator.home.root} env prune" in page
    own = page[page.index(spec.environment) :]
    assert own.index("in use") < own.index("</tr>")
    assert re.search(r"numpy \d", own)
    assert ">demo_user</th>" in page
    assert (
        "stays: a compute that is not over uses it" in browser.post(f"/ui/environments/{spec.environment}/prune").text
    )
    assert server.emulator.environments.get(spec.environment) is not None
    assert browser.post("/ui/environments/nothing/prune").status_code == 404


def test_a_full_disk_is_told_in_words(browser: Browser, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Home, "temporary", full)
    answer = browser.post("/ui/layers?name=a.tif", b"content", headers=ACT | {"HX-Request": "true"})
    assert answer.status_code == 507
    assert answer.text == f"the home {server.emulator.home.root} cannot be written: No space left on device"


def test_the_command_prints_a_link_that_works_and_ends_with_ctrl_c(home: Path) -> None:
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), "ui", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        link = ""
        while not link.startswith("http://127.0.0.1:"):
            link = process.stdout.readline().strip()
        with requests.Session() as browser:
            assert "No computes yet" in browser.get(link, timeout=20).text
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60)[1].strip() == "the server has ended"
    assert process.returncode == 0
