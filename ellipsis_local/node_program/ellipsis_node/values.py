"""Small results across Python, numpy and pandas versions: a closed list of types, each in a format of the field.

Arrays travel as npy, frames as Arrow, geometries as WKB, the rest as tagged JSON. Nothing is pickled: a pickle of one
numpy or pandas does not open in another, and the service carries JSON.

A message is ``MAGIC, length of the JSON, JSON, blobs``; the JSON names blobs by offset and length.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import io
import json
import math
import struct
import uuid
from collections import OrderedDict
from importlib import import_module
from typing import Any, Callable

MAGIC = b"EV1\n"
LENGTH = struct.Struct("<Q")


class NotCarriableError(TypeError):
    """A value, or something inside it, that has no place on the list."""


def encode(value: Any) -> bytes:
    """The value as bytes; NotCarriableError names the place inside it that cannot be carried."""
    writer = _Writer()
    try:
        tree = writer.write(value, "result")
    except RecursionError:
        raise NotCarriableError("the result is nested too deeply, or contains itself") from None
    text = json.dumps(tree, separators=(",", ":")).encode()
    return b"".join([MAGIC, LENGTH.pack(len(text)), text, *writer.blobs])


def decode(data: bytes) -> Any:
    """What `encode` was given, in this process's own numpy, pandas, geopandas and shapely."""
    tree, read = open_value(data)
    return read(tree)


def open_value(data: bytes) -> tuple[Any, Callable[[Any], Any]]:
    """The tagged JSON of a value, and what makes the value of any part of it."""
    start = len(MAGIC) + LENGTH.size
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("these bytes are no encoded value")
    (length,) = LENGTH.unpack(data[len(MAGIC) : start])
    return json.loads(data[start : start + length]), _Reader(memoryview(data)[start + length :]).read


def _library(value: Any) -> str:
    return (type(value).__module__ or "").partition(".")[0]


