"""The rules of a report, its table and its page, on executions that are made up."""

from __future__ import annotations

import functools
import json
import math
import re
import threading
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ellipsis_local.errors import ArgumentError, StoreError
from ellipsis_local.node_program.ellipsis_node import memory
from ellipsis_local.reports import Report, live
from ellipsis_local.reports.facts import Facts, NodeFacts, ShardFacts, imbalance
from ellipsis_local.reports.page import RAMP, _luminance, _ramp

GB = 10**9
SVG = "{http://www.w3.org/2000/svg}"


def node(number, seconds=2.0, **given):
    values = {
        "node": number, "state": "completed", "seconds": seconds, "peak_memory": 10**8, "result_size": 1000,
        "extent": {"xMin": 100.0 * number, "xMax": 100.0 * number + 100, "yMin": 0.0, "yMax": 50.0},
        "log_lines": 0, "pixels": 10_000, "features": None,
    }  # fmt: skip
    return NodeFacts(**values | given)


def failed(number, kind="exception", text="Traceback\nValueError: no", seconds=None):
    return node(number, seconds, state="failed", failure=kind, text=text, result_size=None, peak_memory=None)


def facts(*nodes, **given):
    values = {
        "id": "00000000-0000-4000-8000-000000000000", "status": "completed", "message": "", "execution": 1,
        "crs": "EPSG:3857", "large": False, "layers": True, "most_nodes": 64, "cores": 4, "memory": 16 * GB,
        "nodes": nodes, "asked": len(nodes),
    }  # fmt: skip
    return Facts(**values | given)


ONE_SHARD = ShardFacts(1, 4096, 64, 100.0, ((), ()))
SHARDS = ShardFacts(6, 512, 8, 61.2, ((10.0, 20.0), (5.0,)))

NOT_RUN = [node(n, None, state="ready", peak_memory=None, result_size=None) for n in range(3)]

