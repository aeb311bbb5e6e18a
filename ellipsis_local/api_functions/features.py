"""Of `ellipsis.path.vector.timestamp`: features as GeoDataFrames, put together from what the API answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.api_functions import request
from ellipsis_local.api_functions.rasters import Sides, in_crs, sides_of

PAGE = 10_000
"""Features of one request for all (seen in the client)."""
MOST_IDS = 10
"""Of one request (seen in the client)."""
VECTOR_ZOOM = 21
WORLD = {"xMin": -180.0, "yMin": -85.0, "xMax": 180.0, "yMax": 85.0}


def address(path_id: Any, timestamp_id: Any) -> str:
    path = arguments.uuid_text("pathId", path_id)
    return f"/path/{path}/vector/timestamp/{arguments.uuid_text('timestampId', timestamp_id)}"


def frame_of(features: list[dict[str, Any]], epsg: Any = 4326) -> Any:
    """The features as a GeoDataFrame, an empty one with a geometry column."""
    import geopandas as gpd

    from ellipsis_local.crs import epsg_text

    made = gpd.GeoDataFrame.from_features(features, crs="EPSG:4326") if features else gpd.GeoDataFrame(geometry=[])
    return (made if features else made.set_crs("EPSG:4326")).to_crs(epsg_text(epsg))


def date_of(text: str) -> datetime:
    """A time as the client reads it: naive, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


def listFeatures(
    pathId: str,
    timestampId: str,
    token: str | None = None,
    listAll: bool = True,
    pageStart: str | None = None,
    epsg: int = 4326,
) -> dict[str, Any]:
    """The features of a timestamp: `result`, a GeoDataFrame, `size` and `nextPageStart`."""
    given = {"pageStart": pageStart, "pageSize": PAGE}
    every = arguments.boolean("listAll", listAll)
    answer: dict[str, Any] = request("GET", f"{address(pathId, timestampId)}/listFeatures", given, token, every=every)
    return answer | {"result": frame_of(answer["result"]["features"], epsg)}


def getFeaturesByExtent(
    pathId: str,
    timestampId: str,
    extent: Sides,
    propertyFilter: Any = None,
    token: str | None = None,
    listAll: bool = True,
    pageStart: str | None = None,
    epsg: int = 4326,
    pageSize: int | None = None,
    coordinateBuffer: float | None = None,
    onlyIfCenterPointInExtent: bool = False,
) -> dict[str, Any]:
    """The features whose bounds touch an extent of a CRS, or whose centre lies in it; else as `listFeatures`.

    `coordinateBuffer`, in degrees, is what the extent is widened by in the question, half a tile of the timestamp where
    None (seen in the client). The client itself takes the extent for EPSG:4326, whatever `epsg` says.
    """
    base = address(pathId, timestampId)
    sides = in_crs(sides_of(extent), epsg, "EPSG:4326")
    buffer = arguments.number("coordinateBuffer", coordinateBuffer)
    if buffer is None:
        buffer = 0.0 if onlyIfCenterPointInExtent else 180 / 2**VECTOR_ZOOM
    wide = {side: value + (buffer if "Max" in side else -buffer) for side, value in sides.items()}
    wide = {side: (min if "Max" in side else max)(value, WORLD[side]) for side, value in wide.items()}
    given = {"pageStart": pageStart, "propertyFilter": propertyFilter, "extent": wide, "pageSize": pageSize}
    every = arguments.boolean("listAll", listAll)
    answer: dict[str, Any] = request("GET", f"{base}/featuresByExtent", given, token, every=every)
    found = frame_of(answer["result"]["features"])
    low_x, low_y, high_x, high_y = (found.bounds[side] for side in ("minx", "miny", "maxx", "maxy"))
    if onlyIfCenterPointInExtent:
        low_x = high_x = (low_x + high_x) / 2
        low_y = high_y = (low_y + high_y) / 2
    across = (high_x >= sides["xMin"]) & (low_x <= sides["xMax"])
    along = (high_y >= sides["yMin"]) & (low_y <= sides["yMax"])
    return answer | {"result": found[across & along].to_crs(f"EPSG:{epsg}")}


def getFeaturesByIds(
    pathId: str,
    timestampId: str,
    featureIds: Iterable[str],
    token: str | None = None,
    showProgress: bool = True,
    epsg: int = 4326,
) -> dict[str, Any]:
    """The features of some ids; else as `listFeatures`."""
    del showProgress
    base, ids = address(pathId, timestampId), arguments.uuid_list("featureIds", featureIds)
    features: list[dict[str, Any]] = []
    for first in range(0, len(ids), MOST_IDS):
        part = {"geometryIds": ids[first : first + MOST_IDS]}
        features += request("GET", f"{base}/featuresByIds", part, token)["result"]["features"]
    return {"size": len(features), "result": frame_of(features, epsg), "nextPageStart": None}


def getChanges(
    pathId: str,
    timestampId: str,
    token: str | None = None,
    pageStart: str | None = None,
    listAll: bool = False,
    actions: list[str] | None = None,
) -> dict[str, Any]:
    """What was done to the features: `result`, a list with `date`, and `nextPageStart` (the client drops `actions`)."""
    given = {"pageStart": pageStart, "actions": actions}
    every = arguments.boolean("listAll", listAll)
    answer: dict[str, Any] = request("GET", f"{address(pathId, timestampId)}/changelog", given, token, every=every)
    return answer | {"result": [one | {"date": date_of(one["date"])} for one in answer["result"]]}


OWN = (getChanges, getFeaturesByExtent, getFeaturesByIds, listFeatures)
FUNCTIONS = {f"path.vector.timestamp.{function.__name__}": function for function in OWN}
