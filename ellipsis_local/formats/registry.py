"""One record per format; a format is a file in `vector/formats`, which registers its record here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

EVERY = "*"
"""The name of a layer that means all of them."""


def _no(_: bytes) -> bool:
    return False


def _alone(path: Path) -> tuple[Path, ...]:
    return (path,)


@dataclass(frozen=True)
class Format:
    """All that is known of one format."""

    name: str
    """What the catalogue and messages call it."""
    kind: Literal["raster", "vector"]
    driver: str
    """GDAL's name of its driver."""
    title: str
    suffixes: tuple[str, ...]
    """Of files, with the dot, lower case; the usual one first."""
    aliases: tuple[str, ...] = ()
    """What the client's `fileFormat` may say besides the suffixes."""
    begins: Callable[[bytes], bool] = _no
    """Whether a file with these first 512 bytes may be one."""
    claims: Callable[[Path], bool] | None = None
    """Whether a file that begins so is one, where the beginning does not decide."""
    check: Callable[[Path, str | None], None] | None = None
    """What is looked at before a library opens it (path, layer); LayerError or LimitError."""
    check_stream: Callable[[IO[bytes], str], None] | None = None
    """The same of a file in an archive (content, name); without it `check` gets an unpacked copy."""
    parts: Callable[[Path], tuple[Path, ...]] = _alone
    """The files that belong to the one at a path, that one first."""
    archived: bool = True
    """Whether it may lie in a zip."""
    layers: Callable[[Path], tuple[str, ...]] | None = None
    """The names of its layers, for a format that holds several."""
    rows: Callable[[Path], int | None] | None = None
    """How many features a file says it has, for a format whose reader does not notice that some are missing."""
    reads: Literal["ogr", "parquet"] = "ogr"
    options: Callable[[Any], Mapping[str, Any]] | None = None
    """What the driver is told when a table is written; None: it cannot be written."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its writer must know: `lacks`, types that it cannot hold; `name_bytes`, the length of a name."""

    def __hash__(self) -> int:
        return hash(self.name)


_formats: dict[str, Format] = {}


def register(one: Format) -> Format:
    """Make a format known, or the like of one that is; the record itself."""
    _formats[one.name] = one
    return one


def unregister(name: str) -> None:
    """Take a format away again, as tests do."""
    _formats.pop(name, None)


def registered(kind: str | None = None) -> tuple[Format, ...]:
    """The formats, of one kind or all, in the order in which they were registered."""
    return tuple(one for one in _formats.values() if kind in (None, one.kind))


def of_suffix(suffix: str, kind: str | None = None) -> Format | None:
    return next((one for one in registered(kind) if suffix.lower() in one.suffixes), None)
