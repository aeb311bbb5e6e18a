"""Layers written out again: to one file of the caller's choice, complete or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ellipsis_local import formats, vector
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, LayerError, StoreError
from ellipsis_local.gdal_errors import naming, writing
from ellipsis_local.raster.files import extent_of
from ellipsis_local.raster.write import to_cog, write_mosaic
from ellipsis_local.types import RasterFile, StoredFile, Timestamp

ZIPPED = ".shp.zip"
RASTER_TARGETS = (".tif", ".tiff")
PLAIN = "plain"
"""What a cloud-optimised GeoTIFF is made of: it has no ending, so it is never the target."""
# What may lie beside a target from before and would be taken for a part of the new one.
STALE = {
    ".shp": (".shx", ".dbf", ".prj", ".cpg", ".sbn", ".sbx", ".qix"),
    ".tif": (".tfw",), ".tiff": (".tfw",), ".gpkg": (),
}  # fmt: skip
STALE_APPENDED = (".aux.xml", ".ovr", ".msk")


def vector_targets() -> tuple[str, ...]:
    written = [one for one in formats.registered("vector") if one.options is not None]
    return (*(suffix for one in written for suffix in one.suffixes), ZIPPED, ".zip")


def suffix_of(target: Path) -> str:
    return ZIPPED if target.name.lower().endswith(ZIPPED) else target.suffix.lower()


def checked_target(target: Any) -> Path:
    if not isinstance(target, str | os.PathLike):
        raise invalid("filePath", target, "must be of type string")
    path = Path(os.path.abspath(Path(os.fspath(target)).expanduser()))  # noqa: PTH100 - symbolic links stay
    if not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} is not there; make it first")
    if path.is_dir():
        raise StoreError(f"{path} is a folder; name a file in it")
    return path


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A temporary folder next to `target`; what is in it at the end replaces what is there, `target` itself last."""
    with writing(target):
        folder = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            with naming(str(target), folder):
                yield folder
            made = {one.name for one in folder.iterdir()}
            for name in stale(target) - made:
                target.with_name(name).unlink(missing_ok=True)
            for name in sorted(made, key=lambda name: name == target.name):
                (folder / name).replace(target.with_name(name))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def stale(target: Path) -> set[str]:
    suffix = target.suffix.lower()
    appended = STALE_APPENDED if suffix in STALE and suffix != ".shp" else ()
    return {target.stem + one for one in STALE.get(suffix, ())} | {target.name + one for one in appended}


def export(timestamp: Timestamp, target: Any, *, cog: bool = False) -> Path:
    """Write a timestamp to `target` by its suffix: GeoTIFF, a format of vectors, or its only file copied.

    `cog`: a GeoTIFF that is cloud-optimised.
    """
    path = checked_target(target)
    suffix = suffix_of(path)
    if cog and not (timestamp.type == "raster" and suffix in RASTER_TARGETS):
        raise invalid("format", "cog", f"'cog' is for a raster and a name that ends with .tif, not for {path.name!r}")
    if not timestamp.files:
        raise LayerError(f"timestamp {timestamp.id} has no files")
    only = timestamp.files[0] if len(timestamp.files) == 1 else None
    own = {suffix_of(Path(only.main))} if only is not None else set()
    allowed = (*(RASTER_TARGETS if timestamp.type == "raster" else vector_targets()), *sorted(own))
    if suffix not in allowed:
        text = f"a {timestamp.type} can be exported as {', '.join(dict.fromkeys(allowed))}, not as {path.name!r}"
        raise ArgumentError(text, argument="filePath", value=str(target))
    with beside(path) as folder:
        if cog:
            write_mosaic(timestamp.rasters, folder / PLAIN)
            to_cog(folder / PLAIN, folder / path.name, timestamp.rasters[0].dtype)
            (folder / PLAIN).unlink()
        elif only is not None and suffix in own and as_given(only):
            copy_parts(only, folder / path.name)
        elif timestamp.type == "raster":
            write_mosaic(timestamp.rasters, folder / path.name)
        else:
            write_vector(timestamp, folder / path.name, suffix)
    return path


def as_given(file: StoredFile) -> bool:
    """Whether the file alone says all: no override was given, and no part of it would be lost."""
    plain = not file.options.keys() - {"mosaic_priority", "member"}
    return plain and (len(file.parts) == 1 or isinstance(file.detail, RasterFile) or file.format == "shp")


def copy_parts(file: StoredFile, target: Path) -> None:
    """The files of `file` beside each other, with the stem of `target`."""
    old, new = Path(file.main).stem, target.stem
    with writing(target):
        for part in file.parts:
            name = target.name if part == file.main else renamed(part, file.main, old, target.name, new)
            shutil.copyfile(file.folder / part, target.with_name(name))


def renamed(part: str, main: str, old: str, target: str, new: str) -> str:
    if part.startswith(main):
        return target + part[len(main) :]
    return new + part[len(old) :] if part.startswith(old) else part


def write_vector(timestamp: Timestamp, target: Path, suffix: str) -> None:
    layer = vector.read_table(timestamp.vectors)
    zipped = suffix in (ZIPPED, ".zip")
    known = formats.of_suffix(".shp" if zipped else suffix, "vector")
    assert known is not None  # noqa: S101 - the caller looked
    if not zipped:
        vector.write_table(target, layer.table, layer.geometry, layer.crs, known)
        return
    stem = target.name[: -len(suffix)]
    inner = target.parent / stem
    inner.mkdir()
    vector.write_table(inner / f"{stem}.shp", layer.table, layer.geometry, layer.crs, known)
    zip_files(target, inner.iterdir())
    shutil.rmtree(inner)


def zip_files(target: Path, files: Iterable[Path]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files):
            archive.write(file, file.name)


def copy_file(file: StoredFile, target: Any) -> Path:
    """One stored file as it was given, at `target`; its sidecars beside it, or all in one zip if `target` is a .zip."""
    path = checked_target(target)
    with beside(path) as folder:
        if path.suffix.lower() == ".zip" and len(file.parts) > 1:
            zip_files(folder / path.name, [file.folder / part for part in file.parts])
        else:
            copy_parts(file, folder / path.name)
    return path


def file_footprint(file: StoredFile) -> Any:
    """The bounds of one file as a shapely geometry in EPSG:4326, longitude first; an empty polygon without features."""
    import shapely

    from ellipsis_local.crs import to_wgs84

    detail = file.detail
    extent = extent_of(detail) if isinstance(detail, RasterFile) else None if detail is None else detail.extent
    return shapely.Polygon() if detail is None or extent is None else to_wgs84(detail.crs, extent, file.name)


def footprint(timestamp: Timestamp) -> Any:
    """The bounds of all files of a timestamp together, as `file_footprint`."""
    import shapely

    return shapely.union_all([file_footprint(file) for file in timestamp.files] or [shapely.Polygon()])
