"""The dashboard in a real browser: live, with maps, by keyboard, without another host; skipped where no Chromium is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urljoin

import geopandas as gpd
import pytest

from ellipsis_local.environments import install_packages
from ellipsis_local.server import Server

from .conftest import INTERPRETER

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

WAIT = 20_000
"""Milliseconds, on a machine that has much else to do."""
NOWHERE = "http://127.0.0.1:1/"
"""A page of the tests' own, in the process of the server's pages."""
ARGUMENTS = [
    # One name leads here, as a rebinding one would, and no other one anywhere.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # As root it has no sandbox.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]
SCRIPT = """
import sys, ellipsis_local as el
from pathlib import Path
el.configure(home=sys.argv[1], progress=False)
token = el.account.logIn("demo_user", "demo_user")

def wait(params):
    import time
    from pathlib import Path
    print("in the <i>other</i> process", flush=True)
    while not Path(GATE).exists():
        time.sleep(0.01)
    return 1

layer = {"pathId": sys.argv[2], "timestampId": sys.argv[3]}
made = el.compute.createCompute(layers=[layer], token=token, nodes=2, interpreter=sys.argv[4])
print(made["id"], flush=True)
el.compute.execute(made["id"], wait, token)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    """One tab for all tests: the process of another one would outlive its test by seconds."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        made = browser.new_context().new_page()
        made.set_default_timeout(WAIT)
        sync_api.expect.set_options(timeout=WAIT)
        made.route(NOWHERE, lambda route: route.fulfill(body="", content_type="text/html"))
        made.goto(NOWHERE)
        yield made
        browser.close()


@pytest.fixture
def page(tab: Any, server: Server) -> Iterator[Any]:
    """Let in; an error of a script, a refusal of the policy or a request to another host fails the test."""
    wrong: list[str] = []
    origin = server.url.removesuffix("/v3")

    def asked(request: Any) -> None:
        if not request.url.startswith((f"{origin}/", "data:", NOWHERE)):
            wrong.append(request.url)

    def said(message: Any) -> None:
        if "Content Security Policy" in message.text:
            wrong.append(message.text)

    listeners = {"pageerror": lambda error: wrong.append(str(error)), "request": asked, "console": said}
    for name, listener in listeners.items():
        tab.on(name, listener)
    tab.set_viewport_size({"width": 1200, "height": 900})
    tab.goto(server.link())
    yield tab
    for name, listener in listeners.items():
        tab.remove_listener(name, listener)
    tab.goto(NOWHERE)
    assert wrong == []


def go(page: Any, path: str) -> None:
    page.goto(urljoin(page.url, path))


def expect(what: Any) -> Any:
    return sync_api.expect(what)


def test_a_run_of_another_process_is_seen_live_and_terminated(
    page: Any, el: ModuleType, home: Path, tmp_path: Path, raster: dict[str, str]
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("GATE", repr(str(gate))))
    page.evaluate("window.kept = true")
    expect(page.locator("#computes")).to_contain_text("No computes yet")
    command = [sys.executable, str(script), str(home), *raster.values(), INTERPRETER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        compute_id = other.stdout.readline().strip()
        expect(page.locator(".state.executing")).to_have_text("executing")
        assert page.evaluate("window.kept")
        page.get_by_role("link", name=compute_id[:8]).click()
        page.evaluate("window.kept = true")
        expect(page.locator("#log")).to_contain_text("in the <i>other</i> process")
        expect(page.locator("td .state.executing").first).to_be_visible()
        gate.touch()
        expect(page.locator("#live > p .state")).to_have_text("completed")
        expect(page.locator("td .state.completed")).to_have_count(3)
        page.get_by_label("Nodes that say").fill("failed")
        expect(page.locator("tr.node").first).to_be_hidden()
        expect(page.locator("#map path.leaflet-interactive")).to_have_count(2)
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Terminate").click()
        expect(page.locator("#live > p .state")).to_have_text("stopped")
        assert page.evaluate("window.kept")
        other.communicate()


def test_a_layer_is_drawn_told_and_named_as_it_is(page: Any, server: Server, raster: dict[str, str]) -> None:
    name = "<script>alert(1)</script>"
    server.emulator.store.catalogue.rename(raster["pathId"], name)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    go(page, "/ui/layers")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    tiles = page.locator("#layer-map img.leaflet-tile-loaded")
    tiles.first.wait_for()
    opaque = tiles.evaluate_all("""(images) => images.map((image) => {
        const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, canvas.width, canvas.height).data.filter((value, i) => i % 4 === 3 && value === 255).length;
    }).reduce((sum, one) => sum + one, 0)""")
    assert opaque > 10_000
    page.locator("#layer-map").hover()
    # The second band is 7 everywhere.
    expect(page.locator("#value")).to_contain_text(", 7")
    page.locator("#layer-map").press("ArrowLeft")
    expect(page.locator("#value")).to_contain_text(": ")


def test_a_map_of_a_notebook_needs_no_network(page: Any, el: ModuleType, token: str, raster: dict[str, str]) -> None:
    pytest.importorskip("folium")
    pytest.importorskip("mapclassify")
    name = "<img src=x onerror=document.title='run'>"
    place = el.layers.list(as_frame=True).union_all().centroid
    el.configure(inline=True)
    compute = el.compute.createCompute(layers=[raster], token=token, nodes=2)
    shown = el.layers.explore(*raster.values())
    el.report(compute["id"]).explore(m=shown)
    wells = gpd.GeoDataFrame({name: [name]}, geometry=[place], crs=4326)
    el.layers.explore(*el.layers.add(wells).values(), m=shown)
    page.goto(NOWHERE)
    page.set_content(shown.get_root().render())
    expect(page.locator("path.leaflet-interactive")).to_have_count(3)
    assert page.locator("img.leaflet-image-layer").evaluate("(image) => image.naturalWidth") > 100
    page.locator("path.leaflet-interactive").last.hover()
    expect(page.locator(".foliumtooltip")).to_contain_text(f"{name}\t{name}")
    assert page.title() != "run"


def test_what_the_installer_says_is_seen_while_it_runs(
    page: Any, el: ModuleType, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raster: dict[str, str]
) -> None:
    gate, uv = tmp_path / "gate", tmp_path / "uv"
    said = "echo 'Downloading <b>numpy</b> from https://me:secret@host/'; echo 'DEBUG no news'"
    uv.write_text(
        f"#!/bin/sh\n{said}\nwhile [ ! -e '{gate}-1' ]; do sleep 0.01; done\necho 'Prepared 3 packages'\n"
        f"while [ ! -e '{gate}-2' ]; do sleep 0.01; done\nexit 1\n"
    )
    uv.chmod(0o755)
    monkeypatch.setattr(install_packages, "find_uv", lambda environ: str(uv))
    made = el.compute.createCompute(
        layers=[raster], token=token, requirements=["click"], interpreter=INTERPRETER, awaitTillStarted=False
    )
    output = page.get_by_label("What the installer says")
    for path in (f"/ui/computes/{made['id']}", "/ui/disk"):
        go(page, path)
        page.evaluate("window.kept = true")
        expect(output).to_have_text("Downloading <b>numpy</b> from https://****@host/")
    Path(f"{gate}-1").touch()
    expect(output).to_contain_text("Prepared 3 packages")
    assert page.evaluate("window.kept")
    go(page, f"/ui/computes/{made['id']}")
    expect(output).to_contain_text("Prepared 3 packages")
    Path(f"{gate}-2").touch()
    expect(page.locator("#live > p .state")).to_have_text("errored")
    expect(output).to_have_count(0)


def test_a_cut_is_foreseen(page: Any, raster: dict[str, str]) -> None:
    go(page, "/ui/what-if")
    expect(page.locator("#what-if-map path.leaflet-interactive")).to_have_count(4)
    page.get_by_label("Nodes").fill("6")
    expect(page.locator("#what-if-map path.leaflet-interactive")).to_have_count(6)
    expect(page.locator("#what-if-rows tbody tr")).to_have_count(6)
    page.get_by_label("Nodes").fill("0")
    expect(page.locator("#notice")).to_contain_text("nodes must be from 1 to")


def test_100_000_lines_of_a_log_scroll(
    page: Any, home: Path, raster: dict[str, str], create: Callable[..., str]
) -> None:
    compute_id = create([raster])
    lines = ({"time": 1.7e9, "execution": 1, "node": i % 2, "text": f"line {i}."} for i in range(100_000))
    log = home / "computes" / compute_id / "log.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    go(page, f"/ui/computes/{compute_id}")
    expect(page.locator("#log-count")).to_have_text("100,000 of 100,000 lines")
    expect(page.locator("#log")).to_contain_text("line 99999.")
    assert page.locator("#log .log-rows > div").count() < 100
    page.get_by_label("Follow").uncheck()
    page.locator("#log").evaluate("(log) => { log.scrollTop = log.scrollHeight / 2; }")
    expect(page.locator("#log")).to_contain_text("line 50000.")
    page.get_by_label("Find").last.fill("line 777")
    expect(page.locator("#log-count")).to_have_text("111 of 100,000 lines")


def test_a_file_is_added(page: Any, tmp_path: Path, fixtures: Path) -> None:
    go(page, "/ui/layers")
    file = tmp_path / "a.geojson"
    file.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [5, 52]}}]}'
    )
    page.get_by_label("Add a file").set_input_files(file)
    expect(page.get_by_role("link", name="a", exact=True)).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("added a.geojson")


def test_other_sites_reach_nothing(
    page: Any, server: Server, raster: dict[str, str], create: Callable[..., str], el: ModuleType, token: str
) -> None:
    compute_id = create([raster])
    el.compute.terminateCompute(compute_id, token)
    # Another browser with the same cookies, whose processes are gone with the test.
    browser = page.context.browser.browser_type.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    context = browser.new_context()
    context.add_cookies(page.context.cookies())
    other = context.new_page()
    other.route("http://evil.example/", lambda route: route.fulfill(body="<p>here</p>", content_type="text/html"))
    other.goto("http://evil.example/")
    sent = other.evaluate(
        "(url) => fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include' }).then(() => 'sent', String)",
        f"{server.url.removesuffix('/v3')}/ui/computes/prune",
    )
    assert sent == "sent" or "Failed to fetch" in sent
    assert other.goto(f"http://rebound.example:{server.port}/ui/").status == 421
    browser.close()
    assert server.emulator.computes.records.get(compute_id)


def test_every_page_by_keyboard_in_both_widths_and_schemes(
    page: Any,
    server: Server,
    raster: dict[str, str],
    points: dict[str, str],
    create: Callable[..., str],
    el: ModuleType,
    token: str,
) -> None:
    axe = (Path(pytest.importorskip("axe_playwright_python").__file__).parent / "axe.min.js").read_text("utf-8")

    def answer(params):
        return 1

    compute_id = create([raster, points])
    el.compute.execute(compute_id, answer, token)
    paths = [
        "",
        "layers",
        f"layers/{raster['pathId']}",
        f"layers/{points['pathId']}",
        "what-if",
        "requests",
        "disk",
        "api",
    ]
    paths += [f"computes/{compute_id}", f"computes/{compute_id}/nodes/0", f"computes/{compute_id}?lesson", "nowhere"]
    # The policy lets no page evaluate anything: the tools of the browser may.
    tools = page.context.new_cdp_session(page)
    wrong = []
    for path in paths:
        go(page, f"/ui/{path}")
        expect(page.locator(".htmx-request")).to_have_count(0)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        tools.send("Runtime.evaluate", {"expression": axe})
        for width, scheme, options in ((1200, "light", {}), (400, "dark", {"runOnly": ["color-contrast"]})):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                wrong.append(f"/ui/{path} is {wide} wide, and not {width}")
            told = "JSON.stringify(found.violations.map((one) => [one.id, one.nodes[0].html]))"
            run = f"axe.run({json.dumps(options)}).then((found) => {told})"
            found = tools.send("Runtime.evaluate", {"expression": run, "awaitPromise": True})["result"]["value"]
            wrong += [f"/ui/{path} at {width}, {scheme}: {one}" for one in json.loads(found)]
    assert wrong == []
