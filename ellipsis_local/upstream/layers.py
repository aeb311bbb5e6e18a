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
from ellipsis_local.store import LayerStore
from ellipsis_local.store.formats import Kind
from ellipsis_local.store.target import Taken, Target
from ellipsis_local.types import Extent, Timestamp
from ellipsis_local.upstream.client import Client
from ellipsis_local.upstream.drafts import Drafts
from ellipsis_local.upstream.originals import Fetched, fetch_files
from ellipsis_local.upstream.progress import Teller
from ellipsis_local.upstream.pulled import Origin, Origins
from ellipsis_local.upstream.refusals import RefusedError
from ellipsis_local.upstream.told import ToldFile, ToldPath, ToldTimestamp, files_of, fingerprint, real_name

__all__ = ["LayerPull", "NameBands"]

NameBands = Callable[[str, Mapping[str, str]], None]
"""Gets the id of a raster, and names by the number of the band, counted from 1."""
NOT_HANDED_OUT = frozenset({400, 403, 404, 405, 501})
"""What a service may answer that keeps its files to itself."""


@dataclass(frozen=True)
class LayerPull:
    """The pull of one layer."""

    client: Client
    store: LayerStore
    drafts: Drafts
    origins: Origins
    told: ToldPath
    parent: str | None
    teller: Teller
    name_bands: NameBands

    def wanted(self, timestamp_ids: Sequence[str] | None) -> list[ToldTimestamp]:
        """The timestamps to pull, in the service's order; UpstreamError for one that the layer does not have."""
        here = self.store.catalogue.find_path(self.told.id)
        if here is not None and (here.type != self.told.type or here.trashed):
            state = "in the trash" if here.trashed else f"a {here.type}"
            raise LayerError(f"path {self.told.id} ({self.told.name!r}) is a {self.told.type} there, and {state} here")
        if timestamp_ids is None:
            return list(self.told.timestamps)
        known = [one.id for one in self.told.timestamps]
        for one in timestamp_ids:
            if one not in known:
                raise UpstreamError(
                    f"{self.client.url}: {self.told.name!r} has no timestamp {one}; it has {', '.join(known) or 'none'}"
                )
        return [one for one in self.told.timestamps if one.id in timestamp_ids]

    def pull(self, timestamp: ToldTimestamp, *, area: Extent | None, replace: bool) -> str:
        """Bring a timestamp into the store: 'pulled', 'unchanged', or why there is nothing to bring.

        Raises
        ------
        LayerError
            Where something else is here under its id, or a file is no usable layer.
        UpstreamError
            Where the service fails.
        """
        name = f"{self.told.name} {timestamp.id}"
        with self.drafts.alone(timestamp.id, lambda: self.teller.say(f"waiting for another process that pulls {name}")):
            here = self._here(timestamp)
            files = self._files(timestamp, area)
            if files is None and timestamp.status != "active":
                return "it is not active, and there are no files of it to download"
            origin = self._origin(timestamp, files, area)
            if here is not None and self._is_there(here, origin, files, replace):
                self.teller.say(f"{name} is here already, unchanged")
                return "unchanged"
            try:
                changed = self._bring(timestamp, origin, files, area, replace)
            except RefusedError as error:
                if files is None or error.status not in NOT_HANDED_OUT or timestamp.status != "active":
                    raise
                way = "tiles at native zoom" if self.told.type == "raster" else "features"
                warn(f"{name}: its files are not handed out, so its {way} are pulled instead: {error}", LayerWarning)
                origin = self._origin(timestamp, None, area)
                if here is not None and self._is_there(here, origin, None, replace):
                    return "unchanged"
                changed = self._bring(timestamp, origin, None, area, replace)
            self.teller.say(f"pulled {name}" if changed else f"{name} is here already, unchanged")
            return "pulled" if changed else "unchanged"

    # ----- what is here, and what is there ---------------------------------------------------------------------------

    def _here(self, timestamp: ToldTimestamp) -> Timestamp | None:
        """The timestamp in the store, if it holds files; LayerError where its id stands for something else."""
        found = self.store.catalogue.find_timestamp(timestamp.id)
        if found is None:
            return None
        if found.path_id != self.told.id or found.trashed:
            state = "in the trash" if found.trashed else f"one of path {found.path_id}"
            raise LayerError(f"timestamp {timestamp.id} of path {self.told.id} there is {state} here")
        return found if found.files else None

    def _files(self, timestamp: ToldTimestamp, area: Extent | None) -> list[ToldFile] | None:
        """The original files, where the account may download them and they are the whole timestamp; else None."""
        if not self.told.may_download or (self.told.type == "vector" and area is not None):
            return None
        try:
            files = files_of(self.client, self.told.type, self.told.id, timestamp.id)
            if not files or (self.told.type == "vector" and self._edited(timestamp)):
                return None
        except RefusedError as error:
            if error.status in NOT_HANDED_OUT:
                return None
            raise
        return files

    def _edited(self, timestamp: ToldTimestamp) -> bool:
        """Whether features were changed one by one, which the files do not show."""
        path = f"/path/{self.told.id}/vector/timestamp/{timestamp.id}/changelog"
        try:
            answer = self.client.json(path, what=f"the changes of timestamp {timestamp.id}")
        except RefusedError as error:
            if error.status in NOT_HANDED_OUT:
                return False
            raise
        return bool(answer.get("result")) if isinstance(answer, dict) else bool(answer)

    def _origin(self, timestamp: ToldTimestamp, files: Sequence[ToldFile] | None, area: Extent | None) -> Origin:
        extent = None if area is None else (area.x_min, area.y_min, area.x_max, area.y_max)
        if files is not None:
            record = fingerprint([[file.id, file.size, file.epsg, file.layer, repr(file.nodata)] for file in files])
            return Origin(self.client.url, "files", extent, record)
        how = "tiles" if self.told.type == "raster" else "features"
        return Origin(self.client.url, how, extent, timestamp.record)

    def _is_there(self, here: Timestamp, origin: Origin, files: Sequence[ToldFile] | None, replace: bool) -> bool:
        """Whether there is nothing to do; LayerError where something else is here that may not be replaced."""
        known = self.origins.get(here.id, [file.content for file in here.files])
        if known is not None and known.same(origin):
            # Files do not change under their ids; what tiles and features show may, without a sign of it.
            return origin.how == "files" or not replace
        if replace:
            return False
        whole = origin.extent is None and (known is None or (known.how == "files" and known.extent is None))
        if files is not None and whole and alike(here, files):
            # Perhaps the same, added by hand: the store compares the contents.
            return False
        where = "was not pulled from there" if known is None else "is what an earlier pull brought"
        raise LayerError(
            f"timestamp {here.id} of {self.told.name!r} is in the home, {where}, and differs from what is asked for "
            "now; replace=True replaces it"
        )

    # ----- bringing --------------------------------------------------------------------------------------------------

    def _bring(
        self,
        timestamp: ToldTimestamp,
        origin: Origin,
        files: Sequence[ToldFile] | None,
        area: Extent | None,
        replace: bool,
    ) -> bool:
        """Fetch a timestamp into a draft and put it into the store; False where the store holds the same."""
        key = (origin.url, self.told.id, timestamp.id, origin.how, origin.extent, origin.record)
        fresh = self.store.catalogue.find_path(self.told.id) is None
        with self.drafts.draft(*key) as folder:
            changed = self._put(timestamp, self._fetch(timestamp, files, area, folder), folder, replace)
        there = self.store.timestamp(self.told.id, timestamp.id)
        if fresh or replace:
            self._name_bands(there)
        self.origins.note(timestamp.id, self.told.id, origin, [file.content for file in there.files])
        return changed

    def _fetch(
        self, timestamp: ToldTimestamp, files: Sequence[ToldFile] | None, area: Extent | None, folder: Path
    ) -> list[Fetched]:
        if files is not None:
            return fetch_files(self.client, self.told, timestamp, files, folder, area=area, teller=self.teller)
        if self.told.type == "raster":
            from ellipsis_local.upstream.tiles import fetch_tiles

            made = fetch_tiles(self.client, self.told, timestamp, folder, area=area, teller=self.teller)
            return [Fetched(made, f"{self.told.name}.tif")]
        from ellipsis_local.upstream.pages import fetch_pages
        from ellipsis_local.upstream.tables import write_features

        pages = fetch_pages(self.client, self.told, timestamp, folder, area=area, teller=self.teller)
        target = folder / "features.parquet"
        self.teller.say(f"putting {len(pages):,} pages of {self.told.name} together")
        write_features(target, pages, self.told.properties, area=area, name=self.told.name)
        return [Fetched(target, f"{self.told.name}.parquet")]

    def _name_bands(self, there: Timestamp) -> None:
        """Keep the service's names of the bands of a raster, where the files have others."""
        own = there.rasters[-1].descriptions if there.rasters else ()
        names = {
            str(number): told
            for number, (told, mine) in enumerate(zip(map(real_name, self.told.bands), own, strict=False), start=1)
            if told is not None and told != mine
        }
        if names:
            self.name_bands(self.told.id, names)

    def _put(self, timestamp: ToldTimestamp, fetched: Sequence[Fetched], folder: Path, replace: bool) -> bool:
        told = self.told
        target = Target(
            told.id, timestamp.id, cast(Kind, told.type), told.name, timestamp.date, timestamp.description,
            metadata=told.metadata, parent_id=self.parent, status=timestamp.status,
        )  # fmt: skip
        with contextlib.ExitStack() as stack, named(fetched), taken(fetched, folder / "put") as sources:
            parcels = [
                stack.enter_context(
                    self.store.intake.parcel(source, kind=target.kind, overrides=one.overrides, name=one.name)
                )
                for source, one in zip(sources, fetched, strict=True)
            ]
            return self.store.put(target, parcels, replace=replace, progress=self.teller.say)


