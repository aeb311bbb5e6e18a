"""Which plans are active, per home, and what they answer to the rooms that ask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellipsis_local.errors import EnvironmentBuildError
from ellipsis_local.faults.plan import Plan

START_SECONDS = 300
"""As long as an environment may take to build."""

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
        _release_all(plan)


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
            raise EnvironmentBuildError(
                f"the environment with {listed} could not be made: {plan.requirements}", output=plan.requirements
            )


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


def terminates(root: Path, done: int) -> bool:
    """Whether an execution with so many nodes done is to be terminated now."""
    for plan in _plans.get(root, ()):
        if plan.terminated_after == done:
            plan.note(f"terminated after {done} nodes")
            return True
    return False


def drop(root: Path, method: str, path: str) -> str | None:
    """Whether the connection of a request is to be cut: 'before' the work is done, 'after' it, or not (None)."""
    for plan in _plans.get(root, ()):
        when = plan.drop(f"{method} {path}")
        if when is not None:
            return when
    return None


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
    if not _starts:
        return
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
    """Hold the starts of this holder no longer: it is about to end."""
    for (root, compute_id), start in list(_starts.items()):
        if start.holder is holder:
            release(root, compute_id)


def _release_all(plan: Plan) -> None:
    for (root, compute_id), start in list(_starts.items()):
        if start.plan is plan:
            release(root, compute_id)
