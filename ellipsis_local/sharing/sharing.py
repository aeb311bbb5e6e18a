"""Who may do what with which path, as one object over one home."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from ellipsis_local.accounts import Accounts, User
from ellipsis_local.database import Database
from ellipsis_local.errors import StoreError
from ellipsis_local.sharing.marks import Marks
from ellipsis_local.sharing.members import Invites, Members
from ellipsis_local.sharing.rights import Rights
from ellipsis_local.sharing.usage import Usage
from ellipsis_local.store import Catalogue
from ellipsis_local.types import PathRecord

__all__ = ["Sharing"]


class Sharing(Marks):
    """Access levels, invites, members, marks and usage.

    That nobody gives more access than they have is checked here; who may call what is up to the caller. Methods raise
    ArgumentError for malformed ids, NotFoundError for unknown ones.
    """

    def __init__(self, database: Database, catalogue: Catalogue, accounts: Accounts) -> None:
        rights = Rights(database)
        super().__init__(database, catalogue, rights)
        self.members = Members(database, catalogue, rights)
        self.invites = Invites(database, catalogue, accounts, rights)
        self.usage = Usage(database, catalogue)

    def level(self, user: User | None, record: PathRecord) -> int:
        """The access level of a user on a path; `user` is None for whoever has no token.

        Owners of the path or of a folder above it have OWNER. What nobody owns was added to the home itself: every user
        has OWNER on it, and everybody else DOWNLOAD, unless public access says otherwise. Else it is the highest of
        memberships and public access, of the path or of a folder above it. An access token gives no more than its
        list grants on the path or on a folder above it (all our choice).
        """
        return self._rights.level(user, record)

    def levels(self, user: User | None, records: Iterable[PathRecord]) -> dict[str, int]:
        """The levels on many paths by path id, with as many reads as for one."""
        return self._rights.levels(user, records)

    def shared_with(self, user: User | None) -> list[str]:
        """The ids of the paths that the user was invited to and accepted, the oldest first."""
        if user is None:
            return []
        rows = self._database.rows(
            "SELECT path_id FROM memberships WHERE user = ? ORDER BY created, path_id", (user.id,)
        )
        return [row["path_id"] for row in rows]

    def close(self) -> None:
        """Write what waits; a home that is gone or full is no reason to fail."""
        with contextlib.suppress(StoreError):
            self.usage.write()
