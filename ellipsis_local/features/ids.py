"""Ids of features: the file that a feature is in, and its number there, in one UUID that can be read back.

A UUID of version 8 (RFC 9562: made as the application likes). The first half comes from the file's id, the second is
the number. So the features of a file that was uploaded have ids without anything being written, an id leads to its
feature without an index of all ids, and it stays whatever happens to other features.

    3f2a9c1e-77b0-8d21-8000-0000000001a4
    └─ of the file ─┘  └── number 420 ─┘
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID, uuid5

__all__ = ["NUMBERS", "feature_id", "feature_ids", "parted", "stem"]

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
    """The ids of several features of one file."""
    first = stem(file_id)
    return [feature_id(first, number) for number in numbers]


def parted(canonical: str) -> tuple[str, int] | None:
    """The stem and the number of an id in its canonical form; None where it is no id of a feature."""
    number = int(canonical[19:23] + canonical[24:], 16) - VARIANT
    if canonical[14] != "8" or not 0 <= number < NUMBERS:
        return None
    return canonical[:18], number
