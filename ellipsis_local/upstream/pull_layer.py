"""A raster or vector layer: per timestamp the best way that the service allows, and the way into the store."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ellipsis_local.errors import LayerError, LayerWarning, UpstreamError
from ellipsis_local.gdal_errors import writing
from ellipsis_local.notices import warn
from ellipsis_local.progress import Reporter
from ellipsis_local.store import Kind, LayerStore, NewFile, Taken, Target
from ellipsis_local.types import STAND_IN, Extent, Timestamp
from ellipsis_local.upstream.download_files import Fetched, fetch_files
from ellipsis_local.upstream.http_client import Client, RefusedError
from ellipsis_local.upstream.models import ServiceFile, ServicePath, ServiceTimestamp, files_of, fingerprint, real_name
from ellipsis_local.upstream.partial_downloads import PartialDownloads
from ellipsis_local.upstream.provenance import Provenance, Provenances

NameBands = Callable[[str, Mapping[str, str]], None]
"""Gets the id of a raster, and names by the number of the band, counted from 1."""
NOT_HANDED_OUT = frozenset({400, 403, 404, 405, 501})
"""What a service may answer that keeps its files to itself."""


@dataclass(frozen=True)
class LayerPull:
    client: Client
    store: LayerStore
    partials: PartialDownloads
    provenances: Provenances
    path: ServicePath
    parent: str | None
    progress: Reporter
    name_bands: NameBands

    def wanted(self, timestamp_ids: Sequence[str] | None) -> list[ServiceTimestamp]:
        """The timestamps to pull, in the service's order; UpstreamError for one that the layer does not have."""
        if timestamp_ids is None:
            return list(self.path.timestamps)
        known = [timestamp.id for timestamp in self.path.timestamps]
        for timestamp_id in timestamp_ids:
            if timestamp_id not in known:
                there = ", ".join(known) or "none"
                raise UpstreamError(
                    f"{self.client.url}: {self.path.name!r} has no timestamp {timestamp_id}; it has {there}"
                )
        return [timestamp for timestamp in self.path.timestamps if timestamp.id in timestamp_ids]

    def pull(self, timestamp: ServiceTimestamp, *, area: Extent | None, replace: bool) -> str:
        """Bring a timestamp into the store: 'pulled', 'unchanged', or why there is nothing to bring."""
        name = f"{self.path.name} {timestamp.id}"
        with self.partials.exclusive(
            timestamp.id, lambda: self.progress.say(f"waiting for another process that pulls {name}")
        ):
            here = self._here(timestamp)
            files = self._files(timestamp, area)
            if files is None and timestamp.status != "active":
                return "it is not active, and there are no files of it to download"
            provenance = self._provenance(timestamp, files, area)
            if here is not None and self._is_there(here, provenance, files, replace):
                self.progress.say(f"{name} is here already, unchanged")
                return "unchanged"
            try:
                changed = self._bring(timestamp, provenance, files, area, replace)
            except RefusedError as error:
                if files is None or error.status not in NOT_HANDED_OUT or timestamp.status != "active":
                    raise
                way = "tiles at native zoom" if self.path.type == "raster" else "features"
                warn(f"{name}: its files are not handed out, so its {way} are pulled instead: {error}", LayerWarning)
                provenance = self._provenance(timestamp, None, area)
                if here is not None and self._is_there(here, provenance, None, replace):
                    return "unchanged"
                changed = self._bring(timestamp, provenance, None, area, replace)
            self.progress.say(f"pulled {name}" if changed else f"{name} is here already, unchanged")
            return "pulled" if changed else "unchanged"

    def _here(self, timestamp: ServiceTimestamp) -> Timestamp | None:
        """The timestamp in the store, if it holds files; LayerError where its id stands for something else."""
        found = self.store.catalogue.find_timestamp(timestamp.id)
        if found is None:
            return None
        if found.path_id != self.path.id or found.trashed:
            state = "in the trash" if found.trashed else f"one of path {found.path_id}"
            raise LayerError(f"timestamp {timestamp.id} of path {self.path.id} there is {state} here")
        # A stand-in is as good as nothing: what is pulled takes its place.
        return found if found.files and not found.stand_in else None

    def _files(self, timestamp: ServiceTimestamp, area: Extent | None) -> list[ServiceFile] | None:
        """The original files, where the account may download them and they are the whole timestamp; else None."""
        if not self.path.may_download or (self.path.type == "vector" and area is not None):
            return None
        try:
            files = files_of(self.client, self.path.type, self.path.id, timestamp.id)
            if not files or (self.path.type == "vector" and self._edited(timestamp)):
                return None
        except RefusedError as error:
            if error.status in NOT_HANDED_OUT:
                return None
            raise
        return files

    def _edited(self, timestamp: ServiceTimestamp) -> bool:
        """Whether features were changed one by one, which the files do not show."""
        changelog = f"/path/{self.path.id}/vector/timestamp/{timestamp.id}/changelog"
        try:
            answer = self.client.json(changelog, what=f"the changes of timestamp {timestamp.id}")
        except RefusedError as error:
            if error.status in NOT_HANDED_OUT:
                return False
            raise
        return bool(answer.get("result")) if isinstance(answer, dict) else bool(answer)

    def _provenance(
        self, timestamp: ServiceTimestamp, files: Sequence[ServiceFile] | None, area: Extent | None
    ) -> Provenance:
        extent = None if area is None else (area.x_min, area.y_min, area.x_max, area.y_max)
        if files is not None:
            record = fingerprint([[file.id, file.size, file.epsg, file.layer, repr(file.nodata)] for file in files])
            return Provenance(self.client.url, "files", extent, record)
        how = "tiles" if self.path.type == "raster" else "features"
        return Provenance(self.client.url, how, extent, timestamp.record)

    def _is_there(
        self, here: Timestamp, provenance: Provenance, files: Sequence[ServiceFile] | None, replace: bool
    ) -> bool:
        """Whether there is nothing to do; LayerError where something else is here that may not be replaced."""
        known = self.provenances.get(here.id, [file.content for file in here.files])
        if known is not None and known.same(provenance):
            # Files do not change under their ids; what tiles and features show may, without a sign of it.
            return provenance.how == "files" or not replace
        if replace:
            return False
        whole = provenance.extent is None and (known is None or (known.how == "files" and known.extent is None))
        if files is not None and whole and alike(here, files):
            # Perhaps the same, added by hand: the store compares the contents.
            return False
        where = "was not pulled from there" if known is None else "is what an earlier pull brought"
        raise LayerError(
            f"timestamp {here.id} of {self.path.name!r} is in the home, {where}, and differs from what is asked for "
            "now; replace=True replaces it"
        )

    def _bring(
        self,
        timestamp: ServiceTimestamp,
        provenance: Provenance,
        files: Sequence[ServiceFile] | None,
        area: Extent | None,
        replace: bool,
    ) -> bool:
        """Fetch a timestamp into a draft and put it into the store; False where the store holds the same."""
        key = (provenance.url, self.path.id, timestamp.id, provenance.how, provenance.extent, provenance.record)
        path = self.store.catalogue.find_path(self.path.id)
        fresh = path is None or STAND_IN in path.metadata
        with self.partials.draft(*key) as folder:
            changed = self._put(timestamp, self._fetch(timestamp, files, area, folder), folder, replace)
        there = self.store.timestamp(self.path.id, timestamp.id)
        if fresh or replace:
            self._name_bands(there)
        self.provenances.note(timestamp.id, self.path.id, provenance, [file.content for file in there.files])
        return changed

    def _fetch(
        self, timestamp: ServiceTimestamp, files: Sequence[ServiceFile] | None, area: Extent | None, folder: Path
    ) -> list[Fetched]:
        if files is not None:
            return fetch_files(self, timestamp, files, folder, area)
        if self.path.type == "raster":
            from ellipsis_local.upstream.tiles import fetch_tiles

            return [Fetched(fetch_tiles(self, timestamp, folder, area), f"{self.path.name}.tif")]
        from ellipsis_local.upstream.feature_pages import fetch_pages
        from ellipsis_local.upstream.tables import write_features

        pages = fetch_pages(self, timestamp, folder, area)
        target = folder / "features.parquet"
        self.progress.say(f"putting {len(pages):,} pages of {self.path.name} together")
        write_features(target, pages, self.path.properties, area=area, name=self.path.name)
        return [Fetched(target, f"{self.path.name}.parquet")]

    def _name_bands(self, there: Timestamp) -> None:
        """Keep the service's names of the bands of a raster, where the files have others."""
        own = there.rasters[-1].descriptions if there.rasters else ()
        names = {
            str(number): path
            for number, (path, mine) in enumerate(zip(map(real_name, self.path.bands), own, strict=False), start=1)
            if path is not None and path != mine
        }
        if names:
            self.name_bands(self.path.id, names)

    def _put(self, timestamp: ServiceTimestamp, fetched: Sequence[Fetched], folder: Path, replace: bool) -> bool:
        path = self.path
        target = Target(
            path.id, timestamp.id, cast(Kind, path.type), path.name, timestamp.date, timestamp.description,
            metadata=path.metadata, parent_id=self.parent, status=timestamp.status,
            stand_in={} if timestamp.stand_in else None,
        )  # fmt: skip
        with (
            named(fetched),
            taken(fetched, folder / "put") as files,
            self.store.intake.parcels(files, target.kind) as parcels,
        ):
            return self.store.put(target, parcels, replace=replace, progress=self.progress.step)


