"""The archive of a home and the checks before anything changes; no node runs here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Point
from typer.testing import CliRunner

import ellipsis_local
from ellipsis_local.cli.app import app
from ellipsis_local.computes import Records
from ellipsis_local.computes.specification import ComputeRequest, Specification
from ellipsis_local.database import VERSION, Database
from ellipsis_local.emulator import SCHEMA, Emulator
from ellipsis_local.errors import ArgumentError, EllipsisLocalError, StoreError
from ellipsis_local.processes import ProcessMark, _mark
from ellipsis_local.restore import PREFIX
from ellipsis_local.settings import Settings
from ellipsis_local.state import exporting

SPEC = Specification(ComputeRequest(layers=()), nodes=2, python=(3, 12, 0), environment="env-1")
OLD = Path(__file__).parents[1] / "integration" / "data" / "home-format-1.zip"


def raster(value=1):
    return {"raster": np.full((1, 8, 8), value, "uint8"), "transform": Affine(10, 0, 0, 0, -10, 80), "crs": "EPSG:3857"}


def tree(folder):
    """Every file below with its bytes, and the rows of the database instead of its pages."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("ellipsis.sqlite") and path.parent.name != "locks"
    }
    with contextlib.closing(sqlite3.connect(folder / "ellipsis.sqlite")) as connection:
        return found | {"rows": list(connection.iterdump())}


@pytest.fixture
def filled(el):
    """A home with a raster, a vector and a user."""
    el.layers.add(raster(), name="ones")
    el.layers.add(geopandas.GeoDataFrame({"a": [1]}, geometry=[Point(5, 5)], crs="EPSG:3857"), name="points")
    el.account.logIn("ada", "a long password")
    return el


@pytest.fixture
def archive(filled, tmp_path):
    return filled.state.export_home(tmp_path / "home.zip").file


def names(el):
    return sorted(layer["name"] for layer in el.layers.list())


# ----- there and back ------------------------------------------------------------------------------------------------


def test_a_home_comes_back_as_it_was(filled, archive, tmp_path, home):
    before = tree(home)
    filled.layers.add(raster(2), name="later")
    filled.state.import_home(archive, replace=True)
    after = tree(home)
    # What the import itself leaves: its mark.
    rows = [row for row in after.pop("rows") if "imports" not in row]
    assert rows == before.pop("rows")
    assert after == before
    assert names(filled) == ["ones", "points"]
    filled.account.logIn("ada", "a long password")
    with pytest.raises(EllipsisLocalError):
        filled.account.logIn("ada", "another password")


def test_into_a_folder_that_is_not_there(filled, archive, tmp_path):
    place = tmp_path / "new" / "a ?#%41 é"
    told = filled.state.import_home(archive, home=place)
    assert told.files == 3
    assert not list(place.glob(".new-*"))
    assert filled.state.export_home(tmp_path / "again ?.zip", home=place).files == 3
    with Emulator(Settings(home=place)) as emulator:
        assert sorted(path.name for path in emulator.store.list()) == ["ones", "points"]
        for path in emulator.store.list():
            [timestamp] = emulator.store.catalogue.timestamps_of(path.id)
            for file in timestamp.files:
                assert file.location.is_file()
                assert file.folder.is_relative_to(place)


def test_others_that_have_the_home_open_go_on_with_the_new_one(filled, archive, home):
    """The database's file stays, and with it what they have open."""
    with Emulator(Settings(home=home)) as other:
        filled.state.reset_home()
        assert list(other.store.list()) == []
        other.store.add(raster(4), name="of the other")
        assert names(filled) == ["of the other"]
        filled.state.import_home(archive, replace=True)
        assert sorted(path.name for path in other.store.list()) == ["ones", "points"]


