"""The features of vector timestamps: all that is answered about them, their properties, their log and their change.

A change writes new versions of the files that it touches beside them, and one transaction makes them known together
with what the log says. Whoever reads sees all of a change or nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid5

import numpy as np

from ellipsis_local.arguments import invalid
from ellipsis_local.crs import WGS84
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, NotFoundError
from ellipsis_local.features import changelog, nearby, parquet_cache, query, rewrite, validate_geojson
from ellipsis_local.features.changelog import Action, Author, Entry
from ellipsis_local.features.columns import TYPES, logical_type
from ellipsis_local.features.geojson import from_wgs84
from ellipsis_local.features.ids import Integers, feature_id, feature_ids, parted, stem
from ellipsis_local.features.parquet_cache import bounds_of, meeting, open_table
from ellipsis_local.features.rewrite import MARK, NewFeatures, Version, drop_former, write_version
from ellipsis_local.features.schema_context import (
    Column,
    Known,
    check_count,
    fitted,
    joined,
    known_columns,
    patched,
    planned,
)
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.features.validate_geojson import Incoming, place_of
from ellipsis_local.home import Home
from ellipsis_local.ids import as_uuid, wire_date
from ellipsis_local.service_columns import check_length
from ellipsis_local.store import LayerStore, checked_name
from ellipsis_local.types import Extent, PathRecord, StoredFile, Timestamp, VectorFile
from ellipsis_local.vector import attributes, from_shapely

LONGEST_NAME = 256
MOST_KEPT = 4096
"""Files whose fields this process keeps in mind."""
FLAGS = ("required", "private", "trashed")
TAKEN = ("geometry", "id")
"""Names that a feature has beside its properties."""
ATTEMPTS = 5
TAIL_ROWS = 30_000
TAIL_BYTES = 32 * 1024**2
"""Added features go into the file of those added before until it holds so much: few files, and little written twice."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Edit:
    properties: Mapping[str, Any]
    geometry: Any
    """shapely, EPSG:4326; None where it stays."""
    position: int


@dataclass(frozen=True)
class Made:
    """What was done to one file: its new version, and what the log is to say of it."""

    version: Version
    action: Action
    numbers: Integers
    before: bytes | None = None


def property_id(path_id: str, name: str) -> str:
    """The same for the same name in the same path: a column has an id before anybody declares it."""
    return str(uuid5(UUID(path_id), name))


