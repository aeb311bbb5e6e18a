"""Which Pythons are on this machine, and which of them a compute gets.

The names are the service's (documented: `python3.12` is its default). Where the interpreters come from, and that the
newest patch release of the asked minor version is taken, is our choice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ellipsis_local.arguments import invalid
from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.interpreter_locations import SUPPORTED_MINORS, candidates, running
from ellipsis_local.environments.probe import Probe
from ellipsis_local.errors import EngineError, EnvironmentWarning, InterpreterError
from ellipsis_local.home import Home
from ellipsis_local.notices import warn

ACCEPTED = tuple(f"python3.{minor}" for minor in SUPPORTED_MINORS)

# Without these neither the environment nor its workers run; of the others the lack is only a reason to prefer another.
ESSENTIAL = frozenset({"ctypes", "zlib", "select", "multiprocessing.synchronize", "hashlib"})


class _Default(str):
    """A text that can be told from an equal one by identity."""

    __slots__ = ()


DEFAULT_INTERPRETER: Final[str] = _Default("python3.12")
"""The service's default. `name is DEFAULT_INTERPRETER` tells that the caller left it; an equal text was asked for."""


@dataclass(frozen=True)
class Interpreter:
    """One CPython on this machine that ran and said what it is."""

    executable: Path
    """Its real path, never a virtual environment's."""
    version: tuple[int, int, int]
    implementation: str
    """`cpython`; others are not offered."""
    prefix: Path
    final: bool = True
    """False for alpha, beta and candidate releases."""
    debug: bool = False
    free_threaded: bool = False
    missing: tuple[str, ...] = ()
    """Modules of the standard library that this build lacks."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interpreter:
        """What its own answer or the record of an environment says of one."""
        values = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        values |= {name: Path(data[name]) for name in ("executable", "prefix")}
        return cls(**values | {name: tuple(data[name]) for name in ("version", "missing")})

    @property
    def name(self) -> str:
        """The name under which the service knows it, such as `python3.12`."""
        return f"python{self.version[0]}.{self.version[1]}"

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))} ({self.executable})"

    @property
    def _rank(self) -> tuple[bool, bool, int, tuple[int, int, int]]:
        # A normal build first, then a final release, then a complete library, then the newest patch.
        return not (self.debug or self.free_threaded), self.final, -len(self.missing), self.version


def parse_interpreter(name: Any) -> tuple[int, int]:
    """(3, 12) of 'python3.12'."""
    if not isinstance(name, str):
        raise invalid("interpreter", name, "must be of type string")
    if name not in ACCEPTED:
        meant = re.search(r"(?<!\d)3\.?([1-9]\d?)(?!\d)", name, re.ASCII)
        near = f"python3.{meant[1]}" if meant else ""
        hint = f"; did you mean {near!r}?" if near in ACCEPTED else ""
        raise invalid("interpreter", name, f"must be one of {', '.join(ACCEPTED)}, not {name!r}{hint}")
    return 3, int(name.partition(".")[2])


def find_interpreters(
    home: Home,
    environ: Mapping[str, str] = os.environ,
    commands: Commands | None = None,
    minors: Collection[int] = SUPPORTED_MINORS,
) -> list[Interpreter]:
    """Every usable CPython 3 of these minor versions: the newest first, within it the one to prefer first."""
    asked = _ask(Probe(home, environ, commands), candidates(environ, minors))
    found = [i for i in asked if i.implementation == "cpython" and i.name in ACCEPTED]
    usable = [i for i in found if not ESSENTIAL & set(i.missing)]
    normal = [i for i in usable if i.final and not (i.debug or i.free_threaded)]
    offered = [i for i in usable if i in normal or i.version[:2] not in {one.version[:2] for one in normal}]
    # sorted() is stable: among equals the earlier place wins.
    return sorted(offered, key=lambda i: (i.version[:2], i._rank), reverse=True)


def choose_interpreter(
    name: Any, home: Home, environ: Mapping[str, str] = os.environ, commands: Commands | None = None
) -> Interpreter:
    """The interpreter for `name`: the newest patch release of that minor version.

    Where the caller left the default (`name is DEFAULT_INTERPRETER`) and it is not here, the running interpreter, with
    an EnvironmentWarning (our choice: the service has its default). ArgumentError as `parse_interpreter`;
    InterpreterError where it is not on this machine; `found` holds the names of those that are. EngineError on Windows.
    """
    wanted = parse_interpreter(name)
    if not hasattr(os, "fork"):
        way_out = "el.configure(inline=True) runs them in this process, one after the other, or use WSL"
        raise EngineError(f"nodes are forked processes, which Windows does not have: {way_out}")
    for interpreter in find_interpreters(home, environ, commands, wanted[1:]):
        # A file whose name tells no version may be another one's.
        if interpreter.version[:2] == wanted:
            return interpreter
    interpreters = find_interpreters(home, environ, commands)
    found = tuple(dict.fromkeys(interpreter.name for interpreter in interpreters))
    install = "`uv python install {0}` or `pyenv install {0}`".format(name.removeprefix("python"))
    if name is DEFAULT_INTERPRETER and interpreters:
        own = {os.path.realpath(path) for path in running()}
        substitute = next((i for i in interpreters if str(i.executable) in own), interpreters[0])
        warn(
            f"{name}, the default interpreter, is not on this machine; {substitute} is used. "
            f"To silence this, pass interpreter='{substitute.name}' or install {name} ({install})",
            EnvironmentWarning,
        )
        return substitute
    listed = "; ".join(str(interpreter) for interpreter in interpreters) or "none that can be used"
    choice = f", or pass interpreter='{found[0]}'" if found else ""
    raise InterpreterError(
        f"{name} is not on this machine. Found: {listed}. Install it ({install}){choice}", found=found
    )


def _ask(probe: Probe, paths: Iterable[str]) -> list[Interpreter]:
    """Each interpreter once, in the order of `paths`; a virtual environment or a wrapper leads to what is behind it."""
    found: dict[str, Interpreter] = {}
    seen: set[str] = set()
    pending = list(paths)
    while pending:
        seen.update(pending)
        answers = probe.ask(pending)
        behind: dict[str, None] = {}
        for path in pending:
            answer = answers.get(path)
            if answer is None:
                continue
            if answer["executable"] == path or not (answer["virtual"] or os.path.isfile(answer["executable"])):  # noqa: PTH113
                found[path] = Interpreter.from_json({**answer, "executable": path})
            else:
                behind[answer["executable"]] = None
        pending = [path for path in behind if path not in seen]
    return list(found.values())
