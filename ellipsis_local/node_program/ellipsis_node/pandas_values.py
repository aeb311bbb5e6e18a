"""Frames, series, indexes and scalars of pandas and geopandas, on their way from a node to the caller: see `values`.

A frame is its columns, each in the format of its dtype, between two indexes: reading makes of them what they were, and
nothing is inferred.
"""

from __future__ import annotations

import io
import math
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Callable

import numpy

from . import geo_values
from .arrow_values import arrow_blob, read_arrow
from .numpy_values import LEAST_PACKED, read_objects
from .time_values import write_zone

if TYPE_CHECKING:
    from .values import Reader, Writer


def write(writer: Writer, value: Any, kind: Any, place: Any) -> Any:
    """The tree of a value of pandas or geopandas; None for one that has no place on the list."""
    import pandas

    if value is pandas.NA or value is pandas.NaT:
        return {"t": "NA" if value is pandas.NA else "NaT"}
    if kind is pandas.Timestamp:
        zone = None if value.tz is None else write_zone(writer, value.tz, place)
        return {"t": "timestamp", **_number_and_unit(value.asm8), "tz": zone}
    if kind is pandas.Timedelta:
        return {"t": "pandas-timedelta", **_number_and_unit(value.asm8)}
    if kind is pandas.Period:
        return {"t": "period", "v": value.ordinal, "freq": _offset(writer, value.freq, place)}
    if kind is pandas.Interval:
        ends = [writer.write(end, place) for end in (value.left, value.right)]
        return {"t": "interval", "v": ends, "closed": value.closed}
    if kind in (pandas.Series, pandas.DataFrame) or kind.__name__ in ("GeoSeries", "GeoDataFrame"):
        tree = (_frame if issubclass(kind, pandas.DataFrame) else _series)(writer, value, place)
        if value.attrs:
            tree["attrs"] = writer.write(dict(value.attrs), (place, "{}.attrs", None))
        return tree if value.flags.allows_duplicate_labels else {**tree, "unique": True}
    if issubclass(kind, pandas.Index):
        return _index(writer, value, place)
    if issubclass(kind, pandas.offsets.BaseOffset):
        return _offset(writer, value, place)
    if issubclass(kind, pandas.api.extensions.ExtensionArray) and not isinstance(value.dtype, numpy.dtype):
        return _column(writer, value, place)
    if issubclass(kind, pandas.api.extensions.ExtensionDtype):
        empty = pandas.array([], dtype=value)
        # A dtype without its categories or its subtype has them in an array.
        return {"t": "pandas-dtype", "v": _column(writer, empty, place)} if repr(empty.dtype) == repr(value) else None
    return None


def _number_and_unit(moment: Any) -> dict[str, Any]:
    return {"v": int(moment.view("i8")), "unit": numpy.datetime_data(moment.dtype)[0]}


def _offset(writer: Writer, offset: Any, place: Any) -> Any:
    """A frequency as its class and arguments: its letters differ between versions of pandas."""
    kwds = writer.write(dict(offset.kwds), (place, "{}.freq", None))
    return {"t": "offset", "v": type(offset).__name__, "n": offset.n, "normalize": offset.normalize, "kwds": kwds}


def _series(writer: Writer, series: Any, place: Any) -> dict[str, Any]:
    return {
        "t": "series",
        "v": _column(writer, series, place),
        "index": _index(writer, series.index, (place, "{}.index", None)),
        "name": writer.write(series.name, (place, "{}.name", None)),
        "geo": type(series).__name__ == "GeoSeries",
    }


def _frame(writer: Writer, frame: Any, place: Any) -> dict[str, Any]:
    labels = frame.columns
    columns = [_column(writer, frame.iloc[:, i], (place, "{}[{}]", label)) for i, label in enumerate(labels)]
    tree = {
        "t": "frame",
        "v": columns,
        "columns": _index(writer, labels, (place, "{}.columns", None)),
        "index": _index(writer, frame.index, (place, "{}.index", None)),
    }
    if type(frame).__name__ == "GeoDataFrame":
        tree.update(t="geoframe", geometry=writer.write(frame._geometry_column_name, place))
    return tree


