"""What a lesson is, as `lesson.toml` says it.

title = "Sums over a valley"
files = ["lesson.ipynb"]            # what comes along; they lie beside lesson.toml
layers = "layers"                   # optional: a folder with a catalog.toml; else those of the shipped valley
inline = true                       # optional: nodes run in the notebook's own process (the default)
interpreter = "python3.12"          # optional, with requirements for the computes of the lesson
requirements = ["scipy"]

[[exercise]]
name = "highest"
task = "How high is the highest point?"
layers = ["dem"]                    # by their names; "scene@2" is the second timestamp of scene
reduce = "max"                      # optional: sum, min, max or join; else the student writes it
expected = 80.03125                 # optional
nodes = [2, 5]                      # optional: into how many pieces the layers are cut
shards = false                      # optional: whether it has to be right on overlapping shards, too
features = ["once"]                 # optional: once, intersecting
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.emulator import current_settings
from ellipsis_local.environments import DEFAULT_INTERPRETER
from ellipsis_local.errors import ArgumentError

LESSON = "lesson.toml"
LAYERS = "layers.json"
"""What the layers of the home are called."""
ARCHIVE = "home.zip"
ENVIRONMENT = "environment.zip"
"""What `env pack` writes."""
HOME = "home"
PLAIN_NAME = re.compile(r"\w[\w .-]*")
REDUCES = ("sum", "min", "max", "join")
KEYS = {"title", "files", "layers", "inline", "interpreter", "requirements", "exercise"}
EXERCISE_KEYS = {"name", "task", "layers", "reduce", "expected", "nodes", "shards", "features"}


@dataclass(frozen=True)
class Exercise:
    """A task for a function, and what makes a function right.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.lesson.Exercise('highest', layers=[dem], reduce='max', expected=80.03125).nodes
    (2, 5)
    """

    name: str
    layers: Iterable[Mapping[str, Any]]
    """As createCompute takes them."""
    task: str = ""
    reduce: Literal["sum", "min", "max", "join"] | None = None
    """How the pieces' results become one answer; None leaves it to the student."""
    expected: Any = None
    """The answer; None: any that does not depend on the cut."""
    nodes: tuple[int, ...] = (2, 5)
    """Into how many pieces the layers are cut."""
    shards: bool = False
    """Whether it has to be right on the service's overlapping shards, too."""
    features: tuple[Literal["once", "intersecting"], ...] = ("once",)
    """Whether a feature is in one piece, in each that it touches, or has to be right with both."""
    requirements: tuple[str, ...] = ()
    interpreter: str = DEFAULT_INTERPRETER

    def __post_init__(self) -> None:
        arguments.string("name", self.name)
        if self.reduce is not None and self.reduce not in REDUCES:
            raise invalid("reduce", self.reduce, f"must be one of {', '.join(REDUCES)}, or None, not {self.reduce!r}")
        for key, values, fit in (
            ("nodes", self.nodes, all(type(count) is int and count > 1 for count in self.nodes)),
            ("features", self.features, set(self.features) <= {"once", "intersecting"}),
        ):
            if not values or not fit:
                what = "whole numbers above 1" if key == "nodes" else "'once', 'intersecting' or both"
                raise invalid(key, values, f"must hold {what}, not {values!r}")
        if not arguments.dict_list("layers", self.layers):
            raise invalid("layers", self.layers, "must hold at least one {'pathId', 'timestampId'}")


