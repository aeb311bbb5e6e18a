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
    return [name for name, least in TIERS.items() if "+" not in name and least <= max(level, NONE)][-1]


class Rights:
    """Access levels, read from the rows of paths and memberships."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def level(self, user: User | None, record: PathRecord) -> int:
        """The access level of a user, or of whoever has no token, on a path; at most two reads."""
        if user is not None and user.grants is None:
            everybodys = record.owner is None and record.parent_id is None
            if everybodys or record.owner == user.id:
                return OWNER
        return self.levels(user, (record,))[record.id]

    def levels(self, user: User | None, records: Iterable[PathRecord]) -> dict[str, int]:
        """The access levels of many paths by path id, with as many reads as for one."""
        records = list(records)
        nodes = {r.id: Node(r.parent_id, r.owner, public_level(r.public_access)) for r in records}
        self._add_folders(nodes)
        members = {} if user is None else self._memberships(user.id, nodes)
        levels = {}
        grants = None if user is None or user.grants is None else dict(sorted(user.grants, key=lambda grant: grant[1]))
        for record in records:
            chain = _chain(record.id, nodes)
            level = _level(user, chain, members)
            levels[record.id] = level if grants is None else min(level, _highest(grants, chain))
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


def _chain(path_id: str, nodes: Mapping[str, Node]) -> dict[str, Node]:
    """A path and the folders above it."""
    chain: dict[str, Node] = {}
    current: str | None = path_id
    while current is not None and current in nodes and current not in chain:
        chain[current] = nodes[current]
        current = nodes[current].parent
    return chain


def _level(user: User | None, chain: Mapping[str, Node], members: Mapping[str, int]) -> int:
    """The rules (our choice).

    Owners of a path or of a folder above it may all. What nobody owns was added to the home itself: every user who
    logs in is its owner, and it counts as published with DOWNLOAD unless its public access says otherwise. Everything
    else is the highest of memberships and public access, of the path and of the folders above it. An access token gives
    no more than its list grants there.
    """
    owners = {node.owner for node in chain.values() if node.owner is not None}
    public = [node.public for node in chain.values() if node.public is not None]
    if user is not None and (not owners or user.id in owners):
        return OWNER
    if not owners and not public:
        return DOWNLOAD
    return max(_highest(members, chain), *public, NONE)


def _highest(levels: Mapping[str, int], chain: Iterable[str]) -> int:
    return max((levels[path_id] for path_id in chain if path_id in levels), default=NONE)
