"""The paths of a home as one user may see and change them.

Every method checks the user's access level first; see `ellipsis_local.sharing` for where the level comes from. What a
user may not even view is an AccessError, like what they may not change: ids are no secret (our choice).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ellipsis_local.accounts import User, checked_access
from ellipsis_local.arguments import invalid
from ellipsis_local.drive.path_metadata import PathMetadata
from ellipsis_local.errors import AccessError, AccountError, NotFoundError
from ellipsis_local.service_columns import check_length
from ellipsis_local.sharing import DOWNLOAD, EDIT, MANAGE, VIEW, Sharing
from ellipsis_local.store import LayerStore
from ellipsis_local.types import PathRecord, PathType, StoredFile, Timestamp

LayerType = Literal["raster", "vector"]
ROOTS = ("myDrive", "sharedWithMe", "favorites", "public", "trash")
"""What `account.listRoot` can list (the first two are seen in the client, the others our choice)."""
METADATA = ("description", "attribution", "license", "properties")
WORDS = {VIEW: "view", DOWNLOAD: "download", EDIT: "edit", MANAGE: "manage"}


class Drive:
    """One user's view; `user` is None for whoever has no token."""

    def __init__(self, user: User | None, store: LayerStore, sharing: Sharing, path_metadata: PathMetadata) -> None:
        self.user = user
        self.store = store
        self.sharing = sharing
        self.path_metadata = path_metadata

    @property
    def owner(self) -> str:
        """The user's id; AccountError without a user."""
        if self.user is None:
            raise AccountError("this needs a token; log in with account.logIn")
        return self.user.id

    def level(self, record: PathRecord) -> int:
        """What the user may do with a path: one of the levels of `sharing`."""
        return self.sharing.level(self.user, record)

    def path(self, path_id: str, needed: int = VIEW, *, argument: str = "pathId") -> PathRecord:
        """The path, if the user's level is `needed` or more; else NotFoundError or AccessError."""
        record = self.store.catalogue.get_path(path_id, argument=argument)
        self._check(record, needed)
        return record

    def _check(self, record: PathRecord, needed: int) -> int:
        level = self.level(record)
        if level < needed:
            who = "without a token" if self.user is None else f"as {self.user.name!r}"
            text = f"to {WORDS.get(needed, 'own')} it takes access level {needed}, and {who} you have {level}"
            text = f"insufficient access to path {record.id}: {text}; ask its owner for an invite"
            raise AccessError(text, needed=needed)
        return level

    def layer(self, path_id: str, type: PathType, needed: int = VIEW) -> PathRecord:
        """A path of one type; ArgumentError where it is of another."""
        record = self.path(path_id, needed)
        if record.type != type:
            raise invalid("pathId", path_id, f"{record.id} is a {record.type}, not a {type}")
        return record

    def timestamp(
        self, path_id: str, timestamp_id: str, type: LayerType | None = None, needed: int = VIEW
    ) -> Timestamp:
        """A timestamp of a layer, of one type where that is given."""
        if type is None:
            self.path(path_id, needed)
        else:
            self.layer(path_id, type, needed)
        return self.store.timestamp(path_id, timestamp_id)

    def editable(self, path_id: str) -> PathRecord:
        """A path whose content the user may change."""
        return self.path(path_id, EDIT)

    def managed(self, path_id: str) -> PathRecord:
        """A path that the user may share and delete."""
        return self.path(path_id, MANAGE)

    def file(
        self, path_id: str, timestamp_id: str, file_id: str, type: LayerType | None = None, needed: int = DOWNLOAD
    ) -> StoredFile:
        """A file of a timestamp; what is to be downloaded has to be completed."""
        timestamp = self.timestamp(path_id, timestamp_id, type, needed)
        return self.store.catalogue.get_file(path_id, timestamp.id, file_id, completed=needed == DOWNLOAD)

    def readable(self, path_ids: Iterable[str], *, missing_ok: bool = False) -> None:
        """Check that the user may view all of these paths.

        AccessError for the first that the user may not view; NotFoundError for the first that is not here, unless
        `missing_ok`.
        """
        for path_id in path_ids:
            try:
                self.path(path_id)
            except NotFoundError:
                if not missing_ok:
                    raise

    def visible(self, records: Iterable[PathRecord]) -> list[PathRecord]:
        """Those of `records` that the user may view."""
        records = list(records)
        levels = self.sharing.levels(self.user, records)
        return [record for record in records if levels[record.id] >= VIEW]

    def parent(self, parent_id: str | None) -> str | None:
        """A folder in which the user may make something; None is the user's own root."""
        _ = self.owner  # an error for whoever has no token
        if parent_id is None:
            if self.user is not None and self.user.grants is not None:
                text = "an access token reaches the paths of its access list only: give a parentId among them"
                raise AccessError(text, needed=EDIT)
            return None
        record = self.path(parent_id, EDIT, argument="parentId")
        if record.type != "folder":
            raise invalid("parentId", parent_id, f"{parent_id} is not a folder")
        return record.id

    def add(
        self,
        type: PathType,
        name: str,
        *,
        source: Any = None,
        parent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        public_access: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a folder, an empty layer or the plain file `source`, owned by the user; its id."""
        given: dict[str, Any] = {
            "parent_id": self.parent(parent_id), "metadata": metadata, "owner": self.owner,
            "public_access": None if public_access is None else checked_public(public_access),
        }  # fmt: skip
        if type == "file":
            return self.store.add_plain_file(source, name=name, **given)
        return self.store.add_layer_path(type, name, **given)

    def set_domains(self, path_id: str, domains: Sequence[str]) -> None:
        self.sharing.set_domains(self.path(path_id, MANAGE).id, domains)

    def rename(self, path_id: str, name: str) -> None:
        self.store.catalogue.rename(self.path(path_id, MANAGE).id, name)

    def move(self, path_ids: Sequence[str], parent_id: str | None) -> None:
        """Move paths into a folder, or to the user's own root: all of them or none."""
        parent = self.parent(parent_id)
        records = [self.path(path_id, MANAGE, argument="pathIds") for path_id in path_ids]
        self.store.catalogue.move([record.id for record in records], parent)

    def trash(self, path_id: str, trashed: bool) -> None:
        self.store.catalogue.trash(self.path(path_id, MANAGE).id, trashed)

    def delete(self, path_id: str) -> None:
        """Delete a path with all below it: rows and files."""
        self.store.remove(self.path(path_id, MANAGE).id)

    def set_metadata(self, path_id: str, values: Mapping[str, Any]) -> None:
        """Change those of description, attribution, license and properties that are given."""
        record = self.path(path_id, EDIT)
        given = {key: value for key, value in values.items() if key in METADATA and value is not None}
        self.store.catalogue.set_metadata(record.id, {**record.metadata, **given})

    def set_public_access(self, path_id: str, values: Mapping[str, Any]) -> None:
        """Change what everybody may do: `accessLevel` and what else an access has, and `hidden` from search."""
        record = self.path(path_id, MANAGE)
        given = checked_public(values)
        level = given.get("accessLevel", 0)
        if level > self.level(record):
            raise AccessError(f"accessLevel {level} is more than you have yourself on path {record.id}", needed=level)
        self.store.catalogue.set_public_access(record.id, {**record.public_access, **given})

    def name_band(self, path_id: str, band: int, name: str) -> None:
        """Name a band of a raster, the first being 1; ArgumentError where there is no such band."""
        record = self.layer(path_id, "raster", EDIT)
        timestamps = self.store.catalogue.timestamps_of(record.id)
        bands = max((file.bands for timestamp in timestamps for file in timestamp.rasters), default=0)
        if band > bands:
            raise invalid("bandNumber", band, f"must be from 1 to {bands}, the bands of raster {record.id}, not {band}")
        check_length("the name of a band", "name", name, strict=self.store.catalogue.database.strict)
        self.path_metadata.update(record.id, "bands", {str(band): name})

    def set_raster_options(self, path_id: str, options: Mapping[str, Any]) -> None:
        """Change how the service would show a raster: kept as data."""
        self.path_metadata.update(self.layer(path_id, "raster", EDIT).id, "raster", options)

    def root(self, name: str, types: Sequence[PathType] | None = None) -> list[PathRecord]:
        """The paths of one of `ROOTS`, oldest first; ArgumentError for another name."""
        owner = self.owner
        catalogue = self.store.catalogue
        if name in ("myDrive", "trash"):
            which: dict[str, Any] = {"trashed": True} if name == "trash" else {"parent_id": None}
            listed = catalogue.list_paths(types=types, **which)
            # What was added to the home itself belongs to everybody who logs in.
            found = [record for record in listed if record.owner in (owner, None)]
        elif name == "public":
            found = [record for record in catalogue.list_paths(types=types) if is_public(record)]
        elif name in ("sharedWithMe", "favorites"):
            ids = self.sharing.shared_with(self.user) if name == "sharedWithMe" else self.sharing.favourites(self.user)
            known = [catalogue.find_path(path_id) for path_id in ids]
            found = [
                record
                for record in known
                if record is not None and not record.trashed and (types is None or record.type in types)
            ]
        else:
            raise invalid("rootName", name, f"must be one of {', '.join(ROOTS)}, not {name!r}")
        return self.visible(found)

    def children(
        self, path_id: str, types: Sequence[PathType] | None = None, *, include_trashed: bool = False
    ) -> list[PathRecord]:
        """What lies directly in a folder, oldest first."""
        folder = self.layer(path_id, "folder")
        trashed = None if include_trashed else False
        return self.visible(self.store.catalogue.list_paths(types=types, parent_id=folder.id, trashed=trashed))

    def traverse(self, path_id: str, names: Sequence[str], type: PathType | None) -> PathRecord:
        """The path that lies below a folder under these names, one after the other.

        NotFoundError naming the first that is not there.
        """
        current = self.layer(path_id, "folder")
        for index, name in enumerate(names):
            last = index == len(names) - 1
            wanted = type if last else "folder"
            found = [
                record
                for record in self.visible(self.store.catalogue.list_paths(parent_id=current.id))
                if record.name == name and (wanted is None or record.type == wanted)
            ]
            if not found:
                text = f"location: folder {current.name!r} ({current.id}) holds no {wanted or 'path'} named {name!r}"
                raise NotFoundError(text, argument="location", value=list(names))
            current = found[0]
        if type is not None and current.type != type:
            raise NotFoundError(f"location: {current.name!r} is a {current.type}, not a {type}", argument="location")
        return current


def checked_public(values: Mapping[str, Any]) -> dict[str, Any]:
    """Public access: an access, see `checked_access`, and `hidden`; what is None is left out."""
    given = {key: value for key, value in values.items() if value is not None}
    hidden = given.pop("hidden", None)
    if hidden is not None and not isinstance(hidden, bool):
        raise invalid("hidden", hidden, f"must be of type boolean, not {hidden!r}")
    access = checked_access("publicAccess", given, partial=True)
    return access if hidden is None else {**access, "hidden": hidden}


def is_public(record: PathRecord) -> bool:
    """Whether everybody may find a path: published, and not hidden."""
    level = record.public_access.get("accessLevel", 0)
    return isinstance(level, int) and level >= VIEW and not record.public_access.get("hidden")
