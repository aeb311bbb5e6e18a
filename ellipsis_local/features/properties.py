"""The properties of a vector: those that were declared, and the columns of its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, NotFoundError
from ellipsis_local.features.columns import TYPES, logical_type
from ellipsis_local.features.opening import schema_of
from ellipsis_local.home import Home
from ellipsis_local.ids import as_uuid
from ellipsis_local.store import LayerStore
from ellipsis_local.types import PathRecord, StoredFile, VectorFile

__all__ = ["TAKEN", "Properties", "checked_flag", "property_id"]

LONGEST_NAME = 256
MOST_KEPT = 4096
"""Files whose fields this process keeps in mind."""
FLAGS = ("required", "private", "trashed")
TAKEN = ("geometry", "id")
"""Names that a feature has beside its properties."""


def property_id(path_id: str, name: str) -> str:
    """The same for the same name in the same path: a column has an id before anybody declares it."""
    return str(uuid5(UUID(path_id), name))


class Properties:
    """The part of `Features` that knows properties."""

    def __init__(self, home: Home, database: Database, store: LayerStore) -> None:
        self.home = home
        self.database = database
        self.store = store
        self._fields: dict[str, tuple[tuple[str, str], ...]] = {}

    def properties(self, path_id: str) -> list[dict[str, Any]]:
        """The properties of a vector: columns in the order of its files, then what was declared and no file has.

        Returns
        -------
        list of dict
            `id` (UUIDv5 of the path's id and the name), `name`, `type` (one of `columns.TYPES`), `required`,
            `private` and `trashed`.
        """
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
        """Declare a property and return its id; the same once more is nothing to do (the client sends again).

        Parameters
        ----------
        type : one of 'string', 'integer', 'float', 'boolean', 'datetime', 'date', 'json'
        required : bool
            Features without it are refused from now on.
        private : bool
            Kept, without an effect.

        Raises
        ------
        ArgumentError
            A name that is none or is taken by the geometry, an unknown type, a property of that name with another
            type or in the trash.
        """
        path = self._vector(path_id)
        name = checked_name(name)
        if type not in TYPES:
            raise ArgumentError(f"type must be one of {', '.join(TYPES)}, not {type!r}", argument="type", value=type)
        flags = (checked_flag("required", required), checked_flag("private", private))
        # Once before: what has to be read from files is read outside of the transaction.
        self.properties(path.id)
        with self.store.catalogue.transaction():
            for known in self.properties(path.id):
                if known["name"] != name:
                    continue
                if known["trashed"]:
                    raise ArgumentError(
                        f"property {name!r} is in the trash; recover it first", argument="name", value=name
                    )
                if known["type"] != type:
                    raise ArgumentError(
                        f"property {name!r} exists already, of type {known['type']}, not {type}",
                        argument="name", value=name,
                    )  # fmt: skip
            self._declare(path.id, name, type, *flags, trashed=False)
        return property_id(path.id, name)

    def edit_property(self, path_id: str, property_id: str, required: Any = None, private: Any = None) -> None:
        """Change whether a property is required or private; None: as it is. NotFoundError for an unknown id."""
        path = self._vector(path_id)
        self.properties(path.id)
        given = {"required": required, "private": private}
        flags = {name: checked_flag(name, flag) for name, flag in given.items() if flag is not None}
        with self.store.catalogue.transaction():
            known = self._property(path.id, property_id) | flags
            self._declare(path.id, known["name"], known["type"], known["required"], known["private"], known["trashed"])

    def trash_property(self, path_id: str, property_id: str, trashed: Any = True) -> None:
        """Put a property in the trash, or take it out.

        Answers about features leave it out then, and new features may not have it. The files keep the column, so
        computes still see it: our choice, and cheap to undo. NotFoundError for an unknown id.
        """
        path = self._vector(path_id)
        trashed = checked_flag("trashed", trashed)
        self.properties(path.id)
        with self.store.catalogue.transaction():
            known = self._property(path.id, property_id)
            self._declare(path.id, known["name"], known["type"], known["required"], known["private"], trashed)

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
            types = {field.name: logical_type(field) for field in schema_of(file)}
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

    # ----- rows ------------------------------------------------------------------------------------------------------

    def _vector(self, path_id: str) -> PathRecord:
        path = self.store.path(path_id)
        if path.type != "vector":
            raise ArgumentError(
                f"pathId {path.id} is a {path.type}, which has no features", argument="pathId", value=path.id
            )
        return path

    def _property(self, path_id: str, given: Any) -> dict[str, Any]:
        wanted = as_uuid("propertyId", given)
        for known in self.properties(path_id):
            if known["id"] == wanted:
                return known
        raise NotFoundError(
            f"propertyId {wanted} does not exist in path {path_id}", argument="propertyId", value=wanted
        )

    def _declare(self, path_id: str, name: str, type: str, required: bool, private: bool, trashed: bool) -> None:
        with self.store.catalogue.transaction() as connection:
            connection.execute(
                "INSERT INTO feature_properties (id, path_id, name, type, required, private, trashed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET required = excluded.required, "
                "private = excluded.private, trashed = excluded.trashed",
                (property_id(path_id, name), path_id, name, type, required, private, trashed),
            )


def checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise ArgumentError("name must be of type string", argument="name", value=name)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"name {name!r} is no valid text", argument="name", value=name) from error
    if not name or len(name) > LONGEST_NAME or "\0" in name:
        raise ArgumentError(
            f"name must have 1 to {LONGEST_NAME} characters, not {len(name)}", argument="name", value=name
        )
    if name in TAKEN:
        raise ArgumentError(f"name {name!r} is taken by the feature's own {name}", argument="name", value=name)
    return name


def checked_flag(argument: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(f"{argument} must be of type boolean", argument=argument, value=value)
    return value
