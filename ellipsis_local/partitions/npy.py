"""The `.npy` format, as far as it takes to write an array of known shape piece by piece, from several processes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

DTYPES = {
    "uint8": "|u1", "int8": "|i1", "uint16": "<u2", "int16": "<i2", "uint32": "<u4", "int32": "<i4", "uint64": "<u8",
    "int64": "<i8", "float16": "<f2", "float32": "<f4", "float64": "<f8", "complex64": "<c8", "complex128": "<c16",
}  # fmt: skip
"""How the format writes the dtypes of pixels."""
MASK = "|b1"

OFFSET = 128
"""Bytes before the pixels: a multiple of 64, as the format asks, and enough for any three numbers."""
MAGIC = b"\x93NUMPY\x01\x00"


def itemsize(dtype: str) -> int:
    """Bytes per pixel of a dtype such as ``<u2``."""
    return int(dtype[2:])


def name_of(dtype: str) -> str:
    return next(name for name, code in DTYPES.items() if code == dtype)


def promoted(names: Sequence[str]) -> str:
    """The dtype that holds pixels of all these dtypes, given by name."""
    if len(set(names)) == 1:
        return DTYPES[names[0]]
    import numpy as np

    return DTYPES[np.result_type(*names).name]


def create(path: Path, dtype: str, shape: Sequence[int]) -> int:
    """A file of zeros for an array in C order, whose disk is taken when pixels are written; its size in bytes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode("ascii")
    room = OFFSET - len(MAGIC) - 2
    header = MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n"
    size = OFFSET + math.prod(shape) * itemsize(dtype)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(size)
    return size


def write_all(handle: int, data: memoryview, offset: int) -> None:
    """Write all of `data` (bytes) at `offset`; OSError where the disk is full."""
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written