def test_what_an_archive_holds(filled, home, tmp_path):
    (home / "settings.toml").write_text('max_nodes = 7\nenvironments = "/somewhere"\n')
    (home / "environments").mkdir(exist_ok=True)
    (home / "environments" / "big").write_text("x")
    (home / "cache" / "junk").write_text("x")
    told = filled.state.export_home(tmp_path / "home.zip")
    assert stat.S_IMODE(told.file.stat().st_mode) == 0o600
    with zipfile.ZipFile(told.file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert archive.read("settings.toml") == b"max_nodes = 7\n"  # the other is a place of this machine
        listed = {entry["name"]: entry for entry in manifest["files"]}
        assert {"manifest.json", *listed} == set(archive.namelist())
        assert {name.split("/")[0] for name in listed} == {"ellipsis.sqlite", "settings.toml", "layers"}
        for name, entry in listed.items():
            data = archive.read(name)
            assert (entry["size"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (manifest["format"], manifest["database"]) == (1, VERSION)
    assert list(tmp_path.glob(".new-*")) == []


def test_what_is_packed_already_is_not_packed_again(el, tmp_path):
    noise = np.random.default_rng(1).integers(0, 2**32, 30_000, "uint32").tobytes()
    for name, data in (("noise.bin", noise), ("zeros.bin", bytes(200_000))):
        (tmp_path / name).write_bytes(data)
        el.path.file.add(filePath=str(tmp_path / name), token=el.account.logIn("ada", "a long password"))
    with zipfile.ZipFile(el.state.export_home(tmp_path / "home.zip").file) as archive:
        packing = {Path(info.filename).name: info.compress_type for info in archive.infolist()}
    assert packing["noise.bin"] == zipfile.ZIP_STORED
    assert packing["zeros.bin"] == zipfile.ZIP_DEFLATED


def test_export_replaces_only_when_told_to(filled, archive):
    first = archive.read_bytes()
    with pytest.raises(ArgumentError, match="is there already.*overwrite"):
        filled.state.export_home(archive)
    assert archive.read_bytes() == first
    filled.layers.add(raster(3), name="third")
    assert filled.state.export_home(archive, overwrite=True).files == 4
    assert archive.read_bytes() != first


def test_two_exports_to_one_name_are_one(filled, tmp_path, monkeypatch):
    target = tmp_path / "home.zip"
    write = exporting._write

    def slow(*given):
        made = write(*given)
        if not target.exists():
            target.write_bytes(b"another was first")
        return made

    monkeypatch.setattr(exporting, "_write", slow)
    with pytest.raises(ArgumentError, match="is there already"):
        filled.state.export_home(target)
    assert target.read_bytes() == b"another was first"


@pytest.mark.parametrize(
    ("place", "why"),
    [("home/inside.zip", "lies in the home"), ("", "is a folder"), ("nowhere/x.zip", "cannot be written")],
)
def test_places_where_no_archive_can_be(filled, tmp_path, place, why):
    with pytest.raises(ArgumentError, match=why):
        filled.state.export_home(tmp_path / place)


def test_export_while_others_write(filled, home, tmp_path):
    """Every archive is whole: import holds the rows against the files."""
    end = threading.Event()

    def write():
        while not end.is_set():
            added = filled.layers.add(raster(7), name="fleeting")
            filled.layers.remove(added["pathId"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        archives = [filled.state.export_home(tmp_path / f"{n}.zip").file for n in range(6)]
    finally:
        end.set()
        writer.join()
    for archive in archives:
        filled.state.import_home(archive, home=tmp_path / f"copy of {archive.stem}")


def test_a_file_that_is_gone_is_named(filled, home, tmp_path):
    [path] = home.glob("layers/*/*.tif")
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name} is missing in the home"):
        filled.state.export_home(tmp_path / "home.zip")
    assert list(tmp_path.glob("*.zip")) == []


def test_running_computes_are_archived_as_killed_ones(el, home, tmp_path):
    records = Records(Database(home / "ellipsis.sqlite", SCHEMA))
    executing, starting, available = (records.create("ada", SPEC) for _ in range(3))
    for compute_id in (executing, available):
        records.change(compute_id, {"queued"}, "available")
    records.begin(executing)
    log = home / "computes" / executing / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"node": 0}\n{"node": 1, "te')
    for left_out in ("scratch/left", "kept/0/0.npy", "results/file.new", "results/.new-draft"):
        (log.parent / left_out).parent.mkdir(parents=True, exist_ok=True)
        (log.parent / left_out).write_text("x")
    archive = el.state.export_home(tmp_path / "home.zip").file
    assert records.get(executing).status == "executing"
    el.state.import_home(archive, home=tmp_path / "copy")
    copy = Records(Database(tmp_path / "copy" / "ellipsis.sqlite", SCHEMA))
    assert [copy.get(one).status for one in (executing, starting, available)] == ["completed", "errored", "available"]
    assert [node.outcome.state for node in copy.nodes(executing)] == ["failed", "failed"]
    assert (tmp_path / "copy" / "computes" / executing / "log.jsonl").read_text() == '{"node": 0}\n'
    assert [path.name for path in (tmp_path / "copy" / "computes" / executing).iterdir()] == ["log.jsonl"]


def test_an_archive_of_format_1(el, tmp_path):
    """A home that the first release with archives wrote: before the nodes' peak memory was kept."""
    el.state.import_home(OLD)
    assert names(el) == ["ramp", "trees"]
    token = el.account.logIn("archivist", "a password")
    computes = el.compute.listComputes(token)["result"]
    assert sorted(compute["status"] for compute in computes) == ["available", "stopped"] or computes
    large = next(compute for compute in computes if compute["largeResult"])
    info = el.compute.getComputeInfo(large["id"], token)
    values = []
    for result in info["result"]:
        el.compute.downloadFile(
            f"/compute/{large['id']}/file/{result['value']}", token, filePath=str(tmp_path / "result")
        )
        values.append((tmp_path / "result").read_bytes())
    assert values == [b"first", b"first"]


def test_seeded_ids_go_on_where_they_were(el, tmp_path):
    el.configure(seed=7)
    first = [el.layers.add(raster(n))["pathId"] for n in range(2)]
    archive = el.state.export_home(tmp_path / "home.zip").file
    third = el.layers.add(raster(3))["pathId"]
    el.configure(home=tmp_path / "copy", seed=7)
    el.state.import_home(archive)
    assert el.layers.add(raster(3))["pathId"] == third
    el.state.reset_home()
    assert [el.layers.add(raster(n))["pathId"] for n in range(2)] == first


# ----- refused -------------------------------------------------------------------------------------------------------


def rewritten(source, target, change):
    """A copy of an archive, its entries and manifest changed by `change(entries, manifest)`."""
    with zipfile.ZipFile(source) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    manifest = json.loads(entries.pop("manifest.json"))
    change(entries, manifest)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
        archive.writestr("manifest.json", json.dumps(manifest))
    return target


def described(name, data):
    return {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def holding(name):
    def change(entries, manifest):
        entries[name] = b"evil"
        manifest["files"].append(described(name, b"evil"))

    return change


def with_database(statement):
    def change(entries, manifest):
        path = Path(os.environ["PYTEST_DATABASE"])
        path.write_bytes(entries["ellipsis.sqlite"])
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(statement)
        entries["ellipsis.sqlite"] = path.read_bytes()
        manifest["files"] = [
            described("ellipsis.sqlite", path.read_bytes()) if one["name"] == "ellipsis.sqlite" else one
            for one in manifest["files"]
        ]

    return change


def damaged_layer(entries, manifest):
    name = next(name for name in entries if name.endswith(".tif"))
    entries[name] = entries[name][:-1] + b"?"


def without_layer(entries, manifest):
    name = next(name for name in entries if name.endswith(".tif"))
    del entries[name]
    manifest["files"] = [one for one in manifest["files"] if one["name"] != name]


def no_database(entries, manifest):
    entries["ellipsis.sqlite"] = b"no database"
    manifest["files"] = [
        described(one["name"], entries[one["name"]]) if one["name"] == "ellipsis.sqlite" else one
        for one in manifest["files"]
    ]


ID = "00000000-0000-4000-8000-000000000000"
HOSTILE = {
    "newer": (lambda _, manifest: manifest.update(format=2, files="?"), "newer ellipsis_local.*update"),
    "newer database": (lambda _, manifest: manifest.update(database=VERSION + 1), "newer ellipsis_local.*update"),
    "of another kind": (lambda _, manifest: manifest.update(kind="a shop"), "not one of ours"),
    "format is text": (lambda _, manifest: manifest.update(format="1"), "not one of ours"),
    "size is negative": (lambda _, manifest: manifest["files"][0].update(size=-1), "damaged"),
    "size is wrong": (lambda _, manifest: manifest["files"][0].update(size=12), "its manifest says 12"),
    "listed twice": (lambda _, manifest: manifest["files"].append(manifest["files"][0]), "lists a file twice"),
    "not listed": (lambda entries, _: entries.update({f"layers/{ID}/a": b""}), "not both"),
    "listed, not there": (lambda _, m: m["files"].append(described(f"layers/{ID}/a", b"")), "not both"),
    "absolute": (holding("/etc/passwd"), "no place in a home"),
    "upwards": (holding(f"layers/{ID}/../../../x"), "no place in a home"),
    "upwards at the end": (holding(f"layers/{ID}/.."), "no place in a home"),
    "backslashes": (holding(f"layers/{ID}/..\\..\\x"), "no place in a home"),
    "an environment": (holding("environments/x/bin/python"), "no place in a home"),
    "case alone": (holding("Settings.toml"), "no place in a home"),
    "file and folder": (
        lambda e, m: (holding(f"layers/{ID}/a")(e, m), holding(f"layers/{ID}/a/b")(e, m)),
        "both a file and a folder",
    ),
    "case of a layer's file": (
        lambda e, m: (holding(f"layers/{ID}/a")(e, m), holding(f"layers/{ID}/A")(e, m)),
        "differs .* in its case alone",
    ),
    "damaged layer": (damaged_layer, "is damaged"),
    "layer is missing": (without_layer, "misses"),
    "no database": (no_database, "database is damaged"),
    "trigger": (
        with_database("CREATE TRIGGER t AFTER INSERT ON paths BEGIN DELETE FROM users; END"),
        "none of a home",
    ),
    "view": (with_database("DROP TABLE users; CREATE VIEW users AS SELECT 1"), "none of a home"),
    "other tables": (with_database("DROP TABLE computes"), "none of a home"),
    "orphan": (with_database("DELETE FROM timestamps"), "refers to one that is not there"),
    "file elsewhere": (
        with_database("UPDATE files SET detail = json_set(detail, '$.location', '/etc/passwd')"),
        "misses '/etc/passwd'",
    ),
    "file upwards": (with_database("UPDATE files SET main = '../../x'"), "misses '../../x'"),
    "parts are no list": (with_database("UPDATE files SET parts = '{'"), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "why"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_whole_archive_changes_nothing(el, tmp_path, home, monkeypatch, change, why):
    monkeypatch.setenv("PYTEST_DATABASE", str(tmp_path / "scratch.sqlite"))
    el.layers.add(raster(9), name="mine")
    before = tree(home)
    bad = rewritten(OLD, tmp_path / "bad.zip", change)
    with pytest.raises(ArgumentError, match=why) as caught:
        el.state.import_home(bad, replace=True)
    assert caught.value.argument == "file"
    assert str(bad) in str(caught.value)
    assert tree(home) == before
    with pytest.raises(ArgumentError):
        el.state.import_home(bad, home=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def link(path):
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo(f"layers/{ID}/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")


def test_links_are_not_followed(el, tmp_path):
    def change(entries, manifest):
        manifest["files"].append(described(f"layers/{ID}/link", b"/etc/passwd"))

    bad = rewritten(OLD, tmp_path / "bad.zip", change)
    link(bad)
    with pytest.raises(ArgumentError, match="no plain file"):
        el.state.import_home(bad)


@pytest.mark.parametrize("keep", [0, 1, 40, 4000, -1, -30])
def test_a_truncated_archive(el, tmp_path, keep):
    (tmp_path / "cut.zip").write_bytes(OLD.read_bytes()[:keep])
    with pytest.raises(ArgumentError, match=r"no whole archive|no archive"):
        el.state.import_home(tmp_path / "cut.zip")


def test_flipped_bytes_never_come_in(el, tmp_path):
    """Whatever byte is wrong, the home is what it was or what the archive was before."""
    whole = OLD.read_bytes()
    refused = 0
    for position in range(11, len(whole), 977):
        data = bytearray(whole)
        data[position] ^= 0x55
        (tmp_path / "flipped.zip").write_bytes(data)
        try:
            el.state.import_home(tmp_path / "flipped.zip", replace=True)
            assert names(el) == ["ramp", "trees"]
            el.state.reset_home()
        except ArgumentError:
            refused += 1
            assert names(el) == []
    assert refused >= 10


def test_other_files_are_no_archive(el, tmp_path):
    (tmp_path / "text").write_text("hello")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    for name, why in (("text", "no whole archive"), ("other.zip", "without manifest"), ("none", "no such file")):
        with pytest.raises(ArgumentError, match=why):
            el.state.import_home(tmp_path / name)
    with pytest.raises(ArgumentError, match="is a folder"):
        el.state.import_home(tmp_path)
    for value in (None, 3, "", b""):
        with pytest.raises(ArgumentError, match="file must be"):
            el.state.import_home(value)
    with pytest.raises(ArgumentError, match="replace must be of type boolean"):
        el.state.import_home(OLD, replace="yes")


def test_a_home_that_holds_something_is_replaced_only_when_told_to(filled):
    with pytest.raises(ArgumentError, match="holds something already.*--replace"):
        filled.state.import_home(OLD)
    assert names(filled) == ["ones", "points"]
    filled.state.import_home(OLD, replace=True)
    assert names(filled) == ["ramp", "trees"]


@pytest.mark.parametrize("content", ["other file", "other database", "layers alone", "newer"])
def test_what_is_no_home_of_ours_is_left_alone(el, tmp_path, content):
    folder = tmp_path / "folder"
    folder.mkdir()
    if content == "other file":
        (folder / "thesis.docx").write_text("mine")
    elif content == "layers alone":
        (folder / "layers" / "mine").mkdir(parents=True)
    else:
        with contextlib.closing(sqlite3.connect(folder / "ellipsis.sqlite")) as connection, connection:
            connection.execute("CREATE TABLE mine (a)")
            if content == "newer":
                Database(folder / "ellipsis.sqlite", SCHEMA).close()
                connection.execute("PRAGMA user_version = 99")
    before = sorted(folder.rglob("*"))
    why = "newer ellipsis_local" if content == "newer" else "no home of ellipsis_local"
    for act in (
        lambda: el.state.import_home(OLD, home=folder, replace=True),
        lambda: el.state.reset_home(home=folder, force=True),
        lambda: el.state.export_home(tmp_path / "x.zip", home=folder),
    ):
        with pytest.raises(StoreError, match=why):
            act()
    assert [path for path in sorted(folder.rglob("*")) if not path.name.endswith(("-shm", "-wal"))] == before


def test_nothing_to_export(el, tmp_path):
    with pytest.raises(StoreError, match="nothing to export"):
        el.state.export_home(tmp_path / "x.zip", home=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def other():
    """Another process that is alive."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield _mark(process.pid)
    process.communicate(b"\n")


@pytest.mark.parametrize("use", ["executing", "waiting nodes"])
def test_a_home_in_use_stays(filled, home, other, use):
    database = Database(home / "ellipsis.sqlite", SCHEMA)
    compute_id = Records(database).create("ada", SPEC)
    with database.transaction() as connection:
        if use == "executing":
            connection.execute("UPDATE computes SET status = 'executing', pid = ?, started = ?", other)
        else:
            connection.execute("UPDATE computes SET status = 'available'")
            connection.execute("INSERT INTO compute_pools VALUES (?, ?, ?)", (compute_id, *other))
    for act in (lambda: filled.state.import_home(OLD, replace=True), filled.state.reset_home):
        with pytest.raises(StoreError, match=f"in use: compute {compute_id} .* process {other.pid}; terminate it"):
            act()
    assert names(filled) == ["ones", "points"]
    # A process that is gone uses nothing.
    with database.transaction() as connection:
        dead = ProcessMark(other.pid, other.started - 100)
        connection.execute("UPDATE computes SET pid = ?, started = ?", dead)
        connection.execute("UPDATE compute_pools SET pid = ?, started = ?", dead)
    filled.state.reset_home()
    assert names(filled) == []


def test_force_resets_a_home_in_use(filled, home, other):
    database = Database(home / "ellipsis.sqlite", SCHEMA)
    compute_id = Records(database).create("ada", SPEC)
    with database.transaction() as connection:
        connection.execute("INSERT INTO compute_pools VALUES (?, ?, ?)", (compute_id, *other))
    filled.state.reset_home(force=True)
    assert names(filled) == []
    assert Records(database).statuses([compute_id]) == {}


# ----- reset ---------------------------------------------------------------------------------------------------------


def test_reset_leaves_environments_and_settings(filled, home):
    emulator = ellipsis_local.emulator.current_emulator()
    settings = (home / "settings.toml").read_text()
    for folder in ("environments/env-1", "cache/virtualenv", "cache/cuts/some", f"computes/{ID}/results"):
        (home / folder).mkdir(parents=True)
    filled.state.reset_home()
    assert (home / "settings.toml").read_text() == settings
    assert (home / "environments" / "env-1").is_dir()
    assert (home / "cache" / "virtualenv").is_dir()
    for folder in ("layers", "computes", "cache/cuts"):
        assert list((home / folder).iterdir()) == []
    assert ellipsis_local.emulator.current_emulator() is emulator  # whoever holds it goes on
    assert names(filled) == []
    filled.account.logIn("ada", "another password")  # somebody else by now
    filled.layers.add(raster(), name="again")
    assert names(filled) == ["again"]


def test_numbers_begin_anew_after_a_reset(filled, home):
    def number():
        with contextlib.closing(sqlite3.connect(home / "ellipsis.sqlite")) as connection:
            return connection.execute("SELECT max(position) FROM timestamps").fetchone()[0]

    assert number() == 2
    filled.state.reset_home()
    filled.layers.add(raster())
    assert number() == 1


def test_reset_of_nothing(el, tmp_path):
    el.state.reset_home(home=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


# ----- killed --------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment(el, home, tmp_path):
    """SIGKILL at every step of an import and of a reset: the next process opens the old home or the new one."""
    el.layers.add(raster(9), name="former")
    el.layers.add(raster(9), name="former, too")
    ellipsis_local.emulator.use(None)
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed_state.py")), str(home), str(OLD), str(tmp_path / "work")],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(ellipsis_local.__file__).parents[1])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert set(told) == {"import", "import into nothing", "reset"}
    for outcomes in told.values():
        assert set(outcomes) == {"old", "new", "done"}
        assert outcomes["old"] >= 3
        assert outcomes["new"] >= 3


def test_a_damaged_journal_is_told(filled, home):
    ellipsis_local.emulator.use(None)
    for text in ("", "[]", '{"draft": "../.."}'):
        (home / "import.json").write_text(text)
        with pytest.raises(StoreError, match=r"import\.json"):
            filled.layers.list()
    (home / "import.json").unlink()
    assert names(filled) == ["ones", "points"]


def test_drafts_of_killed_imports_are_swept(filled, home):
    old = home / f"{PREFIX}{'0' * 32}"
    old.mkdir()
    os.utime(old, (1, 1))
    ellipsis_local.emulator.use(None)
    assert not old.exists()


# ----- the command line ----------------------------------------------------------------------------------------------


def test_the_command_line(filled, home, tmp_path):
    def run(*arguments, code=0):
        answer = CliRunner().invoke(app, ["--home", *map(str, arguments)])
        assert answer.exit_code == code, answer.output
        return answer

    target = tmp_path / "a b.zip"
    assert "hashes of passwords" in run(home, "state", "export", target).stdout
    assert "is there already" in run(home, "state", "export", target, code=1).stderr
    assert json.loads(run(home, "state", "export", target, "--overwrite", "--json").stdout)["format"] == 1
    copy = tmp_path / "copy"
    assert "imported 3 files" in run(copy, "state", "import", target).stdout
    assert "--replace" in run(copy, "state", "import", target, code=1).stderr
    assert json.loads(run(copy, "state", "import", target, "--replace", "--json").stdout)["files"] == 3
    assert len(json.loads(run(copy, "layers", "list", "--json").stdout)) == 2
    assert "emptied" in run(copy, "state", "reset").stdout
    assert json.loads(run(copy, "layers", "list", "--json").stdout) == []
    assert "no home of ellipsis_local" in run(tmp_path, "state", "reset", code=1).stderr
