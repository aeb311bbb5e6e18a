"""Who may do what with which path, and what users note on paths, as one object over one home."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any, Literal

from ellipsis_local import arguments
from ellipsis_local.accounts import Accounts, User
from ellipsis_local.accounts.validation import checked_name
from ellipsis_local.arguments import invalid
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, NotFoundError, StoreError
from ellipsis_local.identity import STEP
from ellipsis_local.service_columns import check_length
from ellipsis_local.sharing.members import Invites, Members
from ellipsis_local.sharing.rights import VIEW, Rights
from ellipsis_local.sharing.usage import Usage
from ellipsis_local.store import Catalogue, path_record
from ellipsis_local.types import PathRecord

MOST_TAG = 100
MOST_DOMAIN = 253
MOST_DOMAINS = 100
MOST_FOUND = 50


def _tag(value: Any) -> str:
    """A tag without the # before it, which people write or leave out."""
    tag = checked_name(value, "hashtag", most=MOST_TAG).strip().removeprefix("#").strip()
    if not tag or any(character in tag for character in "#/?"):
        text = f"{value!r} must be a word without # / ?, by which the client could not remove it"
        raise invalid("hashtag", value, text)
    return tag


class Sharing:
    """Access levels, invites, members and usage; and hashtags, favourites and domains, which change nobody's access.

    That nobody gives more access than they have is checked here; who may call what is up to the caller. Methods raise
    ArgumentError for malformed ids, NotFoundError for unknown ones.
    """

    def __init__(self, database: Database, catalogue: Catalogue, accounts: Accounts) -> None:
        self._database = database
        self._catalogue = catalogue
        self._rights = Rights(database)
        self.members = Members(database, catalogue, self._rights)
        self.invites = Invites(database, catalogue, accounts, self._rights)
        self.usage = Usage(database, catalogue)

    def close(self) -> None:
        """Write what waits; a home that is gone or full is no reason to fail."""
        with contextlib.suppress(StoreError):
            self.usage.write()

    def level(self, user: User | None, record: PathRecord) -> int:
        """The access level on a path of a user, or of whoever has no token; see `rights`."""
        return self._rights.level(user, record)

    def levels(self, user: User | None, records: Iterable[PathRecord]) -> dict[str, int]:
        """The levels on many paths by path id, with as many reads as for one."""
        return self._rights.levels(user, records)

    def shared_with(self, user: User | None) -> list[str]:
        """The ids of the paths that the user was invited to and accepted, the oldest first."""
        return self._paths("memberships", user)

    def _paths(self, table: Literal["memberships", "favourites"], user: User | None) -> list[str]:
        query = f"SELECT path_id FROM {table} WHERE user = ? ORDER BY created, path_id"  # noqa: S608
        return [] if user is None else [row["path_id"] for row in self._database.rows(query, (user.id,))]

    def add_hashtag(self, path_id: str, hashtag: str) -> None:
        """Tag a path, once whatever the case; ArgumentError for what is no word of at most 100 characters."""
        tag = _tag(hashtag)
        check_length("a hashtag", "hashtag", tag, strict=self._database.strict)
        with self._catalogue.transaction() as connection:
            path = self._catalogue.get_path(path_id)
            connection.execute("INSERT OR IGNORE INTO hashtags VALUES (?, ?, ?)", (path.id, tag.casefold(), tag))

    def remove_hashtag(self, path_id: str, hashtag: str) -> None:
        """Take a tag off a path; NotFoundError where it has no such tag."""
        tag = _tag(hashtag)
        with self._catalogue.transaction() as connection:
            path = self._catalogue.get_path(path_id)
            query = "DELETE FROM hashtags WHERE path_id = ? AND tag_key = ?"
            changed = connection.execute(query, (path.id, tag.casefold()))
            if changed.rowcount == 0:
                raise NotFoundError(f"path {path.id} has no hashtag {tag!r}", argument="hashtag", value=hashtag)

    def hashtags(self, path_id: str) -> list[str]:
        """The tags of a path in alphabetical order; none of an unknown path."""
        return self.hashtags_of((path_id,)).get(path_id, [])

    def hashtags_of(self, path_ids: Iterable[str]) -> dict[str, list[str]]:
        """The tags of those of many paths that have any, by path id."""
        rows = self._database.rows(
            "SELECT path_id, tag FROM hashtags WHERE path_id IN (SELECT value FROM json_each(?)) ORDER BY tag_key",
            (json.dumps(list(path_ids)),),
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["path_id"], []).append(row["tag"])
        return found

    def tagged(self, hashtag: str) -> set[str]:
        """The ids of the paths with this tag, whatever the case."""
        rows = self._database.rows("SELECT path_id FROM hashtags WHERE tag_key = ?", (_tag(hashtag).casefold(),))
        return {row["path_id"] for row in rows}

    def search_hashtags(self, text: str, user: User | None = None) -> list[str]:
        """At most 50 tags that contain a text (documented), on paths that the user may view (our choice).

        For whoever has no token, tags of hidden paths and of those in the trash are left out.
        """
        text = arguments.string("hashtag", text).strip().removeprefix("#").casefold()
        rows = self._database.rows(
            "SELECT h.tag_key, h.tag, p.* FROM hashtags h JOIN paths p ON p.id = h.path_id "
            "WHERE instr(h.tag_key, ?) > 0 AND NOT p.trashed ORDER BY length(h.tag_key), h.tag_key, h.tag",
            (text.encode("utf-8", "replace").decode(),),
        )
        records = {row["id"]: path_record(row) for row in rows}
        levels = self._rights.levels(user, records.values())
        found: dict[str, str] = {}
        for row in rows:
            hidden = user is None and records[row["id"]].public_access.get("hidden")
            if levels[row["id"]] >= VIEW and not hidden:
                found.setdefault(row["tag_key"], row["tag"])
        return list(found.values())[:MOST_FOUND]

    def set_favourite(self, user: User, path_id: str, favourite: bool) -> None:
        """Make a path one of a user's favourites, or no longer."""
        favourite = arguments.boolean("favorite", favourite)
        with self._catalogue.transaction() as connection:
            path = self._catalogue.get_path(path_id)
            if favourite:
                connection.execute(
                    "INSERT OR IGNORE INTO favourites SELECT ?, ?, max(?, ifnull(max(created) + ?, 0)) FROM favourites",
                    (user.id, path.id, self._database.seconds(), STEP),
                )
            else:
                connection.execute("DELETE FROM favourites WHERE user = ? AND path_id = ?", (user.id, path.id))

    def favourites(self, user: User | None) -> list[str]:
        """The ids of a user's favourites, the oldest first."""
        return self._paths("favourites", user)

    def is_favourite(self, user: User | None, path_id: str) -> bool:
        test = "SELECT 1 FROM favourites WHERE user = ? AND path_id = ?"
        return user is not None and self._database.row(test, (user.id, path_id)) is not None

    def set_domains(self, path_id: str, domains: Iterable[str] | None) -> None:
        """Note the domains that may show a path; none where None. ArgumentError for what is no list of names."""
        names = []
        for name in arguments.string_list("domains", domains):
            if any(character.isspace() for character in name):
                raise ArgumentError(f"domains: {name!r} holds spaces", argument="domains", value=name)
            names.append(checked_name(name, "domains", most=MOST_DOMAIN))
        if len(names) > MOST_DOMAINS:
            raise ArgumentError(f"domains must be at most {MOST_DOMAINS}, not {len(names)}", argument="domains")
        with self._catalogue.transaction() as connection:
            path = self._catalogue.get_path(path_id)
            connection.execute("DELETE FROM domains WHERE path_id = ?", (path.id,))
            if names:
                connection.execute("INSERT INTO domains VALUES (?, ?)", (path.id, json.dumps(names)))

    def domains(self, path_id: str) -> list[str]:
        """The domains noted on a path; none of an unknown path."""
        row = self._database.row("SELECT domains FROM domains WHERE path_id = ?", (path_id,))
        return [] if row is None else list(json.loads(row["domains"]))
