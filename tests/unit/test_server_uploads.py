"""Multipart bodies: what is taken, what is refused, and that nothing stays behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from ellipsis_local.errors import ArgumentError, LimitError
from ellipsis_local.home import Home
from ellipsis_local.server.uploads import MAX_FIELD, received

BOUNDARY = "b0undary"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"' + (
        f'; filename="{filename}"' if filename is not None else ""
    )
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + value + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def upload(
    home: Path, data: bytes, *, limit: int = 10**6, content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
    chunk: int = 7, headers: tuple[tuple[bytes, bytes], ...] = (), drop: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What `received` gives, with the file's content; the folder must be empty afterwards."""
    place = Home(home)
    place.prepare()
    chunks = [data[i : i + chunk] for i in range(0, len(data), chunk)]

    async def receive() -> dict[str, Any]:
        if not chunks:
            return {"type": "http.disconnect"} if drop else {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": True}

    async def run() -> dict[str, Any]:
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"",
                 "headers": [(b"content-type", content_type.encode()), *headers]}  # fmt: skip
        async with received(Request(scope, receive), place, limit) as got:
            assert got.taken.parent.parent == place.layers
            return {"fields": got.fields, "name": got.file_name, "data": got.taken.read_bytes(), "path": got.taken}

    try:
        return asyncio.run(run())
    finally:
        assert list(place.layers.iterdir()) == []


@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_a_file_and_fields(tmp_path: Path, chunk: int) -> None:
    data = bytes(range(256)) * 30
    got = upload(tmp_path, body(part("name", "höhe".encode()), part("data", data, "a.tif")), chunk=chunk)
    assert got["fields"] == {"name": "höhe"}
    assert got["data"] == data
    assert got["name"] == "a.tif"


@pytest.mark.parametrize("name", ["../../evil.tif", "/etc/passwd", "a\\..\\b.tif", "x" * 3000, "", "con.tif", "a\x00b"])
def test_names_never_reach_the_file_system(tmp_path: Path, name: str) -> None:
    got = upload(tmp_path, body(part("data", b"x", name)))
    assert got["path"].parent.parent == tmp_path / "layers"
    assert got["path"].name == "data"


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    assert upload(tmp_path, body(part("data", b"", "a")))["data"] == b""


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (part("data", b"half", "a.tif"), "truncated"),
        (body(part("data", b"x", "a.tif"))[:-4], "truncated"),
        (b"not multipart at all", "no multipart form"),
        (body(part("name", b"x")), "'data' with the file is missing"),
        (body(part("data", b"x")), "'data' with the file is missing"),
        (body(part("data", b"x", "a"), part("data", b"y", "b")), "two parts"),
        (body(part("name", b"\xff\xfe"), part("data", b"x", "a")), "not UTF-8"),
        (body(part("data", b"x", "a"))[:20], "truncated"),
        (b"", "truncated"),
    ],
)
def test_bad_forms(tmp_path: Path, data: bytes, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        upload(tmp_path, data)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "", "multipart/mixed; boundary=b"])
def test_other_content_types(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(ArgumentError, match="multipart/form-data"):
        upload(tmp_path, body(part("data", b"x", "a")), content_type=content_type)


def test_limits(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="larger than"):
        upload(tmp_path, body(part("data", b"x" * 5000, "a")), limit=1000, chunk=100)
    with pytest.raises(LimitError, match="--max-upload"):
        upload(tmp_path, b"", limit=1000, headers=((b"content-length", b"1001"),))
    with pytest.raises(LimitError, match="fields"):
        upload(tmp_path, body(*(part(f"f{i}", b"x") for i in range(40)), part("data", b"x", "a")))
    with pytest.raises((LimitError, ArgumentError), match="header|form"):
        upload(tmp_path, body(part("x" * 100_000, b"x"), part("data", b"x", "a")))
    with pytest.raises(LimitError, match="name has more than"):
        upload(tmp_path, body(part("name", b"x" * (MAX_FIELD + 1))), limit=10**8, chunk=10**6)


def test_a_client_that_vanishes_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="ended before its end"):
        upload(tmp_path, part("data", b"x" * 3_000_000, "a"), limit=10**8, chunk=10**5, drop=True)
