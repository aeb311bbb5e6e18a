"""Adding, replacing and removing: ids, idempotence, mosaics, several processes, killed processes, full disks."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, NotFoundError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore, NewFile

PATH = "0f8fad5b-d9cb-469f-a165-70867728950e"
TIME = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PLACE = from_origin(662020, 6784460, 10, 10)


def open_store(root):
    home = Home(root)
    home.prepare()
    return LayerStore(home, Database(home.database, SCHEMA))


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path / "home")
    yield made
    made.catalogue.database.close()


def raster(path, value=1, *, bands=1, dtype="uint8", size=20, crs="EPSG:3857"):
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=PLACE) as dataset:
        dataset.write(np.full((bands, size, size), value, dtype))
    return path


def points(count=3):
    return geopandas.GeoDataFrame({"a": range(count)}, geometry=shapely.points(range(count), range(count)), crs=4326)


def folders(store):
    return sorted(one.name for one in store.home.layers.iterdir())


def values(store, path_id, timestamp_id):
    (file,) = store.timestamp(path_id, timestamp_id).rasters
    with rasterio.open(file.location) as dataset:
        return set(np.unique(dataset.read()))


# ----- ids and idempotence -------------------------------------------------------------------------------------------


def test_ids_are_kept_and_made(store, tmp_path):
    source = raster(tmp_path / "scene.tif")
    assert store.add(source, path_id=PATH.upper(), timestamp_id=TIME.replace("-", "")) == (PATH, TIME)
    path, timestamp = store.path(PATH), store.timestamp(PATH, TIME)
    assert (path.name, path.type, timestamp.status, timestamp.type) == ("scene", "raster", "active", "raster")
    path_id, timestamp_id = store.add(source, name="other", description="d", date="2020-01-01", owner="me")
    assert uuid.UUID(path_id) != uuid.UUID(PATH)
    made = store.timestamp(path_id, timestamp_id)
    assert (store.path(path_id).name, store.path(path_id).owner) == ("other", "me")
    assert (made.description, made.date_from.year) == ("d", 2020)
    # Only a path: another timestamp of it.
    again = store.add(source, path_id=PATH)
    assert [one.id for one in store.catalogue.timestamps_of(PATH)] == [TIME, again[1]]
    # Only a timestamp: its path is known.
    assert store.add(source, timestamp_id=TIME) == (PATH, TIME)


@pytest.mark.parametrize("kind", ["file", "array", "frame"])
def test_the_same_again_is_nothing(store, tmp_path, kind):
    sources = {
        "file": lambda: raster(tmp_path / "a.tif"),
        "array": lambda: {"raster": np.ones((3, 4)), "transform": PLACE, "crs": 3857},
        "frame": points,
    }
    store.add(sources[kind](), path_id=PATH, timestamp_id=TIME)
    before = store.timestamp(PATH, TIME)
    assert store.add(sources[kind](), path_id=PATH, timestamp_id=TIME) == (PATH, TIME)
    assert store.timestamp(PATH, TIME) == before
    assert folders(store) == [before.files[0].id]


def test_the_same_under_another_name_is_nothing(store, tmp_path):
    source = raster(tmp_path / "a.tif")
    store.add(source, path_id=PATH, timestamp_id=TIME)
    shutil.copy(source, tmp_path / "b.tif")
    store.add(tmp_path / "b.tif", path_id=PATH, timestamp_id=TIME)
    assert len(folders(store)) == 1


def test_other_content_must_be_asked_for(store, tmp_path):
    store.add(raster(tmp_path / "a.tif", 1), path_id=PATH, timestamp_id=TIME)
    raster(tmp_path / "a.tif", 2)
    with pytest.raises(LayerError, match=r"replace=True replaces it.*path\.raster\.timestamp\.file\.add adds"):
        store.add(tmp_path / "a.tif", path_id=PATH, timestamp_id=TIME)
    assert values(store, PATH, TIME) == {1}
    store.add(tmp_path / "a.tif", path_id=PATH, timestamp_id=TIME, replace=True)
    assert values(store, PATH, TIME) == {2}
    assert len(folders(store)) == 1


def test_a_failed_replacement_leaves_the_old(store, tmp_path):
    store.add(raster(tmp_path / "a.tif"), path_id=PATH, timestamp_id=TIME)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:300])
    with pytest.raises(LayerError):
        store.add(tmp_path / "a.tif", path_id=PATH, timestamp_id=TIME, replace=True)
    assert values(store, PATH, TIME) == {1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path_id": "scene"}, "pathId must be of type string and be a uuid"),
        ({"timestamp_id": 7}, "timestampId must be of type string and be a uuid"),
        ({"path_id": PATH}, f"pathId {PATH} is a vector, and this is a raster|not a vector"),
        ({"path_id": PATH, "type": "raster"}, "is a vector, and this is a raster"),
        ({"path_id": str(uuid.uuid4()), "timestamp_id": TIME}, f"timestampId {TIME} belongs to path {PATH}"),
        ({"type": "folder"}, "type must be"),
        ({"type": "vector"}, "is a raster"),
        ({"date": "soon"}, "date must be of type datetime"),
        ({"name": "\udcff"}, "no valid text"),
        ({"layer": "x"}, "no layer named 'x'"),
    ],
)
def test_refused(store, tmp_path, arguments, words):
    store.add(points(), path_id=PATH, timestamp_id=TIME)
    with pytest.raises((ArgumentError, LayerError), match=words):
        store.add(raster(tmp_path / "a.tif"), **arguments)
    assert len(store.list()) == len(folders(store)) == 1


def test_trashed_layers_are_named(store, tmp_path):
    source = raster(tmp_path / "a.tif")
    store.add(source, path_id=PATH, timestamp_id=TIME)
    store.catalogue.trash(PATH)
    assert store.list() == ()
    with pytest.raises(LayerError, match="in the trash"):
        store.add(source, path_id=PATH, timestamp_id=TIME)


# ----- steps of the client -------------------------------------------------------------------------------------------


def test_the_steps_of_the_client(store, tmp_path):
    folder = store.add_layer_path("folder", "maps", owner="me")
    path_id = store.add_layer_path("raster", "scene", parent_id=folder, metadata={"a": 1}, public_access={}, owner="me")
    timestamp_id = store.add_timestamp(path_id, date={"from": "2020-01-01", "to": "2020-02-01"}, description="d")
    assert store.timestamp(path_id, timestamp_id).status == "created"
    assert store.bounds(path_id, timestamp_id).is_empty
    with pytest.raises(LayerError, match="no files and cannot be activated"):
        store.activate(path_id, timestamp_id)
    data = raster(tmp_path / "a.tif").read_bytes()
    file_id = store.add_file(path_id, timestamp_id, BytesIO(data), name="upload", format="tif", nodata=0)
    store.activate(path_id, timestamp_id)
    (file,) = store.files(path_id, timestamp_id)
    assert (file.id, file.name, file.format, file.size) == (file_id, "upload", "tif", len(data))
    assert file.detail.nodata == 0
    assert store.timestamp(path_id, timestamp_id).status == "active"
    west, south, east, north = store.bounds(path_id, timestamp_id).bounds
    assert (west, north) == pytest.approx((5.947, 51.9133), abs=1e-3)
    assert (west < east, south < north) == (True, True)
    store.download(path_id, timestamp_id, file_id, tmp_path / "back.tif")
    assert (tmp_path / "back.tif").read_bytes() == data
    store.deactivate(path_id, timestamp_id)
    assert store.timestamp(path_id, timestamp_id).status == "passive"
    store.catalogue.trash_file(path_id, timestamp_id, file_id)
    assert store.timestamp(path_id, timestamp_id).files == ()
    assert store.files(path_id, timestamp_id)[0].trashed
    with pytest.raises(NotFoundError):
        store.download(path_id, timestamp_id, TIME, tmp_path / "x.tif")
    store.remove_file(path_id, timestamp_id, file_id)
    assert folders(store) == []


def test_mosaics(store, tmp_path):
    path_id, timestamp_id = store.add(raster(tmp_path / "a.tif"))
    second = store.add_file(
        path_id, timestamp_id, raster(tmp_path / "b.tif", 2, crs="EPSG:28992"), name="b.tif", format="tif"
    )
    below = store.add_file(path_id, timestamp_id, raster(tmp_path / "c.tif", 3), mosaic_priority="oldest")
    names = [file.name for file in store.files(path_id, timestamp_id)]
    assert names == ["c.tif", "a.tif", "b.tif"]
    assert [file.id for file in store.files(path_id, timestamp_id)][::2] == [below, second]
    # What `add` put there is not there any more, so the same again is other content.
    with pytest.raises(LayerError, match="other content"):
        store.add(tmp_path / "a.tif", path_id=path_id, timestamp_id=timestamp_id)


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (lambda p: raster(p / "b.tif", bands=2), {}, "2 bands of uint8.*1 bands of uint8"),
        (lambda p: raster(p / "b.tif", dtype="int16"), {}, "1 bands of int16"),
        (lambda p: points().to_file(p / "b.gpkg") or p / "b.gpkg", {}, "is a vector .*, not a raster"),
        (lambda p: raster(p / "b.tif"), {"format": "gpkg"}, "is tif, and not gpkg; give its own fileFormat"),
        (lambda p: raster(p / "b.tif"), {"format": "docx"}, "fileFormat must be one of tif"),
        (lambda p: raster(p / "b.tif"), {"format": 3}, "fileFormat must be of type string"),
        (lambda p: raster(p / "b.tif"), {"mosaic_priority": "top"}, "mosaicPriority"),
        (lambda p: p / "none.tif", {}, "is not there"),
        (lambda p: "https://example.org/a.tif", {}, "is an address"),
        (lambda p: b"", {"name": "x.tif"}, "is empty"),
        (lambda p: BytesIO(b"rubbish"), {"name": "x.tif"}, "cannot be read|no layer"),
        (lambda p: (p / "x").write_text("x") and (p / "x").open(), {"name": "x.tif"}, "binary"),
    ],
)
def test_files_that_do_not_fit(store, tmp_path, make, arguments, words):
    ids = store.add(raster(tmp_path / "a.tif"))
    with pytest.raises((LayerError, ArgumentError), match=words):
        store.add_file(*ids, make(tmp_path), **arguments)
    assert len(store.files(*ids)) == len(folders(store)) == 1


def test_all_files_or_none(store, tmp_path):
    path_id = store.add_layer_path("raster", "results")
    timestamp_id = store.add_timestamp(path_id)
    good = [(raster(tmp_path / f"{i}.tif", i), f"node {i}") for i in range(4)]
    with pytest.raises(LayerError, match="odd"):
        store.add_files(path_id, timestamp_id, [*good, (raster(tmp_path / "odd.tif", bands=3), "odd")], format="tif")
    with pytest.raises(LayerError):
        store.add_files(path_id, timestamp_id, [*good, NewFile(b"rubbish", "r", "tif")])
    assert (store.files(path_id, timestamp_id), folders(store)) == ((), [])
    added = store.add_files(path_id, timestamp_id, good, format="tif")
    assert [file.id for file in store.files(path_id, timestamp_id)] == list(added)
    assert [file.name for file in store.files(path_id, timestamp_id)] == [f"node {i}" for i in range(4)]
    # A result has no suffix; what is stored has.
    bare = shutil.copy(tmp_path / "0.tif", tmp_path / "result")
    (file_id,) = store.add_files(path_id, timestamp_id, [(bare, "0")], format="tif")
    assert store.catalogue.get_file(path_id, timestamp_id, file_id).main == "result.tif"


def test_plain_files(store, tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    path_id = store.add_plain_file(tmp_path / "a.json", metadata={"b": 2}, owner="me")
    file = store.get_plain_file(path_id)
    assert (file.name, file.format, file.detail, file.location.read_text()) == ("a.json", "json", None, '{"a": 1}')
    assert store.path(path_id).type == "file"
    with pytest.raises(ArgumentError, match="name is required"):
        store.add_plain_file(b"x")
    made = store.add_plain_file(BytesIO(b"abc"), name="../../x y.bin", path_id=PATH)
    assert store.get_plain_file(made).location.read_bytes() == b"abc"
    assert store.get_plain_file(made).location.is_relative_to(store.home.layers)
    assert store.add_plain_file(b"abc", name="again", path_id=PATH) == PATH
    with pytest.raises(LayerError, match="other content"):
        store.add_plain_file(b"abd", name="again", path_id=PATH)
    store.add_plain_file(b"abd", name="again", path_id=PATH, replace=True)
    store.download_plain_file(PATH, tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == b"abd"
    with pytest.raises(NotFoundError):
        store.get_plain_file(store.add_layer_path("raster", "r"))
    assert len(folders(store)) == 2


def test_removing(store, tmp_path):
    source = raster(tmp_path / "a.tif")
    first = store.add(source)
    second = store.add(source, path_id=first[0])
    store.remove(*second)
    assert len(folders(store)) == 1
    store.remove(first[0])
    assert (store.list(), folders(store)) == ((), [])
    with pytest.raises(NotFoundError):
        store.remove(first[0])
    with pytest.raises(NotFoundError):
        store.path(PATH)


def test_a_home_can_be_moved(store, tmp_path):
    ids = store.add(raster(tmp_path / "a.tif"))
    store.catalogue.database.close()
    (tmp_path / "home").rename(tmp_path / "moved")
    moved = open_store(tmp_path / "moved")
    assert values(moved, *ids) == {1}
    moved.catalogue.database.close()


def test_adding_in_threads_keeps_warnings_alive(store, tmp_path):
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.add, [raster(tmp_path / f"{i}.tif", i) for i in range(8)]))
    assert len(store.list()) == 8
    assert list(warnings.filters) == filters


# ----- processes -----------------------------------------------------------------------------------------------------

ADD = """
import sys
from pathlib import Path
from ellipsis_local.database import Database
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore
home = Home(Path(sys.argv[1]))
home.prepare()
store = LayerStore(home, Database(home.database, SCHEMA))
print("ready", flush=True)
sys.stdin.readline()
try:
    print(*store.add(Path(sys.argv[2]), path_id=sys.argv[3], timestamp_id=sys.argv[4]))