def _index(writer: Writer, index: Any, place: Any) -> dict[str, Any]:
    import pandas

    name = (place, "{}.name", None)
    if isinstance(index, pandas.MultiIndex):
        levels = [_index(writer, level, (place, "{}.levels[{}]", i)) for i, level in enumerate(index.levels)]
        codes = [_numbers(writer, code) for code in index.codes]
        return {"t": "index", "levels": levels, "codes": codes, "name": writer.write(list(index.names), name)}
    tree: dict[str, Any] = {"t": "index", "name": writer.write(index.name, name)}
    if isinstance(index, pandas.RangeIndex):
        return {**tree, "range": [index.start, index.stop, index.step]}
    tree["v"] = _column(writer, index, place)
    if isinstance(index, (pandas.DatetimeIndex, pandas.TimedeltaIndex)) and index.freq is not None:
        tree["freq"] = _offset(writer, index.freq, place)
    return tree


def _numbers(writer: Writer, array: Any) -> dict[str, Any]:
    return {"t": "numbers", "d": array.dtype.str, "b": writer.blob(array.tobytes())}


def _column(writer: Writer, values: Any, place: Any) -> dict[str, Any]:
    """The tree of a series, an index or an array of one dimension, by its dtype."""
    import pandas

    dtype: Any = values.dtype
    if isinstance(dtype, numpy.dtype):
        array = numpy.asarray(values)
        if dtype.char == "O":
            return {"t": "cells", "v": writer.cells(array.tolist(), place)}
        return _numbers(writer, array)
    values = values.array if isinstance(values, (pandas.Series, pandas.Index)) else values
    if isinstance(dtype, pandas.StringDtype):
        return _strings(writer, values, place)
    if isinstance(dtype, pandas.CategoricalDtype):
        categories = _index(writer, values.categories, (place, "{}.categories", None))
        return {"t": "categories", "v": categories, "codes": _numbers(writer, values.codes), "ordered": values.ordered}
    if isinstance(dtype, pandas.DatetimeTZDtype):
        moments = pandas.DatetimeIndex(values).asi8.view(f"M8[{dtype.unit}]")
        return {"t": "zoned", "v": _numbers(writer, moments), "tz": write_zone(writer, dtype.tz, place)}
    if isinstance(dtype, pandas.PeriodDtype):
        return {"t": "periods", "v": _numbers(writer, values.asi8), "freq": _offset(writer, dtype.freq, place)}
    if isinstance(dtype, pandas.IntervalDtype):
        ends = [_index(writer, end, place) for end in (values.left, values.right)]
        return {"t": "intervals", "v": ends, "closed": values.closed}
    if isinstance(values, (pandas.arrays.IntegerArray, pandas.arrays.FloatingArray, pandas.arrays.BooleanArray)):
        return {"t": "nullable", "v": _numbers(writer, values._data), "mask": _numbers(writer, values._mask)}
    if type(values).__name__ == "GeometryArray":
        crs = None if values.crs is None else geo_values.write_crs(writer, values.crs, place)
        array = numpy.asarray(values, dtype=object)
        cells = geo_values.pack(writer, array) if len(array) >= LEAST_PACKED else None
        return {"t": "geometries", "v": cells or writer.cells(array.tolist(), place), "crs": crs}
    if isinstance(dtype, pandas.ArrowDtype) and "extension<" not in str(dtype.pyarrow_dtype):
        return {"t": "arrow", "b": arrow_blob(writer, values.__arrow_array__())}
    way = "`.sparse.to_dense()`" if isinstance(dtype, pandas.SparseDtype) else "`.astype(object)`"
    raise writer.refusal(place, f"is of dtype {dtype}, which cannot be carried back; return {way} of it")