class Features:
    """The features of one home. Safe to use from several threads, and from several processes on one home."""

    def __init__(self, home: Home, database: Database, store: LayerStore) -> None:
        self.home = home
        self.database = database
        self.store = store
        self._fields: dict[str, tuple[tuple[str, str], ...]] = {}

    def properties(self, path_id: str) -> list[dict[str, Any]]:
        """The properties of a vector: columns in the order of its files, then what was declared and no file has."""
        path_id = self._vector(path_id).id
        declared = self.declared(path_id)
        columns: dict[str, str] = {}
        for timestamp in self.store.catalogue.timestamps_of(path_id):
            for file in timestamp.vectors:
                for name, kind in self.fields(file):
                    columns.setdefault(name, kind)
        columns |= {name: one["type"] for name, one in declared.items() if name not in columns}
        flags = dict.fromkeys(FLAGS, False)
        return [
            {"id": property_id(path_id, name), "name": name} | flags | declared.get(name, {}) | {"type": kind}
            for name, kind in columns.items()
        ]

    def add_property(self, path_id: str, name: Any, type: Any, required: Any = False, private: Any = False) -> str:
        """Declare a property and return its id; the same once more is nothing to do (the client sends again)."""
        path = self._vector(path_id)
        name = checked_property(name)
        check_length("the name of a property", "name", name, strict=self.database.strict)
        if type not in TYPES:
            raise invalid("type", type, f"must be one of {', '.join(TYPES)}, not {type!r}")
        flags = {"required": checked_flag("required", required), "private": checked_flag("private", private)}
        # Once before: what has to be read from files is read outside of the transaction.
        self.properties(path.id)
        with self.store.catalogue.transaction():
            for known in self.properties(path.id):
                if known["name"] != name:
                    continue
                text = "is in the trash; recover it first" if known["trashed"] else None
                if text is None and known["type"] != type:
                    text = f"exists already, of type {known['type']}, not {type}"
                if text is not None:
                    raise ArgumentError(f"property {name!r} {text}", argument="name", value=name)
            self._declare(path.id, {"name": name, "type": type, **flags, "trashed": False})
        return property_id(path.id, name)

    def edit_property(self, path_id: str, property_id: str, required: Any = None, private: Any = None) -> None:
        """Change whether a property is required or private; None: as it is. NotFoundError for an unknown id."""
        given = {"required": required, "private": private}
        self._set_flags(path_id, property_id, {name: flag for name, flag in given.items() if flag is not None})

    def trash_property(self, path_id: str, property_id: str, trashed: Any = True) -> None:
        """Put a property in the trash, or take it out.

        Answers about features leave it out then, and new features may not have it. The files keep the column, so
        computes still see it: our choice, and cheap to undo. NotFoundError for an unknown id.
        """
        self._set_flags(path_id, property_id, {"trashed": trashed})

    def _set_flags(self, path_id: str, property_id: str, flags: Mapping[str, Any]) -> None:
        path = self._vector(path_id)
        checked = {name: checked_flag(name, flag) for name, flag in flags.items()}
        self.properties(path.id)
        with self.store.catalogue.transaction():
            self._declare(path.id, self._property(path.id, property_id) | checked)

    def declared(self, path_id: str) -> dict[str, dict[str, Any]]:
        """What was declared, by name: `type`, `required`, `private`, `trashed`."""
        return {
            row["name"]: {"type": row["type"], **{flag: bool(row[flag]) for flag in FLAGS}}
            for row in self.database.rows(
                "SELECT * FROM feature_properties WHERE path_id = ? ORDER BY position", (path_id,)
            )
        }

    def names(self, path_id: str, files: Sequence[StoredFile]) -> tuple[str, ...]:
        """The properties that the features of these files have in answers: all but those in the trash."""
        trashed = {name for name, one in self.declared(path_id).items() if one["trashed"]}
        details = [file.detail for file in files if isinstance(file.detail, VectorFile)]
        found = dict.fromkeys(name for detail in details for name, _ in self.fields(detail))
        return tuple(name for name in found if name not in trashed)

    def fields(self, file: VectorFile) -> tuple[tuple[str, str], ...]:
        """The names and types of a file's columns; read from the file once, and kept by its content."""
        found = self._fields.get(file.content)
        if found is None:
            row = self.database.row("SELECT fields FROM feature_fields WHERE content = ?", (file.content,))
            found = self._looked_up(file) if row is None else tuple((n, t) for n, t in json.loads(row["fields"]))
            if len(self._fields) >= MOST_KEPT:
                self._fields.clear()
            self._fields[file.content] = found
        return found

    def _looked_up(self, file: VectorFile) -> tuple[tuple[str, str], ...]:
        if not file.fields:
            return ()
        try:
            types = {field.name: logical_type(field) for field in attributes(file)}
        except LayerError:
            # Gone or damaged: whoever reads the features says so.
            return tuple((name, "string") for name in file.fields)
        found = tuple((name, types[name]) for name in file.fields if name in types)
        with self.store.catalogue.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO feature_fields (content, fields) VALUES (?, ?)",
                (file.content, json.dumps(found)),
            )
        return found

    def _vector(self, path_id: str) -> PathRecord:
        path = self.store.path(path_id)
        if path.type != "vector":
            raise invalid("pathId", path.id, f"{path.id} is a {path.type}, which has no features")
        return path

    def _property(self, path_id: str, given: Any) -> dict[str, Any]:
        wanted = as_uuid("propertyId", given)
        for known in self.properties(path_id):
            if known["id"] == wanted:
                return known
        text = f"propertyId {wanted} does not exist in path {path_id}"
        raise NotFoundError(text, argument="propertyId", value=wanted)

    def _declare(self, path_id: str, known: Mapping[str, Any]) -> None:
        with self.store.catalogue.transaction() as connection:
            connection.execute(
                "INSERT INTO feature_properties (id, path_id, name, type, required, private, trashed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET required = excluded.required, "
                "private = excluded.private, trashed = excluded.trashed",
                (property_id(path_id, known["name"]), path_id, *(known[one] for one in ("name", "type", *FLAGS))),
            )

    def page(self, timestamp: Timestamp, start: Any = None, size: int | None = query.PAGE_SIZE) -> query.Page:
        """Features in the order of the files, and of the rows in them, in EPSG:4326; null what that cannot express.

        A page ends at 10,000 features or about 3 MB (our choice). Ids stand beside the properties and in them (seen in
        the client). `start` is the id that the page before gave, bare or in an object (seen in recorded answers).
        """
        return self._listed(timestamp, start, size, lambda sheet: np.arange(sheet.rows))

    def by_extent(
        self,
        timestamp: Timestamp,
        extent: Extent | Mapping[str, Any],
        property_filter: Any = None,
        start: Any = None,
        size: int | None = query.PAGE_SIZE,
    ) -> query.Page:
        """Features whose bounds meet an extent, as `page` gives them; touching counts (as in the client)."""
        box = query.checked_extent(extent)
        known = [one["name"] for one in self.properties(timestamp.path_id)]
        conditions = query.checked_filter(property_filter, known)
        return self._listed(timestamp, start, size, lambda sheet: meeting(bounds_of(self.home, sheet), box), conditions)

    def _listed(
        self,
        timestamp: Timestamp,
        start: Any,
        size: Any,
        rows_of: Callable[[FeatureTable], Integers],
        conditions: Collection[query.Condition] = (),
    ) -> query.Page:
        most = query.checked_size(size)
        begin = None if start is None else query.checked_start(start)

        def listed(files: Sequence[StoredFile]) -> query.Page:
            features: list[dict[str, Any]] = []
            room = query.Room(most)
            names = self.names(timestamp.path_id, files)
            first = 0 if begin is None else query.position_of(files, begin[0], start)
            for file in files[first:]:
                with open_table(self.home, file) as sheet:
                    rows = rows_of(sheet)
                    if begin is not None and file is files[first]:
                        rows = rows[np.searchsorted(rows, sheet.row_from(begin[1])) :]
                    following = room.fill(features, sheet, rows, conditions, names)
                if following is not None:
                    return features, following
            return features, None

        return self._steady(timestamp, listed)

    def by_ids(self, timestamp: Timestamp, ids: Any) -> list[dict[str, Any]]:
        """Features by their ids, in their order, as `page` gives them."""
        wanted = query.checked_ids(ids)

        def found(files: Sequence[StoredFile]) -> list[dict[str, Any]]:
            features: dict[str, dict[str, Any]] = {}
            names = self.names(timestamp.path_id, files)
            for file, numbers in query.located(files, wanted):
                with open_table(self.home, file) as sheet:
                    rows = sheet.rows_of(numbers)
                    for piece, table in sheet.read(rows[rows >= 0]):
                        features |= {one["id"]: one for one in sheet.features(piece, table, names)}
            for one in wanted:
                if one not in features:
                    raise query.missing(one)
            return [features[one] for one in wanted]

        return self._steady(timestamp, found)

    def at_locations(self, timestamp: Timestamp, locations: Any, epsg: Any = 4326) -> list[list[dict[str, Any]]]:
        """What lies at each of up to 100 locations: for each a list of features, as `page` gives them.

        Polygons that contain the location, then what is within 10 metres of it, the nearest first, ten at most. Our
        choice; what the service counts as being there is not documented.
        """
        places = nearby.checked_locations(locations, epsg)

        def found(files: Sequence[StoredFile]) -> list[list[dict[str, Any]]]:
            best = nearby.Best(places)
            names = self.names(timestamp.path_id, files)
            for position, file in enumerate(files):
                with open_table(self.home, file) as sheet:
                    best.look(position, sheet, bounds_of(self.home, sheet))
            features: dict[tuple[int, int], dict[str, Any]] = {}
            for position, rows in best.rows().items():
                with open_table(self.home, files[position]) as sheet:
                    for piece, table in sheet.read(rows):
                        made = sheet.features(piece, table, names)
                        features |= {(position, int(row)): one for row, one in zip(piece, made, strict=True)}
            return [[features[one] for one in chosen] for chosen in best.chosen()]

        return self._steady(timestamp, found)

    def _steady(self, timestamp: Timestamp, read: Callable[[Sequence[StoredFile]], Found]) -> Found:
        """Read the files as they are now; again where one was replaced by a change meanwhile."""
        for attempt in range(ATTEMPTS):
            files = self.files(timestamp)
            try:
                return read(files)
            except LayerError:
                now = [file.content for file in self.files(timestamp)]
                if attempt == ATTEMPTS - 1 or now == [file.content for file in files]:
                    raise
        raise AssertionError("unreachable")

    def files(self, timestamp: Timestamp) -> tuple[StoredFile, ...]:
        """The files of a vector timestamp as they are now."""
        if timestamp.type != "vector":
            text = f"timestamp {timestamp.id} is of a {timestamp.type}, which has no features"
            raise ArgumentError(text, argument="timestampId", value=timestamp.id)
        return self.store.timestamp(timestamp.path_id, timestamp.id).files

    def versions(self, timestamp: Timestamp, feature_id: Any) -> list[dict[str, Any]]:
        """What a feature has been, the newest first (our choice); also one that is in the trash."""
        wanted = as_uuid("featureId", feature_id)

        def found(files: Sequence[StoredFile]) -> list[dict[str, Any]]:
            ((file, numbers),) = query.located(files, [wanted])
            names = self.names(timestamp.path_id, files)
            with open_table(self.home, file) as sheet:
                rows = sheet.rows_of(numbers)
                if numbers[0] >= sheet.following:
                    raise query.missing(wanted)
                pieces = sheet.read(rows[rows >= 0])
                now = [one for piece, table in pieces for one in sheet.features(piece, table, names)]
            return self._versions(timestamp, file, int(numbers[0]), now, names)

        return self._steady(timestamp, found)

    def _versions(
        self, timestamp: Timestamp, file: StoredFile, number: int, now: list[dict[str, Any]], names: Sequence[str]
    ) -> list[dict[str, Any]]:
        owner = self.store.path(timestamp.path_id).owner
        date, user = wire_date(file.created), {"id": owner, "username": None}
        states = []
        for one in self._entries_of(file.id, number, number):
            place = int(np.searchsorted(one.numbers, number))
            if place == len(one.numbers) or one.numbers[place] != number:
                continue
            if one.action in ("edit", "trash"):
                (before,) = changelog.thawed_features(self._before(one.id).slice(place, 1), file.id, [number], names)
                states.append({"feature": before, "date": date, "user": user})
            date, user = wire_date(one.date), one.user
        states += [{"feature": feature, "date": date, "user": user} for feature in now]
        return states[::-1]

    def changes(
        self, timestamp: Timestamp, start: Any = None, size: Any = None, actions: Any = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The changes of a timestamp's features, one entry for each feature of each, the newest first (our choice)."""
        left = changelog.PAGE if size is None else query.checked_size(size)
        kinds = changelog.checked_actions(actions)
        top, skipped = (None, 0) if start is None else changelog.checked_mark(start)
        marks = ", ".join("?" * len(kinds))
        select = (
            f"SELECT {changelog.COLUMNS} FROM feature_changes WHERE timestamp_id = ? AND action IN ({marks}) "  # noqa: S608
            f"AND (? IS NULL OR id <= ?) ORDER BY id DESC LIMIT ?"
        )
        found: list[dict[str, Any]] = []
        for row in self.database.rows(select, (timestamp.id, *kinds, top, top, left + 1)):
            one = changelog.entry(row)
            numbers = one.numbers[skipped:] if one.id == top else one.numbers
            offset = len(one.numbers) - len(numbers)
            if left == 0:
                return found, f"{one.id}-{offset}"
            told = {"action": one.action, "date": wire_date(one.date), "user": one.user}
            found += (
                {"id": f"{one.id}-{place}", "featureId": feature, **told}
                for place, feature in enumerate(feature_ids(one.file_id, numbers[:left].tolist()), start=offset)
            )
            if len(numbers) > left:
                return found, f"{one.id}-{offset + left}"
            left -= len(numbers)
        return found, None

    def _entries_of(self, file_id: str, low: int, high: int, action: str | None = None) -> list[Entry]:
        """What the log says of some of a file's features, oldest first; it may say it of others only."""
        select = (
            f"SELECT {changelog.COLUMNS} FROM feature_changes WHERE file_id = ? AND low <= ? AND high >= ? "  # noqa: S608
            "AND (? IS NULL OR action = ?) ORDER BY id"
        )
        return [changelog.entry(row) for row in self.database.rows(select, (file_id, high, low, action, action))]

    def _before(self, entry_id: int) -> Any:
        row = self.database.row("SELECT before FROM feature_changes WHERE id = ?", (entry_id,))
        if row is None or row["before"] is None:
            raise NotFoundError("the log of this timestamp was removed meanwhile", argument="timestampId")
        return changelog.thawed(row["before"])

    def _trashed_rows(self, file: StoredFile, numbers: Integers) -> list[tuple[Integers, Any]]:
        """The rows that features had when they were put in the trash: numbers, ascending, and a table, several times.

        NotFoundError for one that never was there.
        """
        import pyarrow as pa

        found = []
        left = numbers
        for one in reversed(self._entries_of(file.id, int(numbers[0]), int(numbers[-1]), "trash")):
            here = np.intersect1d(one.numbers, left, assume_unique=True)
            if len(here):
                table = self._before(one.id).take(pa.array(np.searchsorted(one.numbers, here)))
                found.append((here, table))
                left = np.setdiff1d(left, here, assume_unique=True)
            if not len(left):
                return found
        raise query.missing(feature_id(stem(file.id), int(left[0])))

    def add(self, path_id: str, timestamp_id: str, features: Any, user: Author | None = None) -> list[str]:
        """Add features to a timestamp, all or none, and return their ids. Its status stays.

        A property that nobody knows becomes a column of its own, null for all other features; its type is that of its
        values. In a timestamp whose files share a CRS, added features are stored in that, otherwise in EPSG:4326.
        """
        incoming = validate_geojson.checked_features(features)
        with self._alone(path_id, timestamp_id) as timestamp:
            if not len(incoming.geometries):
                return []
            columns = self._columns_of_new(timestamp, incoming)
            tail = timestamp.files[-1] if timestamp.files else None
            if tail is not None and has_room(tail):
                ids = self._append(timestamp, tail, incoming, columns, user)
                if ids is not None:
                    return ids
            return self._add_file(timestamp, incoming, columns, user)

    def _columns_of_new(self, timestamp: Timestamp, incoming: Incoming) -> list[Column]:
        known = known_columns(self.home, timestamp, self.declared(timestamp.path_id))
        given = [name for properties in incoming.properties for name in properties]
        names = dict.fromkeys((*known.fields, *known.declared, *given))
        check_count(names)
        values = {name: [properties.get(name) for properties in incoming.properties] for name in names}
        return [planned(known, name, values[name], place_of) for name in names]

    def _append(
        self, timestamp: Timestamp, tail: StoredFile, incoming: Incoming, columns: Sequence[Column], user: Author | None
    ) -> list[str] | None:
        """Add to the file of features added before; None where that cannot hold them."""
        with open_table(self.home, tail) as sheet:
            geometries, fits = from_wgs84(incoming.geometries, sheet.detail.crs)
            schema = joined(sheet.schema, sheet.geometry, columns)
            if schema is None or not fits.all():
                return None
            numbers = np.arange(sheet.following, sheet.following + len(geometries), dtype=np.int64)
            rows = fitted(NewFeatures(columns, geometries, sheet.geometry).table(), schema)
            with self._committed(timestamp, user) as made:
                made.append(Made(write_version(self.home, sheet, schema, rows=(numbers, rows)), "add", numbers))
        return feature_ids(tail.id, numbers.tolist())

    def _add_file(
        self, timestamp: Timestamp, incoming: Incoming, columns: Sequence[Column], user: Author | None
    ) -> list[str]:
        crs, geometries = WGS84, incoming.geometries
        shared = {file.crs for file in timestamp.vectors}
        if len(shared) == 1:
            changed, fits = from_wgs84(geometries, *shared)
            if fits.all():
                (crs,), geometries = shared, changed
        name = timestamp.vectors[0].geometry_column if timestamp.vectors else "geometry"
        numbers = np.arange(len(geometries), dtype=np.int64)
        parcel = NewFeatures(columns, geometries, name, crs)
        with self.store.intake.staged([parcel], self.store.catalogue.file_ids) as staged:
            (row,) = staged
            with self.store.catalogue.transaction() as connection:
                self._writable(timestamp.path_id, timestamp.id)
                self.store.catalogue.add_files(timestamp.path_id, timestamp.id, staged)
                changelog.insert_entry(
                    connection, timestamp.id, row.id, "add", numbers, None, user, self.database.now()
                )
        return feature_ids(row.id, numbers.tolist())

    def edit(self, path_id: str, timestamp_id: str, changes: Any, user: Author | None = None) -> None:
        """Change properties and geometries of features, all or none."""
        edits = checked_edits(changes)
        with self._alone(path_id, timestamp_id) as timestamp, self._committed(timestamp, user) as made:
            for file, numbers in query.located(timestamp.files, list(edits)):
                with open_table(self.home, file) as sheet:
                    ids = feature_ids(file.id, numbers.tolist())
                    made.append(self._edited(timestamp, sheet, numbers, [edits[one] for one in ids], ids))

    def _edited(
        self, timestamp: Timestamp, sheet: FeatureTable, numbers: Integers, edits: Sequence[Edit], ids: Sequence[str]
    ) -> Made:
        """A file with some of its features changed; `edits` and `ids` go with `numbers`."""
        rows = sheet.rows_of(numbers)
        for position in np.flatnonzero(rows < 0).tolist():
            raise query.missing(ids[position])
        before = sheet.table(rows)
        known = known_columns(self.home, timestamp, self.declared(timestamp.path_id))
        columns = edited_columns(known.of(sheet.schema), edits)
        schema = joined(sheet.schema, sheet.geometry, [column for _, column in columns])
        assert schema is not None  # noqa: S101 - the columns were made for this file
        after = fitted(before, schema)
        for positions, column in columns:
            after = patched(after, column.field.name, positions, column.values)
        positions = [position for position, edit in enumerate(edits) if edit.geometry is not None]
        if positions:
            moved, fits = from_wgs84(np.array([edits[one].geometry for one in positions], object), sheet.detail.crs)
            for index in np.flatnonzero(~fits).tolist():
                place = f"changes[{edits[positions[index]].position}]"
                area = f"the area of {sheet.detail.crs[:40]}, the CRS of its file"
                raise ArgumentError(f"the geometry of {place} lies outside {area}", argument="changes")
            after = patched(after, sheet.geometry, positions, from_shapely(moved))
        version = write_version(self.home, sheet, schema, rows=(numbers, after))
        return Made(version, "edit", numbers, changelog.remembered(sheet, before))

    def trash(self, path_id: str, timestamp_id: str, ids: Any, trashed: Any = True, user: Author | None = None) -> None:
        """Put features in the trash, or take them out of it with the ids that they had; all or none.

        What is there already is nothing to do.
        """
        wanted = query.checked_ids(ids)
        trashed = checked_flag("trashed", trashed)
        with self._alone(path_id, timestamp_id) as timestamp, self._committed(timestamp, user) as made:
            for file, numbers in query.located(timestamp.files, wanted):
                with open_table(self.home, file) as sheet:
                    check_known(sheet, numbers)
                    is_there = sheet.rows_of(numbers) >= 0
                    if trashed and is_there.any():
                        made.append(self._trashed(sheet, numbers[is_there]))
                    elif not trashed and not is_there.all():
                        made.append(self._recovered(sheet, numbers[~is_there]))

    def _trashed(self, sheet: FeatureTable, there: Integers) -> Made:
        before = changelog.remembered(sheet, sheet.table(sheet.rows_of(there)))
        return Made(write_version(self.home, sheet, sheet.schema, without=there), "trash", there, before)

    def _recovered(self, sheet: FeatureTable, gone: Integers) -> Made:
        import pyarrow as pa

        found = self._trashed_rows(sheet.file, gone)
        # A column of the file may have got a wider type since.
        tables = [fitted(table, sheet.schema) for _, table in found]
        order = np.concatenate([one for one, _ in found])
        table = pa.concat_tables(tables).unify_dictionaries().take(pa.array(np.argsort(order, kind="stable")))
        return Made(write_version(self.home, sheet, sheet.schema, rows=(np.sort(order), table)), "recover", gone)

    @contextlib.contextmanager
    def _alone(self, path_id: str, timestamp_id: str) -> Iterator[Timestamp]:
        """A timestamp that nobody else changes the features of during the block, in this process or another."""
        timestamp = self._writable(path_id, timestamp_id)
        with self.home.lock(f"timestamp-{timestamp.id}"):
            yield self._writable(path_id, timestamp_id)

    def _writable(self, path_id: str, timestamp_id: str) -> Timestamp:
        timestamp = self.store.timestamp(path_id, as_uuid("timestampId", timestamp_id))
        if timestamp.type != "vector":
            text = f"{timestamp.path_id} is a {timestamp.type}, which has no features"
            raise invalid("pathId", timestamp.path_id, text)
        if timestamp.trashed or self.store.path(timestamp.path_id).trashed:
            text = f"timestamp {timestamp.id} or its path is in the trash; recover it first"
            raise ArgumentError(text, argument="timestampId", value=timestamp.id)
        return timestamp

    @contextlib.contextmanager
    def _committed(self, timestamp: Timestamp, user: Author | None) -> Iterator[list[Made]]:
        """A list of what the block makes; all of it is made known at its end, or none is and it vanishes."""
        made: list[Made] = []
        try:
            yield made
            with self.store.catalogue.transaction() as connection:
                self._writable(timestamp.path_id, timestamp.id)
                for one in made:
                    file = one.version.file
                    if not self.store.catalogue.replace_file(one.version.row, file.content):
                        text = "was replaced or removed while its features were changed; nothing was changed, try again"
                        raise LayerError.of(file.name, text)
                    now = self.database.now()
                    changelog.insert_entry(
                        connection, timestamp.id, file.id, one.action, one.numbers, one.before, user, now
                    )
        except BaseException:
            for one in made:
                one.version.path.unlink(missing_ok=True)
            raise
        for one in made:
            drop_former(self.home, one.version)

    def tidy(self) -> None:
        """Remove copies and bounds of files that are not there any more, and former versions of changed files."""
        files = self.store.catalogue.all_files()
        parquet_cache.tidy(self.home, {file.content for file in files})
        rewrite.tidy(files)
        with self.store.catalogue.transaction() as connection:
            connection.execute("DELETE FROM feature_fields WHERE content NOT IN (SELECT content FROM files)")


def checked_property(given: Any) -> str:
    name = checked_name(given)
    if not name or len(name) > LONGEST_NAME or "\0" in name:
        raise invalid("name", name, f"must have 1 to {LONGEST_NAME} characters, not {len(name)}")
    if name in TAKEN:
        raise invalid("name", name, f"{name!r} is taken by the feature's own {name}")
    return name


def checked_flag(argument: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid(argument, value, "must be of type boolean")
    return value


def has_room(file: StoredFile) -> bool:
    """Whether a file holds features that were added, and may get more of them."""
    if file.options.get(MARK) != "added" or file.detail is None or file.size >= TAIL_BYTES:
        return False
    return getattr(file.detail, "features", TAIL_ROWS) < TAIL_ROWS


def check_known(sheet: FeatureTable, numbers: Integers) -> None:
    """NotFoundError for the first number that no feature of the file ever had."""
    for number in numbers[numbers >= sheet.following]:
        raise query.missing(feature_id(stem(sheet.file.id), int(number)))


def edited_columns(known: Known, edits: Sequence[Edit]) -> list[tuple[list[int], Column]]:
    """The columns that edits of features of one file touch: which of the edits, and their values."""
    names = dict.fromkeys(name for edit in edits for name in edit.properties)
    check_count({*known.fields, *names})
    found = []
    for name in names:
        positions = [position for position, edit in enumerate(edits) if name in edit.properties]
        places = [f"changes[{edits[position].position}]" for position in positions]
        values = [edits[position].properties[name] for position in positions]
        found.append((positions, planned(known, name, values, places.__getitem__)))
    return found


def checked_edits(changes: Any) -> dict[str, Edit]:
    """The entries of an edit by the ids of their features."""
    found: dict[str, Edit] = {}
    for position, change in enumerate(validate_geojson.checked_list("changes", changes)):
        place = f"changes[{position}]"
        if not isinstance(change, Mapping) or "featureId" not in change:
            text = f"{place} must be a dictionary of featureId, newProperties and newGeometry"
            raise ArgumentError(text, argument="changes", value=change)
        one = as_uuid("featureId", change["featureId"])
        if one in found:
            raise ArgumentError(f"{place}: featureId {one} occurs twice", argument="changes", value=one)
        if parted(one) is None:
            raise query.missing(one)
        geometry = change.get("newGeometry")
        found[one] = Edit(
            validate_geojson.checked_properties(place, change.get("newProperties")),
            None if geometry is None else validate_geojson.checked_geometry(place, geometry),
            position,
        )
    return found
