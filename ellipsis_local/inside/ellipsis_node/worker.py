"""One worker process: it owns some nodes of a compute, gives each its partition and runs the function on it."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import io
import linecache
import logging
import mmap
import os
import random
import signal
import sys
import threading
import time
import traceback
import uuid
from typing import Any, Callable

from ellipsis_node.values import NotCarriableError, encode

__all__ = ["Program", "begin", "hello", "run_node"]

NODE_MARK = b"\0node "
MEMORY_EXIT = 77
"""Exit code of a worker that its own watch ended for exceeding node_memory."""


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
_functions: dict[str, Callable[[Any], Any]] = {}
_frames: dict[str, Any] = {}


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
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    _log_to_stderr()
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # forked workers would all draw the same numbers
    os.environ["CUDA_VISIBLE_DEVICES"] = program.gpus[slot % len(program.gpus)] if program.gpus else ""
    import multiprocessing

    # Pool workers are daemonic, which would forbid the function to start processes of its own.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def _log_to_stderr() -> None:
    """Records of the function's own loggers join its prints; those of processes that it forks come whole, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
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
        with _memory_limit():
            header, payload = _run(node, function, large)
    except MemoryError:
        header, payload = {"state": "failed", "kind": "memory", "text": _traceback(3)}, b""
    except NotCarriableError as error:
        header, payload = {"state": "failed", "kind": "result", "text": str(error)}, b""
    except OSError as error:
        header, payload = {"state": "failed", "kind": "storage", "text": f"{type(error).__name__}: {error}"}, b""
    except _FunctionError as error:
        header, payload = {"state": "failed", "kind": "exception", "text": error.args[0]}, b""
    _end_output()
    header["node"], header["seconds"] = node, time.perf_counter() - started
    return header, payload


class _FunctionError(Exception):
    """The caller's function raised; the text is its traceback, without our own frames."""


def _run(node: int, function: dict[str, Any], large: bool) -> tuple[dict[str, Any], bytes]:
    call = _function(function)
    params = _params(node)
    os.chdir(_program.scratch)
    try:
        value = call(params)
    except MemoryError:
        raise
    except SystemExit as error:
        raise _FunctionError(f"the function ended its interpreter with sys.exit({error.code!r})") from None
    except BaseException:
        # Our own frame, and the line that wraps the text.
        raise _FunctionError(_traceback(2 if function["kind"] == "source" else 1)) from None
    if large:
        return _keep_file(value), b""
    if _memory_file(value) is not None and not isinstance(value, (bytes, bytearray)):
        raise NotCarriableError(
            f"the function returned a memory file ({type(value).__name__}); create the compute with largeResult=True"
        )
    data = encode(value)
    if len(data) > _program.limit:
        raise NotCarriableError(
            f"the result takes {len(data):,} bytes, and a small result may take {_program.limit:,}; create the compute with "
            "largeResult=True and return a memory file (BytesIO), or return less"
        )
    return {"state": "completed", "size": len(data)}, data


def _traceback(skip: int) -> str:
    """The exception being handled, from the user's frames on."""
    kind, error, trace = sys.exc_info()
    assert kind is not None and error is not None
    for _ in range(skip):
        if trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
    lines = traceback.format_exception(kind, error.with_traceback(trace), trace, chain=True)
    return "".join(lines).strip()


def _end_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


# --- the function ---------------------------------------------------------------------------------------------------


def _function(description: dict[str, Any]) -> Callable[[Any], Any]:
    key = description["key"]
    if key not in _functions:
        _functions.clear()
        if description["kind"] == "pickle":
            import base64

            import cloudpickle

            try:
                _functions[key] = cloudpickle.loads(base64.b64decode(description["pickle"]))
            except BaseException:
                raise _FunctionError(_traceback(1)) from None
        else:
            _functions[key] = _compile(description)
    return _functions[key]


