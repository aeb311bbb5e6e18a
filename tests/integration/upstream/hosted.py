"""A double of the hosted service, for what pulls from it: a threaded server on loopback that speaks the documented shapes.

It is told what it holds (`add_raster` …), and how it misbehaves: `fail`, `drop`, `ranges`, `sizes`, `redirect`. It keeps
what was asked of it in `requests`. It shares no code with the package.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from affine import Affine
from rasterio.io import MemoryFile

TOKEN = "secret-token-of-the-tests"
DATE = {"from": "2024-07-01T10:30:00.000Z", "to": "2024-07-02T00:00:00.500Z"}
WORLD = 2 * 20037508.342789244


@dataclass
class Request:
    """One request that came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Tiles:
    """A raster on the grid of tiles of one zoom; pixel (0, 0) is pixel (left, top) of the world."""

    values: np.ndarray
    valid: np.ndarray
    zoom: int
    left: int
    top: int

    def bounds(self) -> dict[str, Any]:
        """The rectangle in degrees as GeoJSON."""
        size = WORLD / (256 * 2**self.zoom)
        height, width = self.valid.shape
        west, east = self.left * size - WORLD / 2, (self.left + width) * size - WORLD / 2
        north, south = WORLD / 2 - self.top * size, WORLD / 2 - (self.top + height) * size
        lon = [x / 6378137.0 * 180 / np.pi for x in (west, east)]
        lat = [np.degrees(np.arctan(np.sinh(y / 6378137.0))) for y in (south, north)]
        ring = [[lon[i], lat[j]] for i, j in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0))]
        return {"type": "Polygon", "coordinates": [ring]}

    def tile(self, x: int, y: int) -> bytes | None:
        """256 × 256 pixels and the mask, as a TIFF; None where there is nothing."""
        bands, dtype = len(self.values), self.values.dtype
        whole = np.zeros((bands + 1, 256, 256), dtype)
        height, width = self.valid.shape
        for row in range(256):
            for_row = y * 256 + row - self.top
            if not 0 <= for_row < height:
                continue
            first, last = max(0, x * 256 - self.left), min(width, (x + 1) * 256 - self.left)
            if first < last:
                at = first + self.left - x * 256
                part = slice(at, at + last - first)
                valid = self.valid[for_row, first:last]
                whole[:-1, row, part] = np.where(valid, self.values[:, for_row, first:last], 0)
                whole[-1, row, part] = valid
        return tiff(whole) if whole[-1].any() else None


def tiff(values: np.ndarray, **options: Any) -> bytes:
    """A raster as the bytes of a TIFF."""
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": str(values.dtype)}
    options.setdefault("transform", Affine(1, 0, 1, 0, -1, 1))
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **shape, **options) as output:
            output.write(values)
        return bytes(memory.getbuffer())


@dataclass
class Misdeed:
    """How the server fails at addresses that match."""

    pattern: str
    status: int = 0
    """The status to answer with; 0 breaks the connection off after `share` of the body."""
    share: float = 0.5
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    text: str = "the service is unwell"


