"""Layers and Layer: what lies in the home, on a map and as a table; files are dropped into it."""

from __future__ import annotations

import base64
import math
import shutil
from pathlib import Path, PurePath
from typing import Any

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ellipsis_local.answers import path_answer
from ellipsis_local.arguments import invalid
from ellipsis_local.dashboard.pages import done, emulator_of, is_fragment, render
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import ArgumentError, LayerError, LimitError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.imagery.default_style import COLOURS, Style
from ellipsis_local.types import PathRecord, RasterFile, Timestamp, VectorFile

NOTHING = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)
"""A transparent PNG: where a raster has no pixel."""
ON_MAP = 2000
"""Features that a map shows."""
ROWS = 100
"""Features on a page of the table."""


def list_page(request: Request) -> Response:
    """The tree of paths, those in the trash left out."""
    emulator = emulator_of(request)
    paths = emulator.store.list()
    known, below = {path.id for path in paths}, dict[str | None, list[PathRecord]]()
    for path in paths:
        # What lies in a folder of the trash stands at the top.
        below.setdefault(path.parent_id if path.parent_id in known else None, []).append(path)
    tree: list[PathRecord] = []
    depths: dict[str, int] = {}
    left = [(path, 0) for path in reversed(below.get(None, []))]
    while left:
        path, depth = left.pop()
        tree.append(path)
        depths[path.id] = depth
        left += [(child, depth + 1) for child in reversed(below.get(path.id, []))]
    rows = emulator.store.catalogue.still_here(tree, lambda path: path_row(emulator, path, depths[path.id]))
    template = "layers_rows.html" if is_fragment(request) else "layers.html"
    return render(template, request, {"rows": rows, "home": emulator.home.root})


def path_row(emulator: Emulator, path: PathRecord, depth: int) -> dict[str, Any]:
    row = {"id": path.id, "name": path.name, "type": path.type, "depth": depth, "timestamps": [], "content": ""}
    if path.type == "file":
        return row | {"bytes": emulator.store.get_plain_file(path.id).size}
    timestamps = emulator.store.catalogue.timestamps_of(path.id) if path.type != "folder" else []
    files = [file for timestamp in timestamps for file in timestamp.files]
    details = [file.detail for file in files if file.detail is not None]
    size = sum(file.size for file in files) if path.type != "folder" else None
    return row | {"timestamps": timestamps, "bytes": size, "content": content(details[-1]) if details else ""}


def content(detail: RasterFile | VectorFile) -> str:
    if isinstance(detail, VectorFile):
        return f"{detail.features:,} features"
    return f"{detail.width:,} × {detail.height:,}, {detail.bands} × {detail.dtype}"


async def upload(request: Request) -> Response:
    """The body is a file, `?name=` its name: a new layer, or with `?path=` another timestamp of one."""
    emulator, names = emulator_of(request), request.query_params
    name = PurePath(names.get("name", "")).name
    if name in ("", "..") or len(name.encode()) > 200 or not name.isprintable():
        raise invalid("name", name, f"must be the name of a file, of up to 200 bytes, not {name[:80]!r}")
    try:
        folder = await anyio.to_thread.run_sync(Home.temporary, emulator.home.layers)
        try:
            await receive(request, folder / name)
            added = await anyio.to_thread.run_sync(
                lambda: emulator.store.add(folder / name, path_id=names.get("path") or None)
            )
        finally:
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    except OSError as error:
        raise StoreError(f"the home {emulator.home.root} cannot be written: {error.strerror or error}") from error
    return done(f"added {name} as path {added[0]}, timestamp {added[1]}")


async def receive(request: Request, target: Path) -> None:
    most, size = request.app.state.max_upload, 0
    with target.open("xb") as file:
        try:
            async for piece in request.stream():
                size += len(piece)
                if size > most:
                    raise LimitError(f"the upload is larger than the {most:,} bytes that are taken (--max-upload)")
                await anyio.to_thread.run_sync(file.write, piece)
        except ClientDisconnect as error:
            raise ArgumentError("the upload ended before its end", argument="name") from error


def layer_page(request: Request) -> Response:
    """One path: bands or properties, files, its timestamps on maps, features as a table."""
    emulator = emulator_of(request)
    path = emulator.store.path(request.path_params["path"])
    timestamps = sorted(emulator.store.catalogue.timestamps_of(path.id), key=lambda one: one.date_from)
    chosen = request.path_params.get("timestamp")
    shown = emulator.store.timestamp(path.id, chosen) if chosen else next(iter(timestamps[::-1]), None)
    values: dict[str, Any] = {
        "record": path,
        "answer": path_answer(emulator, path),
        "timestamps": timestamps,
        "shown": shown,
        "places": [place(emulator, one) for one in timestamps],
        "file": emulator.store.get_plain_file(path.id) if path.type == "file" else None,
        "ranges": (),
    }
    if shown is not None and shown.rasters and "complex" not in shown.rasters[0].dtype:
        values["ranges"] = emulator.imagery.ranges(shown)
    return render("layer.html", request, values)


