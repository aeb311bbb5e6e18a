"""A pull, from the id of a path to what lies in the store: one timestamp after the other, each whole or not at all.

service ──> files, tiles or features ──> partial download in home/cache/pulls ──> store.put ──> provenance
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ellipsis_local.arguments import invalid
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LimitError, UpstreamError
from ellipsis_local.home import Home
from ellipsis_local.ids import as_uuid
from ellipsis_local.progress import OnProgress, Reporter
from ellipsis_local.settings import service_token, service_url
from ellipsis_local.store import LayerStore
from ellipsis_local.types import STAND_IN, Extent, Timestamp
from ellipsis_local.upstream.extents import parse_extent
from ellipsis_local.upstream.http_client import Client, RefusedError
from ellipsis_local.upstream.models import ServicePath, listed, parse_uuid, read_path
from ellipsis_local.upstream.partial_downloads import PartialDownloads, safe_suffix
from ellipsis_local.upstream.provenance import Provenance, Provenances
from ellipsis_local.upstream.pull_layer import LayerPull, NameBands
from ellipsis_local.upstream.resumable_download import download

TYPES = ("folder", "raster", "vector", "file")
MOST_PATHS = 10_000


@dataclass
class Pulled:
    """What a pull did with one path."""

    path_id: str
    type: str
    name: str
    timestamps: list[str] = field(default_factory=list)
    """Those that are in the home now, of those asked for, in the service's order."""
    pulled: list[str] = field(default_factory=list)
    """Ids of timestamps, or of the path of a file, that were added or replaced."""
    unchanged: list[str] = field(default_factory=list)
    """Those that were there already."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Those that hold nothing that could be pulled, with the reason."""
    paths: list[Pulled] = field(default_factory=list)
    """What lies directly in a folder."""


@dataclass(frozen=True)
class _Pull:
    """What all parts of one pull share."""

    client: Client
    area: Extent | None
    replace: bool
    progress: Reporter
    seen: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


