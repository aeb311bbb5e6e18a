"""One file of the service onto the disk: continued where it broke off, and whole or not there.

`target` appears by rename; until then its bytes are in `target`.part, what is known of them in `target`.part.json.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellipsis_local.errors import LayerWarning, StoreError, UpstreamError
from ellipsis_local.notices import warn
from ellipsis_local.progress import Reporter
from ellipsis_local.upstream.http_client import Answer, Client, RetryableError

MARGIN = 64 * 1024**2
"""Bytes that a download leaves free on the disk."""


@dataclass
class _Part:
    """What has come of a file so far."""

    target: Path
    furthest: int = 0
    """The most bytes that there ever were: an attempt beyond them got further."""

    @property
    def path(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def notes(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def noted(self, name: str) -> Any:
        """What was told with the first bytes: `version` (ETag or Last-Modified) and `total` bytes; None where not."""
        try:
            return json.loads(self.notes.read_text(encoding="utf-8")).get(name)
        except (OSError, ValueError, AttributeError):
            return None

    def begin(self, **notes: Any) -> None:
        """Forget the bytes; those to come are of the version in `notes`."""
        self.path.unlink(missing_ok=True)
        self.notes.write_text(json.dumps(notes), encoding="utf-8")


def download(
    client: Client, path: str, target: Path, *, what: str, size: int | None, progress: Reporter, opened: bool = False
) -> None:
    """GET of `path` as the file `target`; nothing happens where that is there already.

    `size` is the number of bytes in the service's list of files. A file that is `opened` later shows then whether it is
    whole: for such a one the length that the answer itself tells is enough, with a LayerWarning, because what a list
    means by size is not documented, and may count more than the one file. UpstreamError for another number of bytes;
    StoreError where the disk is full.
    """
    if target.is_file():
        return
    part = _Part(target)
    part.furthest = part.size

    def attempt() -> None:
        _attempt(client, path, part, what, size, progress)

    try:
        client.persist(what, attempt)
        if size is not None and part.size != size:
            found, known = part.size, part.noted("total")
            text = f"{what} should have {size:,} bytes, as {client.url} lists it, and came with {found:,}"
            if not opened or known != found:
                part.begin()
                raise UpstreamError(
                    f"{text}; nothing of it was added. Pull it again, and tell the owner of the layer if that does not "
                    "help"
                )
            warn(f"{text}, which is all that there is at its address; files beside it may be missing", LayerWarning)
        part.path.touch()
        part.path.replace(target)
        part.notes.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{target.parent} cannot be written: {error.strerror or error}") from error


def _attempt(client: Client, path: str, part: _Part, what: str, size: int | None, progress: Reporter) -> None:
    start = part.size
    # A byte's place means nothing in a compressed answer.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if isinstance(version := part.noted("version"), str):
            headers["If-Range"] = version
    with contextlib.closing(client.open(path, what=what, headers=headers, also=(206, 416))) as answer:
        if answer.status == 416:
            total = total_of(answer.headers.get("Content-Range"))
            if start and total == start:
                return
            part.begin()
            raise RetryableError("the service has no such part of the file")
        if answer.status == 204:
            part.begin()
            return
        start, total = _placed(answer, part, start)
        wanted = size if total is None else total
        check_space(part.target, None if wanted is None else wanted - start)
        _receive(answer, part, start, total, what, size, progress)


def _placed(answer: Answer, part: _Part, start: int) -> tuple[int, int | None]:
    """Where the bytes of an answer belong, and how many the whole file has, if that is told."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        total = None if match is None or match[2] == "*" else int(match[2])
        before = part.noted("total")
        if match is None or int(match[1]) != start or (None not in (total, before) and total != before):
            part.begin()
            raise RetryableError("the service sent another part of the file than was asked for")
        return start, total
    length = answer.headers.get("Content-Length", "")
    encoded = answer.headers.get("Content-Encoding", "identity").lower() != "identity"
    total = int(length) if length.isascii() and length.isdigit() and not encoded else None
    part.begin(version=version_of(answer.headers), total=total)
    return 0, total


def _receive(
    answer: Answer, part: _Part, start: int, total: int | None, what: str, size: int | None, progress: Reporter
) -> None:
    most = max((number for number in (total, size) if number is not None), default=None)
    count = start
    try:
        with part.path.open("ab") as file:
            for chunk in answer.chunks():
                count += len(chunk)
                if most is not None and count > most:
                    break
                file.write(chunk)
                progress.count(f"downloading {what}", count, size if total is None else total, "bytes")
    except RetryableError as error:
        error.further = note(part)
        raise
    if total is not None and count != total:
        if count > total:
            part.begin()
        raise RetryableError(f"{count:,} bytes came of {total:,}", further=note(part))


def note(part: _Part) -> bool:
    """Whether there are more bytes now than there ever were."""
    further = part.size > part.furthest
    part.furthest = max(part.furthest, part.size)
    return further


def version_of(headers: Any) -> str | None:
    """A header that If-Range takes: a strong ETag, or the time of the last change."""
    tag: str | None = headers.get("ETag")
    found: str | None = headers.get("Last-Modified") if tag is None or tag.startswith("W/") else tag
    return found


def total_of(content_range: str | None) -> int | None:
    """The length after the slash of 'bytes */123'."""
    match = re.fullmatch(r"bytes \*/(\d+)", content_range or "")
    return int(match[1]) if match else None


def check_space(target: Path, needed: int | None) -> None:
    """StoreError where the disk has no place for so many bytes."""
    if needed is None:
        return
    free = shutil.disk_usage(target.parent).free
    if free < needed + MARGIN:
        raise StoreError(f"{target.parent} has {free:,} bytes free, and {needed:,} are to come; make room first")
