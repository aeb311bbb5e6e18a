"""What is told to the caller of an execution: what the service would do to the function, and to its results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ellipsis_local.computes.wire import NotJsonError, json_text
from ellipsis_local.environments import Environments
from ellipsis_local.errors import FidelityError, FidelityWarning
from ellipsis_local.inside.ellipsis_node.values import encode
from ellipsis_local.notices import warn
from ellipsis_local.preflight import Installed, Surroundings, installed_in, installed_with

__all__ = ["surroundings", "tell_of_results"]

MOST_PARTS = 100_000
"""How many parts of the results are looked at."""
PLAIN = frozenset({str, int, float, bool, type(None)})


def surroundings(spec: dict[str, Any], environments: Environments, *, large: bool) -> Surroundings:
    """What a compute's record tells the rules of the preflight."""

    def installed() -> Installed | None:
        if environments.own:
            return installed_with(tuple(spec["requirements"]))
        environment = environments.get(spec["environment"])
        return None if environment is None else installed_in(environment.folder)

    return Surroundings(
        python=tuple(spec["python"]),
        layers=tuple((layer["pathId"], layer["timestampId"]) for layer in spec["layers"]),
        files=tuple(spec["files"]),
        requirements=tuple(spec["requirements"]),
        large=large,
        installed=installed,
    )


def tell_of_results(name: str, results: Sequence[Any], *, strict: bool) -> None:
    """Tell of the first result that cannot travel to a client as JSON, or arrives there as something else.

    Parameters
    ----------
    name : str
        Of the function.
    results : sequence
        One per node.
    strict : bool
        Raise instead of warning.

    Raises
    ------
    FidelityError
        With `strict`.

    Warns
    -----
    FidelityWarning
    """
    reader = _Reader()
    for node, result in enumerate(results):
        if type(result) not in PLAIN:
            reader.look(result, "result", node)
    if reader.found:
        # What cannot travel at all comes before what arrives changed.
        text = f"{name}: on node {reader.found[min(reader.found)]} [result]"
        if strict:
            raise FidelityError(f"the service would not return what it returns here: {text} (strict=True)")
        warn(text, FidelityWarning)


class _Reader:
    def __init__(self) -> None:
        self.found: dict[int, str] = {}
        """By gravity, the first of each."""
        self.left = MOST_PARTS

    def look(self, value: Any, place: str, node: int) -> None:
        self.left -= 1
        if self.left < 0 or 0 in self.found:
            return
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if type(item) not in PLAIN:
                    self.look(item, f"{place}[{index}]", node)
            self.left -= len(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                if type(key) is not str:
                    self.key(key, place, node)
                if type(item) not in PLAIN:
                    self.look(item, f"{place}[{key!r}]", node)
            self.left -= len(value)
        elif _is_number(value):
            self.tell(1, node, f"{place} is {_described(value)}, {_numbers(value)}")
        elif type(value) not in PLAIN:
            self.refuse(value, place, node)

    def key(self, key: Any, place: str, node: int) -> None:
        if type(key) in PLAIN:
            text = next(iter(json.loads(json.dumps({key: None}))))
            self.tell(
                2, node, f"{place} has the key {key!r}, which arrives at the client as {text!r}: use texts as keys"
            )
        elif _is_number(key):
            self.tell(1, node, f"a key of {place} is {_described(key)}, which json.dumps refuses: use texts as keys")
        else:
            self.refuse({key: None}, place, node)

    def refuse(self, value: Any, place: str, node: int) -> None:
        """In the words that the client would get."""
        try:
            json_text(encode(value))
        except NotJsonError as error:
            self.tell(0, node, str(error).replace("result", place, 1))

    def tell(self, gravity: int, node: int, text: str) -> None:
        self.found.setdefault(gravity, f"{node}, {text}")


def _is_number(value: Any) -> bool:
    """Whether it is a numpy scalar that JSON has a number for and json.dumps does not take, as it takes a float64."""
    if type(value).__module__ != "numpy" or isinstance(value, float):
        return False
    import numpy as np

    return isinstance(value, np.generic) and value.dtype.kind in "biuf"


def _described(value: Any) -> str:
    return f"a numpy scalar ({value.dtype})"


def _numbers(value: Any) -> str:
    plain = {"b": "bool", "f": "float"}.get(value.dtype.kind, "int")
    return f"which the server here writes as a number and json.dumps refuses: return `{plain}(…)` instead"
