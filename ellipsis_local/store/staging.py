"""What is asked of the store, and what can be laid into a folder of the home for it: files, arrays, GeoDataFrames.

A parcel knows the hash of its content without writing anything, and writes itself into a draft folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from ellipsis_local import vector
from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.gdal_errors import reading, shown_name, writing
from ellipsis_local.raster.files import RasterArray
from ellipsis_local.raster.files import inspect as inspect_raster
from ellipsis_local.raster.opening import SUFFIXES, format_of
from ellipsis_local.raster.write import can_be_tagged, convert, write_array
from ellipsis_local.store import formats
from ellipsis_local.store.records import FileRow
from ellipsis_local.types import RasterFile, VectorFile

CHUNK = 4 * 1024**2


@dataclass(frozen=True)
class Overrides:
    """What the caller knows better than the file."""

    epsg: int | None = None
    nodata: float | None = None
    layer: str | None = None

    def given(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


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

    @property
    def overrides(self) -> Overrides:
        return Overrides(self.epsg, self.nodata, self.layer)


@dataclass(frozen=True)
class Target:
    """Where parcels are to go, and what is said of it where it has to be made."""

    path_id: str
    timestamp_id: str
    kind: formats.Kind
    name: str
    date: Any = None
    description: str | None = None
    owner: str | None = None
    metadata: Mapping[str, Any] | None = None
    parent_id: str | None = None
    status: Literal["created", "active", "passive"] = "active"
    stand_in: Mapping[str, Any] | None = None
    """Of what is invented: what it was to be like. It takes the place of no layer, and any layer takes its place."""


class Parcel(Protocol):
    """Something that can be laid into a folder."""

    @property
    def kind(self) -> formats.Kind | None: ...

    @property
    def name(self) -> str:
        """What the catalogue and messages call it."""

    def content(self) -> str:
        """Hash of the bytes and of the overrides."""

    def stage(self, folder: Path, file_id: str) -> FileRow:
        """Write the files into `folder`, look at them there, and say what they are."""


def hashed_copy(source: Path, target: Path | None, *, move: bool = False) -> str:
    """SHA-256 of a file, copied to `target` in chunks on the way; `move` renames instead of copying."""
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        with reading(source):
            file = stack.enter_context(source.open("rb"))
        if target is None or move:
            output = None
        else:
            with writing(target):
                output = stack.enter_context(target.open("xb"))
        while True:
            with reading(source):
                data = file.read(CHUNK)
            if not data:
                break
            digest.update(data)
            if output is not None:
                with writing(target or source):
                    output.write(data)
    if target is not None and move:
        with writing(target):
            source.replace(target)
    return digest.hexdigest()


def combined(kind: str, parts: Mapping[str, str], overrides: Mapping[str, Any]) -> str:
    text = json.dumps([kind, sorted(parts.items()), sorted(overrides.items())], default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def content_of(path: Path) -> str:
    """The hash of a vector that is one file of ours, without overrides."""
    return combined("vector", {path.suffix: hashed_copy(path, None)}, {})


@dataclass(frozen=True)
class FileParcel:
    """A layer in one file, with the sidecars that GDAL reads with it."""

    path: Path
    name: str
    found: formats.Found
    parts: tuple[Path, ...]
    overrides: Overrides
    ours: bool = False
    """Whether `path` is a temporary file of ours, to be moved instead of copied."""
    seen: RasterFile | VectorFile | None = None
    """What was found in it, maybe by another process (`ellipsis_local.store.sandbox`): it is not opened again."""
    state: tuple[tuple[int, int], ...] = ()
    """Size and time of each part when it was looked at."""
    source: str = ""
    """What rasterio opens, of a raster."""

    @property
    def kind(self) -> formats.Kind:
        return self.found.kind

    @property
    def converted(self) -> bool:
        """A VRT, or a raster with files in other folders, is stored as one GeoTIFF."""
        return self.found.format == "vrt" or any(part.parent != self.path.parent for part in self.parts)

    @property
    def main(self) -> str:
        """Its name in the store; readers want the suffix of the format, as /vsizip/ does."""
        if self.converted:
            return self.path.stem + ".tif"
        wanted = formats.suffixes_of(self.found.format)
        lonely = len(self.parts) == 1 and wanted and self.path.suffix.lower() not in wanted
        return self.path.name + wanted[0] if lonely else self.path.name

    def role(self, part: Path) -> str:
        """What makes `scene.tif.aux.xml` the same sidecar as `copy.tif.aux.xml`."""
        beside = part.parent == self.path.parent
        return part.name.removeprefix(self.path.stem) if beside else os.path.relpath(part, self.path.parent)

    def content(self) -> str:
        hashes = {self.role(part): hashed_copy(part, None) for part in self.parts}
        return combined(self.kind, hashes, self.overrides.given())

    def stage(self, folder: Path, file_id: str) -> FileRow:
        main = self.main
        if self.converted:
            content = self.content()
            convert(self.source, folder / main)
        else:
            names = {part: part.name for part in self.parts} | {self.path: main}
            hashes = {part: hashed_copy(part, folder / names[part], move=self.ours) for part in self.parts}
            content = combined(
                self.kind, {self.role(part): value for part, value in hashes.items()}, self.overrides.given()
            )
        if self.state and self.state != state_of(self.parts):
            raise LayerError.of(self.path, "was changed while it was being added; add it again")
        detail = self.inspect(folder, main, content) if self.seen is None else replace(self.seen, content=content)
        parts = tuple(sorted(one.name for one in folder.iterdir()))
        return FileRow(
            id=file_id,
            name=self.name,
            main=main,
            parts=parts,
            size=sum((folder / part).stat().st_size for part in parts),
            format="tif" if self.converted else self.found.format,
            content=content,
            detail=detail,
            options=self.overrides.given() | ({"member": self.found.member} if self.found.member else {}),
        )

    def inspect(self, folder: Path, main: str, content: str) -> RasterFile | VectorFile:
        """What the layer is, once it lies in `folder` under the name `main`."""
        path, layer = folder / main, self.overrides.layer
        source = shown_name(self.name) if self.ours else str(self.path)
        location = str(path)
        if self.found.member is not None:
            location, layer = f"/vsizip/{path}/{self.found.member}", None
        detail: RasterFile | VectorFile
        if self.kind == "raster":
            detail = inspect_raster(
                location, source=source, epsg=self.overrides.epsg, nodata=self.overrides.nodata,
                contained=self.ours and not self.converted,
            ).file  # fmt: skip
            detail = replace(detail, content=content)
        else:
            known = formats.vector_format(self.found)
            detail = vector.inspect(
                location, source=source, format=known, content=content, epsg=self.overrides.epsg, layer=layer
            )
        return replace(detail, location=location.replace(str(folder), "{folder}"))


@dataclass(frozen=True)
class ArrayParcel:
    source: RasterArray
    name: str = "raster.tif"
    kind: formats.Kind = "raster"
    bands: tuple[str | None, ...] = ()
    """Their names."""

    def content(self) -> str:
        return combined(self.kind, {"array": self.source.content()}, {})

    def stage(self, folder: Path, file_id: str) -> FileRow:
        main, content = "raster.tif", self.content()
        write_array(folder / main, self.source)
        nodata = self.source.nodata
        detail = inspect_raster(folder / main, source="the raster object", nodata=nodata).file
        size = (folder / main).stat().st_size
        detail = replace(detail, content=content, location=f"{{folder}}/{main}")
        detail = replace(detail, descriptions=self.bands) if any(self.bands) else detail
        given = {} if can_be_tagged(nodata, detail.dtype) else {"nodata": nodata}
        return FileRow(file_id, self.name, main, (main,), size, "tif", content, detail, given)


@dataclass(frozen=True)
class FrameParcel:
    frame: Any = field(repr=False)
    name: str = "vector.parquet"
    kind: formats.Kind = "vector"

    def content(self) -> str:
        return combined(self.kind, {"frame": vector.frame_content(self.frame)}, {})

    def stage(self, folder: Path, file_id: str) -> FileRow:
        main, content = "vector.parquet", self.content()
        vector.write_frame(folder / main, self.frame)
        known = formats.vector_format(formats.Found("vector", "parquet"))
        detail = vector.inspect(folder / main, source="the GeoDataFrame", format=known, content=content)
        size = (folder / main).stat().st_size
        detail = replace(detail, location=f"{{folder}}/{main}")
        return FileRow(file_id, self.name, main, (main,), size, "parquet", content, detail, {})


@dataclass(frozen=True)
class TableParcel:
    """An Arrow table with a column `geometry` of WKB, kept as a file that was given and not as a frame."""

    table: Any = field(repr=False)
    crs: str
    name: str = "vector.parquet"
    kind: formats.Kind = "vector"

    def content(self) -> str:
        return combined(self.kind, {"table": vector.table_content(self.table, [self.crs])}, {})

    def stage(self, folder: Path, file_id: str) -> FileRow:
        main, content = "vector.parquet", self.content()
        known = formats.vector_format(formats.Found("vector", "parquet"))
        vector.write_table(folder / main, self.table, "geometry", self.crs, known)
        detail = vector.inspect(folder / main, source="the table", format=known, content=content)
        size = (folder / main).stat().st_size
        detail = replace(detail, location=f"{{folder}}/{main}")
        return FileRow(file_id, self.name, main, (main,), size, "parquet", content, detail, {})


@dataclass(frozen=True)
class PlainParcel:
    """Any file, for a path of type file."""

    path: Path
    name: str
    ours: bool = False
    kind: formats.Kind | None = None

    def content(self) -> str:
        return combined("file", {"": hashed_copy(self.path, None)}, {})

    def stage(self, folder: Path, file_id: str) -> FileRow:
        main = self.path.name
        content = combined("file", {"": hashed_copy(self.path, folder / main, move=self.ours)}, {})
        size = (folder / main).stat().st_size
        return FileRow(file_id, self.name, main, (main,), size, self.path.suffix.lstrip(".").lower(), content, None, {})


def file_parcel(
    path: Path, ours: bool, kind: formats.Kind | None, overrides: Overrides, name: str | None, format: str | None
) -> FileParcel:
    """A layer in a file. `ours`: a temporary file of ours, which came without its surroundings."""
    wanted = None if format is None else formats.known_format(format)
    found = formats.detect(path, kind, overrides.layer, contained=ours)
    if found.kind == "raster" and found.member is None:
        return raster_parcel(path, ours, found, overrides, name or path.name, wanted)
    if wanted is not None and wanted != found.format:
        raise other_format(path, found, wanted)
    if found.kind == "vector" and overrides.nodata is not None:
        raise ArgumentError("nodata is for rasters; this is a vector", argument="nodata", value=overrides.nodata)
    parts = formats.vector_format(found).parts(path) if found.member is None else (path,)
    return FileParcel(path, name or path.name, found, parts, overrides, ours)


def raster_parcel(
    path: Path, ours: bool, found: formats.Found, overrides: Overrides, name: str, wanted: str | None
) -> FileParcel:
    """A raster in a file, looked at where it lies."""
    state = state_of((path,))
    try:
        inspected = inspect_raster(
            path, source=shown_name(name) if ours else str(path), layer=overrides.layer, epsg=overrides.epsg,
            nodata=overrides.nodata, contained=ours,
        )  # fmt: skip
    except LayerError as error:
        if found.format or path.suffix.lower() in SUFFIXES or is_looked_into(error):
            raise
        raise formats.unknown(path, b"") from error
    found = replace(found, format=found.format or format_of(inspected.driver))
    if wanted is not None and wanted != found.format:
        raise other_format(path, found, wanted)
    parcel = FileParcel(path, name, found, inspected.parts, overrides, ours, source=inspected.file.location)
    if parcel.converted:
        return parcel
    location = inspected.file.location.replace(str(path), f"{{folder}}/{parcel.main}")
    state += state_of(inspected.parts[1:])
    return replace(parcel, seen=replace(inspected.file, location=location), state=() if ours else state)


def other_format(path: Path, found: formats.Found, wanted: str) -> LayerError:
    return LayerError.of(path, f"is {found.format}, and not {wanted}; give its own fileFormat")


def is_looked_into(error: LayerError) -> bool:
    """Whether GDAL opened the file, and it was something in it that could not be used."""
    return error.__cause__ is None and "is no layer that is known here" not in str(error)


def state_of(parts: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    with contextlib.suppress(OSError):
        return tuple((part.stat().st_size, part.stat().st_mtime_ns) for part in parts)
    return ()
