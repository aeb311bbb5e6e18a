"""Bytecode: without it every start of a worker costs more than a second, and compiling it costs four.

So a build does not wait: workers write what they import, and a helper process compiles the rest at lowest priority.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from ellipsis_local.environments.manifest import MANIFEST, Environment

PROGRAM = Path(__file__).with_name("compile_program.py")


def _command(environment: Environment, *options: str) -> list[str] | None:
    site = min(environment.folder.glob("lib/python3.*/site-packages"), default=None)
    if site is None:
        return None
    ready = environment.folder / MANIFEST
    return [str(environment.python), "-I", str(PROGRAM), *options, str(site), str(ready)]


def compile_now(environment: Environment, environ: Mapping[str, str]) -> None:
    """Compile everything but tests and wait for it; a file that does not compile is left as it is."""
    command = _command(environment)
    if command is not None:
        subprocess.run(command, env=environ, check=False, stdin=subprocess.DEVNULL, capture_output=True)


class Compilations:
    """The helper processes of one caller. They may outlive it, hold nothing of it open, and end by themselves."""

    def __init__(self) -> None:
        self._running: dict[subprocess.Popen[bytes], threading.Thread] = {}
        self._lock = threading.Lock()

    def start(self, environment: Environment, environ: Mapping[str, str]) -> None:
        """Compile in the background; that it cannot start is no error, because workers compile as well."""
        command = _command(environment, "--background")
        if command is None:
            return
        with contextlib.suppress(OSError):
            process = subprocess.Popen(
                command,
                env=environ,
                cwd=environment.folder.anchor,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # its own session: an interrupt at the terminal is meant for the caller
                start_new_session=True,
            )
            # Someone must wait for it, or it stays in the process table until the caller ends.
            reaper = threading.Thread(target=self._reap, args=(process,), daemon=True, name="ellipsis-local-bytecode")
            with self._lock:
                self._running[process] = reaper
            reaper.start()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._lock:
            self._running.pop(process, None)

    def wait(self, timeout: float | None = None) -> None:
        """Until all have ended, or `timeout` seconds for each."""
        with self._lock:
            reapers = list(self._running.values())
        for reaper in reapers:
            reaper.join(timeout)

    def stop(self) -> None:
        with self._lock:
            processes = list(self._running)
        for process in processes:
            process.kill()
        self.wait(5)
