"""What a machine of a cluster keeps of others' content: files by the key of it, whole; the least used go first."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from ellipsis_local.clocks import file_time
from ellipsis_local.home import Home

IDLE_SECONDS = 3600


class PartStore:
    """A folder ``KEY/NAME``, shared by all workers of a machine; a file comes into view whole, by rename."""

    def __init__(self, home: Home, limit: int) -> None:
        self._home = home
        self.folder = home.cache / "parts"
        self._limit = limit

    @property
    def id(self) -> str:
        """The same for all processes that see this folder, and no others."""
        mark = self.folder / "id"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._home.lock("parts"):
            if not mark.exists():
                mark.write_text(uuid.uuid4().hex)
            return mark.read_text()

    def path(self, name: str) -> Path:
        """Where a file lies; ValueError for a name that leads out of the folder."""
        found = self.folder / name
        if ".." in found.parts or not found.is_relative_to(self.folder):
            raise ValueError(f"{name!r} is no name of a part")
        return found

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Those that are not here; the others count as used now."""
        absent = []
        for name in names:
            path = self.path(name)
            if path.exists():
                with contextlib.suppress(OSError):
                    os.utime(path.parent)
            else:
                absent.append(name)
        return absent

    def write(self, name: str, offset: int, data: bytes, sender: str) -> None:
        """A piece of a file, which nobody sees before `settle`."""
        draft = self._draft(name, sender)
        draft.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(descriptor)

    def settle(self, name: str, sender: str) -> None:
        """Let a file that was written whole come into view; once more does nothing."""
        draft = self._draft(name, sender)
        if draft.exists():
            draft.replace(self.path(name))

    def _draft(self, name: str, sender: str) -> Path:
        path = self.path(name)
        return path.with_name(f".new-{sender}-{path.name}")

    def prune(self) -> None:
        """Remove the least recently used beyond the limit, but nothing that was used within IDLE_SECONDS."""
        found = []
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                found.append((folder.stat().st_mtime_ns, size, folder))
        total = sum(size for _, size, _ in found)
        for used, size, folder in sorted(found):
            if total <= self._limit or file_time(self.folder) - used / 1e9 < IDLE_SECONDS:
                return
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
