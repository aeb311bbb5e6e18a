"""What is taken for names, passwords, lives of tokens and access lists: ArgumentError for anything else."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Mapping
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, NotEmulatedError

MOST_NAME = 254
MOST_PASSWORD = 1024
MOST_TEXT = 1000
MOST_SECONDS = 100 * 366 * 86400
MOST_LOGIN_SECONDS = 5_184_000
"""60 days: the most that the service takes at a login (seen in scripts)."""
MOST_PATHS = 1000
MOST_LEVEL = 1000
"""Above every access level that is known."""
TIERS = {
    "none": 0, "view": 100, "viewPlus": 200, "view+": 200, "share": 250, "edit": 300, "editPlus": 600, "edit+": 600,
    "admin": 900,
}  # fmt: skip
"""Access tiers (their names and order are documented) as access levels (which level is which tier is our choice)."""
ACCESS = ("accessLevel", "accessTier", "processingUnits", "canShare", "monthlyFee", "geoFence")
"""The properties of an access object (documented, in several versions of the documentation)."""
CAN_COMPUTE = "canCompute"
"""Of an access token's entries alone: the token may run code (our choice; the service has no such property)."""
MOST_AMOUNT = 10**15
BREAKS = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, lone surrogates and line ends: none belongs into a line of a log."""


def _too_long(argument: str, value: str, most: int) -> ArgumentError:
    return invalid(argument, value, f"must be at most {most} characters long, not {len(value)}")


def canonical(argument: str, value: Any) -> str:
    """An id in its canonical spelling."""
    return str(uuid.UUID(arguments.uuid_text(argument, value)))


def checked_name(value: Any, argument: str = "username", *, most: int = MOST_NAME) -> str:
    """A name: not blank, at most 254 characters, none of them a control character."""
    name = arguments.string(argument, value)
    if not name.strip():
        raise ArgumentError(f"{argument} must not be empty", argument=argument, value=name)
    if len(name) > most:
        raise _too_long(argument, name, most)
    if any(unicodedata.category(character) in BREAKS for character in name):
        raise invalid(argument, name, f"must not hold control characters or line ends, as {name!r} does")
    return name


def normal_name(name: str) -> str:
    """A user's name as it is kept: what letters look like, and not how they were typed (NFKC)."""
    return unicodedata.normalize("NFKC", name)


def checked_password(value: Any, argument: str = "password") -> str:
    """A password: 1 to 1024 characters. The errors do not show it."""
    if type(value) is not str:
        raise ArgumentError(f"{argument} must be of type string, not {type(value).__name__}", argument=argument)
    if not value:
        raise ArgumentError(f"{argument} must not be empty", argument=argument)
    if len(value) > MOST_PASSWORD:
        raise ArgumentError(
            f"{argument} must be at most {MOST_PASSWORD} characters long, not {len(value)}", argument=argument
        )
    return value


def checked_text(argument: str, value: Any, most: int = MOST_TEXT) -> str:
    """A text that can be kept: at most `most` characters, and encodable."""
    text = arguments.string(argument, value)
    if len(text) > most:
        raise _too_long(argument, text, most)
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise ArgumentError(f"{argument} is no valid text: {text!r}", argument=argument, value=text)
    return text


def checked_valid_for(value: Any, most: int = MOST_SECONDS) -> int | None:
    """Seconds that a token lives; None: for ever."""
    seconds = arguments.integer("validFor", value)
    if seconds is not None and not 0 < seconds <= most:
        text = f"must be a positive number of seconds, at most {most}, not {str(seconds)[:80]}"
        raise invalid("validFor", seconds, f"{text}; leave it out for a token that does not expire")
    return seconds


