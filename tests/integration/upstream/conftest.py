"""A double of the service, and a pull from it that does not wait long between attempts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ellipsis_local.upstream import http_client
from tests.integration.upstream.hosted import TOKEN, Hosted


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of thousandths of a second between attempts."""
    monkeypatch.setattr(http_client, "WAIT_SECONDS", 0.001)


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    with Hosted() as found:
        yield found


@pytest.fixture
def pull(el, hosted: Hosted):
    def run(path_id: str, timestamps: Any = None, **options: Any) -> dict[str, Any]:
        return el.layers.pull(path_id, timestamps, **({"fromUrl": hosted.url, "token": TOKEN} | options))

    return run


@pytest.fixture
def large(hosted: Hosted) -> tuple[str, bytes]:
    """A file of many chunks."""
    data = np.random.default_rng(7).bytes(64 * http_client.CHUNK + 123)
    return hosted.add_file("large.bin", data), data