CASES = {
    # name: (facts, codes in their order, nodes, largeResult)
    "all is well": (facts(node(0), node(1)), ["fits"], 2, False),
    "one node": (facts(node(0, 3.0)), ["fits"], 1, False),
    "one node of no time": (facts(node(0, 0.0)), ["fits"], 1, False),
    "nothing executed": (facts(*NOT_RUN, execution=0), ["not-executed"], None, None),
    "no nodes known": (facts(execution=0), ["not-executed"], None, None),
    "half-way": (facts(node(0), NOT_RUN[1]), ["not-done"], None, None),
    "one shard there": (facts(node(0), node(1), shards=ONE_SHARD), ["fits", "shards"], 2, False),
    "a failure first": (facts(failed(0), node(1), shards=SHARDS), ["failed"], None, None),
    "several on a node": (facts(*map(node, range(6)), asked=2, unit="shard", shards=SHARDS), ["fits", "shards"], 2, False),
    "small ones": (facts(*(node(n, 0.01) for n in range(6)), asked=2, unit="shard"), ["fits"], 2, False),
    # largeResult
    "near the limit": (facts(node(0), node(1, result_size=1_500_000)), ["near-limit"], 2, True),
    "half the limit": (facts(node(0), node(1, result_size=1_000_000)), ["near-limit"], 2, True),
    "below half of it": (facts(node(0), node(1, result_size=999_999)), ["fits"], 2, False),
    "tiny files": (facts(node(0), node(1), large=True), ["tiny-files"], 2, False),
    "files": (facts(node(0), node(1, result_size=10**7), large=True), ["fits"], 2, True),
    "files for a layer": (facts(node(0, upload=True), node(1, upload=True), large=True), ["fits"], 2, None),
    # memory: four at a time on 16 GB
    "too much memory": (facts(*(node(n, peak_memory=4 * GB) for n in range(4))), ["memory"], 5, False),
    "just enough": (facts(*(node(n, peak_memory=3 * GB) for n in range(4))), ["fits"], 4, False),
    "much memory, one at a time": (
        facts(*(node(n, peak_memory=4 * GB) for n in range(4)), cores=1), ["fits"], 4, False,
    ),
    "too much, without layers": (
        facts(*(node(n, peak_memory=4 * GB) for n in range(4)), layers=False, crs=None), ["memory"], 4, False,
    ),
    # balance
    "uneven by pixels": (facts(node(0, 9.0, pixels=30_000), node(1), node(2)), ["imbalance"], 7, False),
    "uneven by content": (facts(node(0, 9.0), node(1), node(2)), ["imbalance"], 7, False),
    "uneven, plan is full": (facts(node(0, 9.0), node(1), node(2), most_nodes=3), ["imbalance"], 3, False),
    "uneven, three pixels": (facts(*(node(n, 9.0 / (n * 9 + 1), pixels=1) for n in range(3))), ["imbalance"], 3, False),
    "uneven in milliseconds": (facts(node(0, 0.9), node(1, 0.01), node(2, 0.01)), ["short"], 1, False),
    "no seconds at all": (facts(node(0, 0.0), node(1, 0.0)), ["short"], 1, False),
    # number of nodes
    "short": (facts(*(node(n, 0.3) for n in range(8))), ["short"], 3, False),
    "short, but not too many": (facts(node(0, 0.9), node(1, 0.9)), ["fits"], 2, False),
    "short, without layers": (facts(node(0, 0.1), node(1, 0.1), layers=False), ["fits"], 2, False),
    "idle cores": (facts(node(0, 60.0), node(1, 60.0)), ["cores"], 4, False),
    "idle cores, plan is full": (facts(node(0, 60.0), node(1, 60.0), most_nodes=2), ["fits"], 2, False),
    "empty": (facts(node(0), node(1), node(2, pixels=0)), ["empty"], 2, False),
    "all are empty": (facts(node(0, pixels=0), node(1, pixels=0)), ["fits"], 2, False),
    # failures: nodes that failed are no measure
    "one failed": (facts(node(0), failed(1), node(2, 90.0)), ["failed"], None, None),
    "all failed": (facts(failed(0), failed(1)), ["failed"], None, None),
    "beyond node_memory": (facts(node(0), failed(1, "memory")), ["memory-limit"], 4, None),
    "beyond node_memory, no layers": (facts(node(0), failed(1, "memory"), layers=False), ["memory-limit"], None, None),
    "timeouts": (facts(failed(0, "timeout"), failed(1, "timeout")), ["timeout"], 4, None),
    "died": (facts(node(0), failed(1, "died")), ["died"], None, None),
    "oversized": (facts(node(0), failed(1, "result", "… largeResult=True …")), ["result"], None, True),
    "two kinds": (facts(failed(0, "died"), failed(1)), ["died", "failed"], None, None),
    "several at once": (
        facts(node(0, 30.0, result_size=1_900_000, peak_memory=13 * GB), node(1), node(2)),
        ["memory", "near-limit", "imbalance", "cores"], 10, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("known", "codes", "nodes", "large"), CASES.values(), ids=CASES)
def test_findings(known, codes, nodes, large):
    report = Report(known)
    assert [finding.code for finding in report.findings] == codes
    assert (report.fits.nodes, report.fits.large_result) == (nodes, large)
    for text in (str(report), report.html(), json.dumps(report.to_dict(), allow_nan=False)):
        assert not re.search(r"\b(nan|inf|None nodes)\b", text, re.IGNORECASE)
    assert all(finding.text.endswith((".", ").")) for finding in report.findings)


def test_why_it_is_uneven():
    by_pixels, by_content = (Report(CASES[f"uneven by {what}"][0]).findings[0].text for what in ("pixels", "content"))
    assert "Node 0 took 9.0 s, the mean is 4.3 s" in by_pixels
    assert "most pixels, 1.8 times the mean" in by_pixels
    assert "depends on what is in it" in by_content


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 1], 1.0), ([3, 1], 1.5), ([0, 0], None), ([], None), ([5], None), ([1, None], None), ([1, math.inf], None)],
)
def test_imbalance(values, expected):
    assert imbalance(values) == expected


def test_as_data():
    told = Report(facts(node(0, 3.0, features=4), node(1, 1.0, features=2), failed(2))).to_dict()
    assert told["total"] == {
        "completed": 2, "failed": 1, "seconds": 4.0, "longestSeconds": 3.0, "imbalance": None, "pixelImbalance": 1.0,
        "featureImbalance": None, "resultSize": 2000, "peakMemory": 10**8, "logLines": 0,
    }  # fmt: skip
    assert told["nodes"][2]["failure"] == "exception"
    assert json.loads(json.dumps(told)) == told


# ----- the page ------------------------------------------------------------------------------------------------------

