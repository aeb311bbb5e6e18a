"""Ids of features: the file that a feature is in, and its number there, in one UUID that can be read back.

A UUID of version 8 (RFC 9562: made as the application likes). The first half comes from the file's id, the second is
the number. So the features of a file that was uploaded have ids without anything being written, an id leads to its
feature without an index of all ids, and it stays whatever happens to other features.

    3f2a9c1e-77b0-8d21-8000-0000000001a4
    └─ of the file ─┘  └── number 420 ─┘
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

KEY = b"ellipsis_local:numbers"
"""In the footer of a file that was changed: the number of each of its rows, so that ids stay."""
Integers = NDArray[np.int64]

VARIANT = 1 << 63
NUMBERS = 1 << 62
"""As many numbers as the second half has room for."""


def stem(file_id: str) -> str:
    """The first half of the ids of a file's features."""
    digits = uuid5(UUID(file_id), "features").hex
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}"


def feature_id(of_file: str, number: int) -> str:
    """The id of the feature with this number in the file with this `stem`."""
    digits = f"{VARIANT | number:016x}"
    return f"{of_file}-{digits[:4]}-{digits[4:]}"


def feature_ids(file_id: str, numbers: Iterable[int]) -> list[str]:
    first = stem(file_id)
    return [feature_id(first, number) for number in numbers]


def parted(canonical: str) -> tuple[str, int] | None:
    """The stem and the number of an id in its canonical form; None where it is no id of a feature."""
    number = int(canonical[19:23] + canonical[24:], 16) - VARIANT
    if canonical[14] != "8" or not 0 <= number < NUMBERS:
        return None
    return canonical[:18], number


def packed(numbers: Integers) -> bytes:
    """Ascending numbers as few bytes: neighbours are mostly one apart."""
    return zlib.compress(np.diff(numbers, prepend=0).astype("<i8").tobytes())


def unpacked(data: bytes, most: int | None = None) -> Integers:
    """What `packed` was given; ValueError for more than `most` numbers, before they are held."""
    size = 0 if most is None else 8 * most + 1
    plain = zlib.decompressobj().decompress(data, size)
    if most is not None and len(plain) >= size:
        raise ValueError("there are more numbers than rows")
    return np.cumsum(np.frombuffer(plain, "<i8").astype(np.int64))


def numbers_in(schema: Any, rows: int) -> tuple[Integers | None, int]:
    """The numbers of a file's rows, None where they are 0, 1, 2 …, and the next one that is free."""
    text = (schema.metadata or {}).get(KEY)
    if text is None:
        return None, rows
    try:
        known = json.loads(text)
        numbers = unpacked(base64.b64decode(known["rows"]), rows)
        following = int(known["next"])
    except (ValueError, KeyError, TypeError, OverflowError, zlib.error):
        return None, rows
    # Anybody may upload a file that says so.
    fits = len(numbers) == rows and (rows == 0 or (numbers[0] >= 0 and (np.diff(numbers) > 0).all()))
    if not fits or not (numbers[-1] if rows else -1) < following <= NUMBERS - rows:
        return None, rows
    return numbers, following


def footer(numbers: Integers, following: int) -> dict[bytes, bytes]:
    """What a file says of the numbers of its rows; see `numbers_in`."""
    return {KEY: json.dumps({"rows": base64.b64encode(packed(numbers)).decode(), "next": following}).encode()}
