"""The client's `path`: making, finding, changing and deleting paths; folders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest

from tests.client.covers import covers

Search = Callable[..., list[str]]


@pytest.fixture
def search(client: ModuleType, token: str) -> Search:
    """The names that a search finds."""

    def names(**arguments: Any) -> list[str]:
        return [path["name"] for path in client.path.search(**({"token": token} | arguments))["result"]]

    return names


@covers("path.folder.add", "path.raster.add", "path.vector.add", "path.get", "path.delete")
def test_a_new_path_is_as_it_was_asked_for(client: ModuleType, token: str) -> None:
    folder = client.path.folder.add("folder", token)["id"]
    metadata = {"description": "made by a test", "attribution": "nobody", "license": "CC0", "properties": {"a": [1]}}
    for add in (client.path.folder.add, client.path.raster.add, client.path.vector.add):
        made = add("näme/with\\signs", token, parentId=folder, publicAccess={"accessLevel": 100}, metadata=metadata)
        found = client.path.get(made["id"], token)
        assert found["id"] == made["id"] and found["name"] == "näme/with\\signs"
        assert (found["parentId"], found["metadata"], found["trashed"]) == (folder, metadata, False)
        assert found["publicAccess"] == {"accessLevel": 100}
        assert found["yourAccess"]["accessLevel"] > 900
        assert found["userId"] == client.account.getInfo(token)["id"]
    assert found["type"] == "vector" and found["vector"]["timestamps"] == [] and found["vector"]["properties"] == []
    raster = client.path.raster.add("raster", token)["id"]
    found_raster = client.path.get(raster, token)["raster"]
    assert (found_raster["bands"], found_raster["format"], found_raster["asJpg"]) == ([], None, False)
    assert found_raster["timestamps"] == []
    client.path.delete(raster, token)
    with pytest.raises(ValueError, match=f"{raster} does not exist"):
        client.path.get(raster, token)
    with pytest.raises(ValueError, match="name"):
        client.path.folder.add("", token)
    with pytest.raises(ValueError, match="is not a folder"):
        client.path.raster.add("raster", token, parentId=found["id"])


@covers("path.rename", "path.move", "path.editMetadata", "path.favorite", "path.unfavorite")
def test_paths_are_changed(client: ModuleType, token: str, other: str) -> None:
    first, second = (client.path.folder.add(name, token)["id"] for name in ("first", "second"))
    path = client.path.raster.add("raster", token, parentId=first)["id"]
    client.path.rename(path, "another name", token)
    client.path.move([path], second, token)
    client.path.editMetadata(path, token, description="new", licenseString="CC BY 4.0")
    client.path.editMetadata(path, token, attribution="somebody", properties={"a": 1})
    client.path.favorite(path, token)
    found = client.path.get(path, token)
    assert (found["name"], found["parentId"], found["favorite"]) == ("another name", second, True)
    assert found["metadata"] == {
        "description": "new", "license": "CC BY 4.0", "attribution": "somebody", "properties": {"a": 1}
    }  # fmt: skip
    client.path.unfavorite(path, token)
    client.path.move([path], None, token)
    found = client.path.get(path, token)
    assert (found["parentId"], found["favorite"]) == (None, False)
    client.path.move([second], first, token)
    with pytest.raises(ValueError, match=first):
        client.path.move([path, first], second, token)
    assert client.path.get(path, token)["parentId"] is None
    for change in (
        lambda: client.path.rename(path, "theirs", other),
        lambda: client.path.move([path], None, other),
        lambda: client.path.editMetadata(path, other, description="theirs"),
        lambda: client.path.favorite(path, other),
        lambda: client.path.delete(path, other),
        lambda: client.path.trash(path, other),
    ):
        with pytest.raises(ValueError, match="insufficient access"):
            change()


@covers("path.trash", "path.recover", "path.delete", "path.folder.listFolder")
def test_what_is_trashed_comes_back_and_what_is_deleted_does_not(client: ModuleType, token: str) -> None:
    folder = client.path.folder.add("folder", token)["id"]
    raster = client.path.raster.add("raster", token, parentId=folder)["id"]
    inner = client.path.folder.add("inner", token, parentId=folder)["id"]

    def listed(**arguments: Any) -> list[str]:
        return [path["id"] for path in client.path.folder.listFolder(folder, token=token, **arguments)["result"]]

    assert listed() == [raster, inner]
    assert listed(pathTypes=["folder"]) == [inner]
    client.path.trash(raster, token)
    assert client.path.get(raster, token)["trashed"] is True
    assert listed() == [inner] and listed(includeTrashed=True) == [raster, inner]
    client.path.recover(raster, token)
    assert listed() == [raster, inner]
    client.path.delete(folder, token)
    for path in (folder, raster, inner):
        with pytest.raises(ValueError, match="does not exist"):
            client.path.get(path, token)


@covers("path.folder.traverse")
def test_folders_are_walked_by_name(client: ModuleType, token: str, other: str) -> None:
    top = client.path.folder.add("top", token)["id"]
    inner = client.path.folder.add("inner", token, parentId=top)["id"]
    raster = client.path.raster.add("same", token, parentId=inner)["id"]
    vector = client.path.vector.add("same", token, parentId=inner)["id"]
    traverse = client.path.folder.traverse
    assert traverse(top, ["inner", "same"], "raster", token)["id"] == raster
    assert traverse(top, ["inner", "same"], "vector", token)["id"] == vector
    assert traverse(top, ["inner"], "folder", token)["id"] == inner
    assert traverse(top, [], "folder", token)["id"] == top
    with pytest.raises(ValueError, match="holds no raster named 'missing'"):
        traverse(top, ["inner", "missing"], "raster", token)
    with pytest.raises(ValueError, match="insufficient access"):
        traverse(top, ["inner"], "folder", other)


@covers("path.search")
def test_layers_are_found_by_what_they_are(valley: ModuleType, token: str, search: Search) -> None:
    assert "scene" in search(text="SCENE") and "dem" not in search(text="SCENE")
    assert search(text="elevation in metres") == ["dem"]
    assert search(pathTypes=["file"]) == ["thresholds"]
    assert set(search(pathTypes=["raster"], active=True)) >= {"scene", "dem", "landcover", "ortho"}
    # Degrees; a place in the valley, and one that is far away.
    here = {"xMin": 5.96, "xMax": 5.965, "yMin": 51.9, "yMax": 51.91}
    assert "dem" in search(extent=here) and "roads" in search(extent=here)
    assert search(extent={"xMin": 100.0, "xMax": 101.0, "yMin": 0.0, "yMax": 1.0}) == []
    assert search(pathTypes=["raster"], resolution={"min": 2, "max": 4}) == ["ortho"]
    assert "scene" in search(resolution={"min": 9, "max": 11})
    before = {"from": datetime(2022, 1, 1), "to": datetime(2022, 12, 31)}
    assert search(date=before) == ["dem"]
    both = {"from": datetime(2023, 6, 1), "to": datetime(2023, 8, 1)}
    assert "scene" in search(date=both) and "ortho" not in search(date=both)
    assert search(date=both, text="scene", pathTypes=["raster"]) == ["scene"]
    assert "scene" in search(token=None)


def test_paths_are_found_by_whose_they_are(valley: ModuleType, token: str, other: str, search: Search) -> None:
    valley.path.raster.add("mine", token)
    theirs = valley.path.folder.add("theirs", other)["id"]
    valley.path.raster.add("published", other, parentId=theirs, publicAccess={"accessLevel": 100})
    me, them = (valley.account.getInfo(one)["id"] for one in (token, other))
    assert search(userId=me) == ["mine"] and search(userId=them) == ["published"]
    assert "mine" in search(root=["myDrive"]) and "published" not in search(root=["myDrive"])
    assert search(root=["public"], userId=them) == ["published"]
    with pytest.raises(ValueError, match="rootName must be one of"):
        search(root=["nowhere"])
    # The first page only, unless all is asked for.
    for i in range(40):
        valley.path.folder.add(f"folder {i}", token)
    assert len(valley.path.search(token=token)["result"]) == 50
    assert len(search(listAll=True)) > 50


@covers("path.root.setDomains", "path.root.listPath")
def test_functions_that_are_not_exported_work_as_well(client: ModuleType, token: str) -> None:
    root = client.path.root
    folder = client.path.folder.add("folder", token)["id"]
    inner = client.path.folder.add("inner", token, parentId=folder)["id"]
    raster = client.path.raster.add("raster", token, parentId=folder)["id"]
    assert [path["id"] for path in root.listPath(folder, "folder", token=token)["result"]] == [inner]
    assert [path["id"] for path in root.listPath(folder, "layer", token=token)["result"]] == [raster]
    assert root.setDomains(raster, token, ["example.org"]) == {}
    with pytest.raises(ValueError, match="domains"):
        root.setDomains(raster, token, ["no domain at all"])
