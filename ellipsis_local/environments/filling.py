"""Fill a new environment: what is tried in which order, and what a failure is called.

First the installer's cache, then the index. An answer from the cache counts only if nothing newer was passed over
for being absent there: an old release that another project once pinned must not become the answer to `numpy`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ellipsis_local.environments.installer import (
    Outcome,
    explain,
    find_uv,
    install,
    is_offline,
    make_virtualenv,
    tail,
    without_passwords,
)
from ellipsis_local.environments.interpreters import Interpreter
from ellipsis_local.environments.requirements import WORKER_REQUIREMENTS, local_path
from ellipsis_local.errors import EnvironmentBuildError

__all__ = ["Request", "fill"]

# What uv says (with -v) when it passes over a release because only the index has it.
PASSED_OVER = re.compile(r"needs to be downloaded from a registry|network was disabled")

# A cached attempt must not start a compiler: with the index there may be a wheel.
FROM_CACHE = ("--offline", "--no-build", "-v")
OFFLINE = ("--offline",)
ONLINE = ()


@dataclass(frozen=True)
class Request:
    """What is to be built, and whether an index may be asked (None: after the cache)."""

    interpreter: Interpreter
    requirements: tuple[str, ...]
    offline: bool | None


class _Filling:
    """One build: remakes the empty environment before each attempt, so that none inherits from a failed one."""

    def __init__(
        self,
        folder: Path,
        request: Request,
        data: Path,
        environ: Mapping[str, str],
        report: Callable[[str], None],
        lease: int,
    ) -> None:
        self._folder = folder
        self._request = request
        self._data = data
        self._environ = environ
        self._report = report
        self._lease = lease
        self._uv = find_uv(environ)

    def run(self) -> Outcome:
        """The first attempt that counts, or the failure to tell the user about."""
        offline = is_offline(self._request.offline, self._environ)
        if offline:
            return self._attempt(OFFLINE)
        cached = None
        if self._uv is not None and self._request.offline is None:
            cached = self._attempt(FROM_CACHE)
            if cached.exit_code == 0 and not PASSED_OVER.search(cached.output):
                return cached
        self._report("asking the package index")
        online = self._attempt(ONLINE)
        if online.exit_code != 0 and cached is not None and cached.exit_code == 0 and explain(online)[0] == "network":
            self._report("the package index cannot be reached; taking older packages from the cache")
            return self._attempt(FROM_CACHE)
        return online

    def _attempt(self, options: tuple[str, ...]) -> Outcome:
        shutil.rmtree(self._folder, ignore_errors=True)
        make_virtualenv(self._folder, self._request.interpreter, self._data, self._environ, with_pip=self._uv is None)
        wanted = (*self._request.requirements, *WORKER_REQUIREMENTS)
        file = self._folder / "requirements.txt"
        # addresses may hold a password
        file.touch(mode=0o600)
        file.write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
        # a package in a folder may have changed without a change of its version
        local = [found[0] for found in map(local_path, self._request.requirements) if found]
        refresh = [option for name in local for option in ("--refresh-package", name)]
        python = self._folder / "bin" / "python"
        return install(python, file, self._environ, self._uv, (*options, *refresh), self._lease)


def fill(
    folder: Path,
    request: Request,
    data: Path,
    environ: Mapping[str, str],
    report: Callable[[str], None],
    lease: int,
) -> None:
    """Make the virtualenv `folder` and install into it the user's requirements and the worker's, resolved together.

    Raises
    ------
    EnvironmentBuildError
        With the resolver's own words, its command, exit code and output.
    OSError
        The folder cannot be written.
    """
    report(f"making an environment with {request.interpreter}")
    outcome = _Filling(folder, request, data, environ, report, lease).run()
    if outcome.exit_code == 0:
        return
    kind, sentence = explain(outcome, offline=is_offline(request.offline, environ))
    asked = without_passwords(", ".join(request.requirements)) or "no further packages"
    # the words of the resolver count the worker's own among what "you require"
    besides = f"\n(Besides, every environment holds {', '.join(WORKER_REQUIREMENTS)}.)"
    raise EnvironmentBuildError(
        f"the environment for {request.interpreter.name} with {asked} could not be made: {sentence}\n"
        f"{tail(outcome.output)}{besides if kind in ('conflict', 'wheel', 'version') else ''}",
        command=outcome.command,
        exit_code=outcome.exit_code,
        output=outcome.output,
    )
