"""`layers.lock.toml`: what is known of each layer that a script uses, to be committed beside it.

    [[layer]]
    pathId = "<uuid>"
    name = "scene"
    type = "raster"

    [[layer.timestamp]]
    id = "<uuid>"
    crs = "EPSG:3857"
    extent = [487600.0, 5998200.0, 492720.0, 6003000.0]   # xMin, yMin, xMax, yMax
    bands = ["blue", "green", "red", "near infrared"]     # or how many
    dtype = "uint16"
    nodata = 0                                            # where there is one
    resolution = [10.0, 10.0]

A vector has `geometries`, `features` and a table of `columns` with Arrow's names of their types. `source` says from
which service it was pulled, `part = true` that only a part of it was, `standIn = true` that none of this is known: it
is what a stand-in was made of.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellipsis_local import ids
from ellipsis_local.errors import ArgumentError
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.home import Home
from ellipsis_local.stand_ins.schema import SCHEMA_KEYS, LayerSchema, from_fields, schema_of
from ellipsis_local.store import LayerStore
from ellipsis_local.types import STAND_IN, PathRecord, Timestamp

LOCK_FILE = "layers.lock.toml"
HEAD = "# What is known of the layers that are used here; written by `ellipsis-local layers lock`.\n"
LAYER_KEYS = {"pathId", "name", "type", "timestamp"}
OTHER_KEYS = ("id", "source", "part", "standIn")


@dataclass(frozen=True)
class LockedLayer:
    """One timestamp."""

    path_id: str
    timestamp_id: str
    name: str
    schema: LayerSchema
    source: str | None = None
    """The service that it was pulled from."""
    part: bool = False
    stand_in: bool = False

    @property
    def ids(self) -> tuple[str, str]:
        return self.path_id, self.timestamp_id


Pulled = Callable[[Timestamp], tuple[str, bool] | None]
"""From which service a timestamp is, and whether only a part of it was pulled."""


def known_here(store: LayerStore, pulled: Pulled, path_ids: Sequence[str] | None) -> list[LockedLayer]:
    """What the home knows of its layers, or of some; ArgumentError for one that is not here or is no layer."""
    if path_ids is None:
        listed = store.catalogue.still_here(store.list(), lambda path: _known_of(store, pulled, path))
        return [layer for layers in listed for layer in layers]
    paths = [store.path(one) for one in path_ids]
    for path in paths:
        if path.type not in ("raster", "vector"):
            text = f"ids {path.id} is a {path.type}; a lock file keeps what is known of rasters and vectors"
            raise ArgumentError(text, argument="ids", value=path.id)
    return [layer for path in paths for layer in _known_of(store, pulled, path)]


def _known_of(store: LayerStore, pulled: Pulled, path: PathRecord) -> list[LockedLayer]:
    found = []
    for timestamp in store.catalogue.timestamps_of(path.id) if path.type in ("raster", "vector") else []:
        files = timestamp.rasters or timestamp.vectors
        if files:
            source, part = pulled(timestamp) or (None, False)
            made = path.id, timestamp.id, path.name
            # What was asked for, and not what came of it; of one that was pulled it is not known.
            asked = timestamp.files[0].options[STAND_IN] if timestamp.stand_in else None
            schema = from_fields(timestamp.type, asked) if asked else schema_of(files)
            found.append(LockedLayer(*made, schema, source, part, timestamp.invented))
    return found


def write_lock(path: Path, layers: Sequence[LockedLayer]) -> list[LockedLayer]:
    """Write what is known into the file and return all that is in it then.

    What the file knows of other layers stays, and what it knows of a layer that is only a stand-in here.
    """
    known = {one.ids: one for one in read_lock(path)} if path.exists() else {}
    for layer in layers:
        former = known.get(layer.ids)
        if former is None or former.stand_in or not layer.stand_in:
            known[layer.ids] = layer
    everything = sorted(known.values(), key=lambda one: (one.name, one.path_id))
    text = "".join(text_of([one for one in everything if one.path_id == path_id]) for path_id in _paths(everything))
    with writing(path), Home.publish_file(path) as draft:
        draft.write_text(HEAD + text, encoding="utf-8")
    return everything


def _paths(layers: Sequence[LockedLayer]) -> list[str]:
    return list(dict.fromkeys(one.path_id for one in layers))


def text_of(timestamps: Sequence[LockedLayer]) -> str:
    """The table of one layer."""
    # The last one: a name in the home is younger than one in the file.
    path = timestamps[-1]
    about = {"pathId": path.path_id, "name": path.name, "type": path.schema.type}
    lines = ["", "[[layer]]", *(f"{key} = {toml(value)}" for key, value in about.items())]
    for one in timestamps:
        values = fields_of(one)
        columns = values.pop("columns", {})
        lines += ["", "[[layer.timestamp]]", *(f"{key} = {toml(value)}" for key, value in values.items())]
        if columns:
            lines += ["[layer.timestamp.columns]", *(f"{toml(key)} = {toml(kind)}" for key, kind in columns.items())]
    return "\n".join(lines) + "\n"


def fields_of(layer: LockedLayer) -> dict[str, Any]:
    marks = {"source": layer.source, "part": layer.part or None, "standIn": layer.stand_in or None}
    values = {"id": layer.timestamp_id} | layer.schema.fields() | marks
    return {key: value for key, value in values.items() if value is not None}


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, str):
        # TOML's basic strings are JSON's, but for one control character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list | tuple) else repr(value)


def read_lock(path: Path) -> list[LockedLayer]:
    """What a file knows; ArgumentError naming the place where it is none."""
    with reading(path):
        text = path.read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise wrong(path, f"is no TOML: {error}") from error
    layers = table.get("layer", [])
    if set(table) - {"layer"} or not isinstance(layers, list):
        raise wrong(path, "must be a list of [[layer]] tables and nothing else")
    return [one for layer in layers for one in _layers(path, layer)]


def wrong(path: Path, text: str) -> ArgumentError:
    return ArgumentError(
        f"lock {path}: {text}; `ellipsis-local layers lock` writes one", argument="lock", value=str(path)
    )


def _layers(path: Path, layer: Any) -> Iterator[LockedLayer]:
    if not isinstance(layer, dict) or set(layer) - LAYER_KEYS or not isinstance(layer.get("name"), str):
        raise wrong(path, f"every [[layer]] has a name, and only the keys {', '.join(sorted(LAYER_KEYS))}")
    name, kind = layer["name"], layer.get("type")
    timestamps = layer.get("timestamp")
    if kind not in SCHEMA_KEYS or not isinstance(timestamps, list):
        raise wrong(path, f"layer {name!r} must be of type raster or vector and have [[layer.timestamp]] tables")
    for one in timestamps:
        allowed = {*SCHEMA_KEYS[kind], *OTHER_KEYS}
        if not isinstance(one, dict) or set(one) - allowed:
            raise wrong(path, f"layer {name!r}: known keys of a timestamp are {', '.join(sorted(allowed))}")
        try:
            made = (ids.as_uuid("pathId", layer.get("pathId")), ids.as_uuid("id", one.get("id")))
            schema = from_fields(kind, one)
        except (ArgumentError, ValueError, TypeError) as error:
            raise wrong(path, f"layer {name!r}, timestamp {one.get('id')!r}: {error}") from error
        yield LockedLayer(*made, name, schema, one.get("source"), one.get("part", False), one.get("standIn", False))