@contextlib.contextmanager
def taken(fetched: Sequence[Fetched], folder: Path) -> Iterator[list[NewFile]]:
    """The files as what the store may move, which leaves the draft as it is: they get a second name each.

    The store trusts such files less than those that a user names: they may refer to nothing else on this machine.
    """
    shutil.rmtree(folder, ignore_errors=True)
    made = []
    try:
        for number, file in enumerate(fetched):
            target = folder / str(number) / file.path.name
            with writing(target):
                target.parent.mkdir(parents=True)
                try:
                    os.link(file.path, target)
                except OSError:
                    shutil.copyfile(file.path, target)
            made.append(NewFile(Taken(target), file.name, **vars(file.overrides)))
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def named(fetched: Sequence[Fetched]) -> Iterator[None]:
    """LayerErrors that call the files by their names, and not by those that they have in a draft."""
    try:
        yield
    except LayerError as error:
        names = {file.path.name: file.name for file in fetched}
        if len(fetched) == 1:
            # What the store calls the files that it takes, which tells of one only.
            names |= {f"data{Path(file.name).suffix.lower()}": file.name for file in fetched}
        text = str(error)
        for mine, name in names.items():
            text = re.sub(rf"\S*{re.escape(mine)}", name.replace("\\", r"\\"), text)
        raise LayerError(text, source=error.source) from error


def alike(here: Timestamp, files: Sequence[ServiceFile]) -> bool:
    """Whether the files here have the sizes of those there, as far as these are told."""
    return len(here.files) == len(files) and all(
        path.size in (None, mine.size) for mine, path in zip(here.files, files, strict=True)
    )
