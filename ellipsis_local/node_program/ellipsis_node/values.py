"""Small results across Python, numpy and pandas versions: a closed list of types, each in a format of the field.

Arrays travel as npy, texts and WKB in bulk as Arrow, the rest as tagged JSON. Nothing is pickled: a pickle of one
numpy or pandas does not open in another, and the service carries JSON. A value is carried in type, dtype and value, or
refused with its place; an instance of a user's own subclass of a plain type (dict, int …) is carried as that type.

A message is ``MAGIC, length of the JSON, JSON, blobs``; the JSON names blobs by offset and length. Results stay in the
homes that they were stored in, so what earlier releases wrote is read for ever ("before 0.2").
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import io
import json
import keyword
import math
import struct
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, Callable, Iterator

from . import geo_values, numpy_values, pandas_values, time_values

MAGIC = b"EV1\n"
LENGTH = struct.Struct("<Q")
MOST_NESTED = 800
"""What nested values may cost, in frames of the reader's stack and levels of JSON, of the 1000 that Python allows."""
GENERAL = "return numbers, texts, lists, tuples, dicts, numpy arrays, DataFrames, GeoDataFrames or geometries"


class NotCarriableError(TypeError):
    """A value, or something inside it, that has no place on the list."""


class NotReadableError(ValueError):
    """An encoded value, or something inside it, that the libraries of this process cannot make."""


def encode(value: Any, most: float = math.inf) -> bytes:
    """The value as bytes, at most so many; NotCarriableError names the place inside it that cannot be carried."""
    writer = Writer(most)
    try:
        tree = writer.write(value, "result")
        text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        raise writer.too_deep("result") from None
    size = len(MAGIC) + LENGTH.size + len(text) + writer.offset
    if size > most:
        raise _too_large(f"{size:,}", most)
    return b"".join([MAGIC, LENGTH.pack(len(text)), text, *writer.blobs])


def _too_large(size: str, most: float) -> NotCarriableError:
    return NotCarriableError(
        f"the result takes {size} bytes, and a small result may take {most:,}; create the compute with "
        "largeResult=True and return a memory file (BytesIO), or return less"
    )


def decode(data: bytes) -> Any:
    """What `encode` was given, in this process's own libraries; NotReadableError names what they cannot make."""
    try:
        return _decode(data)
    except RecursionError:
        # The caller's own stack is deep, and a thread begins a new one.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as threads:
            return threads.submit(_decode, data).result()


