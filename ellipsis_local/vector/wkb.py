"""Well-known binary read and changed with numpy alone: kinds, vertices, bounds, and coordinates in another CRS.

No geometry is built, so this is as fast as the memory, does not depend on the release of GEOS, and keeps Z and M.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.errors import LayerError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

CURVES: Final = (8, 9, 10, 11, 12, 13, 14)
"""CircularString, CompoundCurve, CurvePolygon, MultiCurve, MultiSurface, and their abstract kin."""
SURFACES: Final = {15: "PolyhedralSurface", 16: "TIN", 17: "Triangle"}
POINT, LINE, POLYGON, COLLECTION = 1, 2, 3, 7
FIRST: Final = {1: 5, 2: 9, 3: 13, 4: 14, 5: 18, 6: 22}
"""By kind: after so many bytes the first vertex begins, where no part is empty."""
COUNTS: Final = {2: (5,), 3: (5, 9), 4: (5,), 5: (5, 14), 6: (5, 14, 18)}
"""By kind: where the counts stand that are 0 where a part is empty."""
FEW = 32
"""So many geometries are walked one by one, more of them together."""


class Shapes:
    """One Arrow array of WKB, as its bytes and where each value begins and ends."""

    def __init__(self, array: Any, source: str = "the layer") -> None:
        self.source = source
        self._take(array)
        # Big-endian, or with an SRID.
        if self.foreign.any():
            self._take(from_shapely(to_shapely(array, source)))

    def _take(self, array: Any) -> None:
        import pyarrow as pa

        if hasattr(array, "chunks"):
            array = array.cast(pa.large_binary()).combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        if not pa.types.is_large_binary(array.type) and not pa.types.is_binary(array.type):
            array = array.cast(pa.large_binary())
        self.array = array
        _, offsets, data = array.buffers()
        wide = pa.types.is_large_binary(array.type)
        if offsets is None or data is None or not len(array):
            ends: Any = np.zeros(len(array) + 1, np.int64)
            self.data: NDArray[np.uint8] = np.zeros(0, np.uint8)
        else:
            ends = np.frombuffer(offsets, np.int64 if wide else np.int32)[array.offset : array.offset + len(array) + 1]
            self.data = np.frombuffer(data, np.uint8)
        self.starts, self.ends = ends[:-1].astype(np.int64), ends[1:].astype(np.int64)
        present: Any = np.asarray(array.is_valid()) if array.null_count else np.ones(len(array), bool)
        present &= self.ends - self.starts >= 9
        rows = np.flatnonzero(present)
        self.code: Any = np.zeros(len(array), np.int64)
        """The type as it is written; 0 for null."""
        self.code[rows] = overlapping(self.data, "<u4")[self.starts[rows] + 1]
        self.foreign: Any = np.zeros(len(array), bool)
        self.foreign[rows] = (self.data[self.starts[rows]] != 1) | (self.code[rows] & 0x20000000 != 0)

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def kinds(self) -> Integers:
        """1 (Point) to 17 (Triangle), 0 for null."""
        return np.asarray((self.code & 0x0FFFFFFF) % 1000)

    @cached_property
    def measured(self) -> Bools:
        """Which have an M."""
        return np.asarray((self.code & 0x40000000 != 0) | ((self.code & 0x0FFFFFFF) // 1000 >= 2))

    @cached_property
    def widths(self) -> Integers:
        """Bytes of one vertex."""
        high = (self.code & 0x80000000 != 0) | np.isin((self.code & 0x0FFFFFFF) // 1000, (1, 3))
        return np.asarray(16 + 8 * high + 8 * self.measured, np.int64)

    @property
    def unknown(self) -> str | None:
        """The name of a kind that no frame can hold, if one is there."""
        return next((name for kind, name in SURFACES.items() if (self.kinds == kind).any()), None)

    @property
    def curved(self) -> bool:
        """Whether any of them is a curve, or a collection with one."""
        if np.isin(self.kinds, CURVES).any():
            return True
        rows = np.flatnonzero(self.kinds == COLLECTION)
        u4, found = overlapping(self.data, "<u4"), rows[self.ends[rows] - self.starts[rows] >= 14]
        if not len(found):
            return False
        if np.isin((u4[self.starts[found] + 10] & 0x0FFFFFFF) % 1000, CURVES).any():
            return True
        try:
            self.runs  # noqa: B018 - walks over all parts
        except LayerError:
            return True
        return False

    @cached_property
    def runs(self) -> tuple[Integers, Integers, Integers]:
        """Each ring, line or point: the row that it belongs to, its first byte and its number of vertices."""
        return _Walk(self).runs()

    @cached_property
    def vertices(self) -> tuple[Integers, Integers]:
        """The row and the first byte of every vertex, in their order."""
        rows, starts, counts = self.runs
        each = np.repeat(np.arange(len(rows)), counts)
        inside = np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows[each], starts[each] + inside * self.widths[rows[each]]

    @cached_property
    def coordinates(self) -> Floats:
        """x and y of every vertex, (vertices, 2)."""
        return pairs(self.data, self.vertices[1])

    def first(self) -> Floats:
        """x and y of the first vertex of each, (rows, 2); NaN where there is none."""
        xy = np.full((len(self), 2), np.nan)
        slow = np.isin(self.kinds, (0, *FIRST), invert=True)
        u4, f8 = overlapping(self.data, "<u4"), overlapping(self.data, "<f8")
        for kind, offset in FIRST.items():
            rows = np.flatnonzero(self.kinds == kind)
            usable = self.ends[rows] - self.starts[rows] >= offset + 16
            for count in COUNTS.get(kind, ()):
                usable[usable] = u4[self.starts[rows[usable]] + count] != 0
            slow[rows[~usable]] = True
            xy[rows[usable]] = pairs(self.data, self.starts[rows[usable]] + offset)
        # A MultiPoint may begin with an empty point, which is written as NaN.
        slow |= (self.kinds == 4) & np.isnan(xy).any(axis=1)
        if slow.any():
            rows, at = self.vertices
            there = ~np.isnan(f8[at]) & slow[rows]
            which, first = np.unique(rows[there], return_index=True)
            xy[which] = pairs(self.data, at[there][first])
        return xy

    def without(self) -> Bools:
        """Which have no geometry: null, EMPTY, or with an infinite or lone NaN x or y; (rows,)."""
        rows, xy = self.vertices[0], self.coordinates
        finite = np.isfinite(xy[:, 0]) & np.isfinite(xy[:, 1])
        none = np.ones(len(self), bool)
        none[rows[finite]] = False
        if not finite.all():
            hollow = np.isnan(xy).all(axis=1) & np.isin(self.kinds, (POINT, 4, COLLECTION))[rows]
            none[rows[~finite & ~hollow]] = True
        return none

    def bounds(self) -> Floats:
        """West, south, east and north of each, (rows, 4); NaN where there is no vertex."""
        rows, xy = self.vertices[0], self.coordinates
        found = np.full((len(self), 4), np.nan)
        firsts = np.flatnonzero(np.diff(rows, prepend=-1))
        if len(firsts):
            for column, values in enumerate(np.ascontiguousarray(xy.T)):
                found[rows[firsts], column] = np.fmin.reduceat(values, firsts)
                found[rows[firsts], column + 2] = np.fmax.reduceat(values, firsts)
        return found

    def moved(self, move: Callable[[Floats], Floats]) -> Any:
        """The same with other x and y, as an Arrow array: `move` gets and gives (vertices, 2). Z and M stay."""
        import pyarrow as pa

        data = self.data.copy()
        values, (_, at) = overlapping(data, "<f8"), self.vertices
        xy = move(pairs(self.data, at))
        values[at], values[at + 8] = xy[:, 0], xy[:, 1]
        valid, offsets, _ = self.array.buffers()
        buffers = [valid, offsets, pa.py_buffer(data)]
        return pa.Array.from_buffers(self.array.type, len(self.array), buffers, offset=self.array.offset)


def overlapping(data: NDArray[np.uint8], dtype: str) -> Any:
    """The number that begins at each byte."""
    size = np.dtype(dtype).itemsize
    if len(data) < size:
        return np.empty(0, dtype)
    return np.ndarray((len(data) - size + 1,), dtype, data, strides=(1,))


def pairs(data: NDArray[np.uint8], at: Integers) -> Floats:
    """The two floats that begin at each of these bytes, (places, 2)."""
    if not len(at):
        return np.empty((0, 2))
    both = np.ndarray((len(data) - 15,), "V16", data, strides=(1,))
    return np.asarray(both[at].view("<f8").reshape(-1, 2))


class _Walk:
    """All geometries of an array walked over at a time, one ring, line or point after another."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.u4 = overlapping(shapes.data, "<u4")
        self.found: list[tuple[Any, Any, Any]] = []

    def damaged(self) -> LayerError:
        source = self.shapes.source
        return LayerError.of(source, "has a geometry that cannot be read: its parts do not fit")

    def number(self, at: Integers) -> Integers:
        if len(at) and int(at.max()) >= len(self.u4):
            raise self.damaged()
        return np.asarray(self.u4[at], np.int64)

    def take(self, rows: Integers, at: Integers, counts: Integers) -> Integers:
        """Note runs; the first byte behind each."""
        behind: Integers = at + counts * self.shapes.widths[rows]
        if (behind > self.shapes.ends[rows]).any():
            raise self.damaged()
        self.found.append((rows, at, counts))
        return behind

    def runs(self) -> tuple[Integers, Integers, Integers]:
        shapes, kinds = self.shapes, self.shapes.kinds
        if np.isin(kinds, (*CURVES, *SURFACES)).any():
            raise self.damaged()
        rows = np.flatnonzero(kinds)
        at = shapes.starts[rows]
        parts = np.ones(len(rows), np.int64)
        multi = kinds[rows] >= 4
        parts[multi] = self.number(at[multi] + 5)
        at = np.where(multi, at + 9, at)
        rings = np.zeros(len(rows), np.int64)
        while len(rows) > FEW:
            at, parts, rings = self.step(rows, at, parts, rings)
            left = (parts > 0) | (rings > 0)
            rows, at, parts, rings = rows[left], at[left], parts[left], rings[left]
        for row, start, count, inner in zip(rows.tolist(), at.tolist(), parts.tolist(), rings.tolist(), strict=True):
            self.one(row, start, count, inner)
        empty = np.empty(0, np.int64)
        rows, at, counts = map(np.concatenate, zip((empty, empty, empty), *self.found, strict=True))
        order = np.lexsort((at, rows)) if len(self.found) > 1 else slice(None)
        return rows[order], at[order], counts[order]

    def step(self, rows: Integers, at: Integers, parts: Integers, rings: Integers) -> tuple[Integers, ...]:
        """One ring, or the beginning of one part, of each row."""
        at, parts, rings = at.copy(), parts.copy(), rings.copy()
        inner = np.flatnonzero(rings > 0)
        begin = np.flatnonzero((rings == 0) & (parts > 0))
        if len(inner):
            at[inner] = self.take(rows[inner], at[inner] + 4, self.number(at[inner]))
            rings[inner] -= 1
        if len(begin):
            kinds = (self.number(at[begin] + 1) & 0x0FFFFFFF) % 1000
            if not ((kinds >= POINT) & (kinds <= COLLECTION)).all():
                raise self.damaged()
            parts[begin] -= 1
            some = begin[kinds > POLYGON]
            parts[some] += self.number(at[some] + 5)
            at[some] += 9
            some = begin[kinds == POINT]
            at[some] = self.take(rows[some], at[some] + 5, np.ones(len(some), np.int64))
            some = begin[kinds == LINE]
            at[some] = self.take(rows[some], at[some] + 9, self.number(at[some] + 5))
            some = begin[kinds == POLYGON]
            rings[some] = self.number(at[some] + 5)
            at[some] += 9
        return at, parts, rings

    def one(self, row: int, at: int, parts: int, rings: int) -> None:
        """The rest of a single geometry."""
        data, width, end = self.shapes.data.data, int(self.shapes.widths[row]), int(self.shapes.ends[row])
        starts, counts = [], []
        try:
            while parts > 0 or rings > 0:
                if rings > 0:
                    (count,), at, rings = struct.unpack_from("<I", data, at), at + 4, rings - 1
                else:
                    code, number = struct.unpack_from("<II", data, at + 1)
                    kind, parts = (code & 0x0FFFFFFF) % 1000, parts - 1
                    if kind == POLYGON:
                        at, rings = at + 9, number
                        continue
                    if POLYGON < kind <= COLLECTION:
                        at, parts = at + 9, parts + number
                        continue
                    if kind not in (POINT, LINE):
                        raise self.damaged()
                    count, at = (1, at + 5) if kind == POINT else (number, at + 9)
                starts.append(at)
                counts.append(count)
                at += count * width
                if at > end:
                    raise self.damaged()
        except struct.error as error:
            raise self.damaged() from error
        self.found.append((np.full(len(starts), row), np.array(starts, np.int64), np.array(counts, np.int64)))


def to_shapely(column: Any, source: str = "the layer") -> NDArray[Any]:
    """A column of WKB as shapely geometries; LayerError where one is none."""
    import shapely

    try:
        found: NDArray[Any] = shapely.from_wkb(column.to_numpy(zero_copy_only=False))
    except (shapely.errors.ShapelyError, NotImplementedError, TypeError) as error:
        raise LayerError.of(source, f"has a geometry that cannot be read: {error}") from error
    return found


def from_shapely(geometries: Any) -> Any:
    """Shapely geometries as an Arrow array of WKB, the flavour that GeoParquet asks for."""
    import pyarrow as pa
    import shapely

    return pa.array(shapely.to_wkb(geometries, flavor="iso"), pa.binary())


def without_geometry(shapes: Any) -> Bools:
    """Which of an array of shapely geometries are none: null, EMPTY, or with a NaN or infinite x or y; same shape."""
    import shapely

    none: Bools = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    coordinates, index = shapely.get_coordinates(shapes, return_index=True)
    none[index[~np.isfinite(coordinates).all(axis=1)]] = True
    return none
