"""Changes of features as they are asked for, and what was made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ellipsis_local.errors import ArgumentError
from ellipsis_local.features.changelog import Action
from ellipsis_local.features.ids import Integers, feature_id, parted, stem
from ellipsis_local.features.query import missing
from ellipsis_local.features.rewrite import MARK, Version
from ellipsis_local.features.schema_context import Column, Known, check_count, planned
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.features.validate_geojson import checked_geometry, checked_list, checked_properties
from ellipsis_local.ids import as_uuid
from ellipsis_local.types import StoredFile

TAIL_ROWS = 30_000
TAIL_BYTES = 32 * 1024**2
"""Added features go into the file of those added before until it holds so much: few files, and little written twice."""


@dataclass(frozen=True)
class Edit:
    """One entry of an edit."""

    properties: Mapping[str, Any]
    geometry: Any
    """shapely, EPSG:4326; None where it stays."""
    position: int


@dataclass(frozen=True)
class Made:
    """What was done to one file: its new version, and what the log is to say of it."""

    version: Version
    action: Action
    numbers: Integers
    before: bytes | None = None


def has_room(file: StoredFile) -> bool:
    """Whether a file holds features that were added, and may get more of them."""
    if file.options.get(MARK) != "added" or file.detail is None or file.size >= TAIL_BYTES:
        return False
    return getattr(file.detail, "features", TAIL_ROWS) < TAIL_ROWS


def check_known(sheet: FeatureTable, numbers: Integers) -> None:
    """NotFoundError for the first number that no feature of the file ever had."""
    for number in numbers[numbers >= sheet.following]:
        raise missing(feature_id(stem(sheet.file.id), int(number)))


def edited_columns(known: Known, edits: Sequence[Edit]) -> list[tuple[list[int], Column]]:
    """The columns that edits of features of one file touch: which of the edits, and their values."""
    names = dict.fromkeys(name for edit in edits for name in edit.properties)
    check_count({*known.fields, *names})
    found = []
    for name in names:
        positions = [position for position, edit in enumerate(edits) if name in edit.properties]
        places = [f"changes[{edits[position].position}]" for position in positions]
        values = [edits[position].properties[name] for position in positions]
        found.append((positions, planned(known, name, values, places.__getitem__)))
    return found


def checked_edits(changes: Any) -> dict[str, Edit]:
    """The entries of an edit by the ids of their features."""
    found: dict[str, Edit] = {}
    for position, change in enumerate(checked_list("changes", changes)):
        place = f"changes[{position}]"
        if not isinstance(change, Mapping) or "featureId" not in change:
            raise ArgumentError(
                f"{place} must be a dictionary of featureId, newProperties and newGeometry",
                argument="changes", value=change,
            )  # fmt: skip
        one = as_uuid("featureId", change["featureId"])
        if one in found:
            raise ArgumentError(f"{place}: featureId {one} occurs twice", argument="changes", value=one)
        if parted(one) is None:
            raise missing(one)
        geometry = change.get("newGeometry")
        found[one] = Edit(
            checked_properties(place, change.get("newProperties")),
            None if geometry is None else checked_geometry(place, geometry),
            position,
        )
    return found
