"""What an environment holds, read from its files."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from packaging.utils import canonicalize_name

from ellipsis_local.preflight.modules import NODES_OWN, SERVICE_HAS, requirement_name

PLAIN_PTH = ("_virtualenv.pth", "distutils-precedence.pth")
"""Files that every environment may have and that add no modules of a package."""


@dataclass(frozen=True)
class Installed:
    """The packages of one environment."""

    sites: tuple[str, ...]
    """Its folders of packages."""
    modules: frozenset[str]
    """Top-level modules."""
    complete: bool
    """False where modules may come from elsewhere (editable packages)."""

    def has(self, module: str) -> bool:
        """Whether a module is there; setuptools brings distutils in a way of its own."""
        return module in self.modules or (module == "distutils" and "_distutils_hack" in self.modules)

    def come_with(self, requirements: Iterable[str]) -> frozenset[str]:
        """The canonical names of packages, and of all that they need, as their own metadata say."""
        pending, seen = [requirement_name(requirement) for requirement in requirements], set()
        while pending:
            name = pending.pop()
            if name and name not in seen:
                seen.add(name)
                pending += self._needs.get(name, ())
        return frozenset(seen)

    @cached_property
    def _needs(self) -> dict[str, tuple[str, ...]]:
        needs: dict[str, tuple[str, ...]] = {}
        for distribution in importlib.metadata.distributions(path=list(self.sites)):
            listed = distribution.requires or ()
            # What belongs to an extra may have been asked for; that it comes is not sure, and here rather not told.
            name = canonicalize_name(distribution.metadata["Name"] or "")
            needs[name] = tuple(map(requirement_name, listed))
        return needs


def installed_in(environment: Path) -> Installed | None:
    """What the virtual environment in a folder holds; None where there is none."""
    sites = tuple(sorted({str(site.resolve()) for site in environment.glob("lib*/python3.*/site-packages")}))
    return _installed(sites) if sites else None


@lru_cache(maxsize=32)
def installed_with(requirements: tuple[str, ...]) -> Installed:
    """What an environment with these requirements would hold, as far as this process has the same packages."""
    asked = (*requirements, *SERVICE_HAS, *NODES_OWN.values())
    sites = tuple(path for path in sys.path if os.path.isdir(path))  # noqa: PTH112 - many, and mostly folders
    whole = Installed(sites, frozenset(), False)
    modules: set[str] = set()
    complete = True
    for name in whole.come_with(asked):
        try:
            files = importlib.metadata.distribution(name).files
        except importlib.metadata.PackageNotFoundError:
            files = None
        if files is None:
            # What it would bring is not known; an extra that nobody asked for would bring nothing.
            complete &= name not in map(requirement_name, requirements)
        for file in files or ():
            first = file.parts[0]
            if len(file.parts) > 1 or first.endswith((".py", ".so")):
                modules.add(first.partition(".")[0])
    return Installed(sites, frozenset(modules), complete)


@lru_cache(maxsize=32)
def _installed(sites: tuple[str, ...]) -> Installed:
    """Looked up once: environments are never changed."""
    modules: set[str] = set()
    complete = True
    for site in sites:
        complete &= _look(site, modules)
    return Installed(sites, frozenset(modules), complete)


def _look(site: str, modules: set[str]) -> bool:
    """Add the top-level modules of a folder; whether those are all."""
    complete = True
    with os.scandir(site) as entries:
        for entry in entries:
            name, dot, suffix = entry.name.partition(".")
            if suffix == "pth" or entry.name.endswith(".pth"):
                complete &= entry.name in PLAIN_PTH
            elif entry.is_dir():
                if not dot and name != "__pycache__":
                    modules.add(name)
            elif suffix in ("py", "pyc") or suffix.endswith("so"):
                modules.add(name)
    return complete
