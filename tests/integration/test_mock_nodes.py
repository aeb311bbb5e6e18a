"""`ellipsis_local.mock` with real nodes: they cannot reach the service either, and end with the mock."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from time import time
from types import ModuleType

import psutil
import pytest
from freezegun import freeze_time

import ellipsis_local
from ellipsis_local import mock
from ellipsis_local.errors import NodeError
from tests.processes import lives


def leave(params):
    import socket

    try:
        socket.getaddrinfo("api.ellipsis-drive.com", 443)
    except Exception as error:  # noqa: BLE001 - what a careless function does
        return f"caught {type(error).__name__}"


def address(params):
    import socket

    return socket.getaddrinfo("127.0.0.1", 80)[0][4][0]


@pytest.fixture(autouse=True)
def outside(el: ModuleType) -> None:
    """A home outside of the mocks, whose environments they use."""


def test_a_node_cannot_leave_and_ends_with_the_mock(fixtures: Path) -> None:
    with mock(cores=1) as ellipsis:
        layers = [ellipsis_local.layers.add(fixtures / "dem.tif")]
        token = ellipsis.account.logIn("ada", "secret")
        before = set(psutil.Process().children(recursive=True))
        made = ellipsis.compute.createCompute(layers=layers, token=token, nodes=1)["id"]
        with pytest.raises(NodeError, match="RealServiceError: ellipsis_local.mock is active") as caught:
            ellipsis.compute.execute(made, leave, token)
        assert "api.ellipsis-drive.com" in str(caught.value)
        assert ellipsis.compute.execute(made, address, token) == ["127.0.0.1"]
        started = set(psutil.Process().children(recursive=True)) - before
        assert started
    assert not any(map(lives, started))


def half(params):
    (raster,) = params.values()
    return raster["raster"].shape[2] / 2


@pytest.mark.parametrize("ticking", [{}, {"tick": True}, {"auto_tick_seconds": 3600}])
@pytest.mark.parametrize("date", ["1970-01-01", "2100-01-01"])
@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.filterwarnings("ignore::ellipsis_local.errors.FidelityWarning")
def test_a_compute_under_a_frozen_clock(fixtures: Path, inline: bool, date: str, ticking: dict[str, object]) -> None:
    with freeze_time(date, **ticking), mock(cores=1, inline=inline, crs="native") as ellipsis:
        layers = [ellipsis_local.layers.add(fixtures / "dem.tif")]
        token = ellipsis.account.logIn("ada", "secret")
        made = ellipsis.compute.createCompute(layers, token, nodes=2, interpreter=f"python3.{sys.version_info[1]}")[
            "id"
        ]
        widths = ellipsis.compute.execute(made, half, token)
        ellipsis.compute.terminateCompute(made, token)
        (found,) = ellipsis.compute.listComputes(token)["result"]
    assert len(widths) == 2
    assert found["status"] == "stopped"


def told(moment):
    def tell(params):
        return isinstance(moment, datetime), moment.isoformat(), date(2020, 1, 2).isoformat(), time() > 2e9

    return tell


def today(params):
    from datetime import date, datetime

    return datetime.now(), date.today()


def test_a_date_of_a_frozen_clock_comes_back(fixtures: Path) -> None:
    with freeze_time("2100-01-01"), mock(inline=True) as ellipsis:
        layers = [ellipsis_local.layers.add(fixtures / "dem.tif")]
        token = ellipsis.account.logIn("ada", "secret")
        made = ellipsis.compute.createCompute(layers, token, nodes=1)["id"]
        assert ellipsis.compute.execute(made, today, token) == [(datetime(2100, 1, 1), date(2100, 1, 1))]


@pytest.mark.filterwarnings("ignore::ellipsis_local.errors.FidelityWarning")
def test_what_a_frozen_clock_made_is_itself_on_a_node(fixtures: Path) -> None:
    """Nodes go by the real clock, and have no freezegun."""
    with freeze_time("2100-01-01"), mock(cores=1) as ellipsis:
        layers = [ellipsis_local.layers.add(fixtures / "dem.tif")]
        token = ellipsis.account.logIn("ada", "secret")
        made = ellipsis.compute.createCompute(layers, token, nodes=1, interpreter=f"python3.{sys.version_info[1]}")[
            "id"
        ]
        assert time() > 4e9
        for moment in (datetime.now(), date.today()):
            answer = ellipsis.compute.execute(made, told(moment), token)
            assert answer == [(isinstance(moment, datetime), moment.isoformat(), "2020-01-02", False)]
