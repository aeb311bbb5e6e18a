"""One worker process: it owns some nodes of a compute, gives each its partition and runs the function on it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import random
import signal
import sys
import threading
import time
import uuid
from typing import Any

from .functions import FunctionError, load_function, user_traceback
from .memory import memory_limit
from .params import make_params
from .pickles import HINT
from .values import NotCarriableError, encode

__all__ = ["Program", "begin", "hello", "run_node"]

NODE_MARK = b"\0node "


class Program:
    """What the host was told at start; workers inherit it when they are forked."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.parts: list[list[dict[str, Any]]] = config["parts"]
        self.files: list[list[str]] = config["files"]
        self.results: str = config["results"]
        self.scratch: str = config["scratch"]
        self.memory: int | None = config["memory"]
        self.limit: int = config["limit"]
        self.gpus: list[str] | None = config["gpus"]


_program: Program
_handler: _Stderr


def begin(program: Program, slot: int, output: int, close: list[int]) -> None:
    """Make a freshly forked process a worker: its own standard streams, GPU, seed, and an end with its host's."""
    global _program
    _program = program
    if sys.platform == "linux":
        # A host that is killed takes its workers along, whatever they are doing.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in [nothing, output, *close]:
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    _log_to_stderr()
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # forked workers would all draw the same numbers
    os.environ["CUDA_VISIBLE_DEVICES"] = program.gpus[slot % len(program.gpus)] if program.gpus else ""
    import multiprocessing

    # Pool workers are daemonic, which would forbid the function to start processes of its own.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes records where prints go, and tells when a marked one has come through."""

    mark = "ellipsis_node.mark"

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.settled = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == self.mark:
            self.settled.set()
        else:
            super().emit(record)


def _log_to_stderr() -> None:
    """Records of the function's own loggers join its prints; those of processes that it forks come whole, too."""
    global _handler
    _handler = handler = _Stderr()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)

    def before_fork() -> None:
        # A pipe keeps only short writes whole; from here on one thread writes for all of this node's processes.
        from multiprocessing_logging import MultiProcessingHandler

        if root.handlers == [handler]:
            root.handlers[:] = [MultiProcessingHandler("node", sub_handler=handler)]

    os.register_at_fork(before=before_fork)


def hello() -> int:
    """Answered by a worker that is ready: its process id."""
    return os.getpid()


def run_node(execution: int, node: int, function: dict[str, Any], large: bool) -> tuple[dict[str, Any], bytes]:
    """Run the function on one partition.

    Returns the outcome as a header and, for a small result, the encoded value. A header's `state` is `completed`, or
    `failed` with `kind` ('exception', 'result', 'memory', 'storage') and the text for the user.
    """
    os.write(1, NODE_MARK + f"{execution} {node}\n".encode())
    started = time.perf_counter()
    try:
        with memory_limit(_program.memory):
            header, payload = _run(node, function, large)
    except MemoryError:
        header, payload = {"state": "failed", "kind": "memory", "text": user_traceback(3)}, b""
    except NotCarriableError as error:
        header, payload = {"state": "failed", "kind": "result", "text": str(error)}, b""
    except OSError as error:
        header, payload = {"state": "failed", "kind": "storage", "text": f"{type(error).__name__}: {error}"}, b""
    except FunctionError as error:
        header, payload = {"state": "failed", "kind": "exception", "text": error.args[0]}, b""
    _end_output()
    header["node"], header["seconds"] = node, time.perf_counter() - started
    return header, payload


def _run(node: int, function: dict[str, Any], large: bool) -> tuple[dict[str, Any], bytes]:
    call = load_function(function)
    params = make_params(_program.parts[node] if _program.parts else [], _program.files)
    os.chdir(_program.scratch)
    try:
        value = call(params)
    except MemoryError:
        raise
    except SystemExit as error:
        raise FunctionError(f"the function ended its interpreter with sys.exit({error.code!r})") from None
    except BaseException as error:  # noqa: BLE001 - told to the caller
        # Our own frame, and the line that wraps the text.
        text = user_traceback(2 if function["kind"] == "source" and function.get("wrapped", True) else 1)
        if function["kind"] == "dill" and isinstance(error, SystemError):
            text += "\n" + HINT
        raise FunctionError(text) from None
    if large:
        return _keep_file(value), b""
    if _memory_file(value) is not None and not isinstance(value, (bytes, bytearray)):
        raise NotCarriableError(
            f"the function returned a memory file ({type(value).__name__}); create the compute with largeResult=True"
        )
    data = encode(value)
    if len(data) > _program.limit:
        raise NotCarriableError(
            f"the result takes {len(data):,} bytes, and a small result may take {_program.limit:,}; create the compute "
            "with largeResult=True and return a memory file (BytesIO), or return less"
        )
    return {"state": "completed", "size": len(data)}, data


def _end_output() -> None:
    """See to it that all that the function wrote and logged is in the pipe before the next node's mark."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    for handler in logging.getLogger().handlers:
        if type(handler).__name__ == "MultiProcessingHandler":
            _handler.settled.clear()
            handler.emit(logging.makeLogRecord({"name": _Stderr.mark}))
            _handler.settled.wait(5)


# --- large results --------------------------------------------------------------------------------------------------


def _memory_file(value: Any) -> Any:
    """The bytes of a memory file, wherever its position is; None for anything else."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value
    if isinstance(value, io.BytesIO):
        return value.getbuffer()
    if type(value).__name__ in ("MemoryFile", "ZipMemoryFile") and type(value).__module__ == "rasterio.io":
        value.seek(0)
        return value.read()
    return None


def _keep_file(value: Any) -> dict[str, Any]:
    data = _memory_file(value)
    if data is None:
        raise NotCarriableError(
            "with largeResult=True the function must return a memory file (BytesIO, bytes, rasterio's MemoryFile), "
            f"and it returned {type(value).__module__}.{type(value).__qualname__}; largeResult=False takes small values"
        )
    name = str(uuid.uuid4())
    target = os.path.join(_program.results, name)
    draft = target + ".new"
    try:
        with open(draft, "wb") as file:
            file.write(data)
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    return {"state": "completed", "size": len(data), "file": name}
