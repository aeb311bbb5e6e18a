"""Of `ellipsis.path.raster.timestamp`: pixels, put together from what the API answers, as the client does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from ellipsis_local import arguments
from ellipsis_local.api_functions import request
from ellipsis_local.arguments import invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF = 2.003751e07
"""Half the width of the world, as the client rounds it: its windows begin at pixels counted with it."""
TILE = 256
CONTOUR_SIZE = 1000
"""Pixels of the grid, each way, that contours are drawn on (seen in the client)."""
MOST_TIMESTAMPS = 45
"""Of one request for statistics (seen in the client)."""
SIDES = ("xMin", "yMin", "xMax", "yMax")

Sides = dict[str, float]


def address(path_id: Any, timestamp_id: Any) -> str:
    path = arguments.uuid_text("pathId", path_id)
    return f"/path/{path}/raster/timestamp/{arguments.uuid_text('timestampId', timestamp_id)}"


def sides_of(extent: Any) -> Sides:
    numbers = {side: extent[side] for side in SIDES} if isinstance(extent, dict) and set(SIDES) <= set(extent) else None
    if numbers is None:
        raise invalid("extent", extent, f"must be a dictionary with keys {', '.join(SIDES)}")
    found = {side: float(arguments.number(f"extent[{side!r}]", value) or 0) for side, value in numbers.items()}
    if found["xMin"] >= found["xMax"] or found["yMin"] >= found["yMax"]:
        raise invalid("extent", extent, "must have an xMax larger than xMin, and a yMax larger than yMin")
    return found


def in_crs(sides: Sides, epsg: Any, target: str) -> Sides:
    """The rectangle around an extent in another CRS."""
    from ellipsis_local.crs import epsg_text, transform_extent
    from ellipsis_local.types import Extent

    source = epsg_text(epsg)
    found = transform_extent(source, target, Extent(*(sides[side] for side in SIDES)))
    if found is None:
        raise invalid("extent", sides, f"cannot be brought from {source} to {target}")
    return dict(zip(SIDES, found, strict=True))


def in_mercator(extent: Any, epsg: Any) -> tuple[Sides, Sides]:
    """The extent as it was given, and the rectangle around it in Web Mercator."""
    sides = sides_of(extent)
    around = in_crs(sides, epsg, "EPSG:3857")
    return sides, {side: min(max(value, -HALF), HALF) for side, value in around.items()}


def getRaster(
    pathId: str, timestampId: str, extent: Sides, token: str | None = None, showProgress: bool = True, epsg: int = 3857
) -> dict[str, Any]:
    """The pixels of an active timestamp in an extent, at its own zoom.

    Returns
    -------
    dict
        `raster` (bands, height, width), the last band 0 where there is nothing, `transform`, `extent`, `crs`: of Web
        Mercator, or brought to `epsg` (nearest) with as many pixels (seen in the client). No progress is shown.
    """
    import numpy as np

    del showProgress
    base = address(pathId, timestampId)
    sides, web = in_mercator(extent, epsg)
    info = request("GET", f"/path/{pathId}", {}, token)["raster"]
    timestamp = next((one for one in info["timestamps"] if one["id"] == timestampId.lower()), None)
    if timestamp is None:
        raise invalid("timestampId", timestampId, "is no timestamp of this path")
    if timestamp["status"] != "active" or timestamp["zoom"] is None:
        raise invalid("timestampId", timestampId, "names a timestamp that is not active: activate it before")
    scale = 2 ** timestamp["zoom"] * TILE / (2 * HALF)
    left, right = _pixels((web["xMin"] + HALF) * scale, (web["xMax"] + HALF) * scale)
    top, bottom = _pixels((HALF - web["yMax"]) * scale, (HALF - web["yMin"]) * scale)
    raster: Any = np.zeros((len(info["bands"]), bottom - top, right - left), info["format"])
    for y, x in product(_tiles(top, bottom, timestamp["zoom"]), _tiles(left, right, timestamp["zoom"])):
        tile = request("GET", f"{base}/tile/{timestamp['zoom']}/{x}/{y}", {"applyStyle": False}, token)
        if tile is not None:
            rows, columns = _window(y, top, bottom), _window(x, left, right)
            own = np.s_[rows.start + top - y * TILE : rows.stop + top - y * TILE]
            across = np.s_[columns.start + left - x * TILE : columns.stop + left - x * TILE]
            pixels = _pages(tile, (TILE, TILE))
            raster[: len(pixels), rows, columns] = pixels[:, own, across]
    return _brought(raster, web, sides, epsg)


def _pixels(low: float, high: float) -> tuple[int, int]:
    return math.floor(low), max(math.floor(high) + 1, math.floor(low) + 1)


def _tiles(start: int, stop: int, zoom: int) -> range:
    """Those under some rows or columns, without what lies beyond the world (where the client itself fails)."""
    return range(start // TILE, min((stop - 1) // TILE + 1, 2**zoom))


def _window(tile: int, start: int, stop: int) -> slice:
    """The part of the result that a tile holds."""
    return slice(max(tile * TILE, start) - start, min((tile + 1) * TILE, stop) - start)


def _pages(data: bytes, shape: tuple[int, int]) -> Any:
    from ellipsis_local.raster.opening import read_pages

    return read_pages(data, shape)


def _brought(raster: NDArray[Any], web: Sides, sides: Sides, epsg: int) -> dict[str, Any]:
    """An answer in the CRS that was asked for; the pixels are the nearest ones."""
    import numpy as np
    from affine import Affine

    from ellipsis_local.crs import epsg_text, transformer
    from ellipsis_local.raster.grid import apply, inverse

    def grid(extent: Sides) -> Any:
        dx = (extent["xMax"] - extent["xMin"]) / raster.shape[2]
        dy = (extent["yMax"] - extent["yMin"]) / raster.shape[1]
        return Affine(dx, 0.0, extent["xMin"], 0.0, -dy, extent["yMax"])

    if epsg == 3857:
        return {"raster": raster, "transform": grid(web), "extent": web, "crs": "EPSG:3857"}
    columns, rows = np.meshgrid(np.arange(raster.shape[2]) + 0.5, np.arange(raster.shape[1]) + 0.5)
    x, y = transformer(epsg_text(epsg), "EPSG:3857").transform(*apply(grid(sides), columns, rows))
    x, y = np.where(np.isfinite(x), x, -2 * HALF), np.where(np.isfinite(y), y, 2 * HALF)
    place = apply(inverse(grid(web)), x, y)
    column, row = (np.floor(one).astype(int) for one in place)
    inside = (row >= 0) & (row < raster.shape[1]) & (column >= 0) & (column < raster.shape[2])
    # Floats, whatever the layer's type (seen in the client).
    brought = np.where(inside, raster[:, np.where(inside, row, 0), np.where(inside, column, 0)], 0).astype(float)
    return {"raster": brought, "transform": grid(sides), "extent": sides, "crs": f"EPSG:{epsg}"}


def getSampledRaster(
    pathId: str, timestampId: str, extent: Sides, width: int, height: int, epsg: int = 3857, token: str | None = None
) -> dict[str, Any]:
    """The pixels of an active timestamp in an extent, `width` × `height` of them; else as `getRaster`."""
    base = address(pathId, timestampId)
    sides, web = in_mercator(extent, epsg)
    given = {"extent": web, "width": width, "height": height, "applyStyle": False}
    answer = request("GET", f"{base}/rasterByExtent", given, token)
    return _brought(_pages(answer, (height, width)), web, sides, epsg)


def contour(
    pathId: str,
    timestampId: str,
    extent: Sides,
    interval: float | None = None,
    intervals: Iterable[float] | None = None,
    epsg: int = 4326,
    bandNumber: int = 1,
    token: str | None = None,
) -> Any:
    """Lines of equal value, a GeoDataFrame with their `label`: at `intervals`, or every `interval` (a tenth of all).

    The client itself works for float rasters only, and gives rows as x.
    """
    import geopandas as gpd
    import numpy as np
    import shapely
    from contourpy import contour_generator

    from ellipsis_local.raster.grid import apply

    _, web = in_mercator(extent, epsg)
    found = getSampledRaster(pathId, timestampId, web, CONTOUR_SIZE, CONTOUR_SIZE, token=token)
    raster, transform = found["raster"], found["transform"]
    if not 1 <= bandNumber < len(raster):
        raise invalid("bandNumber", bandNumber, f"must be from 1 to {len(raster) - 1}")
    values = np.ma.array(raster[bandNumber - 1].astype(float), mask=raster[-1] == 0)
    if intervals is None:
        low, high = (0.0, 0.0) if values.mask.all() else (float(values.min()), float(values.max()))
        step = interval or (high - low) / 10
        intervals = np.arange(low, high, step) if step else []
    drawn: Any = contour_generator(z=values, corner_mask=False)
    lines = [(line + 0.5, level) for level in intervals for line in drawn.lines(level)]
    geometry = [shapely.linestrings(np.column_stack(apply(transform, line[:, 0], line[:, 1]))) for line, _ in lines]
    frame = gpd.GeoDataFrame({"label": [level for _, level in lines]}, geometry=geometry, crs="EPSG:3857")
    return frame.to_crs(f"EPSG:{epsg}")


def getLocationInfo(
    pathId: str, timestampId: str, locations: Sequence[Sequence[float]], epsg: int = 4326, token: str | None = None
) -> Any:
    """The values under places (x, y) of a CRS (the client itself takes them for EPSG:4326, whatever `epsg` says)."""
    base = address(pathId, timestampId)
    places = [[float(place[0]), float(place[1])] for place in locations]
    if epsg != 4326:
        from ellipsis_local.crs import epsg_text, transformer

        places = [list(transformer(epsg_text(epsg), "EPSG:4326").transform(*place)) for place in places]
    return request("GET", f"{base}/location", {"locations": places}, token)


def analyse(
    pathId: str,
    timestampIds: Iterable[str],
    geometry: Any,
    returnType: str = "all",
    approximate: bool = True,
    token: str | None = None,
    epsg: int = 4326,
    showProgress: bool = True,
) -> list[dict[str, Any]]:
    """Statistics of the pixels in a shapely geometry, a dict per timestamp; see docs/fidelity.md."""
    import geopandas as gpd

    del showProgress
    path, ids = arguments.uuid_text("pathId", pathId), arguments.uuid_list("timestampIds", timestampIds)
    if not hasattr(geometry, "geom_type"):
        raise invalid("geometry", geometry, "must be a shapely geometry")
    (shape,) = gpd.GeoSeries([geometry], crs=f"EPSG:{epsg}").to_crs("EPSG:4326")
    given = {
        "geometry": shape.__geo_interface__,
        "approximate": arguments.boolean("approximate", approximate),
        arguments.string("returnType", returnType): returnType,
    }
    found: list[dict[str, Any]] = []
    for first in range(0, len(ids), MOST_TIMESTAMPS):
        part = given | {"timestampIds": ids[first : first + MOST_TIMESTAMPS]}
        found += request("GET", f"/path/{path}/raster/timestamp/analyse", part, token)
    return found


OWN = (analyse, contour, getLocationInfo, getRaster, getSampledRaster)
FUNCTIONS = {f"path.raster.timestamp.{function.__name__}": function for function in OWN}
