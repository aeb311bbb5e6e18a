"""What a test leaves behind: processes, threads and open files that were not there before it.

What a library keeps for the life of the process is not the test's: thread and process pools that one of its modules
holds, the data of packages.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Hashable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from ellipsis_local.clocks import monotonic
from ellipsis_local.processes import descendants

BRIEF_SECONDS, PATIENCE_SECONDS = 0.2, 2.0
"""What a test ended may take a moment to be gone; what it forgot stays. In between it is asked what libraries keep."""
STEP_SECONDS = 0.01
TOOLS = ("pydevd", "tqdm", "execnet", "pytest")
"""Beginnings of the names of threads that tools start at some moment and keep."""
PREFIXES = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
NO_FILES = ("/memfd:", "/dev/", "/proc/", "/sys/", *(f"{prefix.rstrip(os.sep)}{os.sep}" for prefix in PREFIXES))
"""What is never a test's: what the system shows as files, and what comes with this Python."""
DATA = ("PROJ_DATA", "PROJ_LIB", "PROJ_USER_WRITABLE_DIRECTORY", "GDAL_DATA", "CONDA_PREFIX")
"""Variables that name folders of data, which libraries keep open: PROJ its database."""
RUNNERS = ("_pytest", "pytest", "pluggy", "ellipsis_local", "__main__")
"""What holds the objects of tests, and what must not leave anything itself."""
DEPTH = 8
"""So many references away from a module a pool's threads are found, and not much else."""
CODE = (
    types.BuiltinFunctionType,
    types.CodeType,
    types.FrameType,
    types.FunctionType,
    types.GeneratorType,
    types.ModuleType,
)
"""What leads from anywhere to anywhere, and keeps nothing."""

Held = dict[Hashable, str]
"""What is there: what tells one from another, and a line about it."""


def _processes() -> Held:
    found: Held = {}
    for child in descendants():
        with contextlib.suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE:
                command = " ".join(child.cmdline())[:200]
                found[child] = f"process {child.pid}: {command}"
    return found


def _files() -> dict[int, str]:
    if sys.platform == "linux":
        found = {}
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a Path per descriptor takes longer than all the rest
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
                # Pipes and sockets have no paths.
                if target.startswith("/") and not target.startswith(NO_FILES):
                    found[int(name)] = target
        return found
    return {file.fd: file.path for file in psutil.Process().open_files() if not file.path.startswith(NO_FILES)}


def _held() -> Held:
    threads = (thread for thread in threading.enumerate() if not thread.name.startswith(TOOLS))
    return {
        **_processes(),
        **{thread: f"thread {thread.name!r}" for thread in threads},
        **{file: f"open file {file[1]} (descriptor {file[0]})" for file in _files().items()},
    }


class Leaks:
    """Made before a test of the project in a folder; `left` tells afterwards what is there that was not."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._before = _held()

    def left(self) -> list[str]:
        """A line for each process, thread and open file that is left, after a short patience."""
        if not self._found():
            return []
        gc.collect()
        found = self._waited(BRIEF_SECONDS)
        if found:
            kept = _kept_by_libraries(self._project)
            self._before |= {key: line for key, line in found.items() if kept(key)}
            found = self._waited(PATIENCE_SECONDS)
        return list(found.values())

    def _waited(self, seconds: float) -> Held:
        """What is still there then, or nothing before."""
        end = monotonic() + seconds
        while (found := self._found()) and monotonic() < end:
            time.sleep(STEP_SECONDS)
        return found

    def _found(self) -> Held:
        return {key: line for key, line in _held().items() if key not in self._before}


def _kept_by_libraries(project: Path) -> Callable[[Hashable], bool]:
    """Whether a thread, process or file is one that a library keeps."""
    files = {
        name: file
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType) and isinstance(file := vars(module).get("__file__"), str)
    }
    folders = tuple(_library_folders(files, os.path.realpath(project)))
    others = {*sys.stdlib_module_names, *RUNNERS}
    names = [name for name in files if name.partition(".")[0] not in others]
    libraries = [name for name in names if os.path.realpath(files[name]).startswith(folders)]
    threads, processes = _pools([vars(sys.modules[name]) for name in libraries])

    def kept(key: Any) -> bool:
        if isinstance(key, psutil.Process):
            with contextlib.suppress(psutil.Error):
                return not processes.isdisjoint({key.pid, *(parent.pid for parent in key.parents())})
        return key in threads or (isinstance(key, tuple) and key[1].startswith(folders))

    return kept


def _library_folders(files: dict[str, str], project: str) -> Iterator[str]:
    """Where installers put packages and data, and imported packages that are not the project's, as real paths."""
    found = PREFIXES | {entry for entry in sys.path if any(Path(entry).glob("*.dist-info"))}
    found |= {folder for name in DATA for folder in os.environ.get(name, "").split(os.pathsep)}
    proj: Any = sys.modules.get("pyproj.datadir")
    if proj is not None:
        with contextlib.suppress(proj.DataDirError):
            found |= {proj.get_user_data_dir(), *proj.get_data_dir().split(os.pathsep)}
    for name, file in files.items():
        if "." not in name and hasattr(sys.modules[name], "__path__"):
            # Some installers link each file into its place.
            places = {os.path.realpath(Path(file).parent), str(Path(os.path.realpath(file)).parent)}
            found |= {place for place in places if not Path(place).is_relative_to(project)}
    return (f"{os.path.realpath(folder).rstrip(os.sep)}{os.sep}" for folder in found if folder)


def _pools(spaces: list[dict[str, Any]]) -> tuple[set[Any], set[Any]]:
    """The threads, and the ids of the processes, that can be reached from the names of modules."""
    # Which start with the first pool, and end with the process.
    trackers = [module for name, module in list(sys.modules.items()) if name.endswith(".resource_tracker")]
    processes = {getattr(getattr(module, "_resource_tracker", None), "_pid", None) for module in trackers}
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    processes.add(getattr(server, "_forkserver_pid", None))
    threads: set[Any] = set()
    seen = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)}
    values = [value for space in spaces for value in space.values()]
    for depth in range(DEPTH):
        holders = []
        for value in values:
            kind = type(value)  # not isinstance: a proxy would be asked
            if id(value) in seen or issubclass(kind, CODE) or (depth and issubclass(kind, type)):
                continue
            seen.add(id(value))
            if issubclass(kind, threading.Thread):
                threads.add(value)
            elif issubclass(kind, BaseProcess | subprocess.Popen):
                processes.add(value.pid)
            elif str(kind.__module__).partition(".")[0] not in RUNNERS:
                holders.append(value)
        values = gc.get_referents(*holders)
    return threads, processes - {None}
