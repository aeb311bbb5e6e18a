"""`ellipsis_local.mock` with real nodes: they cannot reach the service either, and end with the mock."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import psutil
import pytest

import ellipsis_local
from ellipsis_local import mock
from ellipsis_local.errors import NodeError


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
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in started)