def _strings(writer: Writer, values: Any, place: Any) -> dict[str, Any]:
    dtype = values.dtype
    tree = {"t": "strings", "storage": dtype.storage, "nan": isinstance(dtype.na_value, float)}
    if dtype.storage != "python" and len(values) >= LEAST_PACKED:
        return {**tree, "b": arrow_blob(writer, values.__arrow_array__())}
    return {**tree, "v": writer.cells(values.to_numpy(dtype=object, na_value=None).tolist(), place)}


def _read_timestamp(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    if isinstance(tree["v"], str):
        # Before 0.2.
        stamp, zone = pandas.Timestamp(tree["v"]), tree["tz"]
        if zone:
            stamp = stamp.tz_convert(zone) if stamp.tz else stamp.tz_localize(zone)
        return stamp.as_unit(tree["unit"])
    stamp = pandas.Timestamp(numpy.datetime64(tree["v"], tree["unit"]))
    zone = reader.read(tree["tz"])
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(zone)


def _read_timedelta(pandas: Any, _: Reader, tree: dict[str, Any]) -> Any:
    # Before 0.2 it was a text.
    return pandas.Timedelta(numpy.timedelta64(tree["v"], tree["unit"]) if "unit" in tree else tree["v"])


def _read_offset(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    kwds = reader.read(tree["kwds"])
    return getattr(pandas.offsets, tree["v"])(tree["n"], normalize=tree["normalize"], **kwds)


def _read_series(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    name = reader.read(tree["name"])
    if "index" not in tree:
        return reader.read(tree["v"]).iloc[:, 0].rename(name)
    values = reader.read(tree["v"])
    series = pandas.Series(values, dtype=values.dtype, copy=False)
    series.index, series.name = reader.read(tree["index"]), name
    return _with_flags(reader, tree, import_module("geopandas").GeoSeries(series) if tree["geo"] else series)


def _with_flags(reader: Reader, tree: dict[str, Any], made: Any) -> Any:
    if "attrs" in tree:
        made.attrs = reader.read(tree["attrs"])
    return made.set_flags(allows_duplicate_labels=False) if tree.get("unique") else made


def _read_frame(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    if "columns" not in tree:
        return _read_arrow_file(pandas, reader, tree)
    index = reader.read(tree["index"])
    columns = {i: reader.read(column) for i, column in enumerate(tree["v"])}
    for i, values in columns.items():
        if values.dtype == object:
            # pandas 3 would make texts of an array of them.
            columns[i] = pandas.Series(values, dtype=object, copy=False)
    frame = pandas.DataFrame(columns, index=pandas.RangeIndex(len(index)))
    frame.index, frame.columns = index, reader.read(tree["columns"])
    if tree["t"] == "geoframe":
        # Its constructor looks for a column of geometries, and refuses frames that geopandas itself makes.
        frame.__class__ = import_module("geopandas").GeoDataFrame
        frame._geometry_column_name = reader.read(tree["geometry"])
    return _with_flags(reader, tree, frame)


def _read_index(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    name = reader.read(tree["name"])
    if "levels" in tree:
        levels, codes = (reader.read(tree[part]) for part in ("levels", "codes"))
        return pandas.MultiIndex(levels, codes, names=name, verify_integrity=False)
    if "range" in tree:
        return pandas.RangeIndex(*tree["range"], name=name)
    if tree["v"]["t"] == "frame":
        return pandas.Index(reader.read(tree["v"]).iloc[:, 0], name=name)
    values = reader.read(tree["v"])
    index = pandas.Index(values, dtype=values.dtype, name=name, tupleize_cols=False, copy=False)
    if "freq" in tree:
        index.freq = reader.read(tree["freq"])
    return index


def _read_strings(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    import pyarrow

    cells = read_arrow(reader, tree) if "b" in tree else read_objects(reader, tree["v"])
    storage = "pyarrow" if tree["storage"] == "pyarrow_numpy" else tree["storage"]
    try:
        dtype = pandas.StringDtype(storage, na_value=math.nan) if tree["nan"] else pandas.StringDtype(storage)
    except TypeError:
        # pandas before 2.3, whose own texts are objects with NaN for what is missing.
        dtype = pandas.StringDtype("pyarrow_numpy") if tree["storage"] == "pyarrow_numpy" else object
    if dtype is object:
        cells = cells if isinstance(cells, pyarrow.ChunkedArray) else pyarrow.array(cells, "large_string")
        series = pandas.Series(cells.to_numpy(zero_copy_only=False), dtype=object)
        return series.where(series.notna(), math.nan).to_numpy()
    return dtype.__from_arrow__(cells) if "b" in tree else pandas.array(cells, dtype=dtype)


def _read_nullable(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    values, arrays = reader.read(tree["v"]), pandas.arrays
    kinds = {"b": arrays.BooleanArray, "f": arrays.FloatingArray}
    return kinds.get(values.dtype.kind, arrays.IntegerArray)(values, reader.read(tree["mask"]))


def _read_zoned(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    moments = pandas.DatetimeIndex(reader.read(tree["v"]))
    return moments.tz_localize("UTC").tz_convert(reader.read(tree["tz"])).array


def _read_categories(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    if tree["t"] == "categorical":
        return reader.read(tree["v"]).array
    codes, categories = reader.read(tree["codes"]), reader.read(tree["v"])
    return pandas.Categorical.from_codes(codes, dtype=pandas.CategoricalDtype(categories, tree["ordered"]))


def _read_arrow_file(pandas: Any, reader: Reader, tree: dict[str, Any]) -> Any:
    """A frame as it was written before 0.2: all that Arrow could infer in one file, other columns beside it."""
    file = io.BytesIO(reader.blob(tree))
    if tree["t"] == "geoframe":
        frame = import_module("geopandas").read_feather(file)
    else:
        frame = import_module("pyarrow.ipc").open_file(file).read_all().to_pandas()
    for position, name, values in tree["extra"]:
        column = pandas.Series([reader.read(item) for item in values], index=frame.index, dtype=object)
        frame.insert(position, reader.read(name), column)
    return frame


def _with_pandas(read: Callable[[Any, Any, dict[str, Any]], Any], reader: Reader, tree: dict[str, Any]) -> Any:
    return read(import_module("pandas"), reader, tree)


_READERS: dict[str, Callable[[Any, Any, dict[str, Any]], Any]] = {
    "NA": lambda pandas, *_: pandas.NA,
    "NaT": lambda pandas, *_: pandas.NaT,
    "timestamp": _read_timestamp,
    "pandas-timedelta": _read_timedelta,
    "period": lambda pandas, reader, tree: pandas.Period(ordinal=tree["v"], freq=reader.read(tree["freq"])),
    "interval": lambda pandas, reader, tree: pandas.Interval(*reader.read(tree["v"]), closed=tree["closed"]),
    "offset": _read_offset,
    "frame": _read_frame,
    "geoframe": _read_frame,
    "series": _read_series,
    "index": _read_index,
    "pandas-dtype": lambda _, reader, tree: reader.read(tree["v"]).dtype,
    "numbers": lambda _, reader, tree: numpy.frombuffer(reader.blob(tree), dtype=tree["d"]).copy(),
    "cells": lambda _, reader, tree: read_objects(reader, tree["v"]),
    "strings": _read_strings,
    "categories": _read_categories,
    "categorical": _read_categories,
    "nullable": _read_nullable,
    "zoned": _read_zoned,
    "periods": lambda pandas, reader, tree: pandas.arrays.PeriodArray(
        reader.read(tree["v"]), dtype=pandas.PeriodDtype(reader.read(tree["freq"]))
    ),
    "intervals": lambda pandas, reader, tree: pandas.arrays.IntervalArray.from_arrays(
        *reader.read(tree["v"]), closed=tree["closed"]
    ),
    "arrow": lambda pandas, reader, tree: pandas.arrays.ArrowExtensionArray(read_arrow(reader, tree)),
    "geometries": lambda _, reader, tree: import_module("geopandas.array").GeometryArray(
        read_objects(reader, tree["v"]), crs=reader.read(tree["crs"])
    ),
}
READERS = {tag: partial(_with_pandas, read) for tag, read in _READERS.items()}
