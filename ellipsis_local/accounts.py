"""Local users: whoever logs in exists, and sees their own computes.

A token that was not given out here belongs to a user of its own, so that scripts with a token of the service run
unchanged (our choice).
"""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from typing import NamedTuple

from ellipsis_local.database import Database
from ellipsis_local.errors import AccountError, ArgumentError

__all__ = ["SCHEMA", "Accounts", "User"]

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, password BLOB NOT NULL, created REAL NOT
        NULL)""",
    """CREATE TABLE IF NOT EXISTS tokens (
        token BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES users, created REAL NOT NULL, expires REAL)""",
)
USERS = uuid.UUID("3bd1a6f0-6f0e-5a3c-9a56-5f1d8f1d6f52")
"""Namespace of user ids: the same name has the same id in every home."""


class User(NamedTuple):
    """Whoever a token stands for."""

    id: str
    name: str


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1)


class Accounts:
    """Users and tokens of one home; passwords and tokens are kept as hashes only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def log_in(self, name: str, password: str, valid_for: int | None = None) -> str:
        """A new token for the user, who is made at the first login.

        Raises
        ------
        AccountError
            For a password other than that of the first login.
        """
        if not name:
            raise ArgumentError("username must not be empty", argument="username", value=name)
        if valid_for is not None and valid_for <= 0:
            raise ArgumentError(
                f"validFor must be a positive number of seconds, not {valid_for}", argument="validFor", value=valid_for
            )
        salt = secrets.token_bytes(16)
        new = (str(uuid.uuid5(USERS, name)), name, salt, _hash(password, salt), time.time())
        with self._database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?, ?)", new)
        row = self._database.row("SELECT id, salt, password FROM users WHERE name = ?", (name,))
        if row is None or not secrets.compare_digest(_hash(password, row["salt"]), row["password"]):
            raise AccountError(
                f"the password is not the one with which user {name!r} of this home was made, at the first login"
            )
        token = f"local_{secrets.token_urlsafe(32)}"
        expires = None if valid_for is None else time.time() + valid_for
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?)", (_digest(token), row["id"], time.time(), expires)
            )
        return token

    def user(self, token: str) -> User:
        """Whose token it is.

        Raises
        ------
        AccountError
            For a token of this home that has expired.
        """
        token = token.removeprefix("Bearer ").strip()
        if not token:
            raise ArgumentError("token must not be empty; log in with account.logIn", argument="token", value=token)
        row = self._database.row(
            "SELECT u.id, u.name, t.expires FROM tokens t JOIN users u ON u.id = t.user WHERE t.token = ?",
            (_digest(token),),
        )
        if row is None:
            name = f"token-{_digest(token).hex()[:12]}"
            return User(str(uuid.uuid5(USERS, name)), name)
        if row["expires"] is not None and row["expires"] < time.time():
            raise AccountError(f"this token of user {row['name']!r} has expired; log in again with account.logIn")
        return User(row["id"], row["name"])
