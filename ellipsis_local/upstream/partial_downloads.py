"""What has been fetched and is not in the store yet: a folder per thing in the cache, so that a pull can continue."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home, idle_seconds

KEEP_SECONDS = 7 * 24 * 3600.0
"""How long a broken pull can be continued."""


class PartialDownloads:
    """home/cache/pulls/KEY: may be deleted like the rest of the cache; then a pull begins anew."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.root = home.cache / "pulls"

    @contextlib.contextmanager
    def exclusive(self, name: str, waiting: Callable[[], None]) -> Iterator[None]:
        """One pull of the same thing at a time, among all processes; `waiting` is called every second until then."""
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self._home.lock(f"pull-{name}", timeout=1))
                    break
                except TimeoutError:
                    waiting()
            yield

    @contextlib.contextmanager
    def draft(self, *key: Any) -> Iterator[Path]:
        """The folder of what `key` names; removed when the block ends well, kept otherwise."""
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
        folder = self.root / digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder} cannot be made: {error.strerror}") from error
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, age: float = KEEP_SECONDS) -> None:
        """Remove what nobody has gone on with for `age` seconds."""
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            with contextlib.suppress(OSError):
                if idle_seconds(folder) >= age:
                    shutil.rmtree(folder, ignore_errors=True)


def keep(target: Path, data: bytes) -> None:
    """Write a file of a draft, whole or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_suffix(".part")
        new.write_bytes(data)
        new.replace(target)
    except OSError as error:
        raise StoreError(f"{target.parent} cannot be written: {error.strerror or error}") from error


def safe_suffix(name: str) -> str:
    """The end of a foreign file name, where it is harmless: names of the service never become paths."""
    suffix = Path(name.replace("\\", "/").rpartition("/")[2]).suffix.lower()
    return suffix if 2 <= len(suffix) <= 16 and suffix[1:].isascii() and suffix[1:].isalnum() else ""
