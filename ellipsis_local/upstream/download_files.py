"""Original files of a timestamp: downloaded one after the other, and clipped where an extent is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellipsis_local.errors import EllipsisLocalError, UpstreamError
from ellipsis_local.raster.files import own_facts
from ellipsis_local.raster.validity import is_same
from ellipsis_local.raster.write import clip
from ellipsis_local.store import Overrides, detect
from ellipsis_local.types import Extent
from ellipsis_local.upstream.extents import overlaps
from ellipsis_local.upstream.models import ServiceFile, ServiceTimestamp
from ellipsis_local.upstream.partial_downloads import safe_suffix
from ellipsis_local.upstream.resumable_download import download

if TYPE_CHECKING:
    from ellipsis_local.upstream.pull_layer import LayerPull

NONE = Overrides()


@dataclass(frozen=True)
class Fetched:
    """A file that lies in a draft folder, ready for the store."""

    path: Path
    name: str
    overrides: Overrides = NONE


def fetch_files(
    pull: LayerPull, timestamp: ServiceTimestamp, files: Sequence[ServiceFile], folder: Path, area: Extent | None
) -> list[Fetched]:
    """Download `files` into `folder`, in their order; those that do not touch `area` are left out."""
    path = pull.path
    fetched = []
    for number, file in enumerate(files, start=1):
        if area is not None and not overlaps(area, file.bounds):
            continue
        what = file.name if len(files) == 1 else f"{file.name} ({number} of {len(files)})"
        target = folder / f"{file.id}{safe_suffix(file.name)}"
        url = f"/path/{path.id}/{path.type}/timestamp/{timestamp.id}/file/{file.id}/data"
        download(pull.client, url, target, what=what, size=file.size, progress=pull.progress, opened=True)
        overrides = (vector_overrides if path.type == "vector" else raster_overrides)(target, file)
        if area is None or path.type == "vector":
            fetched.append(Fetched(target, file.name, overrides))
            continue
        pull.progress.say(f"clipping {what}")
        part = target.with_name(f"{file.id}.clipped.tif")
        part.unlink(missing_ok=True)
        member = detect(target, "raster", overrides.layer, contained=True).member
        if clip(target, part, area, member=member, epsg=overrides.epsg, nodata=overrides.nodata, layer=overrides.layer):
            fetched.append(Fetched(part, f"{Path(file.name).stem}.tif"))
    if not fetched:
        raise UpstreamError(f"nothing of timestamp {timestamp.id} of {path.name!r} lies within the extent")
    return fetched


def raster_overrides(path: Path, file: ServiceFile) -> Overrides:
    """What was said of a raster when it was uploaded, as far as the file itself says otherwise."""
    if file.certain:
        return Overrides(file.epsg, file.nodata, file.layer)
    epsg, nodata = file.epsg, file.nodata
    # One that cannot be read is told by the store.
    with contextlib.suppress(EllipsisLocalError):
        own_epsg, own_nodata = own_facts(path)
        epsg = None if own_epsg == epsg else epsg
        nodata = None if is_same(own_nodata, nodata) else nodata
    return Overrides(epsg, nodata)


def vector_overrides(path: Path, file: ServiceFile) -> Overrides:
    """The same of a vector: an EPSG code that is not known to be an override counts only where the file has no CRS."""
    if file.certain:
        return Overrides(epsg=file.epsg, layer=file.layer)
    return Overrides(epsg=file.epsg if file.epsg is not None and not has_crs(path) else None)


def has_crs(path: Path) -> bool:
    from ellipsis_local import vector

    try:
        # Not before it is known to be something that refers to nothing else.
        detect(path, "vector", contained=True)
        return vector.file_info(path)["crs"] is not None
    except EllipsisLocalError:
        return True
