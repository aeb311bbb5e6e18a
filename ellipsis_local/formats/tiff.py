"""Whether a TIFF holds all the bytes that its directories speak of: GDAL opens a truncated one without a word.

It comes before GDAL, for files of any origin; what it reads is bounded by the size of the file.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.errors import LayerError, LimitError
from ellipsis_local.formats.limits import MOST_DIRECTORIES, MOST_TAGS
from ellipsis_local.gdal_errors import reading

MAGIC = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
# Bytes per value of the TIFF types 1 to 18.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CODES = {3: "u2", 4: "u4", 16: "u8"}
# (offsets, byte counts) of strips and of tiles.
PAIRS = ((273, 279), (324, 325))
SUB_DIRECTORIES = 330
WANTED = {273, 279, 324, 325, SUB_DIRECTORIES}
# Directories of a real file do not overlap, so reading them all reads no more than the file; some tags are shared.
SHARED = 1024**2


def is_tiff(head: bytes) -> bool:
    return head[:4] in MAGIC


class _Reader:
    """One open TIFF of `size` bytes; `need` is the highest byte that anything in it refers to."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file, self.size, self.name = file, size, name
        self.need = self.taken = 0
        self.order, self.big = "<", False

    def at(self, offset: int, length: int) -> bytes:
        self.need = max(self.need, offset + length)
        if self.need > self.size:
            raise EOFError
        self.taken += length
        if self.taken > self.size + SHARED:
            raise LimitError(f"{self.name} is damaged: its directories lie over each other")
        self.file.seek(offset)
        data = self.file.read(length)
        if len(data) < length:
            raise EOFError
        return data

    def number(self, offset: int, code: str) -> int:
        code = self.order + code
        return int(struct.unpack(code, self.at(offset, struct.calcsize(code)))[0])

    def entries(self, directory: int) -> tuple[dict[int, NDArray[np.uint64]], int]:
        """The values of the tags that matter here, and the offset of the next directory."""
        head, entry, word = (8, 20, "Q") if self.big else (2, 12, "I")
        count = self.number(directory, "Q" if self.big else "H")
        table = self.at(directory + head, count * entry)
        if count > MOST_TAGS:
            raise LimitError(f"{self.name} is damaged: a directory with {count:,} tags, and {MOST_TAGS:,} are taken")
        values = {}
        inline = 8 if self.big else 4
        for i in range(count):
            raw = table[i * entry : (i + 1) * entry]
            tag, kind, number = struct.unpack(self.order + "HH" + word, raw[: entry - inline])
            length = SIZES.get(kind, 1) * number
            if length > inline:
                (offset,) = struct.unpack(self.order + word, raw[entry - inline :])
                self.need = max(self.need, offset + length)
            if tag in WANTED and tag not in values and kind in (*CODES, 13, 18):
                data = raw[entry - inline :][:length] if length <= inline else self.at(offset, length)
                code = {13: "u4", 18: "u8"}.get(kind) or CODES[kind]
                values[tag] = np.frombuffer(data, dtype=self.order + code).astype("uint64")
        return values, self.number(directory + head + count * entry, word)

    def scan(self) -> None:
        self.order, self.big = MAGIC[self.at(0, 4)]
        pending = [self.number(8, "Q") if self.big else self.number(4, "I")]
        seen: set[int] = set()
        while pending:
            directory = pending.pop()
            if directory == 0 or directory in seen:
                continue
            if len(seen) == MOST_DIRECTORIES:
                raise LimitError(f"{self.name} has more than {MOST_DIRECTORIES:,} directories; split it")
            seen.add(directory)
            values, following = self.entries(directory)
            pending += [following, *map(int, values.get(SUB_DIRECTORIES, ())[: MOST_DIRECTORIES + 1])]
            for offsets, counts in PAIRS:
                if offsets in values and counts in values and len(values[offsets]) == len(values[counts]):
                    ends = np.where(values[counts] > 0, values[offsets] + values[counts], 0)
                    self.need = max(self.need, int(ends.max(initial=0)))


def missing_bytes(path: Path) -> int:
    """How many bytes the file is too short for what its directories list, 0 where it is whole; LimitError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(file, size, str(path))
        try:
            reader.scan()
        except (EOFError, KeyError, struct.error):
            return max(1, reader.need - size)
    return max(0, reader.need - size)


def check_whole(path: Path) -> None:
    """LayerError where a TIFF (or an overview or mask beside one) is shorter than its own directories say."""
    with reading(path):
        with path.open("rb") as file:
            head = file.read(4)
        missing = missing_bytes(path) if is_tiff(head) else 0
    if missing:
        raise LayerError.of(path, f"is truncated: at least {missing:,} bytes are missing at its end")
