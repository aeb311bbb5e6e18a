"""One node's run of the function, in whatever process: what it receives, and what becomes of what it does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import time
import uuid
from dataclasses import replace
from typing import Any, Callable, ContextManager

from .faults import NodeEndedError, faulty
from .functions import FunctionError, load_function, user_traceback
from .memory import memory_limit
from .params import make_params
from .pickles import HINT
from .process_state import draw_anew, numpy_random, working_folder
from .records import SMALL_RESULT_BYTES, Command, NodeConfig, NodeOutcome
from .values import NotCarriableError, encode, memory_file

NODE_MARK = b"\0node "
"""Before a node's output in the stream that `output` reads; execution and node follow, and a line break."""


_NOTHING = contextlib.nullcontext()


def _never() -> bool:
    return False


def run_function(
    config: NodeConfig,
    command: Command,
    node: int,
    *,
    frames: dict[str, Any] | None = None,
    interrupted: Callable[[], bool] = _never,
    around: ContextManager[Any] | None = None,
) -> NodeOutcome:
    """Run the function on one partition.

    `frames` keeps the frames that were read; `interrupted` tells whether an exception is meant for this process and
    not the function's own: it is raised then. `around` is entered for the call alone.
    """
    started, failed = time.perf_counter(), NodeOutcome(node, "failed", None)
    try:
        folders = config.node_folder(command.execution, node), config.spare_folder
        with memory_limit(config.memory_of(node)), working_folder(*folders) as remove:
            outcome = _run(config, command, node, frames, interrupted, around or _NOTHING)
            # That of a node that failed is kept, for whoever looks for the reason.
            if outcome.state != "failed":
                remove()
    except MemoryError:
        outcome = replace(failed, kind="memory", text=user_traceback(3))
    except NodeEndedError as error:
        outcome = replace(failed, kind="died", text=str(error))
    except NotCarriableError as error:
        outcome = replace(failed, kind="result", text=str(error))
    except OSError as error:
        outcome = replace(failed, kind="storage", text=f"{type(error).__name__}: {error}")
    except FunctionError as error:
        outcome = replace(failed, kind="exception", text=error.args[0])
    return replace(outcome, seconds=time.perf_counter() - started)


def _run(
    config: NodeConfig,
    command: Command,
    node: int,
    frames: dict[str, Any] | None,
    interrupted: Callable[[], bool],
    around: ContextManager[Any],
) -> NodeOutcome:
    if config.seed is None:
        draw_anew()
    else:
        seed_node(config.seed, node)
    function, limit = command.function, None if command.large else SMALL_RESULT_BYTES
    call = faulty(load_function(function), function, node, limit, not config.inline)
    kept = frames if config.keeps_frames else {}
    params = make_params(config.parts[node] if config.parts else (), config.files, kept)
    # Not raised: such an error would hold the function's values, and their files, until what it has left is looked for.
    failed = NodeOutcome(node, "failed", None, kind="exception")
    try:
        with around:
            value = call(params)
    except (MemoryError, NodeEndedError):
        raise
    except SystemExit as error:
        return replace(failed, text=f"the function ended its interpreter with sys.exit({error.code!r})")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and interrupted():
            raise
        text = user_traceback(function.outer_frames)
        if function.kind == "dill" and isinstance(error, SystemError):
            text += "\n" + HINT
        return replace(failed, text=text)
    if command.large:
        return _keep_file(value, config, command.execution, node)
    if memory_file(value) is not None and not isinstance(value, (bytes, bytearray)):
        raise NotCarriableError(
            f"the function returned a memory file ({type(value).__name__}); create the compute with largeResult=True"
        )
    data = encode(value, SMALL_RESULT_BYTES)
    return NodeOutcome(node, "completed", None, size=len(data), payload=data)


def _derived(*parts: Any) -> bytes:
    """The same bytes for the same parts, in every process."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()


def seed_node(seed: int, node: int) -> None:
    """Let `random` and `numpy.random` begin where they do for this node, whichever worker it runs on."""
    derived = _derived("node", seed, node)
    random.seed(derived)
    numpy_random().seed(list(derived))


def _keep_file(value: Any, config: NodeConfig, execution: int, node: int) -> NodeOutcome:
    data = memory_file(value)
    if data is None:
        raise NotCarriableError(
            "with largeResult=True the function must return a memory file (BytesIO, bytes, rasterio's MemoryFile), "
            f"and it returned {type(value).__module__}.{type(value).__qualname__}; largeResult=False takes small values"
        )
    if config.seed is None:
        name = str(uuid.uuid4())
    else:
        name = str(uuid.UUID(bytes=_derived("file", config.seed, config.compute, execution, node)[:16], version=4))
    target = os.path.join(config.results, name)
    draft = target + ".new"
    try:
        with open(draft, "wb") as file:
            file.write(data)
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    return NodeOutcome(node, "completed", None, size=len(data), file=name)
