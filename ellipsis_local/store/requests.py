"""What is asked of the store: the files to add, and where they are to go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ellipsis_local.store.formats import Kind


class Taken(NamedTuple):
    """A file that the store may move instead of copying it; a copy is made where it cannot be moved."""

    path: Path


@dataclass(frozen=True)
class NewFile:
    """One file for `LayerStore.add_files`: a path, bytes, a binary file object, or `Taken`."""

    source: Any
    name: str | None = None
    format: str | None = None
    epsg: int | None = None
    nodata: float | None = None
    layer: str | None = None


@dataclass(frozen=True)
class Target:
    """Where parcels are to go, and what is said of it where it has to be made."""

    path_id: str
    timestamp_id: str
    kind: Kind
    name: str
    date: Any = None
    description: str | None = None
    owner: str | None = None
    metadata: Mapping[str, Any] | None = None
    parent_id: str | None = None
    status: Literal["created", "active", "passive"] = "active"
