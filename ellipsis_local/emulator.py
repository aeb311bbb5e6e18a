"""The emulator: one object over one home, which owns the rooms and their lifetime.

public functions ──> Emulator ──> store          catalogue and files
                                  accounts       users and tokens
                                  environments   interpreter + requirements → virtualenv
                                  partitions     extent → N cells; layer × cell → file
                                  computes       records, and the engine's pools
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import Any

from ellipsis_local import accounts, store
from ellipsis_local import computes as computes_room
from ellipsis_local.accounts import Accounts, User
from ellipsis_local.computes import Computes, Records
from ellipsis_local.database import Database
from ellipsis_local.environments import Environments
from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.home import Home
from ellipsis_local.nodes import Engine, LocalEngine
from ellipsis_local.partitions import Partitions
from ellipsis_local.settings import Settings, read_settings
from ellipsis_local.store import LayerStore

__all__ = ["Emulator", "configure", "current_emulator", "use"]


class Emulator:
    """The service, on one home.

    Parameters
    ----------
    settings : Settings, optional
        Those of file, environment variables and `configure` where None.
    engine : Engine, optional
        What runs the nodes; this machine's processes where None.

    Several emulators, in one process or in several, may share a home. Use it as a context manager, or call `close`:
    it ends the workers of this process, and everything stored stays.
    """

    def __init__(self, settings: Settings | None = None, *, engine: Engine | None = None) -> None:
        self.settings = settings or read_settings()
        self.home = Home(self.settings.home)
        self.home.prepare()
        self.database = Database(self.home.database, (*store.SCHEMA, *accounts.SCHEMA, *computes_room.SCHEMA))
        self.accounts = Accounts(self.database)
        self.store = LayerStore(self.home, self.database)
        self.environments = Environments(self.home, offline=self.settings.offline)
        self.partitions = Partitions(self.home, cores=self.settings.cores, cache_size=self.settings.cache_size)
        self.computes = Computes(
            self.home,
            self.settings,
            Records(self.database),
            self.store,
            self.environments,
            self.partitions,
            engine or LocalEngine(),
            self.report,
        )
        self._pid = os.getpid()

    def user(self, token: str) -> User:
        """Whose token it is; see `Accounts.user`."""
        return self.accounts.user(token)

    def account(self, user: User) -> dict[str, Any]:
        """What the service tells of an account (seen in the client: `plan.maxComputeNodes`)."""
        return {"id": user.id, "username": user.name, "plan": {"maxComputeNodes": self.settings.max_nodes}}

    def report(self, text: str) -> None:
        """Tell whoever follows, as the setting `progress` says."""
        progress = self.settings.progress
        if callable(progress):
            progress(text)
        elif progress or (progress is None and sys.stderr is not None and sys.stderr.isatty()):
            print(f"ellipsis_local: {text}", file=sys.stderr, flush=True)  # noqa: T201 - asked for

    @property
    def inherited(self) -> bool:
        """Whether this process got the object by a fork: its processes belong to the parent."""
        return self._pid != os.getpid()

    def close(self) -> None:
        """End the workers of this process, and tidy up."""
        if not self.inherited:
            self.computes.close()
            self.environments.close()
            # The home may be gone or full; that is no reason to fail at the end.
            with contextlib.suppress(EllipsisLocalError, OSError):
                self.tidy()
            self.database.close()

    def tidy(self) -> None:
        """Remove what killed processes left behind, and the cuts beyond the cache's size."""
        self.home.sweep()
        self.store.sweep()
        self.environments.sweep()
        self.computes.tidy()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_lock = threading.RLock()
_given: dict[str, Any] = {}
_current: Emulator | None = None


def current_emulator() -> Emulator:
    """The emulator of the module's public functions, made at the first use."""
    global _current
    with _lock:
        if _current is None or _current.inherited:
            _current = Emulator(read_settings(_given))
        return _current


def configure(**settings: Any) -> Settings:
    """Set how this process plays the service; settings given before stay unless given again.

    Parameters
    ----------
    **settings
        The fields of `ellipsis_local.settings.Settings`: home, crs, features, overlap, cores, node_timeout,
        node_memory, max_nodes, strict, offline, progress, cache_size.

    Returns
    -------
    Settings
        What is now in force, from ``settings.toml`` in the home, ``ELLIPSIS_LOCAL_*`` variables and this call.

    Raises
    ------
    SettingsError
        For an unknown name or an impossible value; nothing has changed then.
    """
    with _lock:
        new = read_settings(_given | settings)
        _given.update(settings)
        use(None)
        return new


def use(emulator: Emulator | None) -> None:
    """Let the public functions work on this emulator; None: on a new one, by the settings."""
    global _current
    with _lock:
        former, _current = _current, emulator
        if former is not None and former is not emulator:
            former.close()


atexit.register(use, None)