except ValueError as error:
    print(type(error).__name__)
"""


def start(home, source, program=ADD):
    arguments = [sys.executable, "-c", program, str(home), str(source), PATH, TIME]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("same", [True, False])
def test_two_processes_add_under_the_same_ids(tmp_path, same):
    sources = [raster(tmp_path / "a.tif", 1, size=2000), raster(tmp_path / "b.tif", 1 if same else 2, size=2000)]
    processes = [start(tmp_path / "home", source) for source in sources]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert answers == ([f"{PATH} {TIME}"] * 2 if same else [f"{PATH} {TIME}", "LayerError"])
    store = open_store(tmp_path / "home")
    assert folders(store) == [store.timestamp(PATH, TIME).files[0].id]
    store.catalogue.database.close()


SLOW = ADD.replace(
    'print("ready"',
    """
import time
from ellipsis_local.store import LayerStore, staging
where = Path(sys.argv[1]).parent / "stop"
def wait(*arguments, **named):
    where.write_text("here")
    time.sleep(60)
if sys.argv[5:] == ["copying"]:
    staging.hashed_copy = wait
else:
    LayerStore._commit = wait
print("ready\"""",
)


@pytest.mark.parametrize("moment", ["copying", "committing"])
def test_a_killed_process_leaves_nothing_in_view(tmp_path, moment):
    source = raster(tmp_path / "a.tif")
    arguments = [sys.executable, "-c", SLOW, str(tmp_path / "home"), str(source), PATH, TIME, moment]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not (tmp_path / "stop").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = open_store(tmp_path / "home")
    assert store.list() == ()
    assert len(folders(store)) == 1
    # Somebody may be at work in it, until it is old.
    assert store.sweep() == 0
    old = time.time() - 7200
    for one in (store.home.layers, *store.home.layers.rglob("*")):
        os.utime(one, (old, old))
    assert store.sweep() == 1
    assert folders(store) == []
    assert store.add(source, path_id=PATH, timestamp_id=TIME) == (PATH, TIME)
    assert store.sweep(age=0) == 0
    store.catalogue.database.close()


