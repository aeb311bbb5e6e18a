"""What is not emulated says so, in the client's own errors, and is never a made-up success."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from tests.client.covers import covers
from tests.client.table import HIDDEN, TABLE

ID = "11111111-2222-4333-8444-555555555555"
EXTENT = {"xMin": 4, "xMax": 5, "yMin": 52, "yMax": 53}
REFUSED = tuple(name for name, row in (TABLE | HIDDEN).items() if row.state == "not")
BROKEN = {"path.setUpTask.fileImport": TypeError, "path.pointCloud.timestamp.fetchPoints": KeyError}
"""Where the client itself fails before it asks: it calls a check wrongly, it wants a path that is a point cloud."""

GIVEN: dict[str, Any] = {
    "name": "name", "parameters": {}, "method": "rule", "featureIds": [ID], "styleId": ID, "fileId": ID,
    "messageId": ID, "orderId": ID, "seriesIds": [ID], "text": "text", "image": np.zeros((2, 2)), "bookmark": {},
    "seriesData": pd.DataFrame({"date": [datetime(2024, 1, 1)], "height": [1.0]}),
    "propertyFilter": [], "extent": EXTENT, "pathType": "raster", "featureId": ID, "fileFormat": "las", "epsg": 4326,
}  # fmt: skip
"""Arguments by name; those that have a default are given as well, so that the request is a full one."""


def arguments(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    left = [n for n, parameter in names.items() if parameter.default is parameter.empty and n not in given]
    assert not left, left
    return {name: value for name, value in given.items() if name in names and name != "memFile"}


@covers(*REFUSED)
def test_what_is_not_emulated_says_so(client: ModuleType, token: str, tmp_path: Path) -> None:
    layers = {}
    for kind in ("raster", "vector"):
        path = getattr(client.path, kind).add("layer", token)["id"]
        layers[kind] = path, getattr(client.path, kind).timestamp.add(path, token)["id"]
    for name in REFUSED:
        path, timestamp = layers["vector" if "vector" in name else "raster"]
        file = tmp_path / ("order.zip" if "vector" in name else "order.tif")
        file.write_bytes(b"data")
        given = GIVEN | {"pathId": path, "timestampId": timestamp, "token": token, "filePath": str(file)}
        function = functools.reduce(getattr, name.split("."), client)
        if name in BROKEN:
            with pytest.raises(BROKEN[name]):
                function(**arguments(function, given))
        elif name.endswith(".download"):
            # Downloads raise what the library requests raises, without the text.
            with pytest.raises(requests.HTTPError, match="501 Server Error"):
                function(**arguments(function, given))
        else:
            with pytest.raises(ValueError, match="not emulated by ellipsis_local") as caught:
                function(**arguments(function, given))
            assert "/v3/path" in str(caught.value) or "/path/" in str(caught.value), caught.value


def test_what_is_not_emulated_of_other_calls_says_so(client: ModuleType, token: str) -> None:
    path = client.path.raster.add("layer", token)["id"]
    with pytest.raises(ValueError, match=r"remote=True.* not emulated"):
        client.path.raster.timestamp.add(path, token, remote=True)
    timestamp = client.path.raster.timestamp.add(path, token)["id"]
    with pytest.raises(ValueError, match=r"remoteInfo.* not emulated"):
        client.path.raster.timestamp.file.add(
            path, timestamp, token, "tif", name="far.tif", remoteInfo={"url": "https://example.org/far.tif"}
        )
