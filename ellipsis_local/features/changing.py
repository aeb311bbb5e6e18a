"""Change of features: added, edited, put in the trash and taken out of it.

A change writes new versions of the files that it touches beside them, and one transaction makes them known together
with what the log says. Whoever reads sees all of a change or nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ellipsis_local.crs import WGS84
from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.features.geojson import from_wgs84
from ellipsis_local.features.history import History, remembered
from ellipsis_local.features.ids import feature_id, feature_ids, parted, stem
from ellipsis_local.features.incoming import (
    Incoming,
    checked_features,
    checked_geometry,
    checked_list,
    checked_properties,
)  # fmt: skip
from ellipsis_local.features.knowing import known_columns
from ellipsis_local.features.opening import open_sheet
from ellipsis_local.features.properties import checked_flag
from ellipsis_local.features.reading import checked_ids, located, missing
from ellipsis_local.features.records import Action, Author, insert_entry
from ellipsis_local.features.schemas import Column, Known, check_count, fitted, joined, patched, planned
from ellipsis_local.features.sheets import Sheet
from ellipsis_local.features.versions import MARK, NewFeatures, Version, drop_former, write_version
from ellipsis_local.features.writing import Integers
from ellipsis_local.ids import as_uuid
from ellipsis_local.types import StoredFile, Timestamp

__all__ = ["Changing"]

TAIL_ROWS = 30_000
TAIL_BYTES = 32 * 1024**2
"""Added features go into the file of those added before until it holds so much: few files, and little written twice."""


@dataclass(frozen=True)
class Edit:
    """One entry of an edit."""

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


class Changing(History):
    """The part of `Features` that changes."""

    # ----- adding ----------------------------------------------------------------------------------------------------

    def add(self, path_id: str, timestamp_id: str, features: Any, user: Author | None = None) -> list[str]:
        """Add features to a timestamp, all or none, and return their ids. Its status stays.

        A property that nobody knows becomes a column of its own, null for all other features; its type is that of its
        values. In a timestamp whose files share a CRS, added features are stored in that, otherwise in EPSG:4326.

        Parameters
        ----------
        features : list of dict
            GeoJSON features in EPSG:4326, at most 3000 (as the client sends). A property `id` is left out.
        user : object with `id` and `name`, optional
            Who the log names.

        Raises
        ------
        ArgumentError
            For the first feature that is none, with its position; for a property that disagrees with the type that it
            has, is required and absent, or in the trash; for a timestamp in the trash or of a raster.
        LimitError
            For more than 3000 features, or more than 1000 properties.
        NotFoundError
            For unknown ids.
        """
        incoming = checked_features(features)
        with self._alone(path_id, timestamp_id) as timestamp:
            if not len(incoming.geometries):
                return []
            columns = self._columns_of_new(timestamp, incoming)
            tail = timestamp.files[-1] if timestamp.files else None
            ids = None
            if tail is not None and has_room(tail):
                ids = self._append(timestamp, tail, incoming, columns, user)
            return self._add_file(timestamp, incoming, columns, user) if ids is None else ids

    def _columns_of_new(self, timestamp: Timestamp, incoming: Incoming) -> list[Column]:
        known = known_columns(self, timestamp)
        given = [name for properties in incoming.properties for name in properties]
        names = dict.fromkeys((*known.fields, *known.declared, *given))
        check_count(names)
        return [
            planned(
                known, name, [properties.get(name) for properties in incoming.properties],
                lambda position: f"features[{position}]", lacking=name in known.partial,
            )
            for name in names
        ]  # fmt: skip

    def _append(
        self, timestamp: Timestamp, tail: StoredFile, incoming: Incoming, columns: Sequence[Column], user: Author | None
    ) -> list[str] | None:
        """Add to the file of features added before; None where that cannot hold them."""
        with open_sheet(self.home, tail) as sheet:
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
            (row,) = staged.rows
            with self.store.catalogue.transaction() as connection:
                self._writable(timestamp.path_id, timestamp.id)
                self.store.catalogue.add_files(timestamp.path_id, timestamp.id, staged.rows)
                insert_entry(connection, timestamp.id, row.id, "add", numbers, None, user, self.database.now())
        return feature_ids(row.id, numbers.tolist())

    # ----- editing ---------------------------------------------------------------------------------------------------

    def edit(self, path_id: str, timestamp_id: str, changes: Any, user: Author | None = None) -> None:
        """Change properties and geometries of features, all or none.

        Parameters
        ----------
        changes : list of {'featureId', 'newProperties', 'newGeometry'}
            At most 3000. Of the properties those that are named change, null clears one: our choice, because the
            client leaves nulls out of what it sends. A geometry is GeoJSON in EPSG:4326; absent or null, it stays.

        Raises
        ------
        ArgumentError, LimitError, NotFoundError
            As `add`; for an id twice, or one that is not here or in the trash.
        """
        edits = checked_edits(changes)
        with self._alone(path_id, timestamp_id) as timestamp, self._committed(timestamp, user) as made:
            for file, numbers in located(timestamp.files, list(edits)):
                with open_sheet(self.home, file) as sheet:
                    ids = feature_ids(file.id, numbers.tolist())
                    made.append(self._edited(timestamp, sheet, numbers, [edits[one] for one in ids], ids))

    def _edited(
        self, timestamp: Timestamp, sheet: Sheet, numbers: Integers, edits: Sequence[Edit], ids: Sequence[str]
    ) -> Made:
        """A file with some of its features changed; `edits` and `ids` go with `numbers`."""
        import pyarrow as pa
        import shapely

        rows = sheet.rows_of(numbers)
        for position in np.flatnonzero(rows < 0).tolist():
            raise missing(ids[position])
        before = sheet.table(rows)
        columns = edited_columns(known_columns(self, timestamp).of(sheet.schema), sheet, edits)
        schema = joined(sheet.schema, sheet.geometry, [column for _, column in columns])
        assert schema is not None  # noqa: S101 - the columns were made for this file
        after = fitted(before, schema)
        for positions, column in columns:
            after = patched(after, column.field.name, positions, column.values)
        positions = [position for position, edit in enumerate(edits) if edit.geometry is not None]
        if positions:
            moved, fits = from_wgs84(np.array([edits[one].geometry for one in positions], object), sheet.detail.crs)
            for index in np.flatnonzero(~fits).tolist():
                raise ArgumentError(
                    f"the geometry of changes[{edits[positions[index]].position}] lies outside the area of "
                    f"{sheet.detail.crs[:40]}, the CRS of its file",
                    argument="changes",
                )
            after = patched(after, sheet.geometry, positions, pa.array(shapely.to_wkb(moved), pa.binary()))
        version = write_version(self.home, sheet, schema, rows=(numbers, after))
        return Made(version, "edit", numbers, remembered(sheet, before))

    # ----- the trash -------------------------------------------------------------------------------------------------

    def trash(self, path_id: str, timestamp_id: str, ids: Any, trashed: Any = True, user: Author | None = None) -> None:
        """Put features in the trash, or take them out of it with the ids that they had; all or none.

        What is there already is nothing to do.

        Raises
        ------
        ArgumentError, LimitError, NotFoundError
            For ids that are none, more than 3000, or unknown.
        """
        wanted = checked_ids("featureIds", ids)
        trashed = checked_flag("trashed", trashed)
        with self._alone(path_id, timestamp_id) as timestamp, self._committed(timestamp, user) as made:
            for file, numbers in located(timestamp.files, wanted):
                with open_sheet(self.home, file) as sheet:
                    one = self._trashed(sheet, numbers) if trashed else self._recovered(sheet, numbers)
                    made += [one] if one is not None else []

    def _trashed(self, sheet: Sheet, numbers: Integers) -> Made | None:
        rows = sheet.rows_of(numbers)
        check_known(sheet, numbers)
        there = numbers[rows >= 0]
        if not len(there):
            return None
        before = remembered(sheet, sheet.table(rows[rows >= 0]))
        return Made(write_version(self.home, sheet, sheet.schema, without=there), "trash", there, before)

    def _recovered(self, sheet: Sheet, numbers: Integers) -> Made | None:
        import pyarrow as pa

        check_known(sheet, numbers)
        gone = numbers[sheet.rows_of(numbers) < 0]
        if not len(gone):
            return None
        found = self._trashed_rows(sheet.file, gone)
        # A column of the file may have got a wider type since.
        tables = [fitted(table, sheet.schema) for _, table in found]
        order = np.concatenate([one for one, _ in found])
        table = pa.concat_tables(tables).unify_dictionaries().take(pa.array(np.argsort(order, kind="stable")))
        return Made(write_version(self.home, sheet, sheet.schema, rows=(np.sort(order), table)), "recover", gone)

    # ----- what they have in common ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self, path_id: str, timestamp_id: str) -> Iterator[Timestamp]:
        """A timestamp that nobody else changes the features of during the block, in this process or another."""
        timestamp = self._writable(path_id, timestamp_id)
        with self.home.lock(f"timestamp-{timestamp.id}"):
            yield self._writable(path_id, timestamp_id)

    def _writable(self, path_id: str, timestamp_id: str) -> Timestamp:
        timestamp = self.store.timestamp(path_id, as_uuid("timestampId", timestamp_id))
        if timestamp.type != "vector":
            raise ArgumentError(
                f"pathId {timestamp.path_id} is a {timestamp.type}, which has no features",
                argument="pathId", value=timestamp.path_id,
            )  # fmt: skip
        if timestamp.trashed or self.store.path(timestamp.path_id).trashed:
            raise ArgumentError(
                f"timestamp {timestamp.id} or its path is in the trash; recover it first",
                argument="timestampId", value=timestamp.id,
            )  # fmt: skip
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
                        raise LayerError(
                            f"{file.name} was replaced or removed while its features were changed; nothing was "
                            "changed, try again",
                            source=file.name,
                        )
                    insert_entry(
                        connection, timestamp.id, file.id, one.action, one.numbers, one.before, user,
                        self.database.now(),
                    )  # fmt: skip
        except BaseException:
            for one in made:
                one.version.path.unlink(missing_ok=True)
            raise
        for one in made:
            drop_former(self.home, one.version)


def has_room(file: StoredFile) -> bool:
    """Whether a file holds features that were added, and may get more of them."""
    if file.options.get(MARK) != "added" or file.detail is None or file.size >= TAIL_BYTES:
        return False
    return getattr(file.detail, "features", TAIL_ROWS) < TAIL_ROWS


def check_known(sheet: Sheet, numbers: Integers) -> None:
    """NotFoundError for the first number that no feature of the file ever had."""
    for number in numbers[numbers >= sheet.following]:
        raise missing(feature_id(stem(sheet.file.id), int(number)))


def edited_columns(known: Known, sheet: Sheet, edits: Sequence[Edit]) -> list[tuple[list[int], Column]]:
    """The columns that edits of features of one file touch: which of the edits, and their values."""
    names = dict.fromkeys(name for edit in edits for name in edit.properties)
    check_count({*known.fields, *names})
    found = []
    for name in names:
        positions = [position for position, edit in enumerate(edits) if name in edit.properties]
        places = [f"changes[{edits[position].position}]" for position in positions]
        values = [edits[position].properties[name] for position in positions]
        lacking = name not in sheet.schema.names or name in known.partial
        found.append((positions, planned(known, name, values, places.__getitem__, lacking=lacking)))
    return found


def checked_edits(changes: Any) -> dict[str, Edit]:
    """The entries of an edit by the ids of their features."""
    found: dict[str, Edit] = {}
    for position, change in enumerate(checked_list("changes", changes)):
        place = f"changes[{position}]"
        if not isinstance(change, Mapping) or "featureId" not in change:
            raise ArgumentError(
                f"{place} must be a dictionary of featureId, newProperties and newGeometry",
                argument="changes", value=change,
            )  # fmt: skip
        one = as_uuid("featureId", change["featureId"])
        if one in found:
            raise ArgumentError(f"{place}: featureId {one} occurs twice", argument="changes", value=one)
        if parted(one) is None:
            raise missing(one)
        geometry = change.get("newGeometry")
        found[one] = Edit(
            checked_properties(place, change.get("newProperties")),
            None if geometry is None else checked_geometry(place, geometry),
            position,
        )
    return found
