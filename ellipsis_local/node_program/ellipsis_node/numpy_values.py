"""numpy's arrays and scalars, on their way from a node to the caller: see `values`."""

from __future__ import annotations

import base64
import io
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable

import numpy

from . import geo_values
from .arrow_values import arrow_blob, read_arrow

if TYPE_CHECKING:
    from .values import Reader, Writer

LARGEST_HEADER = 10_000_000
"""Characters of npy's header, which names the fields of structured arrays; numpy's own limit is meant for strangers."""
LEAST_PACKED = 64
"""Fewer cells of objects take less room as JSON."""
ARROW_TYPES = {str: "string", bytes: "binary", float: "float64", int: "int64", bool: "bool_", date: "date32"}


def write(writer: Writer, value: Any, kind: Any, place: Any) -> Any:
    """The tree of an array, a scalar or a dtype; None for anything else."""
    if value is numpy.ma.masked:
        return {"t": "masked-constant"}
    if issubclass(kind, numpy.dtype):
        if value.kind in "biufcO":
            return {"t": "dtype", "v": _dtype_text(value)}
        return {"t": "dtype", **_npy(writer, numpy.empty(0, numpy.dtype([("0", value)])), place)}
    if issubclass(kind, numpy.generic):
        return _scalar(writer, value, place)
    if kind in (numpy.ma.MaskedArray, numpy.ma.core.mvoid):
        data, mask, fill = value.data, value.mask, value._fill_value
        if type(data) not in (numpy.ndarray, numpy.void) or (kind is not numpy.ma.MaskedArray and not data.dtype.names):
            return None
        parts = [data, None if mask is numpy.ma.nomask else mask, fill]
        written = [None if part is None else writer.write(numpy.asarray(part), place) for part in parts]
        return {"t": "masked", "v": written, "hard": bool(value.hardmask), "void": kind is not numpy.ma.MaskedArray}
    if kind not in (numpy.ndarray, numpy.memmap, numpy.matrix, numpy.recarray):
        return None
    names = {numpy.matrix: "matrix", numpy.recarray: "recarray"}
    of = {"of": names[kind]} if kind in names else {"of": "record"} if value.dtype.type is numpy.record else {}
    array = numpy.asarray(value)
    if array.dtype == object:
        items = writer.cells(array.ravel().tolist(), place, "{}.flat[{}]")
        return {"t": "objects", "shape": list(array.shape), "v": items, **of}
    return {"t": "array", **_npy(writer, array, place), **of}


def _npy(writer: Writer, array: Any, place: Any) -> dict[str, Any]:
    """The array as npy, whose header of 128 bytes the JSON saves where dtype and order are plain."""
    if array.dtype.kind in "biufcmMSU" and array.dtype.itemsize and array.flags.c_contiguous:
        return {"d": _dtype_text(array.dtype), "shape": list(array.shape), "b": writer.blob(array.tobytes())}
    form, dtype = numpy.lib.format, array.dtype
    # numpy would pickle some, and save others as bytes without their meaning.
    if dtype.hasobject or form.descr_to_dtype(form.dtype_to_descr(dtype)) != dtype:
        text = f"is of dtype {dtype}, which npy does not hold; make plain numbers, texts or objects of it by `astype`"
        raise writer.refusal(place, text)
    buffer = io.BytesIO()
    form.write_array(buffer, array, allow_pickle=False)
    return {"b": writer.blob(buffer.getbuffer())}


def _dtype_text(dtype: Any) -> str:
    """The dtype as numpy reads it: ``<i8``, and ``q`` where that would be another type of the same size."""
    text: str = dtype.str
    return text if numpy.dtype(text).type is dtype.type else text[0].replace("|", "") + dtype.char


def _scalar(writer: Writer, value: Any, place: Any) -> Any:
    array = numpy.asarray(value)
    if isinstance(value, numpy.record) and not array.dtype.names:
        return None
    if array.dtype.kind == "V":
        of = {"of": "record"} if isinstance(value, numpy.record) else {}
        return {"t": "scalar", **_npy(writer, array, place), **of}
    tree = {"t": "scalar", "d": _dtype_text(array.dtype), "v": base64.b64encode(array.tobytes()).decode()}
    if array.dtype.kind in "SU" and _read_scalar(tree) != value:
        raise writer.refusal(place, "ends in NUL characters, which numpy drops; return `str(…)` or `bytes(…)` of it")
    return tree


