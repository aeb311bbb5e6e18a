"""What is known around a function: where a name outside comes from, its compute, and what the environment holds."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.utils import canonicalize_name

from ellipsis_local.preflight.modules import NODES_OWN, SERVICE_HAS, come_with, requirement_name

PLAIN_PTH = ("_virtualenv.pth", "distutils-precedence.pth")
"""Files that every environment may have and that add no modules of a package."""


class Origin(NamedTuple):
    """Where a name outside of a function comes from."""

    kind: Literal["closure", "global"]
    way_out: str
    """How to bring it into the body."""


Look = Callable[[str], Origin | None]
"""From a name to what defines it outside of the function; None where nothing does."""


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
        return come_with(requirements, lambda name: self._needs.get(name, ()))

    @cached_property
    def _needs(self) -> dict[str, tuple[str, ...]]:
        # What belongs to an extra may have been asked for; that it comes is not sure, and here rather not told.
        return {
            canonicalize_name(one.metadata["Name"] or ""): tuple(map(requirement_name, one.requires or ()))
            for one in importlib.metadata.distributions(path=list(self.sites))
        }


def installed_in(environment: Path) -> Installed | None:
    """What the virtual environment in a folder holds; None where there is none."""
    sites = tuple(sorted({str(site.resolve()) for site in environment.glob("lib*/python3.*/site-packages")}))
    return _installed(sites) if sites else None


@lru_cache(maxsize=32)
def installed_with(requirements: tuple[str, ...]) -> Installed:
    """What an environment with these requirements would hold, as far as this process has the same packages."""
    asked = (*requirements, *SERVICE_HAS, *NODES_OWN.values())
    sites = tuple(path for path in sys.path if os.path.isdir(path))  # noqa: PTH112 - many, and mostly folders
    modules: set[str] = set()
    complete = True
    for name in Installed(sites, frozenset(), False).come_with(asked):
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
    for entry in (entry for site in sites for entry in os.scandir(site)):
        name, dot, suffix = entry.name.partition(".")
        if suffix == "pth" or entry.name.endswith(".pth"):
            complete &= entry.name in PLAIN_PTH
        elif entry.is_dir():
            if not dot and name != "__pycache__":
                modules.add(name)
        elif suffix in ("py", "pyc") or suffix.endswith("so"):
            modules.add(name)
    return Installed(sites, frozenset(modules), complete)


@dataclass(frozen=True)
class Surroundings:
    """What is known of the compute that a function is for; the rules are silent on what is not."""

    python: tuple[int, ...] = (3, 12)
    """The version of the environment's interpreter: two numbers or more."""
    layers: tuple[tuple[str, str], ...] | None = None
    """Path id and timestamp id of each, as they are spelled in createCompute; None: not known."""
    files: tuple[str, ...] | None = None
    """Path ids; None: not known."""
    requirements: tuple[str, ...] | None = None
    """PEP 508; None: not known."""
    large: bool | None = None
    """Whether the function has to return a memory file (largeResult, writeToLayer); None: not known."""
    dtypes: Mapping[str, str] | None = None
    """Of raster layers, by the timestamp ids in `layers`; those of vectors are ''. None: nothing is known."""
    installed: Callable[[], Installed | None] = lambda: None
    """What the environment holds, called only where a rule depends on it; None: there is none to look at."""
