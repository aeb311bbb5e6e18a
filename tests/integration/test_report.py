"""The report of real executions, in Python and on the command line."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.computes.specification import ComputeRequest, Specification
from ellipsis_local.errors import ArgumentError, NodeError, NotFoundError


def work(params):
    import time

    (grid,) = params.values()
    west = grid["extent"]["xMin"] < 100
    for line in range(3 if west else 1):
        print("<line>", line)
    time.sleep(1.3 if west else 0)
    return grid["raster"].tolist()


def fail(params):
    (grid,) = params.values()
    print("trying")
    if grid["extent"]["xMin"] < 100:
        raise ValueError("<b>no & no</b>")
    return 1


@pytest.fixture
def compute(el, token):
    layer = el.layers.add(
        {"raster": np.ones((2, 10, 90), "uint8"), "transform": Affine(10, 0, 0, 0, -10, 100), "crs": "EPSG:3857"}
    )
    return el.compute.createCompute(layers=[layer], token=token, nodes=3)["id"]


def test_the_life_of_a_report(el, home, token, compute, tmp_path, capsys):
    def show(*arguments):
        answer = CliRunner().invoke(app, ["--home", str(home), "computes", "show", compute, *arguments])
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    # Not executed: partitions, and nothing else.
    report = el.report(compute)
    assert [finding.code for finding in report.findings] == ["not-executed"]
    assert [node["pixels"] for node in report.to_dict()["nodes"]] == [300] * 3
    assert "Nothing was executed yet" in show()
    frame = report.to_geodataframe()
    assert (frame.crs.to_epsg(), list(frame["pixels"]), frame.union_all().bounds) == (3857, [300] * 3, (0, 0, 900, 100))

    # One node waits, and prints more.
    assert len(el.compute.execute(compute, work, token)) == 3
    report = el.report(compute, token)
    told = report.to_dict()
    first, *others = told["nodes"]
    assert [node["logLines"] for node in told["nodes"]] == [3, 1, 1]
    assert first["seconds"] > 1.3
    assert all(node["seconds"] < 1.3 for node in others)
    assert all(10**6 < node["peakMemory"] < told["machine"]["memory"] for node in told["nodes"])
    assert all(node["resultSize"] > 300 * 2 for node in told["nodes"])
    assert told["total"]["imbalance"] == pytest.approx(
        first["seconds"] * 3 / sum(node["seconds"] for node in told["nodes"])
    )
    assert told["total"]["pixelImbalance"] == 1.0
    assert (told["crs"], told["execution"], told["machine"]["cores"]) == ("EPSG:3857", 1, 2)
    assert "imbalance" in {finding["code"] for finding in told["findings"]}
    assert told["fits"]["nodes"] > 3

    # The command line tells the same, and writes the page.
    text = show("--html", str(tmp_path / "page.html"))
    assert all(finding.text in text for finding in report.findings)
    assert "memory" in text
    ElementTree.fromstring((tmp_path / "page.html").read_text(encoding="utf-8").split("\n", 1)[1])
    assert json.loads(show("--json"))["nodes"][0]["peakMemory"] == first["peakMemory"]

    # A failure: of this execution alone, its text escaped.
    with pytest.raises(NodeError):
        el.compute.execute(compute, fail, token)
    report = el.report(compute)
    told = report.to_dict()
    assert [node["failure"] for node in told["nodes"]] == ["exception", None, None]
    assert [node["logLines"] for node in told["nodes"]] == [1, 1, 1]
    assert told["total"]["imbalance"] is None
    assert [finding["code"] for finding in told["findings"]] == ["failed"]
    assert told["fits"] == {"nodes": None, "largeResult": None}
    assert "&lt;b&gt;no &amp; no&lt;/b&gt;" in report.html()
    assert "<b>" not in report.html()
    assert "failed (exception)" in str(report)
    # Without a notebook it is printed.
    el.show(compute, token=token)
    assert capsys.readouterr().out == f"{report}\n"


def test_whose_it_is(el, token, new_id):
    stranger = el.account.logIn("somebody_else", "password")
    path = el.layers.add(
        {"raster": np.ones((1, 4, 4), "uint8"), "transform": Affine(1, 0, 0, 0, -1, 0), "crs": "EPSG:3857"}
    )
    records = el.emulator.current_emulator().computes.records
    spec = Specification(ComputeRequest(((path["pathId"], path["timestampId"]),)), 2, (3, 12, 0))
    owner = el.emulator.current_emulator().user(token).id
    compute_id = records.create(owner, spec)
    assert el.report(compute_id).facts.id == compute_id
    assert el.report(compute_id, token).facts.status == "queued"
    with pytest.raises(NotFoundError):
        el.report(compute_id, stranger)
    with pytest.raises(NotFoundError):
        el.report(new_id)
    for bad in ("x", None, 3):
        with pytest.raises(ArgumentError, match="computeId"):
            el.report(bad)
