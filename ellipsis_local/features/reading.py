"""What the service answers about the features of one vector timestamp: pages, by extent, by id, at locations."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ellipsis_local.errors import ArgumentError, LayerError, LimitError, NotFoundError
from ellipsis_local.features import nearby
from ellipsis_local.features.bounds import bounds_of, meeting
from ellipsis_local.features.filters import Condition, checked_filter, matching
from ellipsis_local.features.ids import feature_id, parted, stem
from ellipsis_local.features.incoming import MOST_FEATURES, finite
from ellipsis_local.features.opening import open_sheet
from ellipsis_local.features.properties import Properties
from ellipsis_local.features.sheets import Sheet
from ellipsis_local.features.writing import Integers
from ellipsis_local.ids import as_uuid
from ellipsis_local.types import Extent, StoredFile, Timestamp

__all__ = ["PAGE_BYTES", "PAGE_SIZE", "Page", "Reading", "collection", "located"]

PAGE_SIZE = 10_000
"""Features on a page at most; the client asks for as many."""
PAGE_BYTES = 3_000_000
"""About so much JSON on a page, our choice: a page is held in memory, and a single feature may be larger."""
ATTEMPTS = 5
TEXT_PER_WKB = 2.5
"""A coordinate of 16 bytes is about 40 characters."""

Page = tuple[list[dict[str, Any]], str | None]
Found = TypeVar("Found")


def collection(page: Page) -> dict[str, Any]:
    """A page as the client wants it (seen in the client, for listFeatures, compressedListFeatures and the others)."""
    features, following = page
    return {
        "result": {"type": "FeatureCollection", "features": features},
        "size": len(features),
        "nextPageStart": following,
    }


class Reading(Properties):
    """The half of `Features` that answers."""

    # ----- pages -----------------------------------------------------------------------------------------------------

    def page(self, timestamp: Timestamp, start: str | None = None, size: int | None = PAGE_SIZE) -> Page:
        """Features in the order of the files, and of the rows in them, in EPSG:4326.

        Parameters
        ----------
        start : str, optional
            The id that the former page gave as the next one.
        size : int
            At most so many, and at most 10 000. A page also ends at about 3 MB (our choice).

        Returns
        -------
        list of dict, str or None
            GeoJSON features, each with its id beside its properties and in them (seen in the client), and the id at
            which the next page starts. Its geometry is null where EPSG:4326 cannot express it.

        Raises
        ------
        ArgumentError
            A size that is none, a start that is no id.
        NotFoundError
            A start in a file that is not here any more.
        """
        return self._listed(timestamp, start, size, lambda sheet: np.arange(sheet.rows))

    def by_extent(
        self,
        timestamp: Timestamp,
        extent: Extent | Mapping[str, Any],
        property_filter: Any = None,
        start: str | None = None,
        size: int | None = PAGE_SIZE,
    ) -> Page:
        """Features whose bounds meet an extent, as `page` gives them; touching counts (as in the client).

        Parameters
        ----------
        extent : Extent or {'xMin', 'xMax', 'yMin', 'yMax'}
            Degrees, EPSG:4326.
        property_filter : list of {'key', 'operator', 'value'}, optional
            See `ellipsis_local.features.filters`. Our own form: the service's is not documented.

        Raises
        ------
        ArgumentError
            As `page`, and for an extent or a filter that is none.
        """
        box = checked_extent(extent)
        known = [one["name"] for one in self.properties(timestamp.path_id)]
        conditions = checked_filter(property_filter, known)
        return self._listed(timestamp, start, size, lambda sheet: meeting(bounds_of(self.home, sheet), box), conditions)

    def _listed(
        self,
        timestamp: Timestamp,
        start: Any,
        size: Any,
        rows_of: Callable[[Sheet], Integers],
        conditions: Collection[Condition] = (),
    ) -> Page:
        room = Room(checked_size(size), PAGE_BYTES)
        begin = None if start is None else checked_start(start)

        def listed(files: Sequence[StoredFile]) -> Page:
            features: list[dict[str, Any]] = []
            room.reset()
            names = self.names(timestamp.path_id, files)
            first = 0 if begin is None else position_of(files, begin[0], str(start))
            for file in files[first:]:
                with open_sheet(self.home, file) as sheet:
                    rows = rows_of(sheet)
                    if begin is not None and file is files[first]:
                        rows = rows[np.searchsorted(rows, sheet.row_from(begin[1])) :]
                    following = room.fill(features, sheet, rows, conditions, names)
                if following is not None:
                    return features, following
            return features, None

        return self._steady(timestamp, listed)

    # ----- single ones -----------------------------------------------------------------------------------------------

    def by_ids(self, timestamp: Timestamp, ids: Any) -> list[dict[str, Any]]:
        """Features by their ids, in their order, as `page` gives them.

        Raises
        ------
        ArgumentError
            For ids that are none.
        NotFoundError
            For the first that is not here, or in the trash.
        """
        wanted = checked_ids("featureIds", ids)

        def found(files: Sequence[StoredFile]) -> list[dict[str, Any]]:
            features: dict[str, dict[str, Any]] = {}
            names = self.names(timestamp.path_id, files)
            for file, numbers in located(files, wanted):
                with open_sheet(self.home, file) as sheet:
                    rows = sheet.rows_of(numbers)
                    for piece, table in sheet.read(rows[rows >= 0]):
                        features |= {one["id"]: one for one in sheet.features(piece, table, names)}
            for one in wanted:
                if one not in features:
                    raise missing(one)
            return [features[one] for one in wanted]

        return self._steady(timestamp, found)

    def at_locations(self, timestamp: Timestamp, locations: Any, epsg: Any = 4326) -> list[list[dict[str, Any]]]:
        """What lies at each of up to 100 locations: for each a list of features, as `page` gives them.

        Polygons that contain the location, then what is within 10 metres of it, the nearest first, ten at most. Our
        choice; what the service counts as being there is not documented.

        Parameters
        ----------
        locations : list of (x, y)
            In the CRS `epsg`: longitude first.

        Raises
        ------
        ArgumentError
            For locations that are none, an unknown EPSG code.
        LimitError
            For more than 100 (the client's own limit).
        """
        places = nearby.checked_locations(locations, epsg)

        def found(files: Sequence[StoredFile]) -> list[list[dict[str, Any]]]:
            best = nearby.Best(places)
            names = self.names(timestamp.path_id, files)
            for position, file in enumerate(files):
                with open_sheet(self.home, file) as sheet:
                    best.look(position, sheet, bounds_of(self.home, sheet))
            features: dict[tuple[int, int], dict[str, Any]] = {}
            for position, rows in best.rows().items():
                with open_sheet(self.home, files[position]) as sheet:
                    for piece, table in sheet.read(rows):
                        made = sheet.features(piece, table, names)
                        features |= {(position, int(row)): one for row, one in zip(piece, made, strict=True)}
            return [[features[one] for one in chosen] for chosen in best.chosen()]

        return self._steady(timestamp, found)

    # ----- what they have in common ----------------------------------------------------------------------------------

    def _steady(self, timestamp: Timestamp, read: Callable[[Sequence[StoredFile]], Found]) -> Found:
        """Read the files as they are now; again where one was replaced by a change meanwhile."""
        for attempt in range(ATTEMPTS):
            files = self.files(timestamp)
            try:
                return read(files)
            except LayerError:
                now = [file.content for file in self.files(timestamp)]
                if attempt == ATTEMPTS - 1 or now == [file.content for file in files]:
                    raise
        raise AssertionError("unreachable")

    def files(self, timestamp: Timestamp) -> tuple[StoredFile, ...]:
        """The files of a vector timestamp as they are now."""
        if timestamp.type != "vector":
            raise ArgumentError(
                f"timestamp {timestamp.id} is of a {timestamp.type}, which has no features",
                argument="timestampId", value=timestamp.id,
            )  # fmt: skip
        return self.store.timestamp(timestamp.path_id, timestamp.id).files


@dataclass
class Room:
    """What still fits on a page."""

    size: int
    bytes: float
    left: int = 0
    free: float = 0.0

    def reset(self) -> None:
        self.left, self.free = self.size, self.bytes

    def fill(
        self,
        features: list[dict[str, Any]],
        sheet: Sheet,
        rows: Integers,
        conditions: Collection[Condition],
        names: Sequence[str],
    ) -> str | None:
        """Append features of these rows; the id of the first row that found no place."""
        first = stem(sheet.file.id)
        fields = {field.name: field for field in sheet.fields}
        for piece, table in sheet.read(rows):
            keep = matching(conditions, fields, table)
            if not keep.all():
                piece, table = piece[keep], table.filter(keep)
            count = self._fitting(len(features), table, table[sheet.geometry])
            if count:
                features += sheet.features(piece[:count], table.slice(0, count), names)
            if count < len(piece):
                return feature_id(first, int(sheet.numbers[piece[count]]))
        return None

    def _fitting(self, before: int, table: Any, wkb: Any) -> int:
        """How many rows of a table there is room for; one at least on an empty page."""
        import pyarrow.compute as pc

        if not len(table):
            return 0
        shapes = pc.fill_null(pc.binary_length(wkb), 0).to_numpy().astype(float)
        names = sum(len(name) + 6 for name in table.column_names) + 160
        others = max(0.0, (table.nbytes - wkb.nbytes) / len(table)) * 1.5
        sizes = np.cumsum(shapes * TEXT_PER_WKB + names + others)
        count = min(int(np.searchsorted(sizes, self.free, side="right")), self.left)
        if count == 0 and before == 0 and self.left:
            count = 1
        self.left -= count
        self.free -= float(sizes[count - 1]) if count else 0.0
        if count < len(table):
            self.left = 0
        return count


def checked_size(size: Any) -> int:
    if size is None:
        return PAGE_SIZE
    if isinstance(size, bool) or not isinstance(size, int):
        raise ArgumentError("pageSize must be of type int", argument="pageSize", value=size)
    if size < 1:
        raise ArgumentError(f"pageSize must be at least 1, not {size}", argument="pageSize", value=size)
    return min(size, PAGE_SIZE)


def checked_start(start: Any) -> tuple[str, int]:
    found = parted(as_uuid("pageStart", start))
    if found is None:
        raise ArgumentError(
            f"pageStart {start} is no nextPageStart of these features", argument="pageStart", value=start
        )
    return found


def checked_ids(argument: str, ids: Any) -> list[str]:
    if not isinstance(ids, list | tuple):
        raise ArgumentError(f"{argument} must be a list of uuids", argument=argument, value=ids)
    if len(ids) > MOST_FEATURES:
        raise LimitError(f"{argument} holds {len(ids):,} ids; one call takes {MOST_FEATURES:,}: split them")
    return [as_uuid(argument, one) for one in ids]


def checked_extent(extent: Any) -> Extent:
    if not isinstance(extent, Extent):
        if not isinstance(extent, Mapping) or not {"xMin", "xMax", "yMin", "yMax"} <= extent.keys():
            raise ArgumentError(
                "extent must be a dictionary with keys xMin, xMax, yMin, yMax", argument="extent", value=extent
            )
        extent = Extent(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
    if not all(map(finite, extent)):
        raise ArgumentError("extent must hold finite numbers", argument="extent", value=extent)
    found = Extent(*map(float, extent))
    if found.x_min > found.x_max or found.y_min > found.y_max or not math.isfinite(sum(found)):
        raise ArgumentError(
            f"extent: xMax must be larger than xMin, and yMax than yMin, not {found.to_dict()}",
            argument="extent", value=extent,
        )  # fmt: skip
    return found


def located(files: Sequence[StoredFile], ids: Sequence[str]) -> list[tuple[StoredFile, Integers]]:
    """The files that ids lead to, each with the numbers of its features, ascending, each once.

    NotFoundError for an id that leads to none.
    """
    by_stem = {stem(file.id): file for file in files}
    numbers: dict[str, set[int]] = {}
    for one in ids:
        found = parted(one)
        if found is None or found[0] not in by_stem:
            raise missing(one)
        numbers.setdefault(found[0], set()).add(found[1])
    return [(file, np.array(sorted(numbers[name]), np.int64)) for name, file in by_stem.items() if name in numbers]


def position_of(files: Sequence[StoredFile], name: str, start: str) -> int:
    for position, file in enumerate(files):
        if stem(file.id) == name:
            return position
    raise NotFoundError(
        f"pageStart {start} is in no file of this timestamp any more; begin with the first page",
        argument="pageStart", value=start,
    )  # fmt: skip


def missing(feature: str) -> NotFoundError:
    return NotFoundError(
        f"featureId {feature} does not exist in this timestamp, or is in the trash",
        argument="featureIds",
        value=feature,
    )
