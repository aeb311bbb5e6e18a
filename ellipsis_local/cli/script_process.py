"""The process of `ellipsis-local run`: the script as Python runs it, but that `import ellipsis` is the local one."""

from __future__ import annotations

import builtins
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

import ellipsis_local
from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.tracebacks import hide_ours, is_ours

PACKAGE = str(Path(ellipsis_local.__file__).parent)
INTERRUPTED = 130


def command(script: Path, arguments: Sequence[str], given: Mapping[str, Any], nodes: int | None) -> list[str]:
    """How to start it: with settings, and for createCompute a number of nodes in the place of the script's."""
    # Before anything is imported: the working directory, which Python would look into first, may hold a json.py. The
    # script's folder takes the place of the first entry, as it has with `python script.py`.
    paths = [str(Path(PACKAGE).parent), *sys.path[0 if sys.flags.safe_path else 1 :]]
    order = str(script), [*arguments], dict(given), nodes
    return [sys.executable, "-c", f"import sys; sys.path[:] = {paths!r}\nfrom {__name__} import run\nrun(*{order!r})"]


def run(script: str, arguments: list[str], given: Mapping[str, Any], nodes: int | None) -> NoReturn:
    """Run it, and end the process as Python would."""
    from ellipsis_local.mocking.activation import Activation, Plan

    path = os.path.abspath(script)  # noqa: PTH100 - as Python does, links are not followed
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __builtins__=builtins, __cached__=None)
    # What belongs to other modules of ours is imported by now, or found by the package's own path.
    sys.argv, sys.path[0] = [script, *arguments], os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    sys.modules["__main__"] = main
    if nodes is not None:
        _fix_nodes(nodes)
    try:
        # Left at the end of the process: threads and exit handlers of the script may still need it.
        Activation(Plan(None, (), given, own=True)).start()
        code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
        exec(code, vars(main))  # noqa: S102 - the user's own script
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - Python, too, ends with whatever it is
        _tell(error)
        sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)
    sys.exit(0)


def _fix_nodes(nodes: int) -> None:
    from ellipsis_local import compute

    original = compute.createCompute
    signature = inspect.signature(original)

    @functools.wraps(original)
    def create(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.arguments["nodes"] = nodes
        return original(*given.args, **given.kwargs)

    vars(compute)["createCompute"] = create


def _tell(error: BaseException) -> None:
    """The traceback, from the script's own first line on."""
    frames = error.__traceback__
    while frames is not None and _before_script(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(type(error), error, frames)
        return
    shown = traceback.TracebackException(type(error), error, _but_first(error, frames))
    if isinstance(error, EllipsisLocalError):
        hide_ours(shown)
    print("".join(shown.format()), end="", file=sys.stderr)  # noqa: T201


def _before_script(file: str) -> bool:
    return is_ours(file) or file == "<string>"


def _but_first(error: BaseException, frames: TracebackType | None) -> TracebackType | None:
    # One of ours alone is before the script: that is a bug, or a setting.
    return frames if frames is not None or isinstance(error, SyntaxError) else error.__traceback__