def _decode(data: bytes) -> Any:
    tree, read = open_value(data)
    try:
        return read(tree)
    except (RecursionError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        # Each library has its own words for what it cannot make.
        place, cause = _find_unreadable(read, tree, "result", error)
        raise NotReadableError(
            f"{place} cannot be made by the packages of the calling process ({type(cause).__name__}: {cause}); install "
            "the versions of the node's requirements there, or return plain numbers, texts and lists"
        ) from cause


def open_value(data: bytes) -> tuple[Any, Callable[[Any], Any]]:
    """The tagged JSON of a value, and what makes the value of any part of it."""
    start = len(MAGIC) + LENGTH.size
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("these bytes are no encoded value")
    (length,) = LENGTH.unpack(data[len(MAGIC) : start])
    return json.loads(data[start : start + length]), Reader(memoryview(data)[start + length :]).read


def memory_file(value: Any) -> Any:
    """The bytes of a memory file, wherever its position is; None for anything else."""
    kind = type(value)
    raster = kind.__name__ in ("MemoryFile", "ZipMemoryFile") and kind.__module__ == "rasterio.io"
    if isinstance(value, (bytes, bytearray)):
        return value
    if not raster and not isinstance(value, (memoryview, io.BytesIO)):
        return None
    try:
        if isinstance(value, memoryview):
            return value.cast("B")
        if not raster:
            return value.getbuffer()
        value.seek(0)
        return value.read()
    except (ValueError, TypeError, OSError) as error:
        raise NotCarriableError(
            f"the function returned a memory file ({kind.__name__}) that is closed, or whose bytes cannot be read "
            f"({error}); return it open, outside the `with` that closes it, or return the bytes that it holds"
        ) from error


def _find_unreadable(read: Callable[[Any], Any], tree: Any, place: str, error: Exception) -> tuple[str, Exception]:
    """The innermost part that cannot be read, and why."""
    for step, part in _parts(read, tree):
        try:
            read(part)
        except Exception as inner:  # noqa: BLE001
            return _find_unreadable(read, part, place + step, inner)
    return place, error


def _parts(read: Callable[[Any], Any], tree: Any) -> Iterator[tuple[str, Any]]:
    inside = tree if isinstance(tree, list) else tree.get("v") if isinstance(tree, dict) else None
    tag = "list" if isinstance(tree, list) else tree["t"] if isinstance(tree, dict) else ""
    if tag in ("frame", "geoframe") and "columns" in tree:
        yield ".columns", tree["columns"]
        yield ".index", tree["index"]
        yield from ((f"[{shown(label)}]", part) for label, part in zip(read(tree["columns"]), tree["v"]))  # noqa: B905
    elif tag in MAPPINGS:
        for key, part in tree["v"]:
            yield " (a key)", key
            yield f"[{shown(read(key))}]", part
    elif isinstance(inside, list):
        yield from ((f"[{i}]", part) for i, part in enumerate(inside))
    elif isinstance(inside, dict) and "t" in inside:
        yield "", inside


def shown(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 80 else f"{text[:60]}…{text[-15:]}"


class Writer:
    """From a value to tagged JSON and blobs.

    A place is "result", or a tuple of the place around it, a form and a key; only a refusal makes it a text.
    """

    def __init__(self, most: float = math.inf) -> None:
        self.most = most
        self.blobs: list[Any] = []
        self.offset = 0
        self.least = 0
        """Bytes of JSON that there will be, whatever the values are."""
        self.depth = 0

    def weigh(self, entries: int) -> None:
        """Refuse entries before they are written, where their commas and one character each are too much already."""
        self.least += 2 * entries
        if self.least + self.offset > self.most:
            raise _too_large(f"at least {self.least + self.offset:,}", self.most)

    def blob(self, data: Any) -> list[int]:
        self.blobs.append(data)
        self.offset += len(data)
        self.weigh(0)
        return [self.offset - len(data), len(data)]

    def refusal(self, place: Any, text: str) -> NotCarriableError:
        steps = []
        while isinstance(place, tuple):
            place, form, key = place
            steps.append((form, key))
        for form, key in reversed(steps):
            place = form.format(place, shown(key))
        return NotCarriableError(f"{place if len(place) < 400 else place[:200] + '…' + place[-100:]} {text}")

    def too_deep(self, place: Any) -> NotCarriableError:
        return self.refusal(place, "is nested too deeply, or contains itself; return less nesting")

    def write(self, value: Any, place: Any) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return value if value.isascii() else self._text(value)
        if kind is int:
            return value if abs(value) < 2**53 else {"t": "int", "v": str(value) if abs(value) < 2**64 else hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
        cost = 1 if kind is list else 3 if kind in KINDS else 10
        self.depth += cost
        try:
            if self.depth > MOST_NESTED:
                raise self.too_deep(place)
            if kind is list:
                self.weigh(len(value))
                written: Any = []
                for i, item in enumerate(value):
                    written.append(self.write(item, (place, "{}[{}]", i)))
            else:
                written = self._other(value, kind, place)
        except (NotCarriableError, RecursionError, MemoryError):
            raise
        except Exception as error:
            # Whatever a library says of a value that it cannot write, it is the value that is refused.
            text = f"({shown(kind)}) cannot be carried back: {type(error).__name__}: {error}; {GENERAL}"
            raise self.refusal(place, text) from error
        finally:
            self.depth -= cost
        return written

    def _text(self, value: str) -> Any:
        try:
            value.encode()
        except UnicodeEncodeError:
            # JSON would make one character of two halves that stand side by side.
            return {"t": "str", "v": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}
        return value

    def _other(self, value: Any, kind: type, place: Any) -> Any:
        if (kind.__module__ or "").startswith("freezegun."):
            # What stands in the place of a class while a test has stopped the clock of this process.
            kind = next(one for one in kind.__mro__ if one.__module__ == "datetime")
        write = BY_LIBRARY.get((kind.__module__ or "").partition(".")[0])
        written = write(self, value, kind, place) if write else None
        if written is None and kind in SCALARS:
            return {"t": SCALARS[kind][0], "v": SCALARS[kind][1](value)}
        if written is None:
            written = self._builtin(value, kind, place)
        if written is None:
            name, advice = f"{kind.__module__}.{kind.__qualname__}", _advice(value)
            raise self.refusal(place, f"is of type {name}, which cannot be carried back; {advice}")
        return written

    def _builtin(self, value: Any, kind: type, place: Any) -> Any:
        if value is Ellipsis or value is NotImplemented:
            return {"t": "constant", "v": str(value)}
        if kind in (range, slice):
            return {"t": kind.__name__, "v": self.write([value.start, value.stop, value.step], place)}
        if kind.__module__.partition(".")[0] in ("pathlib", "fractions") and kind.__name__ in OF_TEXTS:
            return {"t": OF_TEXTS[kind.__name__], "of": kind.__name__, "v": self.write(str(value), place)}
        base: Any = next((one for one in kind.__mro__ if one in KINDS), None)
        if base in (str, int, float):
            # An enum member or another subclass of a plain type: its value is kept, its class is not.
            plain = {str: str.__str__, int: int.__int__, float: float.__float__}[base]
            return self.write(plain(value), place)
        if base is None:
            return None
        tree: dict[str, Any] = {"t": KINDS[base]}
        self.weigh(base.__len__(value))
        if issubclass(base, dict):
            if base is defaultdict:
                factory = value.default_factory
                tree["of"] = factory.__name__ if any(factory is one for one in FACTORIES.values()) else None
            pairs = tree["v"] = []
            for k, v in base.items(value):
                pairs.append([self.write(k, (place, "a key of {}", None)), self.write(v, (place, "{}[{}]", k))])
            return tree
        if base is deque:
            tree["size"] = value.maxlen
        elif base is tuple and _has_names(kind, value):
            tree = {"t": "namedtuple", "of": f"{kind.__module__}.{kind.__name__}", "names": list(value._fields)}
        tree["v"] = items = []
        for i, item in enumerate(base.__iter__(value)):
            items.append(self.write(item, (place, "{}[{}]", i)))
        return tree

    def cells(self, values: list[Any], place: Any, form: str = "{}[{}]") -> Any:
        """The cells of an array or column of objects: packed where all are of one plain type, else value by value."""
        packed = numpy_values.pack(self, values, place, form) if len(values) >= numpy_values.LEAST_PACKED else None
        return packed or [self.write(item, (place, form, i)) for i, item in enumerate(values)]


def _has_names(kind: Any, value: tuple[Any, ...]) -> bool:
    names = getattr(kind, "_fields", None)
    if not isinstance(names, tuple) or len(names) != tuple.__len__(value):
        return False
    words = (*names, kind.__name__)
    return all(isinstance(one, str) and one.isidentifier() and not keyword.iskeyword(one) for one in words)


def _advice(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "return `dataclasses.asdict(…)` of it"
    if isinstance(value, enum.Enum):
        return "return its `.value`"
    if isinstance(value, (collections.abc.Iterator, collections.abc.MappingView, memoryview)):
        return "return `bytes(…)` of it" if isinstance(value, memoryview) else "return `list(…)` of it"
    return GENERAL


KINDS: dict[type, str] = {
    **{kind: kind.__name__ for kind in (dict, list, tuple, set, frozenset, deque, defaultdict, str, int, float)},
    OrderedDict: "odict",
    Counter: "counter",
}
MAPPINGS = {"dict": dict, "odict": OrderedDict, "counter": Counter, "defaultdict": dict}
FACTORIES = {kind.__name__: kind for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)}
OF_TEXTS = {
    **dict.fromkeys(("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath"), "path"),
    "Fraction": "fraction",
}
"""What its own text makes again, of modules that are imported where such a value is."""
SCALARS: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    bytes: ("bytes", lambda v: base64.b64encode(v).decode(), base64.b64decode),
    bytearray: ("bytearray", lambda v: base64.b64encode(v).decode(), lambda v: bytearray(base64.b64decode(v))),
    complex: ("complex", repr, complex),
    datetime.date: ("date", lambda v: v.isoformat(), datetime.date.fromisoformat),
    datetime.timedelta: (
        "timedelta",
        lambda v: f"{v.days} {v.seconds} {v.microseconds}",
        lambda v: datetime.timedelta(*map(int, v.split())),
    ),
    decimal.Decimal: ("decimal", str, decimal.Decimal),
    uuid.UUID: ("uuid", str, uuid.UUID),
}
BY_LIBRARY: dict[str, Callable[[Writer, Any, Any, Any], Any]] = {
    "numpy": numpy_values.write,
    "pandas": pandas_values.write,
    "geopandas": pandas_values.write,
    **dict.fromkeys(("shapely", "affine", "rasterio", "pyproj"), geo_values.write),
    **dict.fromkeys(("datetime", "zoneinfo", "pytz", "dateutil"), time_values.write),
}


class Reader:
    """From tagged JSON and blobs to values."""

    def __init__(self, blobs: memoryview) -> None:
        self.blobs = blobs

    def blob(self, tree: dict[str, Any]) -> memoryview:
        offset, length = tree["b"]
        return self.blobs[offset : offset + length]

    def read(self, tree: Any) -> Any:
        if not isinstance(tree, list):
            return READERS[tree["t"]](self, tree) if isinstance(tree, dict) else tree
        # No comprehension and no map: each is a level more of the stack.
        items = []
        for item in tree:
            items.append(self.read(item))  # noqa: PERF401
        return items

    def _mapping(self, tree: dict[str, Any]) -> Any:
        made = defaultdict(FACTORIES.get(tree["of"])) if tree["t"] == "defaultdict" else MAPPINGS[tree["t"]]()
        for key, value in tree["v"]:
            made[self.read(key)] = self.read(value)
        return made

    def _named(self, tree: dict[str, Any]) -> Any:
        items = self.read(tree["v"])
        if tree["of"] == "rasterio.coords.BoundingBox":
            return import_module("rasterio.coords").BoundingBox(*items)
        return _named_tuple(tree["of"].rpartition(".")[2], tuple(tree["names"]))._make(items)


@lru_cache(256)
def _named_tuple(name: str, names: tuple[str, ...]) -> Any:
    base: Any = collections.namedtuple(name, names, rename=True)  # type: ignore[misc]
    # Nobody could import the class: pickled it is the tuple.
    return type(name, (base,), {"__slots__": (), "__reduce__": lambda self: (tuple, (tuple(self),))})


def _read_scalar(read: Callable[[str], Any], _: Reader, tree: dict[str, Any]) -> Any:
    return read(tree["v"])


def _range(reader: Reader, tree: dict[str, Any]) -> range:
    # Before 0.2 it was a text.
    given = tree["v"].split() if isinstance(tree["v"], str) else reader.read(tree["v"])
    return range(*map(int, given))


READERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    **{name: partial(_read_scalar, read) for name, _, read in SCALARS.values()},
    "str": lambda _, tree: base64.b64decode(tree["v"]).decode("utf-8", "surrogatepass"),
    "int": lambda _, tree: int(tree["v"], 0),
    "float": lambda _, tree: float(tree["v"]),
    "tuple": lambda reader, tree: tuple(reader.read(tree["v"])),
    "set": lambda reader, tree: set(reader.read(tree["v"])),
    "frozenset": lambda reader, tree: frozenset(reader.read(tree["v"])),
    "deque": lambda reader, tree: deque(reader.read(tree["v"]), tree["size"]),
    "list": lambda reader, tree: reader.read(tree["v"]),
    "namedtuple": Reader._named,
    **dict.fromkeys(MAPPINGS, Reader._mapping),
    "range": _range,
    "slice": lambda reader, tree: slice(*reader.read(tree["v"])),
    "path": lambda reader, tree: getattr(import_module("pathlib"), tree["of"])(reader.read(tree["v"])),
    "fraction": lambda _, tree: import_module("fractions").Fraction(tree["v"]),
    "constant": lambda _, tree: {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[tree["v"]],
    **time_values.READERS,
    **numpy_values.READERS,
    **geo_values.READERS,
    **pandas_values.READERS,
}