class Upstream:
    """Pulls into one home."""

    def __init__(self, home: Home, store: LayerStore, database: Database, name_bands: NameBands) -> None:
        self._store = store
        self._name_bands = name_bands
        self._partials = PartialDownloads(home)
        self._provenances = Provenances(database)

    def pull(
        self,
        path_id: str,
        timestamp_ids: Sequence[str] | None = None,
        *,
        url: str,
        token: str | None = None,
        extent: Any = None,
        epsg: int | None = None,
        replace: bool = False,
        insecure: bool = False,
        progress: OnProgress | None = None,
        check: Callable[[], None] | None = None,
    ) -> Pulled:
        """Bring a path of another service into the store, under its ids; what is there already stays."""
        path_id = as_uuid("pathId", path_id)
        wanted = None if timestamp_ids is None else [as_uuid("timestampIds", text) for text in timestamp_ids]
        area = parse_extent(extent, epsg)
        client = Client(checked_url(url, insecure), checked_token(token), check)
        pull = _Pull(client, area, replace, Reporter(progress))
        with client:
            path = read_path(client, path_id)
            if wanted is not None and path.type not in ("raster", "vector"):
                text = f"pathId {path_id} is a {path.type}, which has no timestamps"
                raise ArgumentError(text, argument="timestampIds")
            if area is not None and path.type == "file":
                raise ArgumentError(f"pathId {path_id} is a file, which has no extent", argument="extent")
            made = self._path(pull, path, wanted, None)
        if pull.failures:
            reasons = "".join(f"\n  {reason}" for reason in pull.failures)
            count = f"{len(pull.failures)} of {len(pull.seen)} paths"
            raise UpstreamError(f"{count} could not be pulled; the others are in the home:{reasons}")
        return made

    def origin(self, timestamp: Timestamp) -> tuple[str, bool] | None:
        """From which service a timestamp was pulled, and whether a part of it only; None where it was not."""
        found = self._provenances.get(timestamp.id, [file.content for file in timestamp.files])
        return None if found is None else (found.url, found.extent is not None)

    def sweep(self) -> None:
        """Forget what broken pulls left a week ago."""
        self._partials.sweep()

    def _path(self, pull: _Pull, path: ServicePath, wanted: list[str] | None, parent: str | None) -> Pulled:
        made = Pulled(path.id, path.type, path.name)
        here = self._store.catalogue.find_path(path.id)
        if here is not None and (here.type != path.type or here.trashed):
            state = "in the trash" if here.trashed else f"a {here.type}"
            state += "; layers.remove removes that stand-in" if STAND_IN in here.metadata else ""
            raise LayerError(f"path {path.id} ({path.name!r}) is a {path.type} there, and {state} here")
        if path.type == "folder":
            self._folder(pull, path, made, parent)
        elif path.type in ("raster", "vector"):
            ours = self._store, self._partials, self._provenances
            layer = LayerPull(pull.client, *ours, path, parent, pull.progress, self._name_bands)
            for timestamp in layer.wanted(wanted):
                outcome = layer.pull(timestamp, area=pull.area, replace=pull.replace)
                if outcome in ("pulled", "unchanged"):
                    made.timestamps.append(timestamp.id)
                    getattr(made, outcome).append(timestamp.id)
                elif wanted is not None:
                    raise UpstreamError(f"timestamp {timestamp.id} of {path.name!r} cannot be pulled: {outcome}")
                else:
                    made.skipped[timestamp.id] = outcome
                    pull.progress.say(f"skipping timestamp {timestamp.id} of {path.name}: {outcome}")
        elif path.type == "file":
            done = self._file(pull, path, parent)
            getattr(made, "pulled" if done else "unchanged").append(path.id)
        else:
            raise UpstreamError(f"path {path.id} is a {path.type}; folders, rasters, vectors and files can be pulled")
        return made

    def _file(self, pull: _Pull, path: ServicePath, parent: str | None) -> bool:
        """Bring a plain file into the store; False where it is there already."""
        name = repr(path.name)
        provenance = Provenance(pull.client.url, "file", None, path.record)
        waiting = f"waiting for another process that pulls {name}"
        with self._partials.exclusive(path.id, lambda: pull.progress.say(waiting)):
            here = self._store.catalogue.find_path(path.id)
            before = None if here is None else self._store.get_plain_file(path.id)
            if before is not None:
                # The content of a file of the service does not change; another record is another name or place.
                if self._provenances.get(path.id, [before.content]) == provenance:
                    pull.progress.say(f"{name} is here already, unchanged")
                    return False
                if not pull.replace and path.size not in (None, before.size):
                    raise LayerError(f"path {path.id} ({name}) holds a file of other content; replace=True replaces it")
            with self._partials.draft(pull.client.url, path.id, path.record) as folder:
                target, url = folder / f"data{safe_suffix(path.name)}", f"/path/{path.id}/file/data"
                download(pull.client, url, target, what=name, size=path.size, progress=pull.progress)
                self._store.add_plain_file(
                    target, name=path.name, path_id=path.id, parent_id=parent, metadata=path.metadata,
                    replace=pull.replace,
                )  # fmt: skip
            content = self._store.get_plain_file(path.id).content
            changed = before is None or content != before.content
            self._provenances.note(path.id, path.id, provenance, [content])
            pull.progress.say(f"pulled {name}" if changed else f"{name} is here already, unchanged")
            return changed

    def _folder(self, pull: _Pull, path: ServicePath, made: Pulled, parent: str | None) -> None:
        """All below a folder; what fails is noted, and the rest is pulled all the same."""
        pull.seen.add(path.id)
        if self._store.catalogue.find_path(path.id) is None:
            self._store.add_layer_path("folder", path.name, path_id=path.id, parent_id=parent, metadata=path.metadata)
        query = {"type": list(TYPES), "includeTrashed": False}
        what = f"the list of folder {path.name!r}"
        for entry in list(listed(pull.client, f"/path/{path.id}/list", query, what=what)):
            child = parse_uuid(entry.get("id"))
            if child is None or child in pull.seen or entry.get("trashed"):
                continue
            if len(pull.seen) >= MOST_PATHS:
                text = f"folder {path.name!r} holds more than {MOST_PATHS:,} paths; pull its folders singly"
                raise UpstreamError(text)
            pull.seen.add(child)
            try:
                made.paths.append(self._path(pull, read_path(pull.client, child), None, path.id))
            except RefusedError as error:
                if error.status == 401:
                    raise
                pull.failures.append(str(error))
            except (LayerError, LimitError, ArgumentError, UpstreamError) as error:
                pull.failures.append(f"{entry.get('name') or child}: {error}")


def checked_url(url: Any, insecure: bool) -> str:
    try:
        return service_url(url, insecure=insecure)
    except ValueError as error:
        raise invalid("fromUrl", url, f"{error}, not {url!r}") from None


def checked_token(token: Any) -> str | None:
    if token is None:
        return None
    try:
        return service_token(token)
    except ValueError as error:
        raise ArgumentError(f"token {error}", argument="token") from None