class _Writer:
    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self.offset = 0

    def blob(self, data: bytes) -> list[int]:
        self.blobs.append(data)
        self.offset += len(data)
        return [self.offset - len(data), len(data)]

    def write(self, value: Any, place: str) -> Any:
        if value is None or (isinstance(value, (bool, str)) and type(value) in (bool, str)):
            return value
        if type(value) is int:
            return value if abs(value) < 2**53 else {"t": "int", "v": str(value)}
        if type(value) is float:
            return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
        if type(value) is list:
            return [self.write(item, f"{place}[{i}]") for i, item in enumerate(value)]
        by_library = {
            "numpy": self._numpy,
            "pandas": self._pandas,
            "geopandas": self._pandas,
            "shapely": self._shapely,
            "affine": self._affine,
            "rasterio": self._crs,
            "pyproj": self._crs,
        }.get(_library(value))
        written = by_library(value, place) if by_library else None
        if written is None:
            written = self._builtin(value, place)
        if written is None:
            kind = type(value)
            raise NotCarriableError(
                f"{place} is of type {kind.__module__}.{kind.__qualname__}, which cannot be carried back; return "
                "numbers, texts, lists, tuples, dicts, numpy arrays, DataFrames, GeoDataFrames or geometries"
            )
        return written

    def _builtin(self, value: Any, place: str) -> Any:
        for name, (kind, write, _) in SCALARS.items():
            if type(value) is kind:
                return {"t": name, "v": write(value)}
        if isinstance(value, dict):
            name = "odict" if isinstance(value, OrderedDict) else "dict"
            pairs = [[self.write(k, f"a key of {place}"), self.write(v, f"{place}[{k!r}]")] for k, v in value.items()]
            return {"t": name, "v": pairs}
        for name, kind in SEQUENCES.items():
            if isinstance(value, kind):
                items: Any = value
                return {"t": name, "v": [self.write(item, f"{place}[{i}]") for i, item in enumerate(items)]}
        for base in (str, int, float):
            # An enum member or another subclass of a plain type: its value is kept, its class is not.
            if isinstance(value, base):
                return self.write(base(value), place)
        return None

    def _numpy(self, value: Any, place: str) -> Any:
        import numpy

        if isinstance(value, numpy.ma.MaskedArray):
            parts = [numpy.asarray(value.data), numpy.ma.getmaskarray(value), numpy.asarray(value.fill_value)]
            return {"t": "masked", "v": [self._numpy(part, place) for part in parts]}
        if not isinstance(value, (numpy.ndarray, numpy.generic)):
            return {"t": "dtype", "v": value.str} if isinstance(value, numpy.dtype) and not value.hasobject else None
        array = numpy.asarray(value)
        if array.dtype.hasobject:
            if array.dtype.names:
                return None
            items = [self.write(item, f"{place}.flat[{i}]") for i, item in enumerate(array.ravel().tolist())]
            return {"t": "objects", "shape": list(array.shape), "v": items}
        buffer = io.BytesIO()
        try:
            numpy.lib.format.write_array(buffer, array, allow_pickle=False)
        except ValueError as error:
            raise NotCarriableError(
                f"{place} is an array of dtype {array.dtype}, which npy does not hold: {error}"
            ) from error
        return {"t": "scalar" if isinstance(value, numpy.generic) else "array", "b": self.blob(buffer.getvalue())}

    def _pandas(self, value: Any, place: str) -> Any:
        import pandas

        if value is pandas.NA or value is pandas.NaT:
            return {"t": "NA" if value is pandas.NA else "NaT"}
        if isinstance(value, pandas.Timestamp):
            return {
                "t": "timestamp",
                "v": value.isoformat(),
                "tz": str(value.tz) if value.tz else None,
                "unit": value.unit,
            }
        if isinstance(value, pandas.Timedelta):
            return {"t": "pandas-timedelta", "v": value.isoformat()}
        if isinstance(value, pandas.Index) and not isinstance(value, pandas.MultiIndex):
            return {
                "t": "index",
                "v": self._frame(value.to_frame(index=False, name="0"), place),
                "name": self.write(value.name, place),
            }
        if isinstance(value, pandas.Series):
            geo = _library(value) == "geopandas"
            frame = value.to_frame("0").set_geometry("0") if geo else value.to_frame("0")
            return {"t": "series", "v": self._frame(frame, place), "name": self.write(value.name, place)}
        if isinstance(value, pandas.DataFrame):
            return self._frame(value, place)
        if isinstance(value, pandas.Categorical):
            return {"t": "categorical", "v": self._pandas(pandas.Series(value), place)}
        return None

    def _frame(self, frame: Any, place: str) -> Any:
        """A frame as an Arrow file; columns that Arrow does not hold (mixed objects) beside it, value by value."""
        import pandas
        import pyarrow
        import pyarrow.ipc

        extra = []
        for position in range(frame.shape[1] - 1, -1, -1):
            column = frame.iloc[:, position]
            if column.dtype == object:
                try:
                    pyarrow.array(column, from_pandas=True)
                except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):
                    name = frame.columns[position]
                    values = [self.write(item, f"{place}[{name!r}][{i}]") for i, item in enumerate(column)]
                    extra.append([position, self.write(name, place), values])
                    frame = frame.iloc[:, [i for i in range(frame.shape[1]) if i != position]]
        sink = io.BytesIO()
        try:
            names = getattr(frame, "_geometry_column_name", None)
            geo = _library(frame) == "geopandas" and names is not None and names in frame.columns
            if geo:
                frame.to_feather(sink, compression="uncompressed")
            else:
                table = pyarrow.Table.from_pandas(pandas.DataFrame(frame), preserve_index=True)
                with pyarrow.ipc.new_file(sink, table.schema) as file:
                    file.write_table(table)
        except (pyarrow.ArrowException, ValueError, TypeError, KeyError) as error:
            raise NotCarriableError(f"{place} is a frame that Arrow does not hold: {error}") from error
        return {"t": "geoframe" if geo else "frame", "b": self.blob(sink.getvalue()), "extra": extra[::-1]}

    def _shapely(self, value: Any, _: str) -> Any:
        import shapely

        if not isinstance(value, shapely.geometry.base.BaseGeometry):
            return None
        return {"t": "geometry", "b": self.blob(shapely.to_wkb(value, include_srid=True))}

    def _affine(self, value: Any, _: str) -> Any:
        return {"t": "affine", "v": [float(x) for x in value[:6]]} if type(value).__name__ == "Affine" else None

    def _crs(self, value: Any, _: str) -> Any:
        return {"t": f"{_library(value)}-crs", "v": value.to_wkt()} if type(value).__name__ == "CRS" else None


SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
SCALARS: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "bytes": (bytes, lambda v: base64.b64encode(v).decode(), base64.b64decode),
    "bytearray": (bytearray, lambda v: base64.b64encode(v).decode(), lambda v: bytearray(base64.b64decode(v))),
    "complex": (complex, repr, complex),
    "datetime": (datetime.datetime, lambda v: v.isoformat(), datetime.datetime.fromisoformat),
    "date": (datetime.date, lambda v: v.isoformat(), datetime.date.fromisoformat),
    "time": (datetime.time, lambda v: v.isoformat(), datetime.time.fromisoformat),
    "timedelta": (
        datetime.timedelta,
        lambda v: f"{v.days} {v.seconds} {v.microseconds}",
        lambda v: datetime.timedelta(*map(int, v.split())),
    ),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "range": (range, lambda v: f"{v.start} {v.stop} {v.step}", lambda v: range(*map(int, v.split()))),
    "int": (int, str, int),
    "float": (float, repr, float),
}


class _Reader:
    def __init__(self, blobs: memoryview) -> None:
        self.blobs = blobs

    def blob(self, tree: dict[str, Any]) -> memoryview:
        offset, length = tree["b"]
        return self.blobs[offset : offset + length]

    def read(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.read(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        name = tree["t"]
        if name in SCALARS:
            return SCALARS[name][2](tree["v"])
        if name in SEQUENCES:
            return SEQUENCES[name](self.read(item) for item in tree["v"])
        if name in ("dict", "odict"):
            pairs = [(self.read(k), self.read(v)) for k, v in tree["v"]]
            return OrderedDict(pairs) if name == "odict" else dict(pairs)
        return READERS[name](self, tree)

    def column(self, tree: dict[str, Any]) -> Any:
        """The only column of a frame."""
        return self.read(tree["v"]).iloc[:, 0]

    def _array(self, tree: dict[str, Any]) -> Any:
        import numpy

        array = numpy.lib.format.read_array(io.BytesIO(self.blob(tree)), allow_pickle=False)
        return array[()] if tree["t"] == "scalar" else array

    def _objects(self, tree: dict[str, Any]) -> Any:
        import numpy

        array = numpy.empty(len(tree["v"]), dtype=object)
        for i, item in enumerate(tree["v"]):
            array[i] = self.read(item)
        return array.reshape(tree["shape"])

    def _masked(self, tree: dict[str, Any]) -> Any:
        import numpy

        data, mask, fill = (self.read(part) for part in tree["v"])
        return numpy.ma.MaskedArray(data, mask=mask, fill_value=fill)

    def _timestamp(self, tree: dict[str, Any]) -> Any:
        import pandas

        stamp = pandas.Timestamp(tree["v"])
        if tree["tz"]:
            stamp = stamp.tz_convert(tree["tz"]) if stamp.tz else stamp.tz_localize(tree["tz"])
        return stamp.as_unit(tree["unit"])

    def _frame(self, tree: dict[str, Any]) -> Any:
        import pyarrow
        import pyarrow.ipc

        if tree["t"] == "geoframe":
            import geopandas

            frame = geopandas.read_feather(io.BytesIO(self.blob(tree)))
        else:
            frame = pyarrow.ipc.open_file(pyarrow.BufferReader(self.blob(tree))).read_all().to_pandas()
        for position, name, values in tree["extra"]:
            import pandas

            column = pandas.Series([self.read(item) for item in values], index=frame.index, dtype=object)
            frame.insert(position, self.read(name), column)
        return frame


READERS: dict[str, Callable[[_Reader, dict[str, Any]], Any]] = {
    "scalar": _Reader._array,
    "array": _Reader._array,
    "objects": _Reader._objects,
    "masked": _Reader._masked,
    "dtype": lambda _, tree: import_module("numpy").dtype(tree["v"]),
    "NA": lambda *_: import_module("pandas").NA,
    "NaT": lambda *_: import_module("pandas").NaT,
    "timestamp": _Reader._timestamp,
    "pandas-timedelta": lambda _, tree: import_module("pandas").Timedelta(tree["v"]),
    "frame": _Reader._frame,
    "geoframe": _Reader._frame,
    "series": lambda reader, tree: reader.column(tree).rename(reader.read(tree["name"])),
    "index": lambda reader, tree: import_module("pandas").Index(reader.column(tree), name=reader.read(tree["name"])),
    "categorical": lambda reader, tree: reader.read(tree["v"]).array,
    "geometry": lambda reader, tree: import_module("shapely").from_wkb(bytes(reader.blob(tree))),
    "affine": lambda _, tree: import_module("affine").Affine(*tree["v"]),
    "rasterio-crs": lambda _, tree: import_module("rasterio.crs").CRS.from_wkt(tree["v"]),
    "pyproj-crs": lambda _, tree: import_module("pyproj").CRS.from_wkt(tree["v"]),
}