NASTY = "<script>alert('x')</script> & \"quotes\" \x1b[31m \x00 ]]> \ud800 ünï"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the texts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def parsed(page):
    head, body = page.split("\n", 1)
    assert head == "<!DOCTYPE html>"
    return ElementTree.fromstring(body)


def test_the_page_is_whole_and_alone():
    page = Report(
        facts(node(0, 3.0), node(1, 1.0), failed(2, text=NASTY), message=NASTY, crs=f'PROJCRS["{NASTY}"' + "x" * 40)
    ).html()
    page.encode("utf-8")
    root = parsed(page)
    found = Page(page)
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image"})
    for _, attributes in found.elements:
        assert not any(
            name.startswith("on") or name in ("href", "src", "srcset", "action", "style") for name in attributes
        )
    assert "url(" not in page
    assert "@import" not in page
    # The only addresses are the names of the two languages.
    assert set(re.findall(r"https?://[^\"'\s<]+", page)) == {
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
    }
    assert "default-src 'none'" in next(a["content"] for t, a in found.elements if a.get("http-equiv"))
    assert any("<script>alert('x')</script>" in text for text in found.texts)  # as text, and no more
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", page)
    assert "prefers-color-scheme: dark" in page
    assert len(root.findall(f".//{SVG}rect[@class='cell']")) == 3
    assert [cell.text for cell in root.iter("{http://www.w3.org/1999/xhtml}th")][:2] == ["node", "state"]


def test_the_map_is_to_scale_and_north_up():
    extents = [
        {"xMin": 0.0, "xMax": 300.0, "yMin": 100.0, "yMax": 200.0},  # the north, wide
        {"xMin": 0.0, "xMax": 100.0, "yMin": 0.0, "yMax": 100.0},
        {"xMin": 100.0, "xMax": 300.0, "yMin": 0.0, "yMax": 100.0},
    ]
    page = Report(facts(*(node(n, n + 1.0, extent=e) for n, e in enumerate(extents)))).html()
    svg = parsed(page).find(f".//{SVG}svg")
    assert svg.get("role") == "img"
    assert "3 partitions in EPSG:3857" in svg.get("aria-label") == svg.find(f"{SVG}title").text
    assert "node 1: 2.00 s" in svg.find(f"{SVG}desc").text
    cells = [
        {k: float(r.get(k)) for k in ("x", "y", "width", "height")} for r in svg.iter(f"{SVG}rect") if r.get("class")
    ]
    north, west, east = cells
    assert north["width"] == pytest.approx(3 * west["width"], abs=0.2)
    assert east["width"] == pytest.approx(2 * west["width"], abs=0.2)
    assert west["width"] == pytest.approx(west["height"], abs=0.2)
    assert west["y"] == pytest.approx(north["y"] + north["height"], abs=0.2)
    assert east["x"] == pytest.approx(west["x"] + west["width"], abs=0.2)
    _, _, width, height = map(float, svg.get("viewBox").split())
    assert all(c["x"] + c["width"] <= width and c["y"] + c["height"] <= height for c in cells)
    fills = [r.get("fill") for r in svg.iter(f"{SVG}rect") if r.get("class")]
    assert len(set(fills)) == 3
    texts = [t.text for t in svg.iter(f"{SVG}text")]
    assert {"0", "1", "2", "3.00 s", "0 s"} <= set(texts)
    assert any("units of EPSG:3857" in text for text in texts)


@pytest.mark.parametrize(
    "extent",
    [(5, 5, 5, 5), (0, 5, 10, 5), (5, 0, 5, 10), (0, 0, 1e-9, 1e-9), (-2e7, -2e7, 2e7, 2e7), (0, 0, 1e6, 1)],
    ids=["a point", "a line", "a line up", "minute", "the world", "a strip"],
)
def test_maps_of_odd_extents(extent):
    x_min, y_min, x_max, y_max = map(float, extent)
    page = Report(facts(node(0, extent={"xMin": x_min, "xMax": x_max, "yMin": y_min, "yMax": y_max}))).html()
    [cell] = [r for r in parsed(page).iter(f"{SVG}rect") if r.get("class")]
    assert float(cell.get("width")) >= 1
    assert float(cell.get("height")) >= 1


