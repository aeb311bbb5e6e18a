"""A stored vector file as rows that can be read from anywhere in it, with the ids of their features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ellipsis_local.features.geojson import geojson
from ellipsis_local.features.ids import Integers, feature_ids, numbers_in
from ellipsis_local.types import StoredFile, VectorFile
from ellipsis_local.vector import Rows


class FeatureTable(Rows):
    """The rows of one file, features without geometry among them. A context manager.

    `numbers`: int64, ascending, the number of each row, which its id holds; `following`: the next that is free.
    """

    def __init__(self, path: Path, file: StoredFile, detail: VectorFile) -> None:
        super().__init__(path, detail, file.name)
        self.file, self.detail = file, detail
        self._numbers, self.following = numbers_in(self.schema, self.rows)

    @cached_property
    def numbers(self) -> Integers:
        return np.arange(self.rows, dtype=np.int64) if self._numbers is None else self._numbers

    def ids(self, rows: Integers) -> list[str]:
        return feature_ids(self.file.id, self.numbers[rows].tolist())

    def features(self, rows: Integers, table: Any, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some rows, with their table, as GeoJSON features; see `geojson`."""
        return geojson(table, self.geometry, self.detail.crs, self.ids(rows), names)

    def row_from(self, number: int) -> int:
        """The first row whose number is `number` or more; the number of rows where there is none."""
        if self._numbers is None:
            return min(number, self.rows)
        return int(np.searchsorted(self._numbers, number))

    def rows_of(self, numbers: Integers) -> Integers:
        """The row of each number, -1 where it is not there."""
        rows = np.searchsorted(self.numbers, numbers)
        there = rows < self.rows
        there[there] = self.numbers[rows[there]] == numbers[there]
        return np.where(there, rows, -1)
