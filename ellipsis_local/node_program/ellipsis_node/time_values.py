"""Dates and times with their zones, on their way from a node to the caller: see `values`."""

from __future__ import annotations

import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from .values import Reader, Writer


def write(writer: Writer, value: Any, kind: Any, place: Any) -> Any:
    """The tree of a datetime, a time or a zone; None for anything else."""
    # By name: a test that has stopped the clock has put others in their places.
    if kind.__module__ == "datetime" and kind.__name__ in ("datetime", "time"):
        tree = {"t": kind.__name__, "v": value.replace(tzinfo=None).isoformat()}
        fold = value.fold
        if value.tzinfo is not None:
            tree["tz"] = write_zone(writer, value.tzinfo, place)
            if hasattr(value.tzinfo, "localize"):
                fold = _fold_of_pytz(writer, value, place)
        return {**tree, "fold": fold} if fold else tree
    return write_zone(writer, value, place) if issubclass(kind, datetime.tzinfo) else None


def _fold_of_pytz(writer: Writer, value: Any, place: Any) -> int:
    """What says which of two: pytz has a zone object for each offset, and no fold."""
    zone, wall = value.tzinfo, value.replace(tzinfo=None)
    if isinstance(value, datetime.time):
        if zone is _pytz(zone.zone) or zone.zone is None:
            return 0
    else:
        for fold in (0, 1):
            if zone.localize(wall, is_dst=not fold).tzinfo is zone:
                return fold
    text = f"has the zone {zone!r} of pytz, which was not given to it by `localize`; use zoneinfo.ZoneInfo, or localize"
    raise writer.refusal(place, text)


def write_zone(writer: Writer, zone: Any, place: Any) -> Any:
    """The tree of a zone, which for pytz is the same whatever offset the object stands for."""
    module, kind = type(zone).__module__.partition(".")[0], type(zone).__name__
    key: Any = None
    if type(zone) is datetime.timezone:
        return {"t": "timezone", "v": writer.write(zone.__getinitargs__(), place)}  # type: ignore[attr-defined]
    if module == "zoneinfo":
        zone.__reduce__()
        key = zone.key
    elif module == "pytz":
        key = zone.zone if zone.zone is not None else int(zone.utcoffset(None).total_seconds()) // 60
    elif module == "dateutil" and kind in ("tzutc", "tzoffset"):
        key = "UTC" if kind == "tzutc" else [zone._name, int(zone.utcoffset(None).total_seconds())]
    elif module == "dateutil" and kind == "tzfile":
        key = str(zone._filename).rpartition("zoneinfo/")[2]
        key = key if import_module("dateutil.tz").gettz(key) == zone else None
    if key is None:
        text = (
            f"has a time zone of type {module}.{kind} ({zone!r}), which cannot be carried back; use zoneinfo.ZoneInfo"
        )
        raise writer.refusal(place, text)
    return {"t": "zone", "of": module, "v": key}


def _pytz(key: Any) -> Any:
    """The zone of pytz, or where that is not there the same one of the standard library."""
    try:
        pytz = import_module("pytz")
    except ImportError:
        if isinstance(key, int):
            return datetime.timezone(datetime.timedelta(minutes=key))
        return datetime.timezone.utc if key == "UTC" else import_module("zoneinfo").ZoneInfo(key)
    return pytz.FixedOffset(key) if isinstance(key, int) else pytz.timezone(key)


def _read_zone(_: Reader, tree: dict[str, Any]) -> Any:
    key = tree["v"]
    if tree["of"] == "zoneinfo":
        return import_module("zoneinfo").ZoneInfo(key)
    if tree["of"] == "pytz":
        return _pytz(key)
    tz = import_module("dateutil.tz")
    if isinstance(key, list):
        return tz.tzoffset(*key)
    zone = tz.UTC if key == "UTC" else tz.gettz(key)
    if zone is None:
        raise LookupError(f"no time zone {key!r} here")
    return zone


def _read_moment(reader: Reader, tree: dict[str, Any]) -> Any:
    kind: Any = {"datetime": datetime.datetime, "time": datetime.time}[tree["t"]]
    # Before 0.2 the text had an offset, and no zone.
    moment, fold = kind.fromisoformat(tree["v"]), tree.get("fold", 0)
    if "tz" not in tree:
        return moment.replace(fold=fold)
    zone = reader.read(tree["tz"])
    if kind is datetime.datetime and hasattr(zone, "localize"):
        return zone.localize(moment, is_dst=not fold)
    return moment.replace(tzinfo=zone, fold=fold)


READERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "datetime": _read_moment,
    "time": _read_moment,
    "timezone": lambda reader, tree: datetime.timezone(*reader.read(tree["v"])),
    "zone": _read_zone,
}
