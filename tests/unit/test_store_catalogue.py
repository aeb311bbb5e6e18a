"""The catalogue: rows and their rules, without any file."""

import threading

import pytest

from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, NotFoundError
from ellipsis_local.store import SCHEMA, Catalogue
from ellipsis_local.store.records import FileRow
from ellipsis_local.types import Extent, RasterFile, VectorFile

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
RASTER = RasterFile(
    "{folder}/a.tif", "hash", "EPSG:3857", (1, 0, 0, 0, -1, 0), 4, 3, 2, "float32", float("nan"), (3, 4), ("x", None)
)
VECTOR = VectorFile("/vsizip/{folder}/a.zip/a.shp", "hash", "EPSG:4326", 3, Extent(0, 1, 2, 3), ("name",), layer="a")


@pytest.fixture
def catalogue(tmp_path):
    database = Database(tmp_path / "ellipsis.sqlite", SCHEMA)
    yield Catalogue(database, tmp_path / "layers")
    database.close()


def row(file_id, detail=None, content="c"):
    return FileRow(file_id, "name", "a.tif", ("a.tif",), 3, "tif", content, detail, {"epsg": 28992})


def test_paths(catalogue):
    folder = catalogue.add_path("folder", "maps")
    made = catalogue.add_path(
        "raster",
        "scene",
        path_id=ID.upper(),
        parent_id=folder,
        owner="me",
        metadata={"a": 1},
        public_access={"accessLevel": 0},
    )
    assert made == ID
    found = catalogue.get_path(ID.upper())
    assert (found.type, found.name, found.parent_id, found.owner) == ("raster", "scene", folder, "me")
    assert (found.metadata, found.public_access, found.trashed) == ({"a": 1}, {"accessLevel": 0}, False)
    assert found.created.utcoffset().total_seconds() == 0
    assert [one.id for one in catalogue.list_paths(types=["raster"])] == [ID]
    assert [one.id for one in catalogue.list_paths(parent_id=None)] == [folder]
    assert [one.id for one in catalogue.list_paths(parent_id=folder, owner="me")] == [ID]
    catalogue.rename(ID, "other")
    catalogue.trash(ID)
    assert catalogue.get_path(ID).name == "other"
    assert catalogue.list_paths(types=["raster"]) == []
    assert [one.id for one in catalogue.list_paths(trashed=True)] == [ID]
    catalogue.trash(ID, False)
    catalogue.set_metadata(ID, {"b": [1, None]})
    catalogue.set_public_access(ID, {})
    assert catalogue.get_path(ID).metadata == {"b": [1, None]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path_id": "x"}, "pathId must be of type string and be a uuid"),
        ({"parent_id": OTHER}, "parentId .* does not exist"),
        ({"parent_id": ID}, "is not a folder"),
        ({"path_id": ID}, "exists already"),
        ({"metadata": 3}, "metadata must be of type dict"),
        ({"metadata": {"a": object()}}, "JSON"),
        ({"name": 3}, "name must be of type string"),
        ({"name": "\udcff"}, "no valid text"),
    ],
)
def test_paths_refused(catalogue, arguments, words):
    catalogue.add_path("raster", "scene", path_id=ID)
    with pytest.raises(ArgumentError, match=words):
        catalogue.add_path("raster", arguments.pop("name", "n"), **arguments)
    assert len(catalogue.list_paths()) == 1


def test_moving(catalogue):
    outer, inner = catalogue.add_path("folder", "outer"), catalogue.add_path("folder", "inner")
    catalogue.move([inner], outer)
    assert catalogue.get_path(inner).parent_id == outer
    with pytest.raises(ArgumentError, match="into itself"):
        catalogue.move([outer], inner)
    catalogue.move([inner], None)
    assert catalogue.get_path(inner).parent_id is None