def _compile(description: dict[str, Any]) -> Callable[[Any], Any]:
    """The text that the service gets, compiled so that tracebacks point into the file it was written in."""
    text, name, first = description["text"], description["filename"], description["line"]
    scope: dict[str, Any] = {"__name__": "userFunction", "__builtins__": __builtins__}
    try:
        tree = ast.parse(text)
        # The text starts with one line of its own, before the first line of the function.
        for node in ast.walk(tree):
            if hasattr(node, "lineno"):
                node.lineno = max(1, node.lineno + first - 2)
                node.end_lineno = max(1, (getattr(node, "end_lineno", None) or node.lineno) + first - 2)
        lines = [""] * (first - 1) + [line + "\n" for line in description["source"].splitlines()]
        linecache.cache[name] = (len(description["source"]), None, lines, name)
        exec(compile(tree, name, "exec", dont_inherit=True), scope)
    except BaseException:
        raise _FunctionError(_traceback(1)) from None
    function: Callable[[Any], Any] = scope["userFunction"]
    return function


# --- what it receives -----------------------------------------------------------------------------------------------


def _params(node: int) -> dict[str, Any]:
    """What the function receives: fresh values, so that what one call changes the next does not see."""
    params: dict[str, Any] = {}
    for part in _program.parts[node] if _program.parts else []:
        params[part["id"]] = _raster(part) if part["type"] == "raster" else _vector(part)
    for path_id, location in _program.files:
        with open(location, "rb") as file:
            params[path_id] = io.BytesIO(file.read())
    return params


def _raster(part: dict[str, Any]) -> dict[str, Any]:
    import affine
    import numpy

    shape, dtype = tuple(part["shape"]), numpy.dtype(part["dtype"])
    if 0 in shape:
        raster = numpy.empty(shape, dtype)
    else:
        with open(part["path"], "rb") as file:
            # Copy on write: nothing is read before it is used, and no write reaches the file.
            mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        raster = numpy.ndarray(shape, dtype, mapped, part["offset"])
    nodata = part["nodata"]
    return {
        "raster": raster,
        "transform": affine.Affine(*part["transform"]),
        "extent": dict(part["extent"]),
        "crs": part["crs"],
        "nodata": float("nan") if nodata == "nan" else nodata,
    }


def _vector(part: dict[str, Any]) -> Any:
    """A copy of the node's frame; the frame itself stays, because reading costs a hundred times the copy."""
    import geopandas

    frame = _frames.get(part["path"])
    if frame is None:
        frame = _frames[part["path"]] = geopandas.read_parquet(part["path"])
    copy = frame.copy()
    for name in copy.columns:
        # A copied column of objects still shares its lists and dicts.
        if copy[name].dtype == object and any(isinstance(item, (list, dict, set)) for item in copy[name]):
            import copy as copies

            copy[name] = [copies.deepcopy(item) for item in copy[name]]
    object.__setattr__(copy, "_answers_vector", True)
    return copy


def answer_vector() -> None:
    """Let the frames that functions receive answer ``['vector']`` with themselves.

    Scripts write both ``params[id]`` and ``params[id]['vector']``, and the client's validators accept nothing but exactly
    a GeoDataFrame, so that a subclass is no way.
    """
    import geopandas

    original = geopandas.GeoDataFrame.__getitem__

    def get_item(self: Any, key: Any) -> Any:
        if isinstance(key, str) and key == "vector" and getattr(self, "_answers_vector", False):
            if "vector" not in self.columns:
                return self
        return original(self, key)

    geopandas.GeoDataFrame.__getitem__ = get_item


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
            f"with largeResult=True the function must return a memory file (BytesIO, bytes or rasterio's MemoryFile), and it "
            f"returned {type(value).__module__}.{type(value).__qualname__}; use largeResult=False for small values"
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


# --- memory ---------------------------------------------------------------------------------------------------------


def _data_bytes() -> int:
    """Bytes of private, writable memory: what RLIMIT_DATA counts."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * mmap.PAGESIZE
    except OSError:
        return 0


@contextlib.contextmanager
def _memory_limit() -> Any:
    limit = _program.memory
    if limit is None:
        yield
        return
    import resource

    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        return
    # Elsewhere the kernel does not keep to such a limit: a thread watches, and ends the process.
    stop = threading.Event()
    unit = 1 if sys.platform == "darwin" else 1024
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def watch() -> None:
        while not stop.wait(0.05):
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit > start + limit:
                os._exit(MEMORY_EXIT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
