"""What one user may see and change: the drive, and the functions that heed it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from ellipsis_local.drive import Drive
from ellipsis_local.drive.search import Query, search
from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import AccessError, AccountError, ArgumentError, NotFoundError
from ellipsis_local.server.path_json import page_of, paths_json
from ellipsis_local.store import Catalogue
from ellipsis_local.types import Extent, Timestamp


def drive_of(name: str) -> Drive:
    emulator = current_emulator()
    return emulator.drive(emulator.accounts.known_user(emulator.accounts.log_in(name, "secret")))


@pytest.fixture
def anna(el: ModuleType) -> Drive:
    return drive_of("anna")


@pytest.fixture
def ben(el: ModuleType) -> Drive:
    return drive_of("ben")


@pytest.fixture
def guest(el: ModuleType) -> Drive:
    return current_emulator().drive(None)


def names(drive: Drive, query: Query) -> list[str]:
    return [record.name for record in search(drive, query)]


def test_a_path_is_its_owners_until_it_is_published(anna: Drive, ben: Drive, guest: Drive) -> None:
    path = anna.add("raster", "scene")
    assert anna.path(path).name == "scene"
    for other in (ben, guest):
        with pytest.raises(AccessError, match="insufficient access"):
            other.path(path)
    anna.set_public_access(path, {"accessLevel": 100})
    assert ben.path(path).id == guest.path(path).id == path
    with pytest.raises(AccessError, match="to edit it takes access level 300"):
        ben.editable(path)
    anna.set_public_access(path, {"accessLevel": 0})
    with pytest.raises(AccessError):
        ben.path(path)


def test_nobody_without_a_token_makes_anything(guest: Drive) -> None:
    with pytest.raises(AccountError, match="log in"):
        guest.add("folder", "mine")
    with pytest.raises(AccountError):
        guest.root("myDrive")


def test_the_homes_own_layers_are_for_everybody(raster: dict[str, str], anna: Drive, guest: Drive) -> None:
    assert anna.managed(raster["pathId"]).id == raster["pathId"]
    assert guest.path(raster["pathId"]).id == raster["pathId"]
    with pytest.raises(AccessError):
        guest.editable(raster["pathId"])


def test_folders_hold_what_is_shared_through_them(anna: Drive, ben: Drive) -> None:
    folder = anna.add("folder", "project")
    layer = anna.add("vector", "roads", parent_id=folder)
    with pytest.raises(AccessError):
        ben.add("raster", "mine", parent_id=folder)
    assert ben.user is not None
    assert anna.user is not None
    invite = anna.sharing.invites.send(folder, anna.user, {"accessLevel": 300}, user_id=ben.user.id)
    ben.sharing.invites.accept(folder, invite, ben.user)
    assert [record.id for record in ben.root("sharedWithMe")] == [folder]
    assert [record.id for record in ben.children(folder)] == [layer]
    own = ben.add("raster", "mine", parent_id=folder)
    assert {record.id for record in anna.children(folder)} == {layer, own}
    assert anna.traverse(folder, ["mine"], "raster").id == own
    with pytest.raises(NotFoundError, match="holds no raster named 'theirs'"):
        anna.traverse(folder, ["theirs"], "raster")
    with pytest.raises(AccessError):
        ben.delete(layer)


def test_moving_is_all_or_nothing(anna: Drive, ben: Drive) -> None:
    folder, mine, theirs = anna.add("folder", "f"), anna.add("raster", "mine"), ben.add("raster", "theirs")
    with pytest.raises(AccessError):
        anna.move([mine, theirs], folder)
    assert anna.children(folder) == []
    anna.move([mine], folder)
    assert [record.id for record in anna.children(folder)] == [mine]
    anna.move([mine], None)
    assert {record.id for record in anna.root("myDrive")} == {folder, mine}


def test_trash(anna: Drive) -> None:
    path = anna.add("raster", "old")
    anna.trash(path, True)
    assert anna.root("myDrive") == []
    assert [record.id for record in anna.root("trash")] == [path]
    assert names(anna, Query(text="old")) == []
    anna.trash(path, False)
    assert names(anna, Query(text="old")) == ["old"]


def test_search(el: ModuleType, anna: Drive, ben: Drive, guest: Drive, fixtures: Path) -> None:
    el.layers.load(fixtures)
    everything = names(anna, Query())
    assert len(everything) == len(el.layers.list())
    assert names(anna, Query(text="SCENE", types=["raster"])) == ["scene"]
    assert set(names(anna, Query(types=["vector"], extent=Extent(5.9, 51.8, 6.0, 52.0)))) >= {"roads", "trees"}
    assert names(anna, Query(types=["vector"], extent=Extent(50, 10, 51, 11))) == []
    year = (datetime(2024, 8, 1, tzinfo=UTC), datetime(2024, 8, 31, tzinfo=UTC))
    assert set(names(anna, Query(types=["raster"], date=year))) == {"scene", "landcover", "ortho"}
    assert "ortho" in names(anna, Query(resolution=(0, 5)))
    assert "ortho" not in names(anna, Query(resolution=(5, 100)))
    hidden = anna.add("raster", "hidden scene", public_access={"accessLevel": 100, "hidden": True})
    assert names(anna, Query(text="hidden")) == ["hidden scene"]
    assert names(ben, Query(text="hidden")) == []
    assert names(guest, Query(text="hidden")) == []
    assert names(anna, Query(active=False, types=["raster"])) == ["hidden scene"]
    anna.sharing.add_hashtag(hidden, "Water")
    assert names(anna, Query(hashtag="#water")) == ["hidden scene"]
    assert names(anna, Query(owner=anna.owner)) == ["hidden scene"]
    assert names(anna, Query(roots=["myDrive"], text="hidden")) == ["hidden scene"]
    with pytest.raises(ArgumentError, match="rootName must be one of"):
        search(anna, Query(roots=["moon"]))


def test_pages() -> None:
    letters = [chr(ord("a") + i) for i in range(26)]
    seen: list[str] = []
    start: str | None = None
    while True:
        found, start = page_of(letters, start, str, size=10)
        seen += found
        if start is None:
            break
    assert seen == letters
    with pytest.raises(ArgumentError, match="pageStart"):
        page_of(letters, "zz", str)


def test_band_names_and_options_are_kept(el: ModuleType, raster: dict[str, str], token: str, anna: Drive) -> None:
    anna.name_band(raster["pathId"], 2, "depth")
    anna.set_raster_options(raster["pathId"], {"interpolation": "linear"})
    answer = el.path.get(raster["pathId"], token)["raster"]
    assert [band["name"] for band in answer["bands"]] == ["band 1", "depth", "mask"]
    assert answer["interpolation"] == "linear"
    with pytest.raises(ArgumentError, match="bandNumber must be from 1 to 2"):
        anna.name_band(raster["pathId"], 3, "more")


def test_functions_heed_it(el: ModuleType, raster: dict[str, str]) -> None:
    anna, ben = (el.account.logIn(name, "secret") for name in ("anna", "ben"))
    layer = el.path.raster.add("mine", anna)["id"]
    when = el.path.raster.timestamp.add(layer, anna)["id"]
    for attempt in (
        lambda: el.path.get(layer, ben),
        lambda: el.path.get(layer),
        lambda: el.path.raster.timestamp.add(layer, ben),
        lambda: el.path.raster.timestamp.file.get(layer, when, ben),
        lambda: el.path.raster.timestamp.activate(layer, when, ben),
        lambda: el.compute.createCompute([{"pathId": layer, "timestampId": when}], ben),
    ):
        with pytest.raises(AccessError, match="insufficient access"):
            attempt()


def test_lists_go_on_while_layers_are_removed(
    el: ModuleType, token: str, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the rows of a list and what is read of each path, another process removes one of them."""
    emulator = current_emulator()
    drive = emulator.drive(emulator.accounts.known_user(token))
    everywhere, plain, removed = Query(extent=Extent(-180, -90, 180, 90)), Catalogue.timestamps_of, set()
    kept = el.layers.add(fixtures / "roads.geojson")["pathId"]
    lists = {
        "layers": lambda: [one["id"] for one in el.layers.list()],
        "lock": lambda: [one["pathId"] for one in el.layers.lock(tmp_path / "layers.lock.toml")],
        "search": lambda: [record.id for record in search(drive, everywhere)],
        "pages": lambda: [one["id"] for one in paths_json(emulator, drive, drive.root("myDrive"), None)["result"]],
    }
    for name, ask in lists.items():
        gone = el.layers.add(fixtures / "roads.geojson")["pathId"]

        def removing(catalogue: Catalogue, path_id: str, gone: str = gone) -> list[Timestamp]:
            if path_id == gone and path_id not in removed:
                removed.add(path_id)
                catalogue.delete_path(path_id)
            return plain(catalogue, path_id)

        monkeypatch.setattr(Catalogue, "timestamps_of", removing)
        assert ask() == [kept], name
        assert gone in removed, name