def checked_access(argument: str, value: Any, *, partial: bool = False) -> dict[str, Any]:
    """An access object (its properties are documented), with `accessTier` as `accessLevel`; `partial`: without any.

    `processingUnits`, `monthlyFee` and `canShare` are kept and have no effect (our choice).
    """
    if not isinstance(value, Mapping):
        raise invalid(argument, value, f"must be a dictionary with accessLevel, not {type(value).__name__}")
    given = {key: item for key, item in value.items() if item is not None}
    if unknown := [str(key)[:80] for key in given if key not in ACCESS]:
        raise invalid(argument, value, f"has an unknown property {unknown[0]!r}; it takes {', '.join(ACCESS)}")
    level = _level(argument, given)
    if level is None and not partial:
        raise ArgumentError(f"{argument} must have a property accessLevel of type int", argument=argument, value=value)
    found: dict[str, Any] = {} if level is None else {"accessLevel": level}
    for key in ("processingUnits", "monthlyFee"):
        if key in given:
            found[key] = _amount(f"{argument}.{key}", given[key])
    if "canShare" in given:
        found["canShare"] = arguments.boolean(f"{argument}.canShare", given["canShare"])
    if not isinstance(given.get("geoFence", {}), Mapping):
        raise ArgumentError(f"{argument}.geoFence must be a dictionary", argument=argument, value=value)
    if given.get("geoFence"):
        # Kept without effect it would give more than was meant.
        raise NotEmulatedError(f"{argument}.geoFence is not emulated; give access without it")
    return found


def _amount(argument: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_AMOUNT:
        raise invalid(argument, value, f"must be a number from 0 to {MOST_AMOUNT:.0e}, not {value!r:.80}")
    return value


def _level(argument: str, given: Mapping[str, Any]) -> int | None:
    level = arguments.integer(f"{argument}.accessLevel", given.get("accessLevel"))
    if level is not None and not 0 <= level <= MOST_LEVEL:
        text = f"{argument}.accessLevel must be 0 to {MOST_LEVEL}, not {str(level)[:80]}"
        raise ArgumentError(text, argument=argument, value=level)
    if "accessTier" not in given:
        return level
    tier = arguments.string(f"{argument}.accessTier", given["accessTier"])
    if tier not in TIERS:
        text = f"{argument}.accessTier must be one of {', '.join(TIERS)}, not {tier[:80]!r}"
        raise ArgumentError(text, argument=argument, value=tier)
    if level is not None and level != TIERS[tier]:
        text = f"has accessLevel {level}, and accessTier {tier!r}, which is {TIERS[tier]}: give one of them"
        raise invalid(argument, dict(given), text)
    return TIERS[tier]


def checked_access_list(value: Any) -> list[dict[str, Any]]:
    """Per path ``{'pathId': uuid, 'access': {…}}`` (seen in scripts), or the same beside pathId (documented).

    With `canCompute` in one of them the token may create, execute and terminate computes (our choice).
    """
    entries = arguments.dict_list("accessList", value)
    if len(entries) > MOST_PATHS:
        text = f"accessList must have at most {MOST_PATHS} entries, not {len(entries)}; give access to a folder"
        raise ArgumentError(text, argument="accessList")
    found: dict[str, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        name = f"accessList[{index}]"
        given = {key: item for key, item in entry.items() if key != "pathId"}
        nested = set(given) == {"access"}
        access, place = given["access"] if nested else given, f"{name}.access" if nested else name
        computes = access.get(CAN_COMPUTE) if isinstance(access, Mapping) else None
        if computes is not None:
            computes = arguments.boolean(f"{place}.{CAN_COMPUTE}", computes)
            access = {key: item for key, item in access.items() if key != CAN_COMPUTE}
        access = checked_access(place, access) | ({} if computes is None else {CAN_COMPUTE: computes})
        path_id = canonical(f"{name}.pathId", entry.get("pathId"))
        if path_id in found:
            raise ArgumentError(f"{name}: pathId {path_id} is there twice", argument="accessList", value=value)
        found[path_id] = {"pathId": path_id, "access": access}
    return list(found.values())