# At the worst moment: its folder is there, and its row still pending.
UPLOAD = ADD.replace(
    "    print(*store.add(Path(sys.argv[2]), path_id=sys.argv[3], timestamp_id=sys.argv[4]))",
    """
    import os, signal
    def die(*arguments):
        print("about to be killed", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    store.catalogue.replace_file = die
    store.add_upload(sys.argv[3], sys.argv[4], NewFile(Path(sys.argv[2]), "a.tif", "tif"), 1)
""",
).replace("LayerStore\n", "LayerStore, NewFile\n")


def test_an_upload_whose_process_is_killed_is_errored_and_leaves_no_folder(store, tmp_path):
    store.add_layer_path("raster", "scene", path_id=PATH)
    store.add_timestamp(PATH, timestamp_id=TIME)
    process = start(tmp_path / "home", raster(tmp_path / "a.tif"), UPLOAD)
    assert process.communicate("\n", timeout=60)[0] == "about to be killed\n"
    assert process.returncode == -signal.SIGKILL
    assert len(folders(store)) == 1
    # Whoever reads next mends it.
    timestamp = store.timestamp(PATH, TIME)
    assert timestamp.files == () and [file.status for file in timestamp.unfinished] == ["errored"]
    (file,) = store.files(PATH, TIME)
    assert file.id == folders(store)[0] and file.message.endswith("upload it again")
    with pytest.raises(LayerError, match=r"is errored: .*upload it again; there is nothing to download"):
        store.download(PATH, TIME, file.id, tmp_path / "b.tif")
    assert store.sweep(age=0) == 1 and folders(store) == []
    store.remove_file(PATH, TIME, file.id)
    assert store.files(PATH, TIME) == ()


