"""The setting `environments`: one folder of environments for many homes."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from ellipsis_local.emulator import Emulator
from ellipsis_local.environments import Environments, Interpreter, build, find_interpreters, interpreter_locations
from ellipsis_local.environments import interpreters as interpreters_module
from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home
from ellipsis_local.settings import Settings

INTERPRETER = Interpreter(Path(sys.executable).resolve(), sys.version_info[:3], "cpython", Path(sys.base_prefix))


@pytest.fixture
def homes(tmp_path: Path) -> list[Home]:
    found = [Home(tmp_path / name, tmp_path / "shared") for name in ("one", "two")]
    for home in found:
        home.prepare()
    return found


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In the place of an installation: what it leaves, without a program in it."""
    built: list[str] = []

    def fill(folder: Path, *_: object) -> None:
        built.append(folder.name)
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/python").symlink_to(sys.executable)

    monkeypatch.setattr(build, "fill", fill)
    return built


def test_what_is_shared_and_what_is_not(homes: list[Home], tmp_path: Path) -> None:
    one, two = homes
    shared = tmp_path / "shared"
    assert one.environments == two.environments == shared / "environments"
    assert (one.building.locks, one.building.cache) == (shared / "locks", shared / "cache")
    assert not (one.root / "environments").exists()
    for name in ("layers", "computes", "cuts", "locks", "database"):
        assert getattr(one, name).is_relative_to(one.root)
    alone = Home(tmp_path / "three")
    assert alone.building is alone
    assert alone.environments == alone.root / "environments"


def test_it_is_built_once_for_all(homes: list[Home], builds: list[str]) -> None:
    one, two = (Environments(home, background=False) for home in homes)
    made = one.ensure(INTERPRETER, ["numpy"])
    assert two.ensure(INTERPRETER, ["numpy"]) == two.get(made.key) == made
    assert [info.key for info in two.list()] == builds == [made.key]


def test_at_the_same_time_too(homes: list[Home], builds: list[str]) -> None:
    made = []
    both = threading.Barrier(2)

    def work(home: Home) -> None:
        both.wait()
        made.append(Environments(home, background=False).ensure(INTERPRETER))

    threads = [threading.Thread(target=work, args=(home,)) for home in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    assert len(builds) == 1


def test_a_home_that_closes_leaves_the_work_of_another_alone(homes: list[Home]) -> None:
    one, two = (Environments(home, background=False) for home in homes)
    for name in ("py312-busy", "py312-left"):
        (homes[0].environments / name).mkdir()
    with one._folders.locked("py312-busy"):
        assert two.sweep() == ("py312-left",)
    assert two.sweep() == ("py312-busy",)


def test_interpreters_are_looked_at_once(homes: list[Home], monkeypatch: pytest.MonkeyPatch) -> None:
    own = [str(path) for path in dict.fromkeys(path.resolve() for path in interpreter_locations.running())]
    monkeypatch.setattr(interpreters_module, "candidates", lambda *_: own)
    found = find_interpreters(homes[0])
    assert found
    kept = homes[0].building.cache / "interpreters.json"
    assert json.loads(kept.read_text())["answers"].keys() >= {str(found[0].executable)}
    monkeypatch.setattr("ellipsis_local.environments.probe.Probe._run", lambda *_: pytest.fail("it was asked again"))
    assert find_interpreters(homes[1]) == found
    assert not (homes[1].cache / "interpreters.json").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(home=tmp_path / "home", environments=tmp_path / "file" / "below")
    with pytest.raises(
        StoreError, match=r"environments' folder .*below cannot be written .*ELLIPSIS_LOCAL_ENVIRONMENTS"
    ):
        Emulator(settings)