def place(emulator: Emulator, timestamp: Timestamp) -> dict[str, Any]:
    """A timestamp for the map: its id, date, and bounds in degrees; None where it has no place there."""
    try:
        bounds = emulator.store.bounds(timestamp.path_id, timestamp.id).bounds if timestamp.files else ()
    except LayerError:
        bounds = ()
    known = len(bounds) == 4 and all(map(math.isfinite, bounds))
    return {"id": timestamp.id, "date": span(timestamp), "bounds": list(bounds) if known else None}


def span(timestamp: Timestamp) -> str:
    first, last = (f"{one:%Y-%m-%d}" for one in (timestamp.date_from, timestamp.date_to))
    return first if first == last else f"{first} to {last}"


def timestamp_of(request: Request) -> Timestamp:
    names = request.path_params
    return emulator_of(request).store.timestamp(names["path"], names["timestamp"])


def tile(request: Request) -> Response:
    """A tile of Web Mercator as a PNG; the stretch is one for the whole timestamp."""
    timestamp = timestamp_of(request)
    numbers = [request.path_params[name] for name in ("z", "x", "y")]
    png = emulator_of(request).imagery.tile(timestamp, *numbers, styled=style_of(request, timestamp))
    return Response(png or NOTHING, media_type="image/png")


def style_of(request: Request, timestamp: Timestamp) -> Style:
    """`?bands=3` or `?bands=4,3,2`, which count from 1, and `?low=…&high=…`."""
    query, most = request.query_params, timestamp.rasters[0].bands if timestamp.rasters else 0
    bands = query.get("bands", "")
    numbers = [int(one) if one.strip().isdecimal() else 0 for one in bands.split(",")] if bands else []
    if len(numbers) not in (0, 1, COLOURS) or not all(1 <= number <= most for number in numbers):
        raise invalid("bands", bands, f"must be one number of a band, or three, from 1 to {most}, not {bands[:80]!r}")
    ends = [query.get(name, "") for name in ("low", "high")]
    if not any(ends):
        return Style(tuple(number - 1 for number in numbers))
    try:
        low, high = map(float, ends)
    except ValueError:
        raise invalid("low", ends[0], "and high must both be numbers, or both be empty") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise invalid("low", low, f"must be less than high, not {low} and {high}")
    return Style(tuple(number - 1 for number in numbers), (low, high))


def value(request: Request) -> Response:
    """What lies at `?x=…&y=…`, in degrees: the values of a raster's bands, or the properties of features."""
    timestamp, emulator = timestamp_of(request), emulator_of(request)
    try:
        at = [[float(request.query_params[name]) for name in ("x", "y")]]
    except (KeyError, ValueError):
        raise invalid("x", request.query_params.get("x"), "and y must be degrees") from None
    if timestamp.type == "raster":
        return JSONResponse({"bands": emulator.imagery.locations(timestamp, at)[0] if timestamp.files else []})
    found = emulator.features.at_locations(timestamp, at)[0]
    return JSONResponse({"features": [plain_properties(one) for one in found]})


def features(request: Request) -> Response:
    """The first features of a vector, in EPSG:4326, as GeoJSON."""
    found, following = emulator_of(request).features.page(timestamp_of(request), None, ON_MAP)
    geometries = [{"type": "Feature", "geometry": one["geometry"], "properties": {}} for one in found]
    return JSONResponse({"type": "FeatureCollection", "features": geometries, "truncated": following is not None})


def table(request: Request) -> Response:
    """A page of the attribute table."""
    timestamp, start = timestamp_of(request), request.query_params.get("start") or None
    room = emulator_of(request).features
    found, following = room.page(timestamp, start, ROWS)
    rows, columns = [plain_properties(one) for one in found], room.names(timestamp.path_id, timestamp.files)
    values = {"columns": columns, "rows": rows, "following": following, "shown": timestamp}
    return render("layer_table.html", request, values)


def plain_properties(feature: dict[str, Any]) -> dict[str, str]:
    """Of a feature as GeoJSON: as texts, without the ids that the service puts among them."""
    own = {name: one for name, one in feature["properties"].items() if name not in ("id", "userId")}
    return {name: "" if one is None else str(one) for name, one in own.items()}