def test_without_extents_there_is_no_map():
    nowhere = node(0, extent=None)
    infinite = node(1, extent={"xMin": -math.inf, "xMax": 0.0, "yMin": 0.0, "yMax": 1.0})
    for nodes in ((nowhere,), (nowhere, infinite)):
        page = Report(facts(*nodes)).html()
        parsed(page)
        assert "<svg" not in page


def test_labels_can_be_read():
    """WCAG's 4.5 : 1 for every colour of the ramp."""
    for share in range(101):
        light = _luminance(_ramp(share / 100))
        assert max((light + 0.05) / 0.05, 1.05 / (light + 0.05)) >= 4.5
    assert _ramp(0.0) == RAMP[0]
    assert _ramp(1.0) == RAMP[-1]


def test_notebooks_get_the_fragment():
    text = Report(facts(node(0)))._repr_html_()
    assert text.startswith('<div class="ellipsis-local report"')
    assert "<html" not in text
    ElementTree.fromstring(text)


def test_save(tmp_path):
    report = Report(facts(node(0), node(1)))
    assert report.save(tmp_path / "a.html") == tmp_path / "a.html"
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == report.html()
    for path in ("", None, tmp_path):
        with pytest.raises(ArgumentError, match="path"):
            report.save(path)
    with pytest.raises(StoreError, match="cannot be written"):
        report.save(tmp_path / "nowhere" / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_the_table_has_a_line_per_node():
    text = str(Report(facts(*(node(n) for n in range(64)))))
    assert text.count("completed") == 65
    assert str(Report(replace(facts(node(0)), message="[bold]x[/]", status="[red]"))).startswith("00000000")


# ----- peak memory ---------------------------------------------------------------------------------------------------


def test_where_the_mark_cannot_be_set_back(monkeypatch):
    lifetime = iter([100, 100, 100, 250])
    monkeypatch.setattr(memory, "_set_back", lambda: False)
    monkeypatch.setattr(memory, "_life", lambda: next(lifetime))
    assert memory.watch_peak()() is None  # an earlier node went higher
    assert memory.watch_peak()() == 250


def test_the_mark_of_a_process_without_a_file_for_it(monkeypatch):
    assert memory._life() > 10**6
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory._set_back() is False


def test_shards_are_told_with_what_comes_twice() -> None:
    told = Report(facts(node(0), node(1), shards=SHARDS)).lines()
    assert (
        "note: As the service cuts, these layers are 6 shards of 512 × 512 pixels: execute returns 6 results there. "
        "What lies within 61 m of x = 10, 20 and y = 5 comes to both sides; cut='shards' shows what a function makes "
        "of it."
    ) in told
    one = Report(facts(node(0), node(1), shards=ONE_SHARD)).lines()
    assert any("1 shard of 4096 × 4096 pixels: execute returns one result there, whatever" in line for line in one)
    assert str(Report(facts(*map(node, range(6)), asked=2, unit="shard"))).splitlines()[1].startswith("shard ")


def test_a_report_is_a_text_in_a_notebook_too(monkeypatch) -> None:
    report = Report(facts(node(0), node(1)))
    expected = str(report)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report) == expected
    assert "completed" in expected


def test_a_cell_follows_until_the_compute_has_settled(monkeypatch):
    open_nodes = [node(n, None, state="executing") for n in range(2)]
    after = facts(node(0), node(1))
    states = iter([facts(*open_nodes, status="executing"), facts(node(0), open_nodes[1], status="executing"), after])
    shown = []
    monkeypatch.setattr(live, "display", lambda data: shown.append(data) or shown.append)
    monkeypatch.setattr(live, "POLL_SECONDS", 0)
    live.show_live(lambda: Report(next(states)))
    for thread in threading.enumerate():
        if thread.name == "ellipsis_local-show":
            thread.join()
    assert [data["text/plain"].count("completed") for data in shown] == [0, 1, 3]
    assert shown[-1] == {"text/plain": str(Report(after)), "text/html": Report(after)._repr_html_()}

    # One that has settled is shown once, and one that cannot be read any more stays as it was.
    def once(*reports):
        yield from map(Report, reports)
        raise StoreError("closed")

    for first in (after, facts(*open_nodes, status="executing")):
        shown.clear()
        live.show_live(functools.partial(next, once(first)))
        for thread in threading.enumerate():
            if thread.name == "ellipsis_local-show":
                thread.join()
        assert [data["text/plain"] for data in shown] == [str(Report(first))]