def pack(writer: Writer, values: list[Any], place: Any, form: str) -> Any:
    """The cells of an array of objects in bulk, where all but None are of one plain type; else None."""
    import pyarrow

    kinds = set(map(type, values))
    plain = kinds - {type(None)}
    kind: Any = next(iter(plain), None)
    if plain and all((one.__module__ or "").startswith("shapely.geometry.") for one in plain):
        return geo_values.pack(writer, numpy.fromiter(values, dtype=object, count=len(values)))
    if len(plain) != 1:
        return None
    if kind is dict and len(kinds) == 1:
        return _records(writer, values, place, form)
    items = set(map(type, chain.from_iterable(filter(None, values)))) - {type(None)} if kind is list else {kind}
    item = next(iter(items), None)
    if len(items) == 1 and item in ARROW_TYPES:
        arrow = getattr(pyarrow, ARROW_TYPES[item])()
        try:
            # Without looking for NaN: it is a value, and None is none.
            array = pyarrow.array(values, type=pyarrow.list_(arrow) if kind is list else arrow, from_pandas=False)
        except (pyarrow.ArrowException, OverflowError, UnicodeError):
            return None
        return {"t": "packed", "b": arrow_blob(writer, array)}
    if issubclass(kind, numpy.number) and len(kinds) == 1 and len({value.dtype for value in values}) == 1:
        return {"t": "packed", "of": "numpy", **_npy(writer, numpy.array(values), None)}
    return None


def _records(writer: Writer, values: list[Any], place: Any, form: str) -> Any:
    """Dicts of the same keys as a column per key; else None."""
    keys = list(values[0])
    if not keys or any(type(key) is not str for key in keys) or any(list(value) != keys for value in values):
        return None
    columns = []
    for key in keys:
        step = f"[{key!r}]".replace("{", "{{").replace("}", "}}")
        columns.append(writer.cells([value[key] for value in values], place, form + step))
    return {"t": "records", "keys": [writer.write(key, place) for key in keys], "v": columns}


def read_objects(reader: Reader, tree: Any) -> Any:
    """What `cells` wrote, as an array of objects of one dimension."""
    if isinstance(tree, list):
        values: Any = map(reader.read, tree)
        return numpy.fromiter(values, dtype=object, count=len(tree))
    if tree["t"] == "wkb":
        return reader.read(tree)
    if tree["t"] == "records":
        keys, columns = reader.read(tree["keys"]), [read_objects(reader, column) for column in tree["v"]]
        values = [dict(zip(keys, row)) for row in zip(*columns)]  # noqa: B905
    elif tree.get("of") == "numpy":
        values = read_npy(reader, tree)
    else:
        values = read_arrow(reader, tree)
        if str(values.type) in ("string", "binary"):
            return values.to_numpy()
        values = values.to_pylist()
    return numpy.fromiter(values, dtype=object, count=len(values))


def read_npy(reader: Reader, tree: dict[str, Any]) -> Any:
    if "d" in tree:
        return numpy.ndarray(tree["shape"], tree["d"], bytearray(reader.blob(tree)))
    data = io.BytesIO(reader.blob(tree))
    return numpy.lib.format.read_array(data, allow_pickle=False, max_header_size=LARGEST_HEADER)


def _read_array(reader: Reader, tree: dict[str, Any]) -> Any:
    array = read_npy(reader, tree) if "b" in tree else read_objects(reader, tree["v"]).reshape(tree["shape"])
    of = tree.get("of")
    if of == "record":
        return array.view(numpy.dtype((numpy.record, array.dtype)))
    return array.view({"matrix": numpy.matrix, "recarray": numpy.recarray}[of]) if of else array


def _read_scalar(tree: dict[str, Any]) -> Any:
    dtype, data = numpy.dtype(tree["d"]), base64.b64decode(tree["v"])
    return numpy.ndarray((), dtype, data)[()] if data else dtype.type()


def _read_masked(reader: Reader, tree: dict[str, Any]) -> Any:
    data, mask, fill = (reader.read(part) for part in tree["v"])
    mask = numpy.ma.nomask if mask is None else mask
    array: Any = numpy.ma.MaskedArray(data, mask=mask, hard_mask=tree.get("hard", False))
    # Not by the constructor, which cuts a text to the length of the array's.
    array._fill_value = fill
    return array[()] if tree.get("void") else array


READERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "array": _read_array,
    "objects": _read_array,
    # Before 0.2 all were npy.
    "scalar": lambda reader, tree: _read_array(reader, tree)[()] if "b" in tree else _read_scalar(tree),
    "masked": _read_masked,
    "masked-constant": lambda *_: numpy.ma.masked,
    "dtype": lambda reader, tree: read_npy(reader, tree).dtype["0"] if "b" in tree else numpy.dtype(tree["v"]),
    "packed": read_objects,
    "records": read_objects,
}
