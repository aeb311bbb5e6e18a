"""Local users: whoever logs in exists, and has tokens.

In one process a token that was not given out here belongs to a user of its own, so that scripts with a token of the
service run unchanged (our choice); a server asks `known_user`, for which every token has to be known.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterable
from typing import Any

from ellipsis_local.accounts import passwords
from ellipsis_local.accounts.tables import TokenRecord, User, UserRecord
from ellipsis_local.accounts.tokens import HOSTED, LOG_IN, Tokens, checked_token, clean_token, digest_of, utc
from ellipsis_local.accounts.validation import (
    MOST_LOGIN_SECONDS,
    canonical,
    checked_access_list,
    checked_name,
    checked_password,
    checked_text,
    checked_valid_for,
    normal_name,
)
from ellipsis_local.accounts.wrong_passwords import WrongPasswords
from ellipsis_local.arguments import invalid
from ellipsis_local.database import Database
from ellipsis_local.errors import AccountError, ArgumentError, NotFoundError
from ellipsis_local.service_columns import check_length

USERS = uuid.UUID("3bd1a6f0-6f0e-5a3c-9a56-5f1d8f1d6f52")
"""Namespace of user ids: the same name has the same id in every home."""
RESERVED = "token-"
"""How the names of tokens' own users begin: whoever took such a name would own what the token's user owns."""
MOST_FOUND = 50
"""Users that a search answers (our choice)."""
HASHES_AT_ONCE = 2
"""Each takes 19 MiB and a core."""


def own_user(name: str) -> User:
    """The user of a name, known or not."""
    return User(str(uuid.uuid5(USERS, name)), name)


class Accounts:
    """Users and tokens of one home; passwords and tokens are kept as hashes only.

    Those of a mock are invented: a token of the hosted service is refused there, and hashes are cheap; a lasting home
    makes them anew at the next login.
    """

    def __init__(self, database: Database, *, mocked: bool = False) -> None:
        self._database = database
        self._tokens = Tokens(database)
        self._mocked = mocked
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._wrong = WrongPasswords()

    def log_in(self, name: str, password: str, valid_for: int | None = None, address: str | None = None) -> str:
        """A new token for the user, who is made at the first login; it expires after `valid_for` seconds, or never.

        Wrong passwords from an `address` of the network are limited in number; who is in this process has the home.
        """
        name, password = checked_name(name), checked_password(password)
        valid_for = checked_valid_for(valid_for, MOST_LOGIN_SECONDS)
        row, made = self._row_of(name), None
        if row is None:
            made = self._hash(password)
            with self._database.transaction() as connection:
                self._insert_user(connection, name, made)
            # Where another process was faster, the row holds that one's password.
            row = self._row_of(name)
        if row is None or not (row["password"] == made or self._matches(row, password, address)):
            raise AccountError(
                f"this is not the password of user {name!r}: it is the one of the first login, unless "
                "`ellipsis-local users password` has set another"
            )
        with self._database.transaction() as connection:
            return self._tokens.give(connection, row["id"], "login", None, valid_for)[1]

    def _row_of(self, name: str) -> sqlite3.Row | None:
        """Of the name as it is, else as it is kept: what looks the same is one user (our choice)."""
        query = "SELECT id, name, salt, password FROM users WHERE name IN (?, ?) ORDER BY name = ? DESC"
        return self._database.row(query, (name, normal_name(name), name))

    def _hash(self, password: str) -> bytes:
        with self._hashing:
            return passwords.hashed(password, cheap=self._mocked)

    def _matches(self, row: sqlite3.Row, password: str, address: str | None) -> bool:
        """Whether it is the password; a hash of the first release, or of weaker parameters, is made anew then."""
        with self._hashing:
            # Where hashes wait for each other: many requests at once are counted one by one.
            if address is not None:
                self._wrong.check(address, row["name"])
            right = passwords.verified(password, row["salt"], row["password"])
            if address is not None:
                (self._wrong.forget if right else self._wrong.add)(address, row["name"])
        if right and not self._mocked and passwords.outdated(row["salt"], row["password"]):
            new = self._hash(password)
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE users SET salt = x'', password = ? WHERE id = ? AND password = ?",
                    (new, row["id"], row["password"]),
                )
        return right

    def add_user(self, name: str, password: str, *, token: str | None = None) -> User:
        """Make a user, whose token the given text becomes as well; ArgumentError where the name is there."""
        name, password = checked_name(name), checked_password(password)
        digest = None if token is None else digest_of(checked_token(token))
        if self._row_of(name) is not None:
            raise self._exists(name)
        made = self._hash(password)
        with self._database.transaction() as connection:
            if self._insert_user(connection, name, made) == 0:
                raise self._exists(name)
            user = own_user(normal_name(name))
            if digest is not None:
                self._tokens.register(connection, user, digest)
        return user

    @staticmethod
    def _exists(name: str) -> ArgumentError:
        return ArgumentError(f"there is a user {name!r} in this home already", argument="username", value=name)

    def _insert_user(self, connection: sqlite3.Connection, name: str, made: bytes) -> int:
        name = checked_name(normal_name(name))
        if name.startswith(RESERVED):
            text = f"must not begin with {RESERVED!r}: such names are those of unknown tokens; choose another"
            raise invalid("username", name, text)
        return self._insert(connection, own_user(name), made)

    def _insert(self, connection: sqlite3.Connection, user: User, made: bytes) -> int:
        values = (user.id, user.name, b"", made, self._database.seconds())
        return connection.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?, ?)", values).rowcount

    def users(self) -> list[UserRecord]:
        """All users, in the order of their names."""
        rows = self._database.rows(
            "SELECT u.id, u.name, u.created, (SELECT count(*) FROM tokens t WHERE t.user = u.id AND "
            "(t.expires IS NULL OR t.expires > ?)) AS valid FROM users u ORDER BY u.name",
            (self._database.seconds(),),
        )
        return [UserRecord(row["id"], row["name"], utc(row["created"]), row["valid"]) for row in rows]

    def find_user(self, name: str) -> User | None:
        """The user of this name, None where there is none."""
        row = self._row_of(checked_name(name))
        return None if row is None else User(row["id"], row["name"])

    def named(self, name: str) -> User:
        """The user of this name; NotFoundError where there is none."""
        user = self.find_user(name)
        if user is None:
            raise NotFoundError(
                f"there is no user {name!r} in this home; `ellipsis-local users list` shows who there is",
                argument="username",
                value=name,
            )
        return user

    def get_user(self, user_id: str) -> User:
        """The user of this id; ArgumentError for a malformed id, NotFoundError for an unknown one."""
        user_id = canonical("userId", user_id)
        row = self._database.row("SELECT id, name FROM users WHERE id = ?", (user_id,))
        if row is None:
            raise NotFoundError(f"userId {user_id} does not exist here", argument="userId", value=user_id)
        return User(row["id"], row["name"])

    def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        """The names of those of these users that are known here, by id; one read."""
        rows = self._database.rows(
            "SELECT id, name FROM users WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(user_ids)),)
        )
        return {row["id"]: row["name"] for row in rows}

    def search(self, name: str, fuzzy: bool = True) -> list[User]:
        """At most 50 users of that name, or with names that contain it (our choice), the shortest first."""
        text = checked_text("username", name)
        test, order = ("instr(lower(name), lower(?)) > 0", "length(name), name") if fuzzy else ("name = ?", "name")
        found = self._database.rows(
            f"SELECT id, name FROM users WHERE {test} ORDER BY {order} LIMIT ?",  # noqa: S608 - own text only
            (text, MOST_FOUND),
        )
        return [User(row["id"], row["name"]) for row in found]

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; tokens stay valid. NotFoundError where there is no such user."""
        password = checked_password(password)
        user = self.named(name)
        made = self._hash(password)
        with self._database.transaction() as connection:
            connection.execute("UPDATE users SET salt = x'', password = ? WHERE id = ?", (made, user.id))

    def remove_user(self, name: str) -> None:
        """Remove a user with all tokens, memberships and invites; paths and computes stay, theirs under the same name.

        Our choice: a user removed by mistake loses nothing.
        """
        user = self.named(name)
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM tokens WHERE user = ?", (user.id,))
            connection.execute("DELETE FROM users WHERE id = ?", (user.id,))

    def user(self, token: str) -> User:
        """Whose token it is, a user of its own where it is not known here; AccountError where it is no longer valid."""
        token = clean_token(token)
        if not token:
            raise ArgumentError("token must not be empty; log in with account.logIn", argument="token", value=token)
        found = self._tokens.find(token)
        if found is None and self._mocked and HOSTED.fullmatch(token):
            raise AccountError(
                "token looks like one of the hosted service, and ellipsis_local.mock takes none of these: "
                "use what account.logIn returns inside the mock, or any other text"
            )
        return found or own_user(f"{RESERVED}{digest_of(token).hex()[:12]}")

    def adopt(self, token: str) -> User:
        """Whose token it is, as `user`; from now on servers of this home know it as well, for that user."""
        user, text = self.user(token), clean_token(token)
        if self._tokens.find(text) is None:
            with self._database.transaction() as connection:
                # No password is the one of an empty hash.
                self._insert(connection, user, b"")
                self._tokens.register(connection, user, digest_of(checked_token(text)))
        return user

    def known_user(self, token: str) -> User:
        """Whose token it is; AccountError where it is not known here: for servers, which let nobody else in."""
        token = clean_token(token)
        found = self._tokens.find(token) if token else None
        if found is None:
            what = "this token is not known here" if token else "the token is empty"
            raise AccountError(f"{what}; {LOG_IN}")
        return found

    def tokens(self, user_id: str) -> list[TokenRecord]:
        """The valid tokens of a user, the oldest first."""
        return self._tokens.of(self.get_user(user_id))

    def add_access_token(
        self, user_id: str, description: str, access_list: Any, valid_for: int | None = None, scope: str = "all"
    ) -> tuple[str, str]:
        """Id and text of a token for the paths of a list alone, up to an access level each; see `checked_access_list`.

        Whether a path exists is not asked; a folder stands for what lies in it. `scope` is what the client sends.
        """
        description = checked_text("description", description)
        column = "the description of an access token"
        check_length(column, "description", description, strict=self._database.strict)
        if scope != "all":
            raise ArgumentError(f"scope must be 'all', not {str(scope)[:80]!r}", argument="scope", value=scope)
        granted, seconds = json.dumps(checked_access_list(access_list)), checked_valid_for(valid_for)
        user = self.get_user(user_id)
        with self._database.transaction() as connection:
            return self._tokens.give(connection, user.id, description, granted, seconds)

    def register_token(self, name: str, token: str) -> None:
        """Let a text be a token of a user for ever; what it stood for before does not move along."""
        digest = digest_of(checked_token(token))
        user = self.named(name)
        with self._database.transaction() as connection:
            self._tokens.register(connection, user, digest)

    def revoke(self, user_id: str, token_id: str) -> None:
        """Let a token be valid no longer; NotFoundError where the user has no such valid token."""
        self._tokens.revoke(self.get_user(user_id), token_id)
