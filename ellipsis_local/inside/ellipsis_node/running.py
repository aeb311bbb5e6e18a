"""One node's run of the function, in whatever process: what it receives, and what becomes of what it does."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import uuid
from typing import Any, Callable, ContextManager

from .faults import NodeEndedError, faulty
from .functions import FunctionError, load_function, user_traceback
from .memory import memory_limit
from .params import make_params
from .pickles import HINT
from .values import NotCarriableError, encode

__all__ = ["NODE_MARK", "Program", "run_function", "seed_node"]

NODE_MARK = b"\0node "
"""Before a node's output in the stream that `output` reads; execution and node follow, and a line break."""


class Program:
    """What the nodes of a compute were told at start; workers inherit it when they are forked."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.parts: list[list[dict[str, Any]]] = config["parts"]
        self.files: list[list[str]] = config["files"]
        self.results: str = config["results"]
        self.scratch: str = config["scratch"]
        self.memory: int | None = config["memory"]
        self.limit: int = config["limit"]
        self.gpus: list[str] | None = config["gpus"]
        self.seed: int | None = config["seed"]
        self.compute: str = config["compute"]
        self.closed: list[str] = config.get("closed", [])
        """Hosts that the function must not reach; see `offline`."""
        self.inline: bool = config.get("inline", False)
        """Whether this is the caller's own process."""


_NOTHING = contextlib.nullcontext()


def _never() -> bool:
    return False


def run_function(
    program: Program,
    execution: int,
    node: int,
    function: dict[str, Any],
    large: bool,
    *,
    frames: dict[str, Any] | None = None,
    interrupted: Callable[[], bool] = _never,
    around: ContextManager[Any] | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Run the function on one partition.

    Returns the outcome as a header and, for a small result, the encoded value. A header's `state` is `completed`, or
    `failed` with `kind` ('exception', 'result', 'memory', 'storage') and the text for the user.

    `frames` keeps the frames that were read; `interrupted` tells whether an exception is meant for this process and
    not the function's own: it is raised then. `around` is entered for the call alone.
    """
    try:
        with memory_limit(program.memory):
            return _run(program, execution, node, function, large, frames, interrupted, around or _NOTHING)
    except MemoryError:
        return {"state": "failed", "kind": "memory", "text": user_traceback(3)}, b""
    except NodeEndedError as error:
        return {"state": "failed", "kind": "died", "text": str(error)}, b""
    except NotCarriableError as error:
        return {"state": "failed", "kind": "result", "text": str(error)}, b""
    except OSError as error:
        return {"state": "failed", "kind": "storage", "text": f"{type(error).__name__}: {error}"}, b""
    except FunctionError as error:
        return {"state": "failed", "kind": "exception", "text": error.args[0]}, b""


def _run(
    program: Program,
    execution: int,
    node: int,
    function: dict[str, Any],
    large: bool,
    frames: dict[str, Any] | None,
    interrupted: Callable[[], bool],
    around: ContextManager[Any],
) -> tuple[dict[str, Any], bytes]:
    if program.seed is not None:
        seed_node(program.seed, node)
    limit = None if large else program.limit
    call = faulty(load_function(function), function, node, limit, not program.inline)
    params = make_params(program.parts[node] if program.parts else [], program.files, frames)
    os.chdir(program.scratch)
    try:
        with around:
            value = call(params)
    except (MemoryError, NodeEndedError):
        raise
    except SystemExit as error:
        raise FunctionError(f"the function ended its interpreter with sys.exit({error.code!r})") from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and interrupted():
            raise
        # Our own frame, and the line that wraps the text.
        text = user_traceback(2 if function["kind"] == "source" and function.get("wrapped", True) else 1)
        if function["kind"] == "dill" and isinstance(error, SystemError):
            text += "\n" + HINT
        raise FunctionError(text) from None
    if large:
        return _keep_file(value, program, execution, node), b""
    if _memory_file(value) is not None and not isinstance(value, (bytes, bytearray)):
        raise NotCarriableError(
            f"the function returned a memory file ({type(value).__name__}); create the compute with largeResult=True"
        )
    data = encode(value)
    if len(data) > program.limit:
        raise NotCarriableError(
            f"the result takes {len(data):,} bytes, and a small result may take {program.limit:,}; create the compute "
            "with largeResult=True and return a memory file (BytesIO), or return less"
        )
    return {"state": "completed", "size": len(data)}, data


# --- the setting `seed` ---------------------------------------------------------------------------------------------


def _derived(*parts: Any) -> bytes:
    """The same bytes for the same parts, in every process."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()


def seed_node(seed: int, node: int) -> None:
    """Let `random` and `numpy.random` begin where they do for this node, whichever worker it runs on."""
    import numpy.random

    derived = _derived("node", seed, node)
    random.seed(derived)
    numpy.random.seed(list(derived))


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


def _keep_file(value: Any, program: Program, execution: int, node: int) -> dict[str, Any]:
    data = _memory_file(value)
    if data is None:
        raise NotCarriableError(
            "with largeResult=True the function must return a memory file (BytesIO, bytes, rasterio's MemoryFile), "
            f"and it returned {type(value).__module__}.{type(value).__qualname__}; largeResult=False takes small values"
        )
    if program.seed is None:
        name = str(uuid.uuid4())
    else:
        name = str(uuid.UUID(bytes=_derived("file", program.seed, program.compute, execution, node)[:16], version=4))
    target = os.path.join(program.results, name)
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
