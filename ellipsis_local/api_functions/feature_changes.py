"""Of `ellipsis.path.vector.timestamp.feature`: GeoDataFrames of features, sent in parts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.api_functions import request
from ellipsis_local.api_functions.features import address, date_of, frame_of
from ellipsis_local.arguments import invalid

MOST_ADDED, MOST_CHANGED = 3000, 1000
"""Features of one request (seen in the client)."""
SERVICES = ("id", "userId", "attribution", "radius", "color")
"""Columns that are not sent: the service gives them itself (seen in the client)."""
TYPES = {"i": "integer", "u": "integer", "f": "float", "b": "boolean", "M": "datetime"}
"""By the kind of a column's type; all others are 'string' (seen in the client)."""


def features_of(features: Any) -> tuple[Any, list[dict[str, Any]]]:
    """A frame in EPSG:4326 without the service's columns, and its features; what is missing is left out."""
    import geopandas as gpd

    if not isinstance(features, gpd.GeoDataFrame):
        raise invalid("features", features, f"must be a geopandas dataframe, not {type(features).__name__}")
    if features.crs is None:
        west, south, east, north = features.total_bounds
        if not (west > -180 and east < 180 and south > -90 and north < 90):
            raise invalid("features", features, "must have a CRS: set it with set_crs")
        features = features.set_crs("EPSG:4326")
    frame = features.to_crs("EPSG:4326").drop(columns=[name for name in SERVICES if name in features.columns])
    # The client itself fails for times.
    return frame, json.loads(frame.to_json(na="drop", default=lambda value: value.isoformat()))["features"]


def add(
    pathId: str, timestampId: str, features: Any, token: str, showProgress: bool = True, cores: int = 1
) -> list[str]:
    """Add the features of a GeoDataFrame; their ids. The first ones declare the layer's properties, too."""
    del showProgress, cores
    base = address(pathId, timestampId)
    frame, given = features_of(features)
    info = request("GET", f"/path/{pathId}", {}, token)
    if info["type"] != "vector":
        raise invalid("pathId", pathId, f"must be a vector, not a {info['type']}: only these have features")
    if not info["vector"]["properties"]:
        for name in frame.columns.drop(frame.geometry.name):
            made = {"name": name, "type": TYPES.get(frame[name].dtype.kind, "string")}
            request("POST", f"/path/{pathId}/vector/property", made | {"required": False, "private": False}, token)
    ids: list[str] = []
    for first in range(0, len(given), MOST_ADDED):
        part = [{"feature": feature} for feature in given[first : first + MOST_ADDED]]
        ids += request("POST", f"{base}/feature", {"features": part}, token)
    return ids


def edit(
    pathId: str,
    timestampId: str,
    featureIds: Iterable[str],
    token: str,
    features: Any,
    showProgress: bool = True,
    cores: int = 1,
) -> Any:
    """Give features new properties and geometries: a row of the GeoDataFrame for each id."""
    del showProgress, cores
    base, ids = address(pathId, timestampId), arguments.uuid_list("featureIds", featureIds)
    _, given = features_of(features)
    if len(given) != len(ids):
        raise invalid("featureIds", ids, f"must be as many as the features: {len(ids)} and {len(given)}")
    changes = [
        {"featureId": one, "newProperties": feature["properties"], "newGeometry": feature["geometry"]}
        for one, feature in zip(ids, given, strict=True)
    ]
    answer: Any = None
    for first in range(0, len(changes), MOST_CHANGED):
        answer = request("PATCH", f"{base}/feature", {"changes": changes[first : first + MOST_CHANGED]}, token)
    return answer


def trash(pathId: str, timestampId: str, featureIds: Iterable[str], token: str, showProgress: bool = True) -> Any:
    """Put features into the trash."""
    del showProgress
    return _trashed(pathId, timestampId, featureIds, token, trashed=True)


def recover(pathId: str, timestampId: str, featureIds: Iterable[str], token: str, showProgress: bool = True) -> Any:
    """Take features out of the trash."""
    del showProgress
    return _trashed(pathId, timestampId, featureIds, token, trashed=False)


def _trashed(path_id: Any, timestamp_id: Any, feature_ids: Any, token: Any, *, trashed: bool) -> Any:
    base, ids = address(path_id, timestamp_id), arguments.uuid_list("featureIds", feature_ids)
    answer: Any = None
    for first in range(0, len(ids), MOST_CHANGED):
        part = {"featureIds": ids[first : first + MOST_CHANGED], "trashed": trashed}
        answer = request("PUT", f"{base}/feature/trashed", part, token)
    return answer


def versions(
    pathId: str,
    timestampId: str,
    featureId: str,
    token: str | None = None,
    pageStart: str | None = None,
    listAll: bool = True,
) -> dict[str, Any]:
    """What a feature was: `result`, a GeoDataFrame with `username`, `userId` and `dates`."""
    path = f"{address(pathId, timestampId)}/feature/{arguments.uuid_text('featureId', featureId)}/version"
    every = arguments.boolean("listAll", listAll)
    answer: dict[str, Any] = request("GET", path, {"returnType": "all", "pageStart": pageStart}, token, every=every)
    found = answer["result"]
    frame = frame_of([one["feature"] for one in found])
    frame["username"] = [one["user"]["username"] for one in found]
    frame["userId"] = [one["user"]["id"] for one in found]
    frame["dates"] = [date_of(one["date"]) for one in found]
    return answer | {"result": frame}


OWN = (add, edit, recover, trash, versions)
FUNCTIONS = {f"path.vector.timestamp.feature.{function.__name__}": function for function in OWN}
