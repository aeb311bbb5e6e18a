"""Tokens as they are kept: by their hashes, given out, registered, found and revoked."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
from datetime import UTC, datetime
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.accounts.tables import TokenRecord, User
from ellipsis_local.accounts.validation import CAN_COMPUTE, canonical, checked_name
from ellipsis_local.database import Database
from ellipsis_local.errors import AccountError, ArgumentError, NotFoundError

MOST_TOKEN = 1024
KEEP_SECONDS = 30 * 86400
"""How long the row of an expired or revoked token stays, so that an error can say which of both it is."""
LOG_IN = "log in with account.logIn, or make the token known with `ellipsis-local users add NAME --token TOKEN`"


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def clean_token(token: Any) -> str:
    """The token of an Authorization header, or as it is."""
    return arguments.string("token", token).removeprefix("Bearer ").strip()


def checked_token(token: Any) -> str:
    """A text that can be made a token: 1 to 1024 characters without spaces."""
    text = checked_name(clean_token(token), "token", most=MOST_TOKEN)
    if any(character.isspace() for character in text):
        raise ArgumentError("token must not hold spaces", argument="token")
    return text


HOSTED = re.compile(r"eyJ[\w-]+\.\S+|epat_\S+")
"""What the hosted service's tokens look like (our reading), and none that is given out here: JSON web tokens of logins,
access tokens with a prefix."""


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _user(user_id: str, name: str, access_list: str | None) -> User:
    if access_list is None:
        return User(user_id, name)
    entries = json.loads(access_list)
    grants = tuple((entry["pathId"], entry["access"]["accessLevel"]) for entry in entries)
    return User(user_id, name, grants, any(entry["access"].get(CAN_COMPUTE) for entry in entries))


class Tokens:
    """The tokens of one home. Methods that take a connection are part of its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, token: str) -> User | None:
        """Whose it is; None for an unknown one, AccountError for one that is valid no longer."""
        row = self._database.row(
            "SELECT u.id, u.name, t.expires, f.access_list, f.revoked FROM tokens t JOIN users u ON u.id = t.user "
            "LEFT JOIN token_facts f ON f.token = t.token WHERE t.token = ?",
            (digest_of(token),),
        )
        if row is None:
            return None
        if row["revoked"]:
            raise AccountError(f"this token of user {row['name']!r} was revoked; {LOG_IN}")
        if row["expires"] is not None and row["expires"] <= self._database.seconds():
            raise AccountError(f"this token of user {row['name']!r} has expired; {LOG_IN}")
        return _user(row["id"], row["name"], row["access_list"])

    def of(self, user: User) -> list[TokenRecord]:
        """The valid tokens of a user, the oldest first."""
        self._adopt(user)
        rows = self._database.rows(
            "SELECT f.id, f.description, f.access_list, t.created, t.expires FROM tokens t "
            "JOIN token_facts f ON f.token = t.token WHERE t.user = ? AND (t.expires IS NULL OR t.expires > ?) "
            "ORDER BY t.created, t.rowid",
            (user.id, self._database.seconds()),
        )
        return [
            TokenRecord(
                id=row["id"],
                description=row["description"],
                created=utc(row["created"]),
                expires=None if row["expires"] is None else utc(row["expires"]),
                scope="login" if row["access_list"] is None else "access",
                access_list=None if row["access_list"] is None else json.loads(row["access_list"]),
            )
            for row in rows
        ]

    def _adopt(self, user: User) -> None:
        """Give an id to the tokens that the first release gave out."""
        query = "SELECT token FROM tokens WHERE user = ? AND token NOT IN (SELECT token FROM token_facts)"
        if self._database.row(query, (user.id,)) is None:
            return
        with self._database.transaction() as connection:
            found = connection.execute(query, (user.id,)).fetchall()
            connection.executemany(
                "INSERT INTO token_facts (token, id, description) VALUES (?, ?, 'login')",
                [(row["token"], self._database.new_id()) for row in found],
            )

    def give(
        self, connection: sqlite3.Connection, user_id: str, description: str, granted: str | None, seconds: int | None
    ) -> tuple[str, str]:
        """The id and the text of a new token; those that are over for long are dropped."""
        now, token = self._database.seconds(), f"local_{secrets.token_urlsafe(32)}"
        connection.execute("DELETE FROM tokens WHERE expires < ?", (now - KEEP_SECONDS,))
        expires = None if seconds is None else now + seconds
        return self._insert(connection, digest_of(token), user_id, description, granted, expires), token

    def register(self, connection: sqlite3.Connection, user: User, digest: bytes) -> None:
        """Make it a token of the user that does not expire; ArgumentError where it is another one already."""
        row = connection.execute(
            "SELECT t.user, t.expires, f.access_list FROM tokens t LEFT JOIN token_facts f ON f.token = t.token "
            "WHERE t.token = ?",
            (digest,),
        ).fetchone()
        if row is not None:
            if row["user"] != user.id or row["access_list"] is not None:
                whose = "an access token" if row["user"] == user.id else "another user's"
                raise ArgumentError(f"this token is {whose} already", argument="token")
            if row["expires"] is None:
                return
            connection.execute("DELETE FROM tokens WHERE token = ?", (digest,))
        self._insert(connection, digest, user.id, "registered", None, None)

    def _insert(
        self,
        connection: sqlite3.Connection,
        digest: bytes,
        user_id: str,
        description: str,
        granted: str | None,
        expires: float | None,
    ) -> str:
        token_id = self._database.new_id()
        try:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?)", (digest, user_id, self._database.seconds(), expires)
            )
        except sqlite3.IntegrityError as error:
            raise AccountError("the user was removed meanwhile") from error
        connection.execute(
            "INSERT INTO token_facts (token, id, description, access_list) VALUES (?, ?, ?, ?)",
            (digest, token_id, description, granted),
        )
        return token_id

    def revoke(self, user: User, token_id: str) -> None:
        """Let a token be valid no longer; NotFoundError where the user has no such valid token."""
        token_id = canonical("accessTokenId", token_id)
        self._adopt(user)
        now = self._database.seconds()
        with self._database.transaction() as connection:
            # Expired as well, so that a first release on the same home refuses it, too.
            changed = connection.execute(
                "UPDATE tokens SET expires = ? WHERE user = ? AND (expires IS NULL OR expires > ?) "
                "AND token = (SELECT token FROM token_facts WHERE id = ?)",
                (now, user.id, now, token_id),
            )
            if changed.rowcount == 0:
                raise NotFoundError(
                    f"accessTokenId {token_id} is no valid token of user {user.name!r}",
                    argument="accessTokenId",
                    value=token_id,
                )
            connection.execute("UPDATE token_facts SET revoked = 1 WHERE id = ?", (token_id,))