@dataclass(frozen=True)
class Lesson:
    """A lesson that was opened."""

    title: str
    folder: Path
    files: tuple[str, ...]
    inline: bool
    interpreter: str
    requirements: tuple[str, ...]
    layers: dict[str, dict[str, str]] = field(default_factory=dict)
    """Per name ``{'pathId', 'timestampId'}``; a file has its `pathId` only."""
    exercises: dict[str, Exercise] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The home that holds the layers, and all that the student makes."""
        return self.folder / HOME


def read_lesson(folder: Path) -> Lesson:
    """The lesson in a folder that an archive was unpacked to."""
    text = read_text(folder / LESSON)
    try:
        layers = json.loads(read_text(folder / LAYERS))
    except ValueError as error:
        raise _wrong(folder / LAYERS, "is damaged; unpack the archive again") from error
    return parse_lesson(folder, text, layers)


def current_exercise(name: str) -> Exercise:
    """An exercise of the lesson whose home is in use."""
    home = current_settings().home
    if home.name != HOME or not (home.parent / LESSON).is_file():
        raise invalid("exercise", name, f"is {name!r}, and no lesson is open; open one with el.lesson.open(FILE) first")
    exercises = read_lesson(home.parent).exercises
    if name not in exercises:
        raise invalid("exercise", name, f"must be one of {', '.join(exercises)}, not {name!r}")
    return exercises[name]


def parse_lesson(folder: Path, text: str, layers: Mapping[str, Any]) -> Lesson:
    """A checked lesson; `layers` is what loading them gave, by name."""
    path = folder / LESSON
    table = parse_table(folder, text)
    files, requirements = (tuple(_texts(path, key, table.get(key, ()))) for key in ("files", "requirements"))
    for name in files:
        if not PLAIN_NAME.fullmatch(name) or name in (LESSON, LAYERS, HOME, ARCHIVE, ENVIRONMENT):
            raise _wrong(path, f"files: {name!r} must be the name of a file beside {LESSON}, without a folder")
    interpreter = table.get("interpreter", DEFAULT_INTERPRETER)
    known: dict[str, dict[str, str]] = {name: _ids(layer) for name, layer in layers.items()}
    exercises = {}
    for number, one in enumerate(_tables(path, table.get("exercise", ())), 1):
        where = f"exercise {number}"
        _check_keys(path, where, one, EXERCISE_KEYS, {"name": str, "task": str, "shards": bool})
        found = [_layer(path, where, name, layers) for name in _texts(path, f"{where}: layers", one.get("layers", ()))]
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) and key != "expected" else value for key, value in one.items()
        }
        given |= {"layers": tuple(found), "requirements": requirements, "interpreter": interpreter}
        try:
            exercise = Exercise(**given)
        except (ArgumentError, TypeError) as error:
            raise _wrong(path, f"{where}: {error}") from error
        if exercise.name in exercises:
            raise _wrong(path, f"two exercises are called {exercise.name!r}")
        exercises[exercise.name] = exercise
    title, inline = table.get("title", folder.name), table.get("inline", True)
    return Lesson(title, folder, files, inline, interpreter, requirements, known, exercises)


def parse_table(folder: Path, text: str) -> dict[str, Any]:
    """What the file says of the lesson as a whole, checked; ArgumentError with its place."""
    path = folder / LESSON
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"is no TOML: {error}") from error
    _check_keys(path, "the lesson", table, KEYS, {"title": str, "layers": str, "inline": bool, "interpreter": str})
    return table


def named_layers(table: Mapping[str, Any]) -> list[str]:
    """The layers that exercises name, as far as these are what they should be."""
    exercises = table.get("exercise", ())
    named = [one.get("layers", ()) for one in exercises if isinstance(one, dict)]
    return [name.partition("@")[0] for names in named for name in names if isinstance(name, str)]


def _wrong(path: Path, text: str) -> ArgumentError:
    return ArgumentError(f"{path}: {text}", argument="lesson", value=str(path))


def read_text(path: Path) -> str:
    """Of a lesson's folder."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _wrong(path, "is missing: this is no folder of a lesson") from None
    except (OSError, UnicodeError) as error:
        raise _wrong(path, f"cannot be read: {error}") from error


def _check_keys(path: Path, where: str, table: Mapping[str, Any], keys: set[str], types: Mapping[str, type]) -> None:
    if unknown := ", ".join(sorted(set(table) - keys)):
        raise _wrong(path, f"{where} has an unknown {unknown}; known are {', '.join(sorted(keys))}")
    for key, kind in types.items():
        if key in table and type(table[key]) is not kind:
            raise _wrong(path, f"{where}: {key} must be of type {kind.__name__}, not {table[key]!r}")


def _tables(path: Path, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, dict) for one in value):
        raise _wrong(path, "exercises are [[exercise]] tables")
    return list(value)


def _texts(path: Path, name: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise _wrong(path, f"{name} must be a list of texts, not {value!r}")
    return list(value)


def _ids(layer: Mapping[str, Any]) -> dict[str, str]:
    return {key: layer[key] for key in ("pathId", "timestampId") if key in layer}


def _layer(path: Path, where: str, name: str, layers: Mapping[str, Any]) -> dict[str, str]:
    """The ids of `dem`, or of `scene@2`, its second timestamp."""
    plain, _, number = name.partition("@")
    layer = layers.get(plain)
    if layer is None or "timestampId" not in layer:
        known = ", ".join(key for key, one in layers.items() if "timestampId" in one)
        raise _wrong(path, f"{where}: layers must be of {known}, not {name!r}")
    timestamps = layer.get("timestamps", [layer["timestampId"]])
    if number and not (number.isdecimal() and 1 <= int(number) <= len(timestamps)):
        raise _wrong(path, f"{where}: {plain} has the timestamps 1 to {len(timestamps)}, not {number!r}")
    return {"pathId": layer["pathId"], "timestampId": timestamps[int(number) - 1] if number else layer["timestampId"]}
