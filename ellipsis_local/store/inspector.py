"""The program of `inspectors`: looks at one file after another, as JSON lines say, and answers in JSON lines.

It ends when its standard input does, which is when the calling process ends, however, or when nothing came for a while.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import selectors
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from ellipsis_local.notices import held_back
from ellipsis_local.store.inspectors import as_answer, packed
from ellipsis_local.store.parcels import Overrides, file_parcel

__all__ = ["main"]

IDLE_SECONDS = 60.0
RASTERS, VECTORS = ("rasterio",), ("pyarrow.parquet", "pyogrio.raw")


def main() -> None:
    """Answer until the caller ends, kills this process, or asks nothing for IDLE_SECONDS."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not come between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        while selector.select(IDLE_SECONDS):
            data = os.read(0, 1 << 16)
            if not data:
                return
            received += data
            while b"\n" in received:
                line, _, received = received.partition(b"\n")
                answers.write(json.dumps(answered(json.loads(line))).encode() + b"\n")
    # Nobody asked. What comes from now on finds a closed pipe or an exit code of 0.
    os._exit(0)


def prepare(kind: str | None) -> None:
    """Import what a file of this kind may need: before the limits, which are for the file.

    What rasters do not need takes more memory than all the rest.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    for library in RASTERS if kind == "raster" else (*RASTERS, *VECTORS):
        importlib.import_module(library)


def answered(question: dict[str, Any]) -> dict[str, Any]:
    """The layer that is in the file, as its parcel and detail, or the error."""
    with held_back() as notices:
        try:
            prepare(question["kind"])
            limit(question["seconds"], question["memory"])
            parcel, detail = look(question)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets to know
            return {"error": packed(error)}
    return as_answer(parcel, detail, [text for text, _ in notices])


def limit(seconds: float, memory: int) -> None:
    """What the rest may take on top of what this process has taken until now."""
    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    # macOS knows no such limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + memory, hard))


def look(question: dict[str, Any]) -> tuple[Any, Any]:
    path = Path(question["path"])
    # Alone in a folder, under the name that it will have: readers look at names, and at what lies beside a file.
    folder = Path(tempfile.mkdtemp(dir=path.parent))
    alone = folder / path.name
    path.rename(alone)
    try:
        parcel = file_parcel(
            alone, True, question["kind"], Overrides(**question["overrides"]), question["name"], question["format"]
        )
        if parcel.seen is not None:
            return parcel, parcel.seen
        alone = alone.rename(folder / parcel.main)
        return parcel, parcel.inspect(folder, parcel.main, "")
    finally:
        alone.rename(path)
        shutil.rmtree(folder, ignore_errors=True)
