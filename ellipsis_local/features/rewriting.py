"""A file of features written anew with some of its rows replaced, added or left out, in one pass over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ellipsis_local.features.schemas import fitted
from ellipsis_local.features.sheets import Sheet
from ellipsis_local.features.writing import Integers, LayerWriter, Written

__all__ = ["NOTHING", "rewrite"]

NOTHING: Integers = np.empty(0, np.int64)


def rewrite(sheet: Sheet, target: Path, schema: Any, *, rows: tuple[Integers, Any], without: Integers) -> Written:
    """Write a sheet to `target`, its rows ordered by their numbers.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the new file, with what pandas is told of it; holds every column of the sheet, maybe in a wider type.
    rows : (array of int64, table)
        Numbers, ascending, and the rows that are to have them: in the place of those that have them now, or new.
    without : array of int64
        Numbers of rows that are left out.
    """
    new, table = rows
    gone = np.union1d(without, new)
    numbers = np.union1d(np.setdiff1d(sheet.numbers, gone, assume_unique=True), new)
    following = max(sheet.following, int(new[-1]) + 1 if len(new) else 0)
    plain = following == len(numbers)
    done = 0
    with LayerWriter(
        target, schema, sheet.geometry, sheet.detail.crs, numbers=None if plain else numbers, following=following
    ) as writer:
        for piece, old in sheet.read(np.arange(sheet.rows)):
            own = sheet.numbers[piece]
            end = int(np.searchsorted(new, own[-1], side="right"))
            writer.write(merged(fitted(old, schema), own, table.slice(done, end - done), new[done:end], gone))
            done = end
        writer.write(table.slice(done))
    return writer.written


def merged(old: Any, own: Integers, table: Any, new: Integers, gone: Integers) -> Any:
    """Rows that stay and new ones, by their numbers."""
    import pyarrow as pa

    keep = ~np.isin(own, gone)
    if keep.all() and not len(new):
        return old
    together = pa.concat_tables([old.filter(pa.array(keep)), table]).unify_dictionaries()
    return together.take(pa.array(np.argsort(np.concatenate([own[keep], new]), kind="stable")))
