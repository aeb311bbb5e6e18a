"""What stands beside the code: the declared dependencies, and files for other programs, as far as they can be held here."""

from __future__ import annotations

import asyncio
import configparser
import re
import tomllib
from pathlib import Path

import uvicorn
import yaml
from packaging.requirements import Requirement
from uvicorn.server import ServerState

from ellipsis_local.server.connections import Connection

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_dependency_has_a_floor() -> None:
    asked = map(Requirement, PROJECT["project"]["dependencies"])
    assert [str(one) for one in asked if not any(clause.operator == ">=" for clause in one.specifier)] == []


def test_uvicorn_has_what_our_connections_use_of_its_inside() -> None:
    """The names are private: a release without one of them has to be left out in pyproject.toml."""

    async def made() -> Connection:
        config = uvicorn.Config(app=lambda *_: None, http=Connection, lifespan="off")
        config.load()
        return Connection(config, ServerState(), {})

    connection = asyncio.run(made())
    for name in ("app_state", "access_log", "connections", "cycle", "flow", "transport", "conn", "loop",
                 "timeout_keep_alive_task"):  # fmt: skip
        assert hasattr(connection, name), name
    overridden = {"connection_made", "connection_lost", "data_received", "on_response_complete", "send_400_response"}
    assert overridden <= set(dir(uvicorn.protocols.http.h11_impl.H11Protocol))
    attributes = ("response_complete", "disconnected", "message_event")
    source = Path(uvicorn.protocols.http.h11_impl.__file__).read_text(encoding="utf-8")
    assert [name for name in attributes if f"self.{name} =" not in source and f"self.{name}:" not in source] == []


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = PROJECT["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["authors"] == project["authors"]


def test_the_workflow_runs_all_that_tox_runs() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    known = {section.removeprefix("testenv:") for section in tox.sections()}
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    asked = set(workflow["jobs"]["whole"]["strategy"]["matrix"]["env"])
    assert asked <= known
    assert set(re.split(r"[\s,]+", tox["tox"]["env_list"])) | {"lowest"} <= asked
    # A Python that the package claims to run on.
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == claimed


def test_the_lock_file_names_one_index_alone() -> None:
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    (index,) = set(re.findall(r'registry = "([^"]*)"', lock))
    # No mirror of the machine that made it.
    assert index.startswith("https://") and index.endswith(".org/simple")
