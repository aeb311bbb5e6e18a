"""What an archive holds: a zip with `manifest.json`, which lists every other entry with its size and hash.

manifest.json
ellipsis.sqlite                      the rows; locations of layers begin with {layers}
settings.toml                        where the home has one
layers/FILE_ID/NAME                  the files of layers, as they were given
computes/COMPUTE_ID/log.jsonl …      logs and results
"""

from __future__ import annotations

import json
import re
import stat
import unicodedata
import zipfile
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError

FORMAT = 1
"""Raised when a release that reads the former one would misread the archive."""
KIND = "ellipsis_local home"
MANIFEST = "manifest.json"
DATABASE = "ellipsis.sqlite"
SETTINGS = "settings.toml"
CHUNK = 1024**2
MOST_MANIFEST = 256 * 1024**2
MOST_FILES = 1_000_000
FOLDER = re.compile(r"(layers|computes)/[0-9a-fA-F-]{36}/")


@dataclass(frozen=True)
class Entry:
    """One file of an archive."""

    name: str
    size: int
    """Bytes, unpacked."""
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    format: int
    version: str
    """Of the ellipsis_local that wrote it."""
    database: int
    """Version of the database's schema."""
    created: str
    """ISO 8601, UTC."""
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(entry.size for entry in self.entries)

    def to_json(self) -> str:
        known = {"kind": KIND, "format": self.format, "ellipsis_local": self.version, "database": self.database}
        files = [asdict(entry) for entry in self.entries]
        return json.dumps({**known, "created": self.created, "files": files}, indent=1)


def refused(path: Path, why: str) -> ArgumentError:
    """The error for an archive that cannot be taken; nothing was changed."""
    return invalid("file", str(path), f"{path} cannot be imported: {why}")


def read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """The manifest, held against the archive's table of contents; ArgumentError where no archive of ours is so."""
    entries = {info.filename: info for info in archive.infolist()}
    if MANIFEST not in entries:
        raise refused(path, f"it is a zip without {MANIFEST}, no archive of a home; `state export` makes one")
    manifest = _parse(path, archive, entries.pop(MANIFEST))
    if len(archive.infolist()) != len(entries) + 1:
        raise refused(path, "it holds an entry twice")
    listed = {entry.name: entry for entry in manifest.entries}
    if len(listed) != len(manifest.entries):
        raise refused(path, "its manifest lists a file twice")
    if difference := listed.keys() ^ entries.keys():
        raise refused(path, f"{min(difference)!r} is not both in the archive and in its manifest")
    if DATABASE not in listed:
        raise refused(path, f"it holds no {DATABASE}")
    _check_names(path, listed)
    for name, info in entries.items():
        _check_entry(path, listed[name], info)
    return manifest


def _parse(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Manifest:
    if info.file_size > MOST_MANIFEST:
        raise refused(path, f"its manifest takes {info.file_size:,} bytes")
    with archive.open(info) as file:
        text = file.read(MOST_MANIFEST)
    try:
        data: Any = json.loads(text)
        kind, version = data["kind"], data["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise refused(path, f"its {MANIFEST} is not one of ours") from error
    if kind != KIND or type(version) is not int or version < 1:
        raise refused(path, f"its {MANIFEST} is not one of ours")
    # Asked before anything else: what a newer format has besides is not known here.
    if version > FORMAT:
        newer = f"{str(data.get('ellipsis_local'))[:40]}, format {version}; this one reads up to {FORMAT}"
        raise refused(path, f"it was written by a newer ellipsis_local ({newer}); update ellipsis_local")
    try:
        entries = tuple(Entry(str(e["name"]), _count(e["size"]), str(e["sha256"])) for e in data["files"])
        manifest = Manifest(version, str(data["ellipsis_local"]), _count(data["database"]), data["created"], entries)
    except (ValueError, KeyError, TypeError) as error:
        raise refused(path, f"its {MANIFEST} is damaged: {type(error).__name__} {error}") from error
    if len(entries) > MOST_FILES:
        raise refused(path, f"it holds {len(entries):,} files, and {MOST_FILES:,} are taken")
    return manifest


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of bytes")
    return value


def _check_names(path: Path, names: Collection[str]) -> None:
    seen: set[str] = set()
    for name in names:
        plain = FOLDER.match(name) or name in (DATABASE, SETTINGS)
        parts = name.split("/")
        if not plain or any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise refused(path, f"it holds {name!r}, which has no place in a home")
        # File systems that do not tell them apart would lay one over the other.
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            raise refused(path, f"{name!r} differs from another entry in its case alone")
        seen.add(key)
    files = {str(parent) for name in names for parent in PurePosixPath(name).parents} & set(names)
    if files:
        raise refused(path, f"{min(files)!r} is both a file and a folder")


def _check_entry(path: Path, entry: Entry, info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or info.is_dir():
        raise refused(path, f"{entry.name!r} is no plain file (a link, say)")
    if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused(path, f"{entry.name!r} is encrypted or packed in an unknown way")
    if info.file_size != entry.size:
        raise refused(path, f"{entry.name!r} has {info.file_size:,} bytes, and its manifest says {entry.size:,}")
