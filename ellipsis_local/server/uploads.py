"""Uploads, straight to disk: the file is the part `data`, other fields are text or JSON (seen in the client)."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread
import orjson
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, LimitError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.server.wire import announced_size

MAX_FIELDS = 32
MAX_FIELD = 1024**2
MAX_HEADER = 8192
MAX_HEADERS = 8
"""Of one part of a form; older releases of the parser have no limits of their own."""
MAX_BOUNDARY = 200
"""The standard says 70."""
PIECE = 1024**2
"""Bytes that are collected before they are written, each time in a thread."""

FORM = {
    "type": "object",
    "required": ["data", "name"],
    "properties": {
        "data": {"type": "string", "format": "binary"},
        "name": {"type": "string"},
        "format": {"type": "string"},
        "epsg": {"type": "string", "description": "a JSON integer"},
    },
}
DESCRIPTION: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}
"""What the OpenAPI document says of a multipart body, which FastAPI does not see."""


@dataclass
class Upload:
    """What came: one file, and the text of the other fields."""

    taken: Path
    """Where the file lies."""
    file_name: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        return self.fields.get(name)

    def json(self, name: str, kind: type[Any] | tuple[type[Any], ...], what: str) -> Any:
        text = self.fields.get(name)
        if text is None:
            return None
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = text
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise invalid(name, text, f"must be {what}, not {text[:80]!r}")
        return value


@contextlib.asynccontextmanager
async def received(request: Request, home: Home, limit: int) -> AsyncIterator[Upload]:
    """The upload in a request's body; its file vanishes at the end of the block unless the store took it."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ArgumentError("the body must be multipart/form-data, with the file in the part 'data'", argument="data")
    if len(boundary) > MAX_BOUNDARY:
        raise ArgumentError(f"the form's boundary has more than {MAX_BOUNDARY} characters", argument="data")
    if (size := announced_size(request)) > limit:
        raise LimitError(f"the upload has {size:,} bytes, and at most {limit:,} are taken (serve --max-upload)")
    try:
        folder = await anyio.to_thread.run_sync(Home.temporary, home.layers)
    except OSError as error:
        raise StoreError(f"the home cannot be written: {error.strerror}") from error
    try:
        yield await _Receiver(folder, boundary, limit).receive(request)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


class _Receiver:
    """Feeds a body to the parser, piece by piece, in threads: writing may block."""

    def __init__(self, folder: Path, boundary: bytes, limit: int) -> None:
        self.limit = limit
        # The name on disk is ours; what the client calls the file is only text.
        self.upload = Upload(folder / "data")
        self.complete = False
        self.names: set[str] = set()
        self.headers: dict[bytes, bytes] = {}
        self.header = bytearray(), bytearray()
        self.field: tuple[str, bytearray] | None = None
        self.output: BinaryIO | None = None
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self.headers.clear,
                "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
                "on_header_end": self._header,
                "on_headers_finished": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )

    async def receive(self, request: Request) -> Upload:
        size, piece = 0, bytearray()
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > self.limit:
                    raise LimitError(f"the upload is larger than the {self.limit:,} bytes that are taken")
                piece += chunk
                if len(piece) >= PIECE:
                    await anyio.to_thread.run_sync(self._write, bytes(piece))
                    piece.clear()
            await anyio.to_thread.run_sync(self._write, bytes(piece))
        except ClientDisconnect as error:
            raise ArgumentError("the upload ended before its end", argument="data") from error
        finally:
            if self.output is not None:
                # What went wrong is known; a full disk would say it again.
                with contextlib.suppress(OSError):
                    self.output.close()
        if not self.complete:
            raise ArgumentError("the multipart form ends before its last boundary: it is truncated", argument="data")
        if "data" not in self.names or "data" in self.upload.fields:
            raise ArgumentError("the part 'data' with the file is missing", argument="data")
        return self.upload

    def _write(self, data: bytes) -> None:
        try:
            self.parser.write(data)
        except FormParserError as error:
            raise ArgumentError(f"the body is no multipart form: {error}", argument="data") from error
        except OSError as error:
            raise StoreError(f"the upload cannot be written: {error.strerror}") from error

    def _head(self, which: int, data: bytes) -> None:
        self.header[which].extend(data)
        if len(self.header[which]) > MAX_HEADER or len(self.headers) > MAX_HEADERS:
            raise LimitError(f"a part of the form has more than {MAX_HEADERS} headers or one of {MAX_HEADER:,} bytes")

    def _header(self) -> None:
        name, value = self.header
        self.headers[bytes(name).lower()] = bytes(value)
        self.header = bytearray(), bytearray()

    def _begin(self) -> None:
        options = parse_options_header(self.headers.get(b"content-disposition"))[1]
        name = _decoded(options.get(b"name"), "a field's name")
        if name in self.names:
            raise ArgumentError(f"there are two parts {name[:80]!r}; send one", argument=name[:80])
        if len(self.names) == MAX_FIELDS:
            raise LimitError(f"the form has more than {MAX_FIELDS} fields")
        self.names.add(name)
        if name == "data" and b"filename" in options:
            self.upload.file_name = _decoded(options[b"filename"], "filename")
            self.output = self.upload.taken.open("xb")
        else:
            self.field = name, bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.output is not None:
            self.output.write(memoryview(data)[start:end])
        elif self.field is not None:
            name, value = self.field
            if len(value) + end - start > MAX_FIELD:
                raise LimitError(f"{name[:80]} has more than {MAX_FIELD:,} bytes")
            value += data[start:end]

    def _close(self) -> None:
        if self.output is not None:
            self.output.close()
            self.output = None
        elif self.field is not None:
            name, value = self.field
            self.upload.fields[name] = _decoded(bytes(value), name)
            self.field = None

    def _end(self) -> None:
        self.complete = True


def _decoded(value: bytes | None, name: str) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        raise ArgumentError(f"{name[:80]} is not UTF-8", argument=name[:80]) from None
