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

from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.installer import (
    Outcome,
    can_keep_packages,
    explain,
    find_uv,
    install,
    is_offline,
    make_virtualenv,
    tail,
    without_passwords,
)
from ellipsis_local.environments.interpreters import Interpreter
from ellipsis_local.environments.requirements import WORKER_REQUIREMENTS, local_path, misnamed
from ellipsis_local.environments.wheels import Wheels
from ellipsis_local.errors import EnvironmentBuildError
from ellipsis_local.progress import OnProgress, Progress

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
    wheels: Wheels | None = None
    """What to install it from, instead of an index."""


def fill(
    folder: Path, request: Request, data: Path, environ: Mapping[str, str], report: OnProgress, commands: Commands
) -> None:
    """Make the virtualenv `folder` and install into it the user's requirements and the worker's, resolved together."""
    report(Progress(f"making an environment with {request.interpreter}"))
    offline, uv = is_offline(request.offline, environ), find_uv(environ)
    local = [found[0] for found in map(local_path, request.requirements) if found]
    # a package in a folder may have changed without a change of its version
    refresh = tuple(option for name in local for option in ("--refresh-package", name))
    lines = (*request.requirements, *WORKER_REQUIREMENTS) if request.wheels is None else request.wheels.pins

    def attempt(options: tuple[str, ...]) -> Outcome:
        # Remade before each, so that none inherits from a failed one.
        shutil.rmtree(folder, ignore_errors=True)
        make_virtualenv(folder, request.interpreter, data, environ)
        file, python = folder / "requirements.txt", folder / "bin" / "python"
        # addresses may hold a password
        file.touch(mode=0o600)
        file.write_text("\n".join((*lines, "")), encoding="utf-8")
        outcome = install(python, file, environ, uv, options + refresh, commands)
        if outcome.exit_code == 0 or uv is None or can_keep_packages(environ):
            return outcome
        # Where HOME cannot be written, uv begins nothing.
        kept = {**environ, "UV_CACHE_DIR": str(data.with_name("uv"))}
        return install(python, file, kept, uv, options + refresh, commands)

    if request.wheels is not None:
        outcome = attempt(("--no-index", "--no-deps", "--find-links", str(request.wheels.folder)))
    else:
        outcome = attempt(OFFLINE) if offline else _with_index(attempt, uv, request.offline, report)
    if outcome.exit_code == 0:
        return
    kind, sentence = explain(outcome, offline=offline)
    hints = misnamed(request.requirements, request.interpreter.version)
    # What the installer says of these is of other packages, or of ones that nobody means.
    sentence = "\n".join((sentence, *hints))
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


def _with_index(
    attempt: Callable[[tuple[str, ...]], Outcome], uv: str | None, offline: bool | None, report: OnProgress
) -> Outcome:
    """The first attempt that counts, or the failure to tell the user about."""
    cached = None
    if uv is not None and offline is None:
        cached = attempt(FROM_CACHE)
        if cached.exit_code == 0 and not PASSED_OVER.search(cached.output):
            return cached
    report(Progress("asking the package index"))
    online = attempt(ONLINE)
    if online.exit_code != 0 and cached is not None and cached.exit_code == 0 and explain(online)[0] == "network":
        report(Progress("the package index cannot be reached; taking older packages from the cache"))
        return attempt(FROM_CACHE)
    return online
