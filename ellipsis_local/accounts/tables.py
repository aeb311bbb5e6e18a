"""The tables of users and tokens, and the records that are read from them.

`users` and `tokens` are as they have been since the first release, so that an old home opens with its users and tokens:
a password with an empty salt is an argon2 hash, one with a salt a scrypt hash; what else is known of a token stands in
`token_facts`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, password BLOB NOT NULL, created REAL NOT
        NULL)""",
    """CREATE TABLE IF NOT EXISTS tokens (
        token BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES users, created REAL NOT NULL, expires REAL)""",
    "CREATE INDEX IF NOT EXISTS tokens_user ON tokens (user)",
    "CREATE INDEX IF NOT EXISTS tokens_expires ON tokens (expires)",
    # access_list: JSON, NULL for a full token; a revoked token is an expired one that says why.
    """CREATE TABLE IF NOT EXISTS token_facts (
        token BLOB PRIMARY KEY REFERENCES tokens ON DELETE CASCADE, id TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
        access_list TEXT, revoked INTEGER NOT NULL DEFAULT 0)""",
)


class User(NamedTuple):
    """Whoever a token stands for."""

    id: str
    name: str
    grants: tuple[tuple[str, int], ...] | None = None
    """Of an access token: path ids with the access level that it gives there at most; None for a full token."""
    computes: bool = True
    """Whether the token may create, execute and terminate computes: an access token only where its list says so."""


class UserRecord(NamedTuple):
    """A user, as an administrator sees them."""

    id: str
    name: str
    created: datetime
    """UTC."""
    tokens: int
    """How many tokens are valid."""


class TokenRecord(NamedTuple):
    """What is known of a valid token; its text is not, only a hash is kept."""

    id: str
    description: str
    created: datetime
    """UTC."""
    expires: datetime | None
    """UTC; None: never."""
    scope: Literal["login", "access"]
    """`login`: all that the user may do; `access`: what the access list names."""
    access_list: list[dict[str, Any]] | None
    """``{'pathId': …, 'access': {'accessLevel': …}}`` per path; None for a token of scope `login`."""