@pytest.mark.parametrize(("kind", "most"), [("raster", 512), ("vector", 5000)])
def test_messages_of_files_have_the_length_that_the_service_keeps(catalogue, kind, most):
    path = catalogue.add_path(kind, "layer")
    timestamp = catalogue.add_timestamp(path)
    for number in "12":
        file_id = f"00000000-0000-4000-8000-00000000000{number}"
        catalogue.add_files(path, timestamp, [FileRow(file_id, "a", "", (), 1, "tif", "", None, {}, "pending")])
    catalogue.fail_files([file_id], "ä" * 6000)
    pending, errored = catalogue.files_of(timestamp)
    assert (pending.status, pending.message) == ("pending", None)
    assert (errored.status, errored.message) == ("errored", "ä" * most)
    found = catalogue.get_timestamp(path, timestamp)
    assert (found.files, found.unfinished) == ((), (pending, errored))
    assert catalogue.file_ids() == set()


def test_timestamps_keep_their_order(catalogue):
    path = catalogue.add_path("vector", "roads")
    made = [catalogue.add_timestamp(path, description=str(i)) for i in range(5)]
    assert [one.id for one in catalogue.timestamps_of(path)] == made
    catalogue.trash_timestamp(path, made[0])
    assert [one.id for one in catalogue.timestamps_of(path)] == made[1:]
    assert catalogue.get_timestamp(path, made[0]).trashed
    catalogue.edit_timestamp(path, made[1], description="new", date="2020-01-01")
    found = catalogue.get_timestamp(path, made[1])
    assert (found.description, found.date_from.year, found.status, found.type) == ("new", 2020, "active", "vector")
    with pytest.raises(NotFoundError):
        catalogue.get_timestamp(catalogue.add_path("vector", "other"), made[1])
    with pytest.raises(ArgumentError, match="exists already"):
        catalogue.add_timestamp(path, timestamp_id=made[1])
    with pytest.raises(ArgumentError, match="has no timestamps"):
        catalogue.add_timestamp(catalogue.add_path("folder", "f"))


def test_files_come_back_as_they_were(catalogue, tmp_path):
    path = catalogue.add_path("raster", "scene")
    timestamp = catalogue.add_timestamp(path)
    catalogue.add_files(path, timestamp, [row("a", RASTER), row("b", VECTOR)])
    first, second = catalogue.get_timestamp(path, timestamp).files
    assert first.detail.location == str(tmp_path / "layers/a/a.tif")
    assert second.detail.location == f"/vsizip/{tmp_path}/layers/b/a.zip/a.shp"
    assert first.detail.nodata != first.detail.nodata
    assert first.detail.transform == RASTER.transform
    assert first.detail.descriptions == ("x", None)
    assert (second.detail.extent, second.detail.layer) == (VECTOR.extent, "a")
    assert (first.options, first.location) == ({"epsg": 28992}, tmp_path / "layers/a/a.tif")


def test_files_lie_on_top_of_each_other(catalogue):
    path = catalogue.add_path("raster", "scene")
    timestamp = catalogue.add_timestamp(path)

    def order():
        return [one.id for one in catalogue.files_of(timestamp)]

    catalogue.add_files(path, timestamp, [row("b"), row("c")])
    catalogue.add_files(path, timestamp, [row("d")])
    catalogue.add_files(path, timestamp, [row("a"), row("a2")], beneath=True)
    assert order() == ["a", "a2", "b", "c", "d"]
    catalogue.delete_files(["a2", "c"])
    assert order() == ["a", "b", "d"]
    assert catalogue.file_ids() == {"a", "b", "d"}


def test_deleting_takes_everything_below(catalogue):
    outer = catalogue.add_path("folder", "outer")
    path = catalogue.add_path("raster", "scene", parent_id=outer)
    timestamp = catalogue.add_timestamp(path)
    catalogue.add_files(path, timestamp, [row("a"), row("b")])
    assert sorted(catalogue.delete_path(outer)) == ["a", "b"]
    assert catalogue.file_ids() == set()
    with pytest.raises(NotFoundError):
        catalogue.get_path(path)


def test_a_transaction_is_all_or_nothing(catalogue):
    def stops():
        with catalogue.transaction():
            path = catalogue.add_path("raster", "scene")
            catalogue.add_timestamp(path)
            assert catalogue.find_path(path) is not None
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stops()
    assert catalogue.list_paths() == []


def test_threads(catalogue):
    threads = [threading.Thread(target=catalogue.add_path, args=("raster", str(i))) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalogue.list_paths()) == 20
