"""Faults on purpose: what a test asks to go wrong in one home, and the points at which the rooms ask for it.

    with ellipsis_local.testing.faults(killed=[1]): …        puts a `Plan` on the home in use, and takes it off again

Nothing is patched. A room that can fail for real asks here at the point where it would, `faults.NAME(home.root, …)`;
without an active plan that is one look into an empty dictionary. What follows is the room's own way to fail, so that
records, messages and errors are those of the real failure.

| asked | by |
|---|---|
| `most_nodes` | the plan of the account (`emulator`), the check of a request (`computes.specification`) |
| `build` | the start of a compute, before its environment (`computes.lifecycle`) |
| `vanished` | `partitions`, before a cut is looked for |
| `hold`, `arrived`, `release`, `let_go` | the start of a compute (`computes.lifecycle`) |
| `polled` | whoever asks how far a compute is (`compute`, `server.routes.computes`) |
| `of_nodes` | an execution; the entry `faults` of the function's description is carried out by the node program |
| `execution` | an execution, before its first node (`nodes.faulty`) |
| `terminates` | an execution, after each node |
| `drop` | the server, for each request |
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellipsis_local.errors import ArgumentError, ComputeStateError, EnvironmentBuildError

NAMES = (
    "requirements", "starting_polls", "killed", "slow", "out_of_memory", "raising", "oversized", "errored",
    "terminated_after", "no_nodes", "vanished", "dropped", "dropped_after",
)  # fmt: skip
ENDS = ("killed", "out_of_memory", "raising", "oversized")
"""Ends of a node, of which it can have one."""

NodeFault = dict[str, Any]
START_SECONDS = 300
"""As long as an environment may take to build."""


class Plan:
    """The faults of one `with` block, as `testing.faults` has them; what is counted down, and happened, changes."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        unknown = sorted(set(given) - set(NAMES))
        if unknown:
            text = f"there is no fault {unknown[0]!r}; there are {', '.join(NAMES)}"
            raise ArgumentError(text, argument=unknown[0], value=given[unknown[0]])
        asked = {name: value for name, value in given.items() if value is not None}
        self.requirements = _message("requirements", asked)
        self.errored = _message("errored", asked)
        self.starting_polls = _count("starting_polls", asked.get("starting_polls", 0))
        done = asked.get("terminated_after")
        self.terminated_after = None if done is None else _count("terminated_after", done)
        self.no_nodes = asked.get("no_nodes", False)
        if not isinstance(self.no_nodes, bool):
            raise _wrong("no_nodes", "must be True or False", self.no_nodes)
        self.vanished = frozenset(_ids("vanished", asked.get("vanished", ())))
        self.nodes = _of_nodes(asked)
        self._drops = {"before": _patterns("dropped", asked), "after": _patterns("dropped_after", asked)}
        self._lock = threading.Lock()
        self._happened: list[str] = []

    @property
    def happened(self) -> tuple[str, ...]:
        """What has gone wrong so far, a text each, in the order in which it did."""
        with self._lock:
            return tuple(self._happened)

    def note(self, text: str) -> None:
        """Remember that something was made to go wrong."""
        with self._lock:
            self._happened.append(text)

    def drop(self, request: str) -> str | None:
        """'before' or 'after' where this request (``METHOD /path``) is one to be dropped, which uses that up."""
        from fnmatch import fnmatchcase

        with self._lock:
            for when, patterns in self._drops.items():
                for pattern, left in patterns.items():
                    subject = request if " " in pattern or pattern == "*" else request.partition(" ")[2]
                    if left and fnmatchcase(subject, pattern):
                        patterns[pattern] -= 1
                        self._happened.append(f"dropped {request} {when} the work")
                        return when
        return None


def _wrong(name: str, rule: str, value: Any) -> ArgumentError:
    return ArgumentError(f"faults: {name} {rule}, not {value!r}", argument=name, value=value)


def _message(name: str, asked: Mapping[str, Any]) -> str | None:
    text = asked.get(name)
    if text is not None and not (isinstance(text, str) and text.strip()):
        raise _wrong(name, "must be a text, the message of the failure", text)
    return text


def _count(name: str, value: Any, least: int = 0, rule: str = "must be a whole number from {} on") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _wrong(name, rule.format(least), value)
    return value


def _node(name: str, value: Any) -> int:
    return _count(name, value, rule="must name nodes, which are whole numbers from {} on")


