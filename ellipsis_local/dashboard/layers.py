"""Layers and Layer: what lies in the home, on a map and as a table."""

from __future__ import annotations

import base64

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ellipsis_local.dashboard.pages import emulator_of
from ellipsis_local.types import Timestamp

NOTHING = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
"""A transparent PNG: where a raster has no pixel."""
SHOWN = 2000
"""Features that a map shows."""


def timestamp_of(request: Request) -> Timestamp:
    names = request.path_params
    return emulator_of(request).store.timestamp(names["path"], names["timestamp"])


def tile(request: Request) -> Response:
    """A tile of Web Mercator as a PNG; the stretch is one for the whole timestamp."""
    place = [request.path_params[name] for name in ("z", "x", "y")]
    png = emulator_of(request).imagery.tile(timestamp_of(request), *place, styled=True)
    return Response(png or NOTHING, media_type="image/png")


def features(request: Request) -> Response:
    """The first features of a vector, in EPSG:4326, as GeoJSON."""
    found, following = emulator_of(request).features.page(timestamp_of(request), None, SHOWN)
    geometries = [{"type": "Feature", "geometry": one["geometry"], "properties": {}} for one in found]
    return JSONResponse({"type": "FeatureCollection", "features": geometries, "truncated": following is not None})
