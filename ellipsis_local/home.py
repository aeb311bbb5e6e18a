"""The home folder: its locks, and the way files come into view whole; its layout is drawn in docs/architecture.md."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ellipsis_local.clocks import file_time, monotonic
from ellipsis_local.errors import StoreError

LOOK_SECONDS = 0.05


def idle_seconds(path: Path) -> float:
    """For how long nobody has written to a file, or to anything in a folder; OSError where somebody is at it now."""
    newest = max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    return file_time(path.parent) - newest


class Home:
    """One home folder; creating the object creates nothing on disk, `prepare` does."""

    def __init__(self, root: Path, environments: Path | None = None) -> None:
        """With the environments and interpreters of another folder of this layout, where one is given."""
        # Nodes in the calling process have another working directory.
        self.root = root = root.absolute()
        self.database = root / "ellipsis.sqlite"
        self.layers = root / "layers"
        self.computes = root / "computes"
        self.cache = root / "cache"
        self.cuts = self.cache / "cuts"
        self.bytecode = self.cache / "bytecode"
        self.locks = root / "locks"
        self.journal = root / "import.json"
        self.building: Home = self if environments is None else Home(environments)
        """Where environments are built: this home, or the one that it shares."""
        self.environments = self.building.root / "environments"

    def prepare(self) -> None:
        """Make the folders; StoreError where the home cannot be written."""
        own, shared = (self.layers, self.computes, self.cuts, self.locks), (self.environments, self.building.locks)
        for setting, called, folders in (
            ("home", f"home {self.root}", own),
            ("environments", f"environments' folder {self.building.root}", shared),
        ):
            try:
                for folder in folders:
                    folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"the {called} cannot be written ({error.strerror}); "
                    f"set ELLIPSIS_LOCAL_{setting.upper()} or configure({setting}=…) to a folder of yours"
                ) from error

    def compute(self, compute_id: str) -> Path:
        return self.computes / compute_id

    @contextlib.contextmanager
    def lock(self, key: str, timeout: float = -1) -> Iterator[None]:
        """Hold the lock named `key` until the block or the process ends; TimeoutError after `timeout` seconds."""
        # One object per use: a FileLock that is shared between threads would let them both in.
        lock, end = FileLock(self.locks / f"{key}.lock", thread_local=False), monotonic() + timeout
        while not lock.is_locked:
            try:
                # A timeout of its own would not pass under a frozen clock.
                lock.acquire(blocking=timeout < 0)
            except Timeout as error:
                if monotonic() >= end:
                    raise TimeoutError(f"the lock {key} is held by another process") from error
                time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def sweep(self, age: float = 3600) -> None:
        """Remove the drafts of killed processes: those in which nobody has written for so many seconds."""
        # What a journal names is the home's content to be, however old.
        imports = () if self.journal.exists() else self.root.glob(".new-*")
        for draft in (*self.cuts.glob(".new-*"), *self.cache.glob(".new-*"), *imports):
            with contextlib.suppress(OSError):
                if idle_seconds(draft) >= age:
                    shutil.rmtree(draft, ignore_errors=True)
                    draft.unlink(missing_ok=True)

    @staticmethod
    def temporary(parent: Path) -> Path:
        """A new empty folder beside what it will be renamed to, named so that `sweep` knows it."""
        return Path(tempfile.mkdtemp(prefix=".new-", dir=parent))

    @staticmethod
    @contextlib.contextmanager
    def publish(folder: Path) -> Iterator[Path]:
        """A temporary folder that becomes `folder`, whole, when the block ends well, unless that is there by then."""
        # Users may delete the cache at any time.
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Home.temporary(folder.parent)
        try:
            yield draft
            try:
                draft.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @staticmethod
    @contextlib.contextmanager
    def publish_file(target: Path) -> Iterator[Path]:
        """A temporary path that replaces `target` when the block ends well, and vanishes otherwise."""
        draft = target.with_name(f".new-{uuid.uuid4().hex}{target.suffix}")
        try:
            yield draft
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
