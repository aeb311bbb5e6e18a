"""GeoPackage: what is looked at in its tables before GDAL opens it, and its layers.

Damaged files, and views and computed columns in the place of tables, are refused: SQL runs whenever they are read.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ellipsis_local.clocks import monotonic
from ellipsis_local.errors import LayerError, LimitError
from ellipsis_local.formats import EVERY, Format, limits, register
from ellipsis_local.gdal_errors import reading

SQLITE = b"SQLite format 3\0"

STEPS = 100_000
"""Of SQLite's machine between two looks at the clock."""
MOST_VALUE = 64 * 1024**2
"""Bytes of one value that is looked at; geometries and tiles are not."""
SECONDS, BYTES_PER_SECOND = 30.0, 10_000_000
"""What looking at the tables may take; one core does 500 MB a second."""
SYSTEM = """
    SELECT name, type, sql FROM sqlite_master
    WHERE type IN ('table', 'view') AND (lower(name) GLOB 'gpkg_*' OR lower(name) GLOB 'rtree_*')
"""
LISTED = """
    SELECT sqlite_master.name, sqlite_master.type, sqlite_master.sql, gpkg_contents.data_type FROM sqlite_master
    JOIN gpkg_contents ON lower(sqlite_master.name) = lower(gpkg_contents.table_name)
    WHERE sqlite_master.type IN ('table', 'view')
"""


def check_geopackage(path: Path, layer: str | None = None) -> None:
    """Look at a GeoPackage, and at one layer of it, or EVERY one, before GDAL opens it."""
    with reading(path), path.open("rb") as file:
        head = file.read(100)
    page, size = int.from_bytes(head[16:18], "big"), path.stat().st_size
    missing = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big") - size
    if missing > 0:
        raise LayerError.of(path, f"is truncated: {missing:,} bytes are missing at its end")
    with opened(path) as database, within(database, path, SECONDS + size / BYTES_PER_SECOND):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE)
        check_tables(database, path, layer)
        # Pages that several rows share would be read again for each of them.
        ((verdict,),) = database.execute("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise LayerError.of(path, f"is damaged: {str(verdict).splitlines()[-1]}")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A GeoPackage as a database in which nothing runs for what its own text says."""
    with (
        reading(path, "is no readable GeoPackage"),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database,
    ):
        # Functions with effects, and CHECKs, are not run for what a file's own text says.
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA ignore_check_constraints = ON")
        yield database


def data_types(path: Path) -> set[str]:
    """What a GeoPackage says it holds: 'features', 'tiles', …"""
    with opened(path) as database:
        return {str(row[0]) for row in database.execute("SELECT DISTINCT data_type FROM gpkg_contents")}


def vector_layers(path: Path) -> tuple[str, ...]:
    """The names of the layers with geometries, as GDAL lists them; views are none."""
    with opened(path) as database:
        return listed(database)


def listed(database: sqlite3.Connection) -> tuple[str, ...]:
    known = {name.lower(): name for name, kind, _, _ in database.execute(LISTED) if kind == "table"}
    rows = database.execute(
        "SELECT gpkg_contents.table_name FROM gpkg_contents JOIN gpkg_geometry_columns "
        "ON lower(gpkg_contents.table_name) = lower(gpkg_geometry_columns.table_name) "
        "WHERE data_type = 'features' ORDER BY gpkg_contents.rowid"
    )
    return tuple(known[str(name).lower()] for (name,) in rows if str(name).lower() in known)


@contextlib.contextmanager
def within(database: sqlite3.Connection, path: Path, seconds: float) -> Iterator[None]:
    """LimitError where statements on `database` take longer than so many seconds."""
    end = monotonic() + seconds
    database.set_progress_handler(lambda: monotonic() > end, STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise LimitError(f"{path} has tables that take more than {seconds:.0f} s to look at") from error
        raise


def check_tables(database: sqlite3.Connection, path: Path, layer: str | None) -> None:
    """LayerError where SQL runs whenever a layer, or a table that GDAL asks about layers, is read."""
    kinds = dict(database.execute("SELECT lower(name), type FROM sqlite_master WHERE lower(name) = 'gpkg_contents'"))
    if kinds.get("gpkg_contents") == "view":
        raise computed(path, "gpkg_contents", "a view")
    ((layers,),) = database.execute("SELECT count(*) FROM gpkg_contents")
    limits.check_count(str(path), layers, limits.MOST_LAYERS, "layers", "split it into several files")
    for name, kind, sql in database.execute(SYSTEM).fetchall():
        if what := computed_kind(database, name, kind, sql):
            raise computed(path, name, what)
    wrong: dict[str, str] = {}
    for name, kind, sql, data_type in database.execute(LISTED).fetchall():
        what = computed_kind(database, name, kind, sql)
        if what is not None and (data_type != "features" or layer == EVERY or name.lower() == str(layer).lower()):
            raise computed(path, name, what)
        wrong |= {} if what is None else {name: what}
    if wrong and not set(listed(database)) - set(wrong):
        raise computed(path, *next(iter(wrong.items())))


def computed_kind(database: sqlite3.Connection, name: str, kind: str, sql: str | None) -> str | None:
    """What makes a table one that is computed, None where nothing does."""
    if kind == "view":
        return "a view"
    if re.match(r"\s*CREATE\s+VIRTUAL\b", sql or "", re.IGNORECASE):
        rtree = r'\s*CREATE\s+VIRTUAL\s+TABLE\s+("(?:[^"]|"")*"|\S+)\s+USING\s+rtree\b'
        return None if re.match(rtree, sql or "", re.IGNORECASE) else "a virtual table"
    quoted = name.replace('"', '""')
    hidden = any(column[6] in (2, 3) for column in database.execute(f'PRAGMA table_xinfo("{quoted}")'))
    return "a table with computed columns" if hidden else None


def computed(path: Path, name: str, what: str) -> LayerError:
    return LayerError(
        f"{path}: {limits.few([name])} is {what}, which is computed whenever it is read; write it as a plain table "
        "(ogr2ogr does) and add that",
        source=str(path),
    )


def options(table: Any) -> Mapping[str, Any]:
    """GeoPackage adds a key and a geometry column: under names that the attributes do not have."""
    taken = {name.lower() for name in table.column_names}

    def free(name: str) -> str:
        while name in taken:
            name = f"_{name}"
        return name

    return {"FID": free("fid"), "GEOMETRY_NAME": free("geom")}


GEOPACKAGE = register(
    Format(
        name="gpkg", kind="vector", driver="GPKG", title="GeoPackage", suffixes=(".gpkg",), aliases=("geopackage",),
        begins=lambda head: head.startswith(SQLITE), check=check_geopackage, layers=vector_layers, options=options,
        facts={"lacks": ("list",)},
    )
)  # fmt: skip
