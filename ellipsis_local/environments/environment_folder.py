"""The folder of all environments: whose turn it is to make or remove one, and removal itself."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.manifest import MANIFEST
from ellipsis_local.home import Home
from ellipsis_local.progress import OnProgress, Progress, silent

# Beginning of the name of a folder that is being removed; keys begin with "py".
GONE = ".gone-"
LOG = ".log"


class EnvironmentFolders:
    """The environments of one home as folders; what is in them is not looked at, except for the record."""

    def __init__(self, home: Home) -> None:
        self._home = home.building
        self._root = home.environments

    def folder(self, key: str) -> Path:
        """Where the environment `key` is or would be."""
        return self._root / key

    def log(self, key: str) -> Path:
        """Where the output of the installer stands while it makes the environment `key`."""
        return self._root / f"{key}{LOG}"

    def logs(self) -> list[Path]:
        """Of all that are being made, and what killed builds left."""
        return sorted(self._root.glob(f"*{LOG}"))

    def sweep_logs(self) -> None:
        """Remove the logs of killed builds."""
        for path in self.logs():
            with contextlib.suppress(TimeoutError), self.locked(path.stem, timeout=0):
                path.unlink(missing_ok=True)

    def folders(self) -> list[Path]:
        """Every folder, also unfinished ones; none where the home does not exist."""
        try:
            return sorted(entry for entry in self._root.iterdir() if entry.is_dir())
        except OSError:
            return []

    @contextlib.contextmanager
    def turn(self, key: str, report: OnProgress, commands: Commands) -> Iterator[None]:
        """The lock of `key` for commands, with a word to the user where it has to be waited for."""
        with contextlib.ExitStack() as stack:
            while commands.lease is None:
                try:
                    commands.lease = stack.enter_context(self.locked(key, timeout=0))
                except TimeoutError:
                    report(Progress("waiting for another process that makes the same environment"))
                    report = silent
                    commands.wait()
            with contextlib.suppress(OSError):
                stack.callback(self.log(key).unlink, missing_ok=True)
                descriptor = os.open(self.log(key), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                commands.log = stack.enter_context(os.fdopen(descriptor, "wb", buffering=0))
            try:
                yield
            finally:
                commands.lease = commands.log = None

    @contextlib.contextmanager
    def locked(self, key: str, timeout: float = -1) -> Iterator[int]:
        """Hold `key` across threads, processes and the children of a killed holder; TimeoutError where it is taken.

        The value is an open lock that the installer inherits: after a `kill -9` of its parent it goes on writing, and
        its folder must not be given to another build before it ended.
        """
        import fcntl

        name = f"environment-{key}"
        with self._home.lock(name, timeout=timeout):
            path = self._home.locks / f"{name}.children"
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600)) as lease:
                try:
                    fcntl.flock(lease, fcntl.LOCK_EX | (fcntl.LOCK_NB if timeout >= 0 else 0))
                except BlockingIOError as error:
                    raise TimeoutError(f"an installer still works on {key}") from error
                try:
                    yield lease.fileno()
                finally:
                    # closing would not be enough: another thread may have forked, and its child holds a copy
                    fcntl.flock(lease, fcntl.LOCK_UN)

    def remove(self, folder: Path) -> None:
        """Out of view at once, then from the disk; what another process still writes is left for `sweep`."""
        if not folder.is_dir():
            return
        (folder / MANIFEST).unlink(missing_ok=True)
        gone = folder
        if not folder.name.startswith(GONE):
            gone = folder.with_name(f"{GONE}{folder.name}-{os.urandom(4).hex()}")
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> tuple[str, ...]:
        """Remove the remains of killed builds and removals; returns their names. A build at work is left alone."""
        swept = []
        for folder in self.folders():
            if folder.name.startswith(GONE):
                self.remove(folder)
                swept.append(folder.name)
                continue
            if (folder / MANIFEST).exists():
                continue
            with contextlib.suppress(TimeoutError), self.locked(folder.name, timeout=0):
                # it may have become ready before the lock was free
                if not (folder / MANIFEST).exists():
                    self.remove(folder)
                    swept.append(folder.name)
        # After the folders: what kept a lock may have ended meanwhile, and no log is to outlive its folder.
        self.sweep_logs()
        return tuple(swept)
