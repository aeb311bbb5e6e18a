"""Ask candidates what they are by running them, and remember the answers.

An answer belongs to a file (real path, modification time, size), so that it needs no expiry; the one kind that is
not kept is the absence of an answer in time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ellipsis_local.environments.commands import Commands
from ellipsis_local.home import Home

TIMEOUT = 10.0
FORMAT = 1

# Runs under any Python from 3.4 on; `-I` keeps the caller's settings and working directory out of it.
QUESTION = """
import importlib, json, os, sys, sysconfig
missing = []
for name in ("ctypes", "zlib", "select", "venv", "multiprocessing.synchronize", "hashlib", "sqlite3", "ssl"):
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "final": sys.version_info[3] == "final",
    "implementation": sys.implementation.name,
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "prefix": sys.base_prefix,
    "virtual": sys.prefix != sys.base_prefix,
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "missing": missing,
}))
"""

Answer = dict[str, Any]
TYPES = {
    **dict.fromkeys(("implementation", "executable", "prefix"), str),
    **dict.fromkeys(("final", "virtual", "debug", "free_threaded"), bool),
    **dict.fromkeys(("version", "missing"), list),
}
"""Of what an answer holds."""


class Probe:
    """What the files asked so far said of themselves; None for a file that is no usable Python."""

    def __init__(self, home: Home, environ: Mapping[str, str], commands: Commands | None = None) -> None:
        self._home = home.building
        self._file = self._home.cache / "interpreters.json"
        # __PYVENV_LAUNCHER__ makes a macOS Python believe that it is another one.
        self._environ = {name: value for name, value in environ.items() if name != "__PYVENV_LAUNCHER__"}
        self._kept = self._read()
        self._commands = commands or Commands()

    def ask(self, paths: Iterable[str]) -> dict[str, Answer | None]:
        """The answers of real paths; files not known yet are run, a few at a time, and remembered."""
        answers: dict[str, Answer | None] = {}
        unknown: dict[str, list[int]] = {}
        for path in paths:
            try:
                status = os.stat(path)  # noqa: PTH116 - a hundred of these per call
            except OSError:
                continue
            identity = [status.st_mtime_ns, status.st_size]
            kept = self._kept.get(path)
            if kept is not None and kept["identity"] == identity:
                answers[path] = kept["answer"]
            else:
                unknown[path] = identity
        if unknown:
            answers.update(self._run_all(unknown))
        return answers

    def _run_all(self, unknown: Mapping[str, list[int]]) -> dict[str, Answer | None]:
        answers: dict[str, Answer | None] = {}
        with ThreadPoolExecutor(min(8, len(unknown))) as pool:
            try:
                for path, (answer, in_time) in zip(unknown, pool.map(self._run, unknown), strict=True):
                    answers[path] = answer
                    if in_time:
                        self._kept[path] = {"identity": unknown[path], "answer": answer}
            except BaseException:
                # An interrupt: the pool waits for those that run.
                self._commands.end()
                raise
        self._write()
        return answers

    def _run(self, path: str) -> tuple[Answer | None, bool]:
        """One candidate's answer, and whether it came (or failed) in time."""
        try:
            null, cwd = subprocess.DEVNULL, Path(path).anchor
            done = self._commands.run([path, "-I", "-c", QUESTION], TIMEOUT, stderr=null, env=self._environ, cwd=cwd)
        except subprocess.TimeoutExpired:
            return None, False
        except OSError:
            return None, True
        return (_parse(done.stdout) if done.returncode == 0 else None), True

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            table = json.loads(self._file.read_bytes())
            if table["format"] != FORMAT:
                return {}
            return {
                path: kept
                for path, kept in table["answers"].items()
                if isinstance(kept["identity"], list) and (kept["answer"] is None or _is_answer(kept["answer"]))
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Absent or damaged: everything is asked again.
            return {}

    def _write(self) -> None:
        # What vanished meanwhile needs no place; a home that cannot be written only costs time.
        kept = {path: answer for path, answer in self._kept.items() if os.path.exists(path)}  # noqa: PTH110
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._home.publish_file(self._file) as draft:
                draft.write_text(json.dumps({"format": FORMAT, "answers": kept}), encoding="utf-8")


def _parse(output: bytes) -> Answer | None:
    try:
        # A site customisation may print before us: the answer is the last line.
        answer = json.loads(output.decode("utf-8").strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return answer if _is_answer(answer) else None


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and all(isinstance(answer.get(name), kind) for name, kind in TYPES.items())
        and list(map(type, answer["version"])) == [int, int, int]
    )
