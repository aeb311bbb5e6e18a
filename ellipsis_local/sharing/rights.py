"""Access levels: what a user may do with a path.

That a level above 100 may download is seen in the client, the names and order of the tiers are documented, the numbers
are our choice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ellipsis_local.accounts import TIERS, User
from ellipsis_local.database import Database
from ellipsis_local.types import PathRecord

NONE = 0
VIEW = 100
"""See the path, its metadata and pictures of it."""
DOWNLOAD = 200
"""Read the data itself."""
EDIT = 300
"""Add and change content."""
MANAGE = 900
"""Share, rename, move, trash, delete."""
OWNER = 950

FEW = 100
"""So many paths are looked up one by one among a user's memberships; for more, all memberships are read."""


class Node(NamedTuple):
    """What a path itself says about access."""

    parent: str | None
    owner: str | None
    public: int | None
    """Its public access level; None where none was set."""


class Sum(NamedTuple):
    """What a path and all folders above it say about one user's access."""

    owned: bool = False
    """By anybody."""
    mine: bool = False
    member: int = NONE
    public: int | None = None
    granted: int = NONE


def public_level(access: Mapping[str, Any]) -> int | None:
    """The level that public access gives, None where it says none (or what is no level)."""
    level = access.get("accessLevel")
    if level is None and isinstance(access.get("accessTier"), str):
        level = TIERS.get(access["accessTier"])
    if isinstance(level, bool) or not isinstance(level, int):
        return None
    return min(max(level, NONE), OWNER)


def tier_of(level: int) -> str:
    """The highest access tier that a level reaches, as the service's documentation spells it."""
    found = "none"
    for name, least in TIERS.items():
        if "+" not in name and least <= level:
            found = name
    return found


class Rights:
    """Access levels, read from the rows of paths and memberships."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def level(self, user: User | None, record: PathRecord) -> int:
        """The access level of a user, or of whoever has no token, on a path; at most two reads."""
        if user is not None and user.grants is None:
            if record.owner == user.id:
                return OWNER
            if record.owner is None and record.parent_id is None:
                return OWNER
        return self.levels(user, (record,))[record.id]

    def levels(self, user: User | None, records: Iterable[PathRecord]) -> dict[str, int]:
        """The access levels of many paths by path id, with as many reads as for one."""
        records = list(records)
        nodes = {r.id: Node(r.parent_id, r.owner, public_level(r.public_access)) for r in records}
        self._add_folders(nodes)
        members = {} if user is None else self._memberships(user.id, nodes)
        grants: dict[str, int] = {}
        for path_id, granted in () if user is None or user.grants is None else user.grants:
            grants[path_id] = max(granted, grants.get(path_id, NONE))
        sums: dict[str, Sum] = {}
        levels = {}
        for record in records:
            found = _sum(record.id, nodes, None if user is None else user.id, members, grants, sums)
            level = _level(user is not None, found)
            levels[record.id] = level if user is None or user.grants is None else min(level, found.granted)
        return levels

    def _add_folders(self, nodes: dict[str, Node]) -> None:
        """Add all folders above the given nodes."""
        missing = {node.parent for node in nodes.values() if node.parent is not None and node.parent not in nodes}
        if not missing:
            return
        query = """
            WITH RECURSIVE above (id) AS (
                SELECT value FROM json_each(?)
                UNION SELECT paths.parent_id FROM above JOIN paths ON paths.id = above.id WHERE parent_id IS NOT NULL
            )
            SELECT paths.id, parent_id, owner, public_access FROM above JOIN paths ON paths.id = above.id
        """
        for row in self._database.rows(query, (json.dumps(list(missing)),)):
            public = public_level(json.loads(row["public_access"]))
            nodes.setdefault(row["id"], Node(row["parent_id"], row["owner"], public))

    def _memberships(self, user_id: str, nodes: Mapping[str, Node]) -> dict[str, int]:
        if len(nodes) <= FEW:
            rows = self._database.rows(
                "SELECT path_id, level FROM memberships WHERE user = ? AND path_id IN (SELECT value FROM json_each(?))",
                (user_id, json.dumps(list(nodes))),
            )
        else:
            rows = self._database.rows("SELECT path_id, level FROM memberships WHERE user = ?", (user_id,))
        return {row["path_id"]: row["level"] for row in rows}


def _sum(
    path_id: str,
    nodes: Mapping[str, Node],
    user_id: str | None,
    members: Mapping[str, int],
    grants: Mapping[str, int],
    sums: dict[str, Sum],
) -> Sum:
    """What the path and the folders above it say; kept in `sums` for the next path that asks."""
    chain: dict[str, None] = {}
    current: str | None = path_id
    while current is not None and current in nodes and current not in sums and current not in chain:
        chain[current] = None
        current = nodes[current].parent
    found = sums.get(current or "", Sum())
    for folder_id in reversed(chain):
        node = nodes[folder_id]
        public = found.public if node.public is None else max(node.public, found.public or NONE)
        found = sums[folder_id] = Sum(
            owned=found.owned or node.owner is not None,
            mine=found.mine or (user_id is not None and node.owner == user_id),
            member=max(found.member, members.get(folder_id, NONE)),
            public=public,
            granted=max(found.granted, grants.get(folder_id, NONE)),
        )
    return found


def _level(known: bool, found: Sum) -> int:
    """The rules (our choice).

    Owners of a path or of a folder above it may all. What nobody owns was added to the home itself: every user who
    logs in is its owner, and it counts as published with DOWNLOAD unless its public access says otherwise. Everything
    else is the highest of memberships and public access, of the path and of the folders above it.
    """
    if found.mine or (known and not found.owned):
        return OWNER
    if not found.owned and found.public is None:
        return DOWNLOAD
    return max(found.member, found.public or NONE)
