"""The folder of cuts, read without any library: KEY/cut.json and files of nodes for a layer, KEY.json for a request.

A folder comes into view whole. Its time of modification is that of its last use.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ellipsis_local.clocks import file_time
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.records import Part, files_of, moved, part_from_json
from ellipsis_local.partitions.request import CutRequest, Partitioning
from ellipsis_local.types import Extent

Json = dict[str, Any]


class CutCache:
    def __init__(self, home: Home) -> None:
        self._home = home
        self.folder = home.cuts

    def layer(self, key: str) -> Json | None:
        """What the cut of a layer holds, None where it is not made."""
        return _read(self.folder / key / "cut.json")

    def find(self, request: CutRequest) -> Partitioning | None:
        """The partitions of a request that was made before and is whole; marks them as used."""
        index = _read(self.folder / f"{request.key}.json")
        if index is None:
            return None
        for key in {layer["key"] for layer in index["layers"]}:
            folder = self.folder / key
            names = {name for layer in index["layers"] if layer["key"] == key for name in _files(layer)}
            try:
                if not names <= set(os.listdir(folder)):  # noqa: PTH208  # one call, a thousand times less to do
                    return None
                os.utime(folder)
            except OSError:
                return None
        return self._present(request, index)

    def store(self, request: CutRequest, index: Json) -> Partitioning:
        with self._home.publish_file(self.folder / f"{request.key}.json") as draft:
            draft.write_text(json.dumps(index), encoding="utf-8")
        return self._present(request, index)

    def _present(self, request: CutRequest, index: Json) -> Partitioning:
        columns: list[list[Part]] = []
        warnings: list[str] = []
        for layer, cut in zip(request.layers, index["layers"], strict=True):
            place = f"{self.folder / cut['key']}{os.sep}".__add__
            columns.append([moved(part, place, id=layer.id, crs=request.crs) for part in _parts(cut)])
            warnings += [f"layer {layer.id}: {text}" for text in cut["warnings"]]
        return Partitioning(
            crs=request.crs,
            extents=tuple(Extent(*extent) for extent in index["extents"]),
            parts=tuple(zip(*columns, strict=True)),
            warnings=tuple(warnings),
        )

    def discard(self, request: CutRequest) -> None:
        """Forget the layers of a request that `find` did not find whole, so that they are made again."""
        index = _read(self.folder / f"{request.key}.json") or {"layers": []}
        for layer in index["layers"]:
            folder = self.folder / layer["key"]
            if folder.is_dir() and not all((folder / name).exists() for name in _files(layer)):
                self._remove(folder)

    def prune(self, limit: int, keep: Callable[[], Collection[str]], unused_for: float = 0) -> int:
        """Remove the least recently used cuts until all together have at most `limit` bytes; returns bytes freed.

        Those that were used less than `unused_for` seconds ago stay.
        """

        def kept_now() -> set[str]:
            return self._folders_of(keep())

        kept = kept_now()
        found = []
        total = 0
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_dir() and not path.name.startswith("."):
                cut = _read(path / "cut.json")
                size = cut["bytes"] if cut else 0
                total += size
                if path.name not in kept:
                    with contextlib.suppress(FileNotFoundError):
                        found.append((path.stat().st_mtime_ns, size, path))
        freed = 0
        newest = file_time(self.folder) - unused_for if found and unused_for else math.inf
        for used, size, path in sorted(found):
            if total - freed <= limit or used / 1e9 > newest:
                break
            freed += size if self._remove(path, kept_now) else 0
        self._forget()
        return freed

    def _folders_of(self, keep: Collection[str]) -> set[str]:
        """Names of folders for names of folders, keys of requests, or paths of parts."""
        names = set()
        for text in keep:
            index = _read(self.folder / f"{text}.json") if os.sep not in text else None
            if index is not None:
                names |= {layer["key"] for layer in index["layers"]}
            path = Path(text)
            names.add(path.parent.name if path.suffix else path.name)
        return names

    def _remove(self, folder: Path, kept: Callable[[], Collection[str]] = tuple) -> bool:
        """Out of view at once, then deleted; False where it is to be kept by now, is locked, or gone already."""
        try:
            with self._home.lock(f"cut-{folder.name}", timeout=0):
                grave = self._home.temporary(self.folder)
                try:
                    folder.rename(grave)
                    # Who found it before it went from view had said so before.
                    if folder.name in kept():
                        grave.rename(folder)
                        return False
                finally:
                    shutil.rmtree(grave, ignore_errors=True)
        except (TimeoutError, FileNotFoundError):
            return False
        return True

    def _forget(self) -> None:
        """Drop the requests whose layers are gone."""
        for path in self.folder.glob("*.json"):
            index = _read(path)
            if index is None or not all((self.folder / layer["key"]).is_dir() for layer in index["layers"]):
                path.unlink(missing_ok=True)


def _parts(cut: Json) -> list[Part]:
    """Per node its part of a layer, by its own name in the layer's folder."""
    return [part_from_json(part) for part in cut["parts"]]


def _files(cut: Json) -> list[str]:
    return [name for part in _parts(cut) for name in files_of(part)]


def _read(path: Path) -> Json | None:
    try:
        data: Json = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return data