def test_an_upload_that_is_deleted_while_it_is_looked_at_is_gone(store, tmp_path, monkeypatch):
    path_id = store.add_layer_path("raster", "scene")
    timestamp_id = store.add_timestamp(path_id)
    staged = store.intake.staged

    def delete(*arguments):
        (file,) = store.files(path_id, timestamp_id)
        assert (file.status, file.size) == ("pending", 1)
        store.remove_file(path_id, timestamp_id, file.id)
        return staged(*arguments)

    monkeypatch.setattr(store.intake, "staged", delete)
    with pytest.raises(NotFoundError, match="was deleted while it was looked at"):
        store.add_upload(path_id, timestamp_id, NewFile(raster(tmp_path / "a.tif"), "a.tif", "tif"), 1)
    assert (store.files(path_id, timestamp_id), folders(store)) == ((), [])


# ----- full disks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seam", ["copy", "rename", "commit"])
def test_a_full_disk_leaves_nothing(store, tmp_path, monkeypatch, seam):
    source = raster(tmp_path / "a.tif")

    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    original_open = Path.open
    if seam == "copy":
        monkeypatch.setattr(
            Path, "open", lambda self, mode="r", *rest: full() if "x" in mode else original_open(self, mode, *rest)
        )
    elif seam == "rename":
        monkeypatch.setattr(Path, "rename", full)
    else:
        import sqlite3

        def refuse(*arguments, **named):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(store.catalogue, "add_files", refuse)
    with pytest.raises(StoreError):
        store.add(source, path_id=PATH, timestamp_id=TIME)
    monkeypatch.undo()
    assert (store.list(), folders(store)) == ((), [])
    assert store.add(source, path_id=PATH, timestamp_id=TIME) == (PATH, TIME)


