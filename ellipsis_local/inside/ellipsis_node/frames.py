"""Messages on a pipe: a JSON header and, where it needs one, a binary payload."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

__all__ = ["read_frame", "write_frame"]

LENGTHS = struct.Struct("<II")


def write_frame(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message and flush it."""
    text = json.dumps(header, separators=(",", ":")).encode()
    stream.write(LENGTHS.pack(len(text), len(payload)) + text + payload)
    stream.flush()


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other end of the pipe is gone")
    return data


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read one message; EOFError where the other end is gone."""
    text, payload = LENGTHS.unpack(_exactly(stream, LENGTHS.size))
    header: dict[str, Any] = json.loads(_exactly(stream, text))
    return header, _exactly(stream, payload) if payload else b""
