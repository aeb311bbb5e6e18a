"""Environments: one per distinct specification, made once, shared, and removed on request.

An environment lies where it will be used from the start, because scripts in it name that place; it comes into view
with its `environment.json`, which is written last. Whatever lacks one is the remains of a build that was killed.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ellipsis_local.clocks import file_time
from ellipsis_local.environments.bytecode import Compilations, compile_now
from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.environment_folder import EnvironmentFolders
from ellipsis_local.environments.install_packages import Request, fill
from ellipsis_local.environments.installer import ANSI, child_environ, find_uv, tail
from ellipsis_local.environments.interpreters import Interpreter, choose_interpreter
from ellipsis_local.environments.manifest import (
    Environment,
    EnvironmentInfo,
    describe,
    read_manifest,
    scan_packages,
    write_manifest,
)
from ellipsis_local.environments.package_index import index_of
from ellipsis_local.environments.requirements import WORKER_REQUIREMENTS, check_requirements, local_path, normalise
from ellipsis_local.environments.wheels import Wheels, unpacked
from ellipsis_local.errors import EnvironmentBuildError, InterpreterError
from ellipsis_local.home import Home
from ellipsis_local.preflight import Installed, installed_in
from ellipsis_local.progress import OnProgress, Progress, silent

# A change in how environments are made must change their keys.
FORMAT = 1


MOST_SHOWN = 64 * 1024
"""Bytes of an installer's output that are looked at while it runs."""

# within the class, `list` is a method
Infos = list[EnvironmentInfo]
Paths = list[Path]


