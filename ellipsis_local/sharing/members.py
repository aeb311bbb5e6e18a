"""Invites to paths, and the memberships that accepted ones become.

No mail is sent: an address stands for the user of that name (our choice). Nobody gives more access than they have.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from ellipsis_local import arguments
from ellipsis_local.accounts import Accounts, User, checked_access
from ellipsis_local.accounts.tokens import utc
from ellipsis_local.accounts.validation import checked_name
from ellipsis_local.arguments import invalid
from ellipsis_local.database import Database
from ellipsis_local.errors import AccessError, ArgumentError, NotFoundError
from ellipsis_local.identity import STEP
from ellipsis_local.ids import as_uuid
from ellipsis_local.service_columns import check_length
from ellipsis_local.sharing.rights import Rights
from ellipsis_local.store import Catalogue
from ellipsis_local.types import PathRecord

MemberType = Literal["inherited", "direct"]


class Invite(NamedTuple):
    """An invite that was neither accepted nor declined."""

    id: str
    path_id: str
    user: User
    """Who is invited."""
    sender: User
    access: dict[str, Any]
    """With `accessLevel`."""
    created: datetime
    """UTC."""


class Member(NamedTuple):
    """A user who accepted an invite to a path, or to a folder above it."""

    user: User
    type: MemberType
    path_id: str
    """Where the membership is."""
    access: dict[str, Any]
    """With `accessLevel`."""
    created: datetime
    """UTC."""


def _check_giver(rights: Rights, by: User, record: PathRecord, level: int) -> None:
    own = rights.level(by, record)
    if own < level:
        raise AccessError(
            f"accessLevel {level} is more than user {by.name!r} has on path {record.id}, which is {own}", needed=level
        )


class Members:
    """Memberships. Paths' owners are not among them."""

    def __init__(self, database: Database, catalogue: Catalogue, rights: Rights) -> None:
        self._database = database
        self._catalogue = catalogue
        self._rights = rights

    def get(self, path_id: str, types: Iterable[str] | None = None) -> list[Member]:
        """The members of a path, in the order in which they became it.

        'direct' ones are of the path itself, 'inherited' ones of the folders above it. Somebody who is both is listed
        twice, somebody who is a member of several folders above with the highest level.
        """
        wanted = {"direct", "inherited"} if types is None else set(arguments.string_list("type", types))
        if unknown := wanted - {"direct", "inherited"}:
            text = f"must be a list of 'inherited' and 'direct', not of {min(unknown)[:80]!r}"
            raise invalid("type", sorted(wanted), text)
        path = self._catalogue.get_path(path_id)
        query = """
            WITH RECURSIVE above (id) AS (
                VALUES (?)
                UNION SELECT paths.parent_id FROM above JOIN paths ON paths.id = above.id WHERE parent_id IS NOT NULL
            )
            SELECT u.id, u.name, m.path_id, m.access, m.created
            FROM above JOIN memberships m ON m.path_id = above.id JOIN users u ON u.id = m.user
            ORDER BY m.level DESC
        """
        found: dict[tuple[str, str], Member] = {}
        for row in self._database.rows(query, (path.id,)):
            kind: MemberType = "direct" if row["path_id"] == path.id else "inherited"
            if kind in wanted:
                user = User(row["id"], row["name"])
                member = Member(user, kind, row["path_id"], json.loads(row["access"]), utc(row["created"]))
                found.setdefault((user.id, kind), member)
        return sorted(found.values(), key=lambda member: (member.created, member.user.name))

    def edit(self, path_id: str, by: User, user_id: str, access: Mapping[str, Any]) -> None:
        """Change those properties of a direct member's access that are given; the member has no more than `by`."""
        changes = checked_access("access", access, partial=True)
        with self._catalogue.transaction() as connection:
            path, row = self._direct(connection, path_id, user_id)
            _check_giver(self._rights, by, path, row["level"])
            new = {**json.loads(row["access"]), **changes}
            _check_giver(self._rights, by, path, new["accessLevel"])
            connection.execute(
                "UPDATE memberships SET level = ?, access = ? WHERE user = ? AND path_id = ?",
                (new["accessLevel"], json.dumps(new), row["user"], path.id),
            )

    def delete(self, path_id: str, by: User, user_id: str) -> None:
        """End a direct membership, of a member who has no more than `by`; members may end their own."""
        with self._catalogue.transaction() as connection:
            path, row = self._direct(connection, path_id, user_id)
            _check_giver(self._rights, by, path, row["level"])
            connection.execute("DELETE FROM memberships WHERE user = ? AND path_id = ?", (row["user"], path.id))

    def _direct(self, connection: sqlite3.Connection, path_id: str, user_id: str) -> tuple[PathRecord, sqlite3.Row]:
        path, user_id = self._catalogue.get_path(path_id), as_uuid("userId", user_id)
        row = connection.execute(
            "SELECT user, level, access FROM memberships WHERE user = ? AND path_id = ?", (user_id, path.id)
        ).fetchone()
        if row is None:
            text = f"userId {user_id} is no direct member of path {path.id}"
            raise NotFoundError(text, argument="userId", value=user_id)
        return path, row


