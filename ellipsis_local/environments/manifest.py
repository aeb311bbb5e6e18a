"""What an environment writes of itself into `environment.json`, the file that makes it ready."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from ellipsis_local.clocks import file_time
from ellipsis_local.environments.interpreters import Interpreter
from ellipsis_local.home import Home

MANIFEST = "environment.json"
LAST_USED = "last-used"
FORMAT = 1

# How often the use of an environment is noted, in seconds: often enough to prune by days.
NOTE_EVERY = 3600.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is ready; shared by every compute with the same specification, never changed."""

    key: str
    folder: Path
    python: Path
    """The interpreter inside it."""
    interpreter: Interpreter
    """The interpreter that it was made from."""
    requirements: tuple[str, ...]
    """The user's, as given."""
    packages: dict[str, str]
    """What is installed: canonical name to version."""
    created: datetime

    def note_use(self) -> None:
        """Remember that it is in use; cheap, and without effect where the folder cannot be written."""
        mark = self.folder / LAST_USED
        with contextlib.suppress(OSError):
            if not mark.exists() or file_time(self.folder) - mark.stat().st_mtime >= NOTE_EVERY:
                mark.touch()


@dataclass(frozen=True)
class EnvironmentInfo:
    key: str
    folder: Path
    interpreter: Interpreter
    requirements: tuple[str, ...]
    packages: int
    bytes: int
    """Apparent size; the installer may share files with its cache, so that less is taken."""
    created: datetime
    last_used: datetime
    """To the hour."""


def read_manifest(folder: Path) -> Environment | None:
    """The environment in `folder`; None where the record is absent or damaged. Does not look at the interpreter."""
    try:
        record = json.loads((folder / MANIFEST).read_bytes())
        if record["format"] != FORMAT or record["key"] != folder.name:
            return None
        return Environment(
            key=folder.name,
            folder=folder,
            python=folder / "bin" / "python",
            interpreter=Interpreter.from_json(record["interpreter"]),
            requirements=tuple(record["requirements"]),
            packages=dict(record["packages"]),
            created=datetime.fromisoformat(record["created"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_manifest(home: Home, environment: Environment) -> None:
    """Make the environment ready: the last step of a build, atomic."""
    record = {
        "format": FORMAT,
        "key": environment.key,
        "interpreter": dataclasses.asdict(environment.interpreter),
        "requirements": environment.requirements,
        "packages": environment.packages,
        "created": environment.created.isoformat(),
    }
    with home.publish_file(environment.folder / MANIFEST) as draft:
        draft.write_text(json.dumps(record, indent=1, default=str), encoding="utf-8")


def distributions(folder: Path) -> Iterator[importlib.metadata.Distribution]:
    """What is installed in the environment in `folder`, read from its files."""
    # Some systems keep compiled packages in lib64, which elsewhere is a link to lib.
    sites = {site.resolve() for site in folder.glob("lib*/python3.*/site-packages")}
    yield from importlib.metadata.distributions(path=[str(site) for site in sorted(sites)])


def scan_packages(folder: Path) -> dict[str, str]:
    """Canonical name to version of what is installed in the environment in `folder`."""
    named = ((distribution.metadata["Name"], distribution.version) for distribution in distributions(folder))
    return dict(sorted((str(canonicalize_name(name)), version) for name, version in named if name))


def describe(environment: Environment) -> EnvironmentInfo:
    """The environment with its size and last use, which are looked up now."""
    try:
        used = datetime.fromtimestamp((environment.folder / LAST_USED).stat().st_mtime, UTC)
    except OSError:
        used = environment.created
    return EnvironmentInfo(
        key=environment.key,
        folder=environment.folder,
        interpreter=environment.interpreter,
        requirements=environment.requirements,
        packages=len(environment.packages),
        bytes=folder_size(environment.folder),
        created=environment.created,
        last_used=used,
    )


def folder_size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # A background compilation or a removal may be at work in the same folder.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - ten thousand of these
    return total
