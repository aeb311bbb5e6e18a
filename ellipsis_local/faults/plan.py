"""What is to go wrong, checked whole when it is given."""

from __future__ import annotations

import json
import math
import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ellipsis_local.errors import ArgumentError

NAMES = (
    "requirements", "starting_polls", "killed", "slow", "out_of_memory", "raising", "oversized", "terminated_after",
    "no_nodes", "vanished", "dropped", "dropped_after",
)  # fmt: skip
ENDS = ("killed", "out_of_memory", "raising", "oversized")
"""Ends of a node, of which it can have one."""

NodeFault = dict[str, Any]


class Plan:
    """The faults of one `with` block, as `testing.faults` has them; what is counted down, and happened, changes."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        unknown = sorted(set(given) - set(NAMES))
        if unknown:
            raise ArgumentError(
                f"there is no fault {unknown[0]!r}; there are {', '.join(NAMES)}",
                argument=unknown[0], value=given[unknown[0]],
            )  # fmt: skip
        asked = {name: value for name, value in given.items() if value is not None}
        self.requirements = None if "requirements" not in asked else _text("requirements", asked["requirements"])
        self.starting_polls = _count("starting_polls", asked.get("starting_polls", 0), 0)
        self.terminated_after = None
        if "terminated_after" in asked:
            self.terminated_after = _count("terminated_after", asked["terminated_after"], 0)
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


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(name, "must be a text, the message of the failure", value)
    return value


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _wrong(name, f"must be a whole number from {least} on", value)
    return value


def _node(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(name, "must name nodes, which are whole numbers from 0 on", value)
    return value


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
    kind = type(what)
    return {
        "do": "raise",
        "module": kind.__module__,
        "name": kind.__qualname__,
        "args": list(what.args) if plain else None,
        "text": str(what),
    }


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