class Invites:
    """Invites that wait for an answer."""

    def __init__(self, database: Database, catalogue: Catalogue, accounts: Accounts, rights: Rights) -> None:
        self._database = database
        self._catalogue = catalogue
        self._accounts = accounts
        self._rights = rights

    def send(
        self, path_id: str, by: User, access: Mapping[str, Any], *, user_id: str | None = None, email: str | None = None
    ) -> str:
        """Invite a user by id or name (one is needed, documented), in the place of a former invite: the invite's id."""
        given = checked_access("access", access)
        path = self._catalogue.get_path(path_id)
        user = self._invited(user_id, email)
        if user.id == path.owner:
            raise ArgumentError(f"user {user.name!r} owns path {path.id} already", argument="userId", value=user.id)
        _check_giver(self._rights, by, path, given["accessLevel"])
        text, now = json.dumps(given), self._database.seconds()
        with self._catalogue.transaction() as connection:
            connection.execute(
                "INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path_id, user) DO UPDATE SET "
                "sender = excluded.sender, sender_name = excluded.sender_name, access = excluded.access",
                (self._database.new_id(), path.id, user.id, by.id, by.name, text, now),
            )
            row = connection.execute(
                "SELECT id FROM invites WHERE path_id = ? AND user = ?", (path.id, user.id)
            ).fetchone()
        return str(row["id"])

    def _invited(self, user_id: str | None, email: str | None) -> User:
        if user_id is None and email is None:
            raise ArgumentError("give userId or email: who is invited", argument="userId")
        check_length("an e-mail address", "email", email, strict=self._database.strict)
        named = None if email is None else self._accounts.find_user(checked_name(email, "email"))
        if email is not None and named is None:
            way_out = "let them log in once, or make them with `ellipsis-local users add`"
            text = f"email: there is no user {email!r} in this home, and no mail is sent; {way_out}"
            raise ArgumentError(text, argument="email", value=email)
        if user_id is None:
            assert named is not None  # noqa: S101 - for the type checker
            return named
        user = self._accounts.get_user(user_id)
        if named is not None and named != user:
            raise ArgumentError("userId and email are two users: give one of them", argument="email", value=email)
        return user

    def revoke(self, path_id: str, invite_id: str) -> None:
        """Take an invite back; NotFoundError where the path has no such invite."""
        self._delete(path_id, invite_id, None)

    def accept(self, path_id: str, invite_id: str, user: User) -> None:
        """Become a member, or stay one with more access; AccessError where the sender has lost that access."""
        with self._catalogue.transaction() as connection:
            row = self._find(connection, path_id, invite_id, user)
            access = json.loads(row["access"])
            path = self._catalogue.get_path(row["path_id"])
            _check_giver(self._rights, User(row["sender"], row["sender_name"]), path, access["accessLevel"])
            connection.execute(
                "INSERT INTO memberships (user, path_id, level, access, created) VALUES (?, ?, ?, ?, "
                "(SELECT max(?, ifnull(max(created) + ?, 0)) FROM memberships)) "
                "ON CONFLICT (user, path_id) DO UPDATE SET level = excluded.level, access = excluded.access "
                "WHERE excluded.level > level",
                (row["user"], path.id, access["accessLevel"], row["access"], self._database.seconds(), STEP),
            )
            connection.execute("DELETE FROM invites WHERE id = ?", (row["id"],))

    def decline(self, path_id: str, invite_id: str, user: User) -> None:
        """Refuse an invite; NotFoundError where the user has no such invite."""
        self._delete(path_id, invite_id, user)

    def _delete(self, path_id: str, invite_id: str, user: User | None) -> None:
        with self._catalogue.transaction() as connection:
            row = self._find(connection, path_id, invite_id, user)
            connection.execute("DELETE FROM invites WHERE id = ?", (row["id"],))

    def _find(self, connection: sqlite3.Connection, path_id: str, invite_id: str, user: User | None) -> sqlite3.Row:
        path, invite_id = self._catalogue.get_path(path_id), as_uuid("inviteId", invite_id)
        row = connection.execute("SELECT * FROM invites WHERE id = ? AND path_id = ?", (invite_id, path.id)).fetchone()
        if row is None or (user is not None and row["user"] != user.id):
            text = f"inviteId {invite_id} is no open invite {'to' if user is None else 'of yours to'} path {path.id}"
            raise NotFoundError(text, argument="inviteId", value=invite_id)
        found: sqlite3.Row = row
        return found

    def of_user(self, user: User) -> list[Invite]:
        """The invites that wait for a user's answer, the oldest first."""
        return self._invites("i.user = ?", user.id)

    def of_path(self, path_id: str) -> list[Invite]:
        """The invites to a path that wait for an answer, the oldest first."""
        return self._invites("i.path_id = ?", self._catalogue.get_path(path_id).id)

    def _invites(self, test: str, value: str) -> list[Invite]:
        rows = self._database.rows(
            "SELECT i.*, u.name FROM invites i JOIN users u ON u.id = i.user "  # noqa: S608 - own text only
            f"WHERE {test} ORDER BY i.created, i.rowid",
            (value,),
        )
        return [
            Invite(
                row["id"],
                row["path_id"],
                User(row["user"], row["name"]),
                User(row["sender"], row["sender_name"]),
                json.loads(row["access"]),
                utc(row["created"]),
            )
            for row in rows
        ]