class Environments:
    """The environments of one home; several objects, threads and processes may use it at once."""

    def __init__(
        self,
        home: Home,
        *,
        offline: bool | None = None,
        environ: Mapping[str, str] | None = None,
        background: bool = True,
    ) -> None:
        """With `offline` True no index is asked, with False at once, with None after the installer's cache."""
        self._home = home
        self._folders = EnvironmentFolders(home)
        self._offline = offline
        self._environ = os.environ if environ is None else environ
        self._background = background
        self._wheels: Wheels | None = None
        self._compilations = Compilations()
        self._builds: set[Commands] = set()

    def choose(self, name: str) -> Interpreter:
        """The interpreter of a name that the service knows; see `choose_interpreter`."""
        return choose_interpreter(name, self._home, self._environ)

    def plan(self, interpreter: Interpreter, requirements: Iterable[str] = ()) -> str:
        """The key of a specification, one for equal ones, however written, with the state of each `file:…` in it."""
        wanted = check_requirements(requirements)
        parts = {
            "format": FORMAT,
            "interpreter": [str(interpreter.executable), *interpreter.version],
            "requirements": normalise(wanted),
            "worker": WORKER_REQUIREMENTS,
            "files": sorted(_state(*local) for local in map(local_path, wanted) if local),
        }
        # Another index may have other packages of the same names; keys of before stay where it is the public one.
        if index := index_of(self._environ, uv=find_uv(self._environ) is not None):
            parts["index"] = index
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return f"py{interpreter.version[0]}{interpreter.version[1]}-{digest[:16]}"

    def get(self, key: str) -> Environment | None:
        """The ready environment; None where there is none, or its interpreter is gone from the machine."""
        environment = read_manifest(self._folders.folder(key))
        # `python` is a link to the interpreter, so that it exists only where that does, and is not closed to this user.
        return environment if environment is not None and os.path.exists(environment.python) else None  # noqa: PTH110

    def use(self, key: str) -> Environment | None:
        """As `get`; it is noted when it was used last."""
        environment = self.get(key)
        if environment is not None:
            environment.note_use()
        return environment

    def installed(self, key: str, requirements: tuple[str, ...]) -> Installed | None:  # noqa: ARG002
        """What the environment of this key and these requirements holds; None where it is not there."""
        environment = self.get(key)
        return None if environment is None else installed_in(environment.folder)

    def ensure(
        self,
        interpreter: Interpreter,
        requirements: Iterable[str] = (),
        report: OnProgress = silent,
        commands: Commands | None = None,
    ) -> Environment:
        """The ready environment of this specification, else one whose build goes on until `commands` or this end."""
        wanted = check_requirements(requirements)
        key = self.plan(interpreter, wanted)
        environment = self.get(key)
        if environment is None:
            self._home.prepare()
            commands = commands or Commands()
            with _translated(self._home), self._at_work(commands), self._folders.turn(key, report, commands):
                # another process may have made it meanwhile
                environment = self.get(key)
                if environment is None:
                    environment = self._build(
                        key, Request(interpreter, wanted, self._offline, self._wheels), report, commands
                    )
                    if self._background:
                        self._compilations.start(environment, child_environ(self._environ))
                    return environment
        environment.note_use()
        return environment

    def prefetch(
        self, interpreter: Interpreter, requirements: Iterable[str] = (), report: OnProgress = silent
    ) -> Environment:
        """As `ensure`, asking the index at once, and with all bytecode compiled on return: ready to go offline."""
        asking = copy.copy(self)
        # offline=True stays: the user's setting is stronger than the name of the call
        asking._offline, asking._background = self._offline or False, False
        environment = asking.ensure(interpreter, requirements, report)
        report(Progress("compiling bytecode"))
        compile_now(environment, child_environ(self._environ))
        return environment

    def unpack(self, source: Path, report: OnProgress = silent) -> Environment:
        """The environment that `pack` wrote to `source`, ready; no index is asked. One that is here already stays.

        ArgumentError for a file that is no such archive, or one for another platform; InterpreterError where its
        Python is not here.
        """
        with unpacked(source) as (packed, wheels):
            try:
                interpreter = self.choose(packed.interpreter)
            except InterpreterError as error:
                here = ", ".join(error.found) or "none"
                way_out = f"install {packed.interpreter}, or pack an environment of one that is here ({here})"
                text = f"{source} holds packages for {packed.interpreter}, which is not on this machine: {way_out}"
                raise InterpreterError(text, found=error.found) from error
            asking = copy.copy(self)
            asking._wheels = wheels
            return asking.prefetch(interpreter, packed.requirements, report)

    def building(self) -> dict[str, str]:
        """The end of what installers at work have said, by the key of the environment; addresses without passwords."""
        self._folders.sweep_logs()
        return {path.stem: self.output(path.stem) for path in self._folders.logs()}

    def output(self, key: str) -> str:
        """The end of what the installer has said that makes an environment now; empty where none does."""
        try:
            with self._folders.log(key).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_SHOWN))
                return tail(ANSI.sub("", file.read().decode("utf-8", "replace")))
        except OSError:
            return ""

    def output_file(self, key: str) -> Path:
        """What grows as the installer says more, as long as it is at work."""
        return self._folders.log(key)

    def output_files(self) -> Paths:
        return self._folders.logs()

    def list(self) -> Infos:
        """Every environment that is ready, the most recently used first."""
        records = map(read_manifest, self._folders.folders())
        return sorted((describe(r) for r in records if r is not None), key=lambda info: info.last_used, reverse=True)

    def prune(
        self, keys: Collection[str] | None = None, unused_for: timedelta | None = None, in_use: Collection[str] = ()
    ) -> Infos:
        """Remove environments: those of `keys` (all where None) not used for that long; returns what was removed."""
        removed = []
        for info in self.list():
            chosen = (keys is None or info.key in keys) and info.key not in in_use
            if chosen and (unused_for is None or _now(info.folder) - info.last_used >= unused_for):
                with contextlib.suppress(TimeoutError), self._folders.locked(info.key, timeout=0):
                    self._folders.remove(info.folder)
                    removed.append(info)
        self.sweep()
        return removed

    def sweep(self) -> tuple[str, ...]:
        """Remove the remains of killed builds and removals; returns their names. A build at work is left alone."""
        return self._folders.sweep()

    def wait(self, timeout: float | None = None) -> None:
        """Until the bytecode that this object compiles in the background is there."""
        self._compilations.wait(timeout)

    def close(self) -> None:
        """End what this object does, in the background and in other threads; the environments stay usable."""
        for commands in tuple(self._builds):
            commands.end()
        self._compilations.stop()

    @contextlib.contextmanager
    def _at_work(self, commands: Commands) -> Iterator[None]:
        self._builds.add(commands)
        try:
            yield
        finally:
            self._builds.discard(commands)

    def _build(self, key: str, request: Request, report: OnProgress, commands: Commands) -> Environment:
        if not os.path.isfile(request.interpreter.executable):  # noqa: PTH113
            raise InterpreterError(
                f"{request.interpreter} is gone from this machine; choose one that `find_interpreters` lists"
            )
        folder = self._folders.folder(key)
        try:
            self._folders.remove(folder)
            fill(folder, request, self._home.building.cache / "virtualenv", self._environ, report, commands)
            environment = Environment(
                key=key,
                folder=folder,
                python=folder / "bin" / "python",
                interpreter=request.interpreter,
                requirements=request.requirements,
                packages=scan_packages(folder),
                created=_now(folder),
            )
            environment.note_use()
            write_manifest(self._home, environment)
        except BaseException:
            self._folders.remove(folder)
            raise
        report(Progress(f"environment {key} is ready: {len(environment.packages)} packages"))
        return environment


def _now(folder: Path) -> datetime:
    """The time of whoever shares the environments, whatever a test has made of this process's."""
    return datetime.fromtimestamp(file_time(folder), UTC)


@contextlib.contextmanager
def _translated(home: Home) -> Iterator[None]:
    """What the operating system says of a build, in our words."""
    try:
        yield
    except BrokenPipeError:
        # the caller's `report` printed to what nobody reads any more
        raise
    except (OSError, shutil.Error) as error:
        raise EnvironmentBuildError(f"the environment cannot be written below {home.environments}: {error}") from error


def _state(name: str, path: Path) -> tuple[str, int, int]:
    """Name, newest modification and number of files of a local package; zeros where it is absent."""
    newest, count = 0, 0
    pending = [path]
    for entry in pending:
        with contextlib.suppress(OSError):
            status = entry.stat()
            newest, count = max(newest, status.st_mtime_ns), count + 1
            # what tools write beside the sources says nothing about them
            if entry.is_dir() and not entry.name.startswith(".") and entry.name not in ("__pycache__", "build"):
                pending += entry.iterdir()
    return name, newest, count
