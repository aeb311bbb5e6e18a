"""What is done in a moment is done at the client's first look, and what is not does not hold up the answer."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from ellipsis_local.server import Server
from ellipsis_local.server.routes import computes

from .conftest import INTERPRETER

WAIT = 120
WAITING = """def userFunction(params):
 def f(params):
  import pathlib, time
  while not pathlib.Path({!r}).exists():
   time.sleep(0.01)
  return 1

 return f(params)"""


class Asking:
    """One user, who asks as the client does."""

    def __init__(self, server: Server, token: str) -> None:
        self.url = server.url
        self.head = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, **body: Any) -> Any:
        answer = requests.post(self.url + path, json=body, headers=self.head, timeout=WAIT)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, layer: dict[str, str]) -> str:
        return self.post(
            "/compute", layers=[layer], nodes=2, interpreter=INTERPRETER, requirements="", largeResult=False,
            enableGpu=False,
        )["id"]  # fmt: skip

    def status(self, compute_id: str) -> str:
        listed = requests.get(f"{self.url}/compute", headers=self.head, timeout=WAIT).json()["result"]
        return next(one["status"] for one in listed if one["id"] == compute_id)


def test_the_first_look_shows_what_a_moment_was_enough_for(
    el: ModuleType, server: Server, token: str, raster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computes, "START_SECONDS", WAIT)
    monkeypatch.setattr(computes, "SECONDS", WAIT)
    asking = Asking(server, token)
    compute_id = asking.create(raster)
    assert asking.status(compute_id) == "available"
    there = tmp_path / "there"
    there.touch()
    asking.post(f"/compute/{compute_id}/execute", file=WAITING.format(str(there)))
    assert asking.status(compute_id) == "completed"
    asking.post(f"/compute/{compute_id}/terminate")
    assert asking.status(compute_id) == "stopped"


def test_what_takes_longer_is_not_waited_for(
    el: ModuleType, server: Server, token: str, raster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computes, "START_SECONDS", WAIT)
    asking = Asking(server, token)
    compute_id = asking.create(raster)
    asking.post(f"/compute/{compute_id}/execute", file=WAITING.format(str(tmp_path / "never")))
    assert asking.status(compute_id) == "executing"
    monkeypatch.setattr(computes, "SECONDS", WAIT)
    asking.post(f"/compute/{compute_id}/terminate")
    assert asking.status(compute_id) == "stopped"