LIMITED = """
import resource, sys
from pathlib import Path
import geopandas, numpy, shapely
from rasterio.transform import from_origin
from ellipsis_local.database import Database
from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore
root = Path(sys.argv[1])
home = Home(root / "home")
home.prepare()
store = LayerStore(home, Database(home.database, SCHEMA))
rng = numpy.random.default_rng(1)
array = {"raster": rng.random((2, 1000, 1000)), "transform": from_origin(0, 0, 2, 2), "crs": 3857}
frame = geopandas.GeoDataFrame({"a": rng.random(200_000)}, geometry=shapely.points(rng.random((200_000, 2))), crs=4326)
small = {"raster": numpy.zeros((1, 3000, 3000)), "transform": from_origin(0, 0, 2, 2), "crs": 3857}
kept = store.add({**small, "raster": rng.random((1, 900, 900))})
points = store.add(frame)
(root / "target").mkdir()
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for act in (
    lambda: store.add(array),
    lambda: store.add(frame.assign(b=1)),
    lambda: store.add(root / "big.tif"),
    lambda: store.add_plain_file(bytes(3_000_000), name="x"),
    lambda: store.export(*kept, root / "target" / "a.tif"),
    lambda: store.export(*points, root / "target" / "a.fgb"),
    lambda: store.export(*points, root / "target" / "a.parquet"),
    lambda: store.export(*points, root / "target" / "a.geojson"),
    lambda: store.export(*points, root / "target" / "a.gpkg"),
):
    try:
        act()
    except StoreError:
        continue
    sys.exit("no StoreError")
assert len(list(home.layers.iterdir())) == 2, list(home.layers.iterdir())
assert list((root / "target").iterdir()) == []
"""


def test_a_real_limit_on_the_size_of_files(tmp_path):
    """What GDAL and Arrow do when the disk is full, which differs from what Python does."""
    with rasterio.open(
        tmp_path / "big.tif",
        "w",
        driver="GTiff",
        width=1500,
        height=1500,
        count=1,
        dtype="uint8",
        crs=3857,
        transform=PLACE,
    ) as dataset:
        dataset.write(np.random.default_rng(1).integers(0, 255, (1, 1500, 1500), dtype="uint8"))
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=False)
    # Its TIFF library complains past every handler.
    said = [line for line in done.stderr.splitlines() if not line.startswith("_tiffWriteProc")]
    assert (done.returncode, said) == (0, [])
