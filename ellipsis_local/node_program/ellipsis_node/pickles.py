"""Functions that came as a dill pickle: bytecode, which only the Python that compiled it can run.

dill rebuilds the code of another minor version without a word, and running it ends the process, or worse. So a pickle
is read first with a stand-in for everything that it calls, and the code objects in it are held against this Python.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import io
import opcode
import pickle
import sys
import types
from typing import Any, Callable

CAME = (
    "this function came as a dill pickle, which clients before 3.3 send and which runs only under the Python that "
    "made it"
)
HINT = CAME + ": use interpreter='python3.X' like your own, or a newer client"
OLD_ENVIRONMENT = (
    "this function came as a dill pickle, and dill is not in the compute's environment, which an earlier "
    "ellipsis_local made: create the compute anew, or use a client from 3.3 on"
)

RESUME = {151: ("3.11", "3.12"), 149: ("3.13",), 128: ("3.14",)}
"""The opcode that every function begins with from Python 3.11 on, with the versions that have it under this number."""

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


class ForeignPickleError(Exception):
    """The pickle was made by another Python; the text is for the user."""


def load_dill(text: str) -> Callable[[Any], Any]:
    """The function in a dill pickle (base64); ForeignPickleError where another minor version of Python made it.

    What loading it raises passes through.
    """
    data = base64.b64decode(text)
    _check_codes(_codes(data))
    # Names of the user's own script must not be found among ours, nor among those of the function before.
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    try:
        import dill
    except ImportError as error:
        raise ForeignPickleError(OLD_ENVIRONMENT) from error
    unpickler = dill.Unpickler(io.BytesIO(data))  # noqa: S301 - what a node is for
    unpickler._main = main
    function = unpickler.load()
    if not callable(function):
        raise TypeError(f"the pickle holds an object of type {type(function).__name__}, and no function")
    return function  # type: ignore[no-any-return]


class _StandInType(type):
    """Stands for whatever a pickle names: called, filled or changed, it stays what it is."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        return cls

    def _ignore(cls, *_: Any) -> None:
        pass

    __setitem__ = __setstate__ = append = extend = add = _ignore


class _StandIn(metaclass=_StandInType):
    def __new__(cls, *_: Any, **__: Any) -> Any:
        return cls


class _Reader(pickle.Unpickler):
    """Imports and runs nothing that the pickle names; keeps what its code objects are made of."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.codes: list[tuple[Any, ...]] = []

    def find_class(self, module: str, name: str) -> Any:
        if name == "_create_code":
            return self._keep
        if (module, name) == ("_codecs", "encode"):
            # How bytes are written below protocol 3.
            return codecs.encode
        return _StandIn

    def persistent_load(self, _: Any) -> Any:
        return _StandIn

    def _keep(self, *parts: Any) -> Any:
        self.codes.append(parts)
        return _StandIn


def _codes(data: bytes) -> list[tuple[Any, ...]]:
    """The arguments of each code object in a pickle, as far as it can be read without running it."""
    reader = _Reader(data)
    # What is wrong with it, loading it in earnest will tell.
    with contextlib.suppress(Exception):
        reader.load()
    return reader.codes


def _check_codes(codes: list[tuple[Any, ...]]) -> None:
    """ForeignPickleError where a code object is not one of this Python."""
    for parts in codes:
        makers = _makers(parts)
        if makers is None:
            continue
        if makers:
            names = " or ".join(f"'python{maker}'" for maker in makers)
            raise ForeignPickleError(
                f"{CAME}: Python {' or '.join(makers)}, and this node has Python {OWN}; create the compute with "
                f"interpreter={names}, or use a newer client"
            )
        raise ForeignPickleError(f"{HINT} (this node has Python {OWN})")


def _makers(parts: tuple[Any, ...]) -> tuple[str, ...] | None:
    """The Pythons that may have compiled a code object, empty where nobody knows; None where it may have been this one.

    dill gives 18 parts from Python 3.11 on, 16 before, and before them the line numbers of old from 3.10 on.
    """
    lines = bool(parts) and isinstance(parts[0], bytes)
    fields = parts[1:] if lines else parts
    version = sys.version_info[:2]
    if len(fields) == 16:
        made = (3, 10) if lines else (3, 9)
        return None if version == made else (f"{made[0]}.{made[1]}",)
    if len(fields) != 18:
        return ()
    code, consts, names, local = fields[6], fields[7], fields[8], fields[9]
    words = [RESUME[op] for op, arg in zip(code[0:16:2], code[1:16:2]) if op in RESUME and arg == 0]  # noqa: B905
    makers: tuple[str, ...] = words[0] if words else ()
    if makers == (OWN,):
        return None
    own = OWN in makers if makers else version >= (3, 11)
    if own and _decodes(code, len(consts), len(names), len(local) + len(fields[16]) + len(fields[17])):
        return None
    return tuple(maker for maker in makers if maker != OWN)


def _decodes(code: bytes, consts: int, names: int, local: int) -> bool:
    """Whether bytes are instructions of this Python (3.11 or later), with operands that are there."""
    caches: Any = getattr(opcode, "_inline_cache_entries", ())
    resumes = False
    at, extended = 0, 0
    while at + 1 < len(code):
        name, arg = opcode.opname[code[at]], code[at + 1] | extended
        if name.startswith(("<", "INSTRUMENTED")) or name in ("CACHE", "RESERVED", "INTERPRETER_EXIT"):
            return False
        extended = arg << 8 if name == "EXTENDED_ARG" else 0
        resumes = resumes or name == "RESUME"
        limit = {"LOAD_CONST": consts, "RETURN_CONST": consts, "LOAD_FAST": local, "STORE_FAST": local}.get(name)
        if name in ("IMPORT_NAME", "IMPORT_FROM", "STORE_ATTR"):
            limit = names
        if limit is not None and arg >= limit:
            return False
        count = caches.get(name, 0) if isinstance(caches, dict) else caches[code[at]] if caches else 0
        at += 2
        if any(code[at : at + 2 * count]):
            return False
        at += 2 * count
    return resumes and at == len(code)
