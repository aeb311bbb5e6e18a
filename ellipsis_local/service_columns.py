"""How long a text may be in the service's own tables, which are known from its published schema."""

from __future__ import annotations

from ellipsis_local.errors import FidelityError, FidelityWarning
from ellipsis_local.notices import warn

LENGTHS = {
    "the name of a path": 250,
    "the description of a path": 2500,
    "the description of a timestamp": 255,
    "the name of a raster file": 256,
    "the name of a vector file": 120,
    "the name of a band": 50,
    "the name of a property": 200,
    "a hashtag": 50,
    "an e-mail address": 128,
    "the description of an access token": 100,
    "the interpreter of a compute": 32,
    "the requirements of a compute, all lines together": 2048,
    "the message of a compute": 512,
    "the message of a raster file": 512,
    "the message of a vector file": 5000,
}
"""Characters per column (seen in its schema; that it refuses what is longer is our reading)."""


def check_length(column: str, argument: str, text: object, *, strict: bool) -> None:
    """Warn of a text that is longer than the service's column, or with `strict` raise a FidelityError; what is no text
    is for others to refuse."""
    most = LENGTHS[column]
    if not isinstance(text, str) or len(text) <= most:
        return
    told = f"{argument} has {len(text):,} characters, and the service's column for {column} holds {most:,}: shorten it"
    if strict:
        raise FidelityError(f"{told} (strict)")
    warn(told, FidelityWarning)


def cut_to(column: str, text: str, whole: str) -> str:
    """As much of a text as the service's column holds, with a mark that names where the `whole` is."""
    most = LENGTHS[column]
    if len(text) <= most:
        return text
    mark = f"… [{len(text):,} characters, cut at {most}; all of it: {whole}]"
    return text[: most - len(mark)] + mark
