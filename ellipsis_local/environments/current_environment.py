"""The calling process in the place of an environment: its interpreter, and whether its packages are those asked for."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from packaging.requirements import Requirement

from ellipsis_local.environments.build import Environments
from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.interpreters import DEFAULT_INTERPRETER, Interpreter, parse_interpreter
from ellipsis_local.environments.manifest import Environment
from ellipsis_local.environments.requirements import check_requirements
from ellipsis_local.errors import FidelityError, FidelityWarning
from ellipsis_local.home import Home
from ellipsis_local.notices import warn
from ellipsis_local.preflight import Installed, installed_with
from ellipsis_local.progress import OnProgress, silent


class OwnEnvironments(Environments):
    """What a compute asks of `Environments`, where its nodes run in the calling process: nothing is looked for or made.

    What was asked for and is not what this process has is a FidelityWarning (our choice), with `strict` a
    FidelityError.
    """

    def __init__(self, home: Home, *, strict: bool) -> None:
        super().__init__(home, background=False)
        self._strict = strict

    def choose(self, name: str) -> Interpreter:
        """The running interpreter. The default that the caller left stands for whichever there is."""
        wanted, own = parse_interpreter(name), _interpreter()
        if name is not DEFAULT_INTERPRETER and wanted != own.version[:2]:
            self._tell(f"they run with {own.name}, not with {name}")
        return own

    def plan(self, interpreter: Interpreter, requirements: Iterable[str] = ()) -> str:  # noqa: ARG002
        """The empty key; told as for `choose` is what of the requirements is not installed in this process.

        Of a package from an address only its presence is looked at.
        """
        for lack in filter(None, map(_lack, map(Requirement, check_requirements(requirements)))):
            self._tell(lack)
        return ""

    def get(self, key: str) -> Environment:  # noqa: ARG002
        """This process, for every key."""
        return self.ensure(_interpreter())

    use = get

    def installed(self, key: str, requirements: tuple[str, ...]) -> Installed:  # noqa: ARG002
        """What an environment would hold, as far as this process has it."""
        return installed_with(requirements)

    def ensure(
        self,
        interpreter: Interpreter,
        requirements: Iterable[str] = (),
        report: OnProgress = silent,  # noqa: ARG002
        commands: Commands | None = None,  # noqa: ARG002
    ) -> Environment:
        """This process."""
        return Environment(
            key="",
            folder=Path(sys.prefix),
            python=Path(sys.executable),
            interpreter=interpreter,
            requirements=tuple(requirements),
            packages={},
            created=datetime.now(UTC),
        )

    def _tell(self, text: str) -> None:
        told = f"nodes in the calling process (inline=True): {text}; with inline=False they get what was asked for"
        if self._strict:
            raise FidelityError(f"{told} (strict=True)")
        warn(told, FidelityWarning)


def _interpreter() -> Interpreter:
    return Interpreter(
        executable=Path(sys.executable),
        version=(sys.version_info[0], sys.version_info[1], sys.version_info[2]),
        implementation=sys.implementation.name,
        prefix=Path(sys.base_prefix),
        final=sys.version_info[3] == "final",
    )


def _lack(requirement: Requirement) -> str | None:
    """What of a requirement this process does not meet."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"the requirement {requirement.name!r} is not installed in it"
    if requirement.url is None and not requirement.specifier.contains(version, prereleases=True):
        asked = f"{requirement.name}{requirement.specifier}"
        return f"the requirement {asked!r} is not met by version {version}, which is installed in it"
    return None
