"""Homes that hold loaded folders already: loading costs seconds once, and a test's home is a copy."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple


class _Template(NamedTuple):
    home: Path
    loaded: dict[str, Any]
    """What `ellipsis_local.layers.load` returned."""


class Templates:
    """The templates of one run of pytest, made when a test needs them."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], _Template] = {}

    def home(self, folders: tuple[Path, ...], settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """A new home that holds the layers of the folders, and what loading them returned; the caller removes it.

        Ids and times of what was loaded are those that loading into the test's own home would have given.
        """
        key = (folders, settings.get("seed"), str(settings.get("clock")))
        if key not in self._made:
            self._made[key] = _load(folders, settings)
        template = self._made[key]
        home = Path(tempfile.mkdtemp(prefix="ellipsis_local-test-"))
        for source in template.home.iterdir():
            if source.name == "layers":
                # The store replaces files and never changes one in place.
                shutil.copytree(source, home / source.name, copy_function=_link)
            elif source.is_dir():
                shutil.copytree(source, home / source.name)
            else:
                shutil.copyfile(source, home / source.name)
        return home, copy.deepcopy(template.loaded)

    @staticmethod
    def remove(home: Path) -> None:
        """Remove a home that a test is done with."""
        shutil.rmtree(home, ignore_errors=True)

    def close(self) -> None:
        """Remove the templates."""
        while self._made:
            self.remove(self._made.popitem()[1].home)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _load(folders: tuple[Path, ...], settings: dict[str, Any]) -> _Template:
    from ellipsis_local import layers
    from ellipsis_local.mocking import mock

    home = Path(tempfile.mkdtemp(prefix="ellipsis_local-template-"))
    loaded: dict[str, Any] = {}
    try:
        with mock(home=home, **settings):
            for folder in folders:
                loaded |= layers.load(folder)
    except BaseException:
        Templates.remove(home)
        raise
    return _Template(home, loaded)
