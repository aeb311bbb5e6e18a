"""The real client where connections drop, starts take polls and nodes die: it shows and retries by its own rules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ellipsis_local.testing import faults


@pytest.fixture(autouse=True)
def impatient(client, monkeypatch) -> None:
    """The client sleeps between its tries; see there (`apiManager.WAIT`)."""
    monkeypatch.setattr(client.apiManager, "time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def raster(el) -> dict[str, str]:
    array = np.zeros((1, 20, 20), "uint8")
    return el.layers.add({"raster": array, "transform": Affine(10, 0, 500_000, 0, -10, 6_000_000), "crs": "EPSG:3857"})


def make(params):
    return [1, 2]


def test_the_client_sends_again_what_got_no_answer(client, token, el, raster, interpreter, capsys) -> None:
    with faults(dropped={"POST /compute": 2}, dropped_after={"POST /compute/*": 1}, starting_polls=3) as plan:
        made = client.compute.createCompute([raster], token, nodes=2, interpreter=interpreter)["id"]
        assert client.compute.execute(made, make, token) == [[1, 2], [1, 2]]
        client.compute.terminateCompute(made, token)
    assert capsys.readouterr().out.count("retrying request") == 3
    # Done once, though it was sent twice.
    info = el.compute.getComputeInfo(made, token)
    assert (info["executions"], info["status"]) == (1, "stopped")
    assert len(el.compute.listComputes(token)["result"]) == 1
    assert [text for text in plan.happened if text.startswith("dropped")] == [
        "dropped POST /compute before the work",
        "dropped POST /compute before the work",
        f"dropped POST /compute/{made}/execute after the work",
    ]


def test_a_server_that_never_answers_is_given_up(client, token) -> None:
    with faults(dropped={"GET /account": 10}), pytest.raises(ValueError, match="Could not reach server"):
        client.account.getInfo(token)
    assert client.account.getInfo(token)["username"] == "demo_user"


def test_what_goes_wrong_is_the_clients_error(client, token, raster, interpreter) -> None:
    with faults(requirements="nothing found"), pytest.raises(ValueError, match="could not be made: nothing found"):
        client.compute.createCompute([raster], token, nodes=1, interpreter=interpreter)
    with faults(no_nodes=True), pytest.raises(ValueError, match="You have no compute nodes in your plan"):
        client.compute.createCompute([raster], token)
    made = client.compute.createCompute([raster], token, nodes=2, interpreter=interpreter)["id"]
    for given, text in [
        ({"killed": [1]}, "node 1 of compute .* died before it answered: its process was ended by SIGKILL"),
        ({"out_of_memory": [0]}, "needed too much memory"),
        ({"oversized": [0]}, "returned what cannot be taken"),
        ({"raising": {1: KeyError("b4")}}, "KeyError: 'b4'"),
    ]:
        with faults(**given), pytest.raises(ValueError, match=text):
            client.compute.execute(made, make, token)
    assert client.compute.execute(made, make, token) == [[1, 2], [1, 2]]


def test_an_execution_that_ends_its_compute_is_the_clients_error(
    client, token, el, raster, interpreter, monkeypatch
) -> None:
    def check(text: str, **given: Any) -> None:
        made = client.compute.createCompute([raster], token, nodes=2, interpreter=interpreter)["id"]
        with faults(**given), pytest.raises(ValueError, match=text):
            client.compute.execute(made, make, token)
        info = client.compute.listComputes(token)["result"][0]
        assert (info["id"], info["status"], "result" in info) == (made, "errored", False)
        with pytest.raises(ValueError, match="a new createCompute is needed"):
            client.compute.execute(made, make, token)
        client.compute.terminateCompute(made, token)

    check("^the cluster was lost$", errored="the cluster was lost")
    el.configure(inline=True, failed_status="errored")
    with el.serve() as server:
        monkeypatch.setattr(client.apiManager, "baseUrl", server.url)
        check("KeyError: 'b4'", raising={1: KeyError("b4")})