def _ids(name: str, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(name, "must be a list of timestamp ids", value)
    found = []
    for one in value:
        try:
            found.append(str(uuid.UUID(one)))
        except (ValueError, AttributeError, TypeError):
            raise _wrong(name, "must be a list of timestamp ids, each a uuid", one) from None
    return found


def _of_nodes(asked: Mapping[str, Any]) -> dict[int, list[NodeFault]]:
    """Per node what its program does, in this order; JSON."""
    faults: dict[int, list[NodeFault]] = {}
    slow = asked.get("slow", {})
    if not isinstance(slow, Mapping):
        raise _wrong("slow", "must be a dictionary from nodes to seconds", slow)
    for key, seconds in slow.items():
        node = _node("slow", key)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            raise _wrong("slow", "must give seconds, a number from 0 on", seconds)
        faults.setdefault(node, []).append({"do": "sleep", "seconds": float(seconds)})
    ends: dict[int, str] = {}
    for name in ENDS:
        for node, fault in _ending(name, asked.get(name, {} if name == "raising" else ())):
            if node in ends:
                raise _wrong(name, f"names node {node}, which {ends[node]} names, too; a node ends in one way", node)
            ends[node] = name
            faults.setdefault(node, []).append(fault)
    return faults


def _ending(name: str, value: Any) -> list[tuple[int, NodeFault]]:
    if name == "raising":
        if not isinstance(value, Mapping):
            raise _wrong(name, "must be a dictionary from nodes to an exception, or its text", value)
        return [(_node(name, node), _raising(what)) for node, what in value.items()]
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _wrong(name, "must be a list of nodes", value)
    do = {"killed": "kill", "out_of_memory": "memory", "oversized": "oversize"}[name]
    return [(node, {"do": do}) for node in dict.fromkeys(_node(name, one) for one in value)]


def _raising(what: Any) -> NodeFault:
    """An exception as JSON: an environment need not have its class."""
    if isinstance(what, str):
        what = RuntimeError(what)
    elif isinstance(what, type) and issubclass(what, Exception):
        what = what()
    if not isinstance(what, Exception):
        raise _wrong("raising", "must give an exception, or its text", what)
    try:
        arguments = json.loads(json.dumps(what.args))
        plain = tuple(arguments) == what.args
    except (TypeError, ValueError):
        plain = False
    kind, args = type(what), list(what.args) if plain else None
    return {"do": "raise", "module": kind.__module__, "name": kind.__qualname__, "args": args, "text": str(what)}


def _patterns(name: str, asked: Mapping[str, Any]) -> dict[str, int]:
    """From a pattern of requests to how many of them are dropped."""
    value = asked.get(name, {})
    if isinstance(value, str):
        value = {value: 1}
    elif not isinstance(value, Mapping):
        value = {"*": _count(name, value, 1)}
    for pattern, number in value.items():
        if not isinstance(pattern, str) or not pattern.startswith(("/", "*", "GET ", "POST ", "PUT ", "PATCH ", "DEL")):
            raise _wrong(
                name,
                "must be a number of requests, or name them as in 'POST /compute' or '/compute/*/execute' (a "
                "dictionary from such a text to a number for more than one)",
                pattern,
            )
        _count(name, number, 1)
    return dict(value)


_lock = threading.Lock()
_plans: dict[Path, tuple[Plan, ...]] = {}
"""The innermost first."""


@contextlib.contextmanager
def active(root: Path, plan: Plan) -> Iterator[Plan]:
    """Let the emulators of this process on the home `root` fail as planned until the block ends."""
    with _lock:
        _plans[root] = (plan, *_plans.get(root, ()))
    try:
        yield plan
    finally:
        with _lock:
            left = tuple(one for one in _plans[root] if one is not plan)
            if left:
                _plans[root] = left
            else:
                del _plans[root]
        let_go(plan)


def most_nodes(root: Path, most: int) -> int:
    """The nodes of the account's plan, of which there are none with `no_nodes`."""
    for plan in _plans.get(root, ()):
        if plan.no_nodes:
            plan.note("the plan had no nodes")
            return 0
    return most


def build(root: Path, asked: Collection[str]) -> None:
    """Where an environment is about to be made or found: EnvironmentBuildError with `requirements`."""
    for plan in _plans.get(root, ()):
        if plan.requirements is not None:
            plan.note("an environment could not be built")
            listed = ", ".join(asked) or "no further packages"
            text = f"the environment with {listed} could not be made: {plan.requirements}"
            raise EnvironmentBuildError(text, output=plan.requirements)


def vanished(root: Path, timestamp_ids: Collection[str]) -> str | None:
    """The first of these timestamps whose files are to be gone."""
    for plan in _plans.get(root, ()):
        for timestamp_id in timestamp_ids:
            if timestamp_id in plan.vanished:
                plan.note(f"timestamp {timestamp_id} had vanished")
                return timestamp_id
    return None


def of_nodes(root: Path, nodes: int) -> dict[str, list[dict[str, Any]]]:
    """Per node (as JSON has keys: a text) what its program is to do besides, or in place of, the function."""
    found: dict[str, list[dict[str, Any]]] = {}
    for plan in _plans.get(root, ()):
        for node, faults in plan.nodes.items():
            if node < nodes and str(node) not in found:
                found[str(node)] = faults
                plan.note(f"node {node}: {', '.join(fault['do'] for fault in faults)}")
    return found


def execution(root: Path, compute_id: str) -> None:
    """Where an execution is about to run its nodes: ComputeStateError with `errored`, which ends the compute."""
    for plan in _plans.get(root, ()):
        if plan.errored is not None:
            plan.note(f"compute {compute_id} was errored by an execution")
            raise ComputeStateError(plan.errored, compute_id=compute_id, status="errored")


def terminates(root: Path, done: int) -> bool:
    """Whether an execution with so many nodes done is to be terminated now."""
    for plan in _plans.get(root, ()):
        if plan.terminated_after == done:
            plan.note(f"terminated after {done} nodes")
            return True
    return False


def drop(root: Path, method: str, path: str) -> str | None:
    """Whether the connection of a request is to be cut: 'before' the work is done, 'after' it, or not (None)."""
    return next(filter(None, (plan.drop(f"{method} {path}") for plan in _plans.get(root, ()))), None)


@dataclass
class _Start:
    """A compute whose start is held until it was asked for so many times."""

    plan: Plan
    owner: str
    holder: object
    left: int
    ready: threading.Event = field(default_factory=threading.Event)
    finish: Callable[[], object] | None = None
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arrive(self, finish: Callable[[], object]) -> None:
        with self.lock:
            self.finish = finish
        self.ready.set()
        if self.over:
            self.end()

    def poll(self, patience: float) -> None:
        with self.lock:
            self.left -= 1
            held = self.left >= 0
        if not held:
            self.ready.wait(patience)
            self.end()

    def end(self) -> None:
        with self.lock:
            self.over = True
            finish, self.finish = self.finish, None
        self.ready.set()
        if finish is not None:
            finish()


_starts: dict[tuple[Path, str], _Start] = {}


def hold(root: Path, compute_id: str, owner: str, holder: object = None) -> bool:
    """Let a compute, whose start begins only now, be shown as not started for `starting_polls` polls of its owner.

    `holder` is who starts it: see `let_go`.
    """
    for plan in _plans.get(root, ()):
        if plan.starting_polls:
            plan.note(f"compute {compute_id} takes {plan.starting_polls} polls to start")
            _starts[root, compute_id] = _Start(plan, owner, holder, plan.starting_polls)
            return True
    return False


def arrived(root: Path, compute_id: str, finish: Callable[[], object]) -> bool:
    """The start has come to its end, which `finish` makes known: at the right poll, or False where it is not held."""
    start = _starts.get((root, compute_id))
    if start is None:
        return False
    start.arrive(finish)
    return True


def polled(root: Path, owner: str, compute_id: str | None = None, patience: float = START_SECONDS) -> None:
    """Somebody asks how far a compute is, or all of theirs, and is answered after this.

    The poll after the last held one waits for a start that is under way, at most `patience` seconds, so that it is the
    one that shows what came of it.
    """
    for (home, key), start in list(_starts.items()):
        if home == root and start.owner == owner and compute_id in (None, key):
            start.poll(patience)
            if start.left < 0:
                _starts.pop((home, key), None)


def release(root: Path, compute_id: str) -> None:
    """Hold a start no longer."""
    start = _starts.pop((root, compute_id), None)
    if start is not None:
        start.end()


def let_go(holder: object) -> None:
    """Hold the starts of this holder, or of this plan, no longer: it is about to end."""
    for (root, compute_id), start in list(_starts.items()):
        if holder in (start.holder, start.plan):
            release(root, compute_id)