@contextlib.contextmanager
def taken(fetched: Sequence[Fetched], folder: Path) -> Iterator[list[Taken]]:
    """The files as what the store may move, which leaves the draft as it is: they get a second name each.

    The store trusts such files less than those that a user names: they may refer to nothing else on this machine.
    """
    shutil.rmtree(folder, ignore_errors=True)
    made = []
    try:
        for number, one in enumerate(fetched):
            target = folder / str(number) / one.path.name
            with writing(target):
                target.parent.mkdir(parents=True)
                try:
                    os.link(one.path, target)
                except OSError:
                    shutil.copyfile(one.path, target)
            made.append(Taken(target))
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def named(fetched: Sequence[Fetched]) -> Iterator[None]:
    """LayerErrors that call the files by their names, and not by those that they have in a draft."""
    try:
        yield
    except LayerError as error:
        names = {one.path.name: one.name for one in fetched}
        if len(fetched) == 1:
            # What the store calls the files that it takes, which tells of one only.
            names |= {f"data{Path(one.name).suffix.lower()}": one.name for one in fetched}
        text = str(error)
        for mine, name in names.items():
            text = re.sub(rf"\S*{re.escape(mine)}", name.replace("\\", r"\\"), text)
        raise LayerError(text, source=error.source) from error


def alike(here: Timestamp, files: Sequence[ToldFile]) -> bool:
    """Whether the files here have the sizes of those there, as far as these are told."""
    return len(here.files) == len(files) and all(
        told.size in (None, mine.size) for mine, told in zip(here.files, files, strict=True)
    )
