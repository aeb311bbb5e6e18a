"""Passwords as hashes: argon2id, and the scrypt hashes of the first release."""

from __future__ import annotations

import functools
import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

TIME_COST, MEMORY_KIB, PARALLELISM = 2, 19 * 1024, 1
"""The least that OWASP's cheat sheet on password storage recommends of argon2id: some 20 ms and 19 MiB a hash."""


CHEAP_TIME_COST, CHEAP_MEMORY_KIB = 1, 8
"""The least that argon2 can: for invented users, who protect nothing."""


@functools.cache
def _hasher(*, cheap: bool = False) -> PasswordHasher:
    from argon2 import PasswordHasher

    if cheap:
        return PasswordHasher(time_cost=CHEAP_TIME_COST, memory_cost=CHEAP_MEMORY_KIB, parallelism=1)
    return PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def hashed(password: str, *, cheap: bool = False) -> bytes:
    """The hash to keep, with its parameters and salt in it."""
    return _hasher(cheap=cheap).hash(_bytes(password)).encode("ascii")


def verified(password: str, salt: bytes, stored: bytes) -> bool:
    """Whether it is the password; `salt` is empty where `stored` holds its own."""
    if salt:
        return secrets.compare_digest(hashlib.scrypt(_bytes(password), salt=salt, n=2**14, r=8, p=1), stored)
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False


def outdated(salt: bytes, stored: bytes) -> bool:
    """Whether the hash should be made anew, now that the password is at hand."""
    return bool(salt) or _hasher().check_needs_rehash(stored)