class Hosted:
    """The double. Use it as a context manager; `url` is its address up to and including /v3."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.paths: dict[str, dict[str, Any]] = {}
        self.children: dict[str, list[str]] = {}
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.data: dict[str, bytes] = {}
        self.tiles: dict[str, Tiles] = {}
        self.features: dict[str, list[dict[str, Any]]] = {}
        self.changes: dict[str, list[dict[str, Any]]] = {}
        self.misdeeds: list[Misdeed] = []
        self.token: str | None = TOKEN
        self.level = 900
        self.ranges = True
        self.etags = True
        self.lengths = True
        self.page = 50
        self.size: Callable[[int], Any] = lambda count: count
        self.redirect: str | None = None
        self.hold = threading.Event()
        """Answers to what matches `held` wait for it."""
        self.held: str | None = None
        self._lock = threading.Lock()

    # ----- what it holds ---------------------------------------------------------------------------------------------

    def add(self, type: str, name: str, about: dict[str, Any], path_id: str | None = None, **more: Any) -> str:
        path_id = path_id or str(uuid.uuid4())
        self.paths[path_id] = {"id": path_id, "type": type, "name": name, "metadata": {}, type: about} | more
        return path_id

    def add_raster(
        self, name: str = "scene", *, bands: list[str] | None = None, dtype: str = "uint8", **more: Any
    ) -> str:
        """A raster without timestamps; its bands with the mask as the last one, as the service counts."""
        listed = [{"number": i, "name": band} for i, band in enumerate([*(bands or ["band 1"]), "mask"], start=1)]
        return self.add("raster", name, {"bands": listed, "format": dtype, "asJpg": False, "timestamps": []}, **more)

    def add_vector(self, name: str = "roads", *, properties: dict[str, str] | None = None, **more: Any) -> str:
        listed = [{"id": str(uuid.uuid4()), "name": key, "type": kind} for key, kind in (properties or {}).items()]
        return self.add("vector", name, {"properties": listed, "renderOptions": None, "timestamps": []}, **more)

    def add_file(self, name: str, data: bytes) -> str:
        path_id = self.add("file", name, {"size": len(data)})
        self.data[path_id] = data
        return path_id

    def add_folder(self, name: str, children: list[str]) -> str:
        path_id = self.add("folder", name, {})
        self.children[path_id] = children
        return path_id

    def add_timestamp(self, path_id: str, *, status: str = "active", zoom: int | None = None, **more: Any) -> str:
        kind = self.paths[path_id]["type"]
        timestamp_id = str(uuid.uuid4())
        self.paths[path_id][kind]["timestamps"].append(
            {"id": timestamp_id, "status": status, "date": DATE, "description": "a clear day", "zoom": zoom} | more
        )
        self.files[timestamp_id] = []
        return timestamp_id

    def add_layer_file(self, timestamp_id: str, name: str, data: bytes, **info: Any) -> str:
        file_id = str(uuid.uuid4())
        self.data[file_id] = data
        self.files[timestamp_id].append({"id": file_id, "name": name, "info": {"size": len(data)} | info})
        return file_id

    def add_tiles(self, path_id: str, tiles: Tiles, **more: Any) -> str:
        timestamp_id = self.add_timestamp(path_id, zoom=tiles.zoom, **more)
        self.tiles[timestamp_id] = tiles
        return timestamp_id

    # ----- how it misbehaves -----------------------------------------------------------------------------------------

    def fail(self, pattern: str, status: int, times: int = 10**6, **more: Any) -> None:
        self.misdeeds.append(Misdeed(pattern, status, times=times, **more))

    def drop(self, pattern: str, times: int = 1, share: float = 0.5) -> None:
        self.misdeeds.append(Misdeed(pattern, share=share, times=times))

    def well_again(self) -> None:
        self.misdeeds.clear()
        self.requests.clear()

    def misdeed(self, path: str) -> Misdeed | None:
        with self._lock:
            for one in self.misdeeds:
                if one.times > 0 and re.search(one.pattern, path):
                    one.times -= 1
                    return one
        return None

    def asked(self, pattern: str) -> list[Request]:
        """The requests whose path matches."""
        return [request for request in self.requests if re.search(pattern, request.path)]

    # ----- the server ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Hosted:
        hosted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                answer(hosted, self)

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Who pulls may go away in the middle."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


def answer(hosted: Hosted, handler: BaseHTTPRequestHandler) -> None:
    parts = urlsplit(handler.path)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    headers = {name.lower(): value for name, value in handler.headers.items()}
    hosted.requests.append(Request(parts.path, query, headers))
    if hosted.held is not None and re.search(hosted.held, parts.path):
        hosted.hold.wait(30)
    if hosted.redirect is not None:
        send(handler, 302, b"", {"Location": hosted.redirect + handler.path})
        return
    misdeed = hosted.misdeed(parts.path)
    if misdeed is not None and misdeed.status:
        send(handler, misdeed.status, misdeed.text.encode(), misdeed.headers)
        return
    if hosted.token is not None and headers.get("authorization") != f"Bearer {hosted.token}":
        send(handler, 401, b"Not authorized, invalid token")
        return
    share = None if misdeed is None else misdeed.share
    found = route(hosted, parts.path, query)
    if found is None:
        send(handler, 404, b"no such path")
    elif isinstance(found, int):
        send(handler, found, b"" if found == 204 else b"insufficient access")
    elif isinstance(found, bytes):
        send_file(hosted, handler, found, headers, share)
    else:
        send(handler, 200, json.dumps(found).encode(), {"Content-Type": "application/json"}, share=share)


def route(hosted: Hosted, path: str, query: dict[str, str]) -> Any:
    """What is at an address: JSON, bytes of a file, a status, or None for 404."""
    match = re.fullmatch(r"/v3/path/([^/]+)(?:/(.*))?", path)
    if match is None or match[1] not in hosted.paths:
        return None
    path_id, rest = match[1], match[2] or ""
    if not rest:
        return hosted.paths[path_id] | {"yourAccess": {"accessLevel": hosted.level}}
    if rest == "list":
        children = [hosted.paths[one] for one in hosted.children[path_id]]
        return paged([child for child in children if child["type"] in json.loads(query["type"])], query, 2)
    if rest == "file/data":
        return hosted.data[path_id]
    match = re.fullmatch(r"(raster|vector)/timestamp/([^/]+)/(.+)", rest)
    if match is None or match[2] not in hosted.files:
        return None
    timestamp_id, rest = match[2], match[3]
    if rest in ("file", "upload") and (rest == "file") == (match[1] == "raster"):
        return paged(hosted.files[timestamp_id], query, 2)
    if data := re.fullmatch(r"file/([^/]+)/data", rest):
        return hosted.data[data[1]] if hosted.level > 100 else 403
    if rest == "bounds" and timestamp_id in hosted.tiles:
        return hosted.tiles[timestamp_id].bounds()
    if tile := re.fullmatch(r"tile/(\d+)/(\d+)/(\d+)", rest):
        tiles = hosted.tiles[timestamp_id]
        assert int(tile[1]) == tiles.zoom and query["applyStyle"] == "false"
        found = tiles.tile(int(tile[2]), int(tile[3]))
        return 204 if found is None else found
    if rest == "changelog" and timestamp_id in hosted.changes:
        return {"result": hosted.changes[timestamp_id], "nextPageStart": None}
    if rest in ("listFeatures", "featuresByExtent") and timestamp_id in hosted.features:
        return feature_page(hosted, timestamp_id, rest, query)
    return None


def paged(entries: list[dict[str, Any]], query: dict[str, str], size: int) -> dict[str, Any]:
    ids = [entry["id"] for entry in entries]
    first = ids.index(query["pageStart"]) if "pageStart" in query else 0
    following = ids[first + size] if first + size < len(ids) else None
    return {"result": entries[first : first + size], "nextPageStart": following}


def feature_page(hosted: Hosted, timestamp_id: str, call: str, query: dict[str, str]) -> dict[str, Any]:
    from shapely.geometry import box, shape

    features = hosted.features[timestamp_id]
    if call == "featuresByExtent":
        extent = json.loads(query["extent"])
        area = box(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
        features = [one for one in features if shape(one["geometry"]).intersects(area)]
    # The service's page starts are objects for features.
    first = json.loads(query["pageStart"])["at"] if "pageStart" in query else 0
    page = features[first : first + hosted.page]
    following = {"at": first + hosted.page} if first + hosted.page < len(features) else None
    result = {"type": "FeatureCollection", "features": page}
    return {"result": result, "size": hosted.size(len(page)), "nextPageStart": following}


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    share: float | None = None,
    lengths: bool = True,
) -> None:
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    if lengths:
        handler.send_header("Content-Length", str(len(body)))
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    handler.end_headers()
    try:
        handler.wfile.write(body if share is None else body[: int(len(body) * share)])
        if share is not None:
            handler.wfile.flush()
            handler.close_connection = True
    except OSError:
        handler.close_connection = True


def send_file(
    hosted: Hosted, handler: BaseHTTPRequestHandler, data: bytes, asked: dict[str, str], share: float | None
) -> None:
    tag = f'"{hash(data)}"'
    headers = {"ETag": tag} if hosted.etags else {}
    match = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
    if not hosted.ranges or match is None or asked.get("if-range", tag) != tag:
        send(handler, 200, data, headers, share, hosted.lengths)
        return
    first = int(match[1])
    if first >= len(data):
        send(handler, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
        return
    headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
    send(handler, 206, data[first:], headers, share, hosted.lengths)
