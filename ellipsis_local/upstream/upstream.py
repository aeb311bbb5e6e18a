"""A pull, from the id of a path to what lies in the store: one timestamp after the other, each whole or not at all.

told ──> which way (files, tiles, features) ──> draft in home/cache/pulls ──> store.put ──> Origins
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LimitError, UpstreamError
from ellipsis_local.home import Home
from ellipsis_local.ids import as_uuid
from ellipsis_local.settings import service_token, service_url
from ellipsis_local.store import LayerStore
from ellipsis_local.types import Extent
from ellipsis_local.upstream.areas import area_of
from ellipsis_local.upstream.client import Client
from ellipsis_local.upstream.drafts import Drafts
from ellipsis_local.upstream.layers import LayerPull, NameBands
from ellipsis_local.upstream.plain import pull_file
from ellipsis_local.upstream.progress import Tell, Teller
from ellipsis_local.upstream.pulled import Origins
from ellipsis_local.upstream.refusals import RefusedError
from ellipsis_local.upstream.told import ToldPath, an_id, listed, read_path

__all__ = ["Pulled", "Upstream"]

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
    teller: Teller
    seen: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


class Upstream:
    """Pulls into one home."""

    def __init__(self, home: Home, store: LayerStore, database: Database, name_bands: NameBands) -> None:
        self._store = store
        self._name_bands = name_bands
        self._drafts = Drafts(home)
        self._origins = Origins(database)

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
        tell: Tell | None = None,
        check: Callable[[], None] | None = None,
    ) -> Pulled:
        """Bring a path of another service into the store, under its ids; what is there already stays.

        Parameters
        ----------
        timestamp_ids : sequence of str, optional
            All that are not in the trash where None.
        url, token, insecure
            See `ellipsis_local.settings.service_url`.
        extent, epsg : optional
            See `ellipsis_local.upstream.areas.area_of`.
        replace : bool
            Put what the service has now in the place of what is here.
        tell : callable, optional
            Gets `Progress` now and then; what it raises ends the pull, which can be continued.
        check : callable, optional
            Called often, from several threads, also while nothing comes; what it raises ends the pull as well.

        Raises
        ------
        ArgumentError
            Before anything is fetched.
        UpstreamError
            Where the service refuses, cannot be reached, or sends what cannot be used.
        LayerError
            Where something else is here under an id, or a file is no usable layer.
        """
        path_id = as_uuid("pathId", path_id)
        wanted = None if timestamp_ids is None else [as_uuid("timestampIds", one) for one in timestamp_ids]
        area = area_of(extent, epsg)
        client = Client(checked_url(url, insecure), checked_token(token), check)
        pull = _Pull(client, area, replace, Teller(tell))
        with client:
            told = read_path(client, path_id)
            if wanted is not None and told.type not in ("raster", "vector"):
                raise ArgumentError(
                    f"pathId {path_id} is a {told.type}, which has no timestamps", argument="timestampIds"
                )
            if area is not None and told.type == "file":
                raise ArgumentError(f"pathId {path_id} is a file, which has no extent", argument="extent")
            made = self._path(pull, told, wanted, None)
        if pull.failures:
            reasons = "".join(f"\n  {reason}" for reason in pull.failures)
            raise UpstreamError(
                f"{len(pull.failures)} of {len(pull.seen)} paths could not be pulled; the others are in the home:"
                f"{reasons}"
            )
        return made

    def sweep(self) -> None:
        """Forget what broken pulls left a week ago."""
        self._drafts.sweep()

    def _path(self, pull: _Pull, told: ToldPath, wanted: list[str] | None, parent: str | None) -> Pulled:
        made = Pulled(told.id, told.type, told.name)
        if told.type == "folder":
            self._folder(pull, told, made, parent)
        elif told.type in ("raster", "vector"):
            layer = LayerPull(
                pull.client, self._store, self._drafts, self._origins, told, parent, pull.teller, self._name_bands
            )
            for timestamp in layer.wanted(wanted):
                outcome = layer.pull(timestamp, area=pull.area, replace=pull.replace)
                if outcome in ("pulled", "unchanged"):
                    made.timestamps.append(timestamp.id)
                    getattr(made, outcome).append(timestamp.id)
                elif wanted is not None:
                    raise UpstreamError(f"timestamp {timestamp.id} of {told.name!r} cannot be pulled: {outcome}")
                else:
                    made.skipped[timestamp.id] = outcome
                    pull.teller.say(f"skipping timestamp {timestamp.id} of {told.name}: {outcome}")
        elif told.type == "file":
            done = pull_file(
                pull.client, self._store, self._drafts, self._origins, told, parent, pull.replace, pull.teller
            )
            getattr(made, "pulled" if done else "unchanged").append(told.id)
        else:
            raise UpstreamError(f"path {told.id} is a {told.type}; folders, rasters, vectors and files can be pulled")
        return made

    def _folder(self, pull: _Pull, told: ToldPath, made: Pulled, parent: str | None) -> None:
        """All below a folder; what fails is noted, and the rest is pulled all the same."""
        pull.seen.add(told.id)
        here = self._store.catalogue.find_path(told.id)
        if here is None:
            self._store.add_layer_path("folder", told.name, path_id=told.id, parent_id=parent, metadata=told.metadata)
        elif here.type != "folder" or here.trashed:
            state = "in the trash" if here.trashed else f"a {here.type}"
            raise LayerError(f"path {told.id} is a folder there, and {state} here")
        query = {"type": list(TYPES), "includeTrashed": False}
        what = f"the list of folder {told.name!r}"
        for entry in list(listed(pull.client, f"/path/{told.id}/list", query, what=what)):
            child = an_id(entry.get("id"))
            if child is None or child in pull.seen or entry.get("trashed"):
                continue
            if len(pull.seen) >= MOST_PATHS:
                raise UpstreamError(
                    f"folder {told.name!r} holds more than {MOST_PATHS:,} paths; pull its folders singly"
                )
            pull.seen.add(child)
            try:
                made.paths.append(self._path(pull, read_path(pull.client, child), None, told.id))
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
        raise ArgumentError(f"fromUrl {error}, not {url!r}", argument="fromUrl", value=url) from None


def checked_token(token: Any) -> str | None:
    if token is None:
        return None
    try:
        return service_token(token)
    except ValueError as error:
        raise ArgumentError(f"token {error}", argument="token") from None
