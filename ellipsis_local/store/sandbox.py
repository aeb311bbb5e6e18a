"""Processes that look at files from elsewhere first, so that a file that crashes or fills its reader harms nobody.

They have limits on memory and seconds, and no network. Questions and answers are JSON lines; `main` gives these.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from ellipsis_local import errors
from ellipsis_local.clocks import monotonic
from ellipsis_local.errors import EllipsisLocalError, LayerError, LimitError, StoreError
from ellipsis_local.notices import held_back, warn
from ellipsis_local.processes import available_cores
from ellipsis_local.raster.opening import OPTIONS
from ellipsis_local.store.formats import Found, Kind
from ellipsis_local.store.records import detail_of
from ellipsis_local.store.staging import FileParcel, Overrides, file_parcel

MEMORY = 4 * 1024**3
"""Bytes that looking at a file may take: a block of 1 GiB, decoded and as it is, and what GDAL keeps."""
SECONDS, BYTES_PER_SECOND = 30.0, 1_000_000
"""CPU time that it may take, and so many bytes for a second more. GeoJSON, read several times, is the slowest."""
IDLE_SECONDS = 60.0
PATIENCE = 5
"""The clock may run so many times as long: other processes are at work, too."""
MOST_IDLE = 2
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from ellipsis_local.store.sandbox import main; main()"
# Drivers that read from the network or from programs: not needed, so not there.
SKIP = (
    "HTTP WMS WCS WMTS OGCAPI EEDA EEDAI PLMOSAIC DAAS STACIT STACTA WFS OAPIF CSW NGW Carto AmigoCloud Elasticsearch "
    "PLSCENES GDALG OGR_VRT GTI ADBC MRF Zarr"
)


class Gone(Exception):  # noqa: N818 - no error: the process had waited long enough
    """The process ended before it had anything to do."""


class Inspector:
    """One process."""

    def __init__(self) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env=environment(),
                bufsize=0,
                start_new_session=True,  # the terminal's Ctrl-C is the caller's to act on
            )
        except OSError as error:
            self.log.close()
            raise StoreError(f"no process that looks at the file can be started: {error}") from error

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to one question; after an error the process is of no use, after Gone it had ended by itself."""
        assert self.process.stdin is not None  # noqa: S101
        assert self.process.stdout is not None  # noqa: S101
        received, end = b"", monotonic() + seconds * PATIENCE
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
        except BrokenPipeError:
            raise Gone from None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                if not selector.select(max(0.0, end - monotonic())):
                    self.process.kill()
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                if not data:
                    raise self.end(seconds)
                received += data
        answer: dict[str, Any] = json.loads(received)
        return answer

    def end(self, seconds: float) -> Exception:
        """What the end of the process in the middle of a question means."""
        code = self.process.wait()
        if code == 0:
            return Gone()
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return LimitError(f"it takes more than {seconds:.0f} s to look at, or too much memory; {WAY_OUT}")
        self.log.seek(max(0, self.log.seek(0, os.SEEK_END) - 2000))
        if b"alloc" in self.log.read():
            return out_of_memory()
        return LayerError(f"it is damaged: reading it ended the reader (signal {-code}); {WAY_OUT}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            if stream is not None:
                stream.close()


WAY_OUT = "write it anew, as a tiled GeoTIFF or a GeoPackage, and in several files where it is large"


def out_of_memory() -> LimitError:
    return LimitError(f"it takes more than {MEMORY:,} bytes of memory to look at; {WAY_OUT}")


def environment() -> dict[str, str]:
    """The caller's, with what keeps GDAL inside the file."""
    options = {name: {True: "YES", False: "NO"}.get(value, str(value)) for name, value in OPTIONS.items()}
    return dict(os.environ) | options | {
        "GDAL_SKIP": SKIP, "OGR_SKIP": SKIP.replace(" ", ","), "GDAL_CACHEMAX": "256", "PROJ_NETWORK": "OFF",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
    }  # fmt: skip


class Inspectors:
    """The processes of one store. Safe to use from several threads; each file has a process to itself."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self._lock = threading.Lock()
        # So many at once, and no more memory than so many may take.
        self._busy = threading.BoundedSemaphore(max(2, available_cores()))
        self._idle: list[Inspector] = []
        self._pid = os.getpid()

    def look(
        self, path: Path, kind: Kind | None, overrides: Overrides, name: str | None, format: str | None
    ) -> FileParcel:
        """The layer in a temporary file of ours, which no library opens in this process; LimitError, LayerError."""
        seconds = self.seconds + path.stat().st_size / BYTES_PER_SECOND
        question = {
            "path": str(path), "kind": kind, "overrides": vars(overrides), "name": name, "format": format,
            "seconds": seconds, "memory": self.memory,
        }  # fmt: skip
        try:
            with self._busy:
                answer = self._ask(question, seconds)
        except (LayerError, LimitError) as error:
            error.args = (f"{path}: {error}",)
            raise
        if "error" in answer:
            raise unpacked(answer["error"])
        for text in answer["notices"]:
            warn(text, errors.LayerWarning)
        detail = detail_of(answer["detail"], None)
        return FileParcel(path, name or path.name, Found(*answer["found"]), (path,), overrides, True, detail)

    def warm(self) -> None:
        """Start a process now, so that the first file does not wait for it."""
        self._given_back(self._taken()[1])

    def _ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        while True:
            fresh, inspector = self._taken()
            try:
                answer = inspector.ask(question, seconds)
            except Gone as error:
                inspector.close()
                if fresh:
                    raise StoreError("the process that looks at files ends at once; see its Python's setup") from error
            except BaseException:
                inspector.close()
                raise
            else:
                self._given_back(inspector)
                return answer

    def _taken(self) -> tuple[bool, Inspector]:
        with self._lock:
            if self._pid != os.getpid():
                # A fork: the processes are the parent's.
                self._idle, self._pid = [], os.getpid()
            while self._idle:
                inspector = self._idle.pop()
                if inspector.process.poll() is None:
                    return False, inspector
                inspector.close()
        return True, Inspector()

    def _given_back(self, inspector: Inspector) -> None:
        with self._lock:
            if len(self._idle) < MOST_IDLE and self._pid == os.getpid():
                self._idle.append(inspector)
                return
        inspector.close()

    def close(self) -> None:
        """End the processes that wait; others end with what they are at. It may be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for inspector in idle:
                inspector.close()


def packed(error: BaseException) -> dict[str, Any]:
    """An error of ours as JSON, anything else as the LayerError that it is for the caller."""
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        error = out_of_memory()
    if not isinstance(error, EllipsisLocalError):
        error = LayerError(f"it cannot be read: {type(error).__name__}: {error}")
    facts = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float | None)}
    return {"kind": type(error).__name__, "text": str(error), "facts": facts}


def unpacked(error: Mapping[str, Any]) -> EllipsisLocalError:
    kind = getattr(errors, error["kind"], LayerError)
    made: EllipsisLocalError = kind(error["text"], **error["facts"])
    return made


def main() -> None:
    """Answer until the caller ends, kills this process, or asks nothing for IDLE_SECONDS."""
    import resource

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
    """Import what such a file may need, before the limits; what rasters do not need takes most of the memory."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    for library in ("rasterio",) if kind == "raster" else ("rasterio", "pyarrow.parquet", "pyogrio.raw"):
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
    found = [parcel.found.kind, parcel.found.format, parcel.found.member]
    return {"found": found, "detail": detail.to_json(), "notices": [text for text, _ in notices]}


def limit(seconds: float, memory: int) -> None:
    """What the rest may take on top of what this process has taken until now."""
    import resource

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
        overrides = Overrides(**question["overrides"])
        parcel = file_parcel(alone, True, question["kind"], overrides, question["name"], question["format"])
        if parcel.seen is not None:
            return parcel, parcel.seen
        alone = alone.rename(folder / parcel.main)
        return parcel, parcel.inspect(folder, parcel.main, "")
    finally:
        alone.rename(path)
        shutil.rmtree(folder, ignore_errors=True)
