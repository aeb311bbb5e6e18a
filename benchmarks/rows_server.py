"""The server, with the real client in front of it: what HTTP costs, small requests, tiles, large files, memory."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import data
import ellipsis_local as el
import served
from bench import Bench
from ellipsis_local.emulator import current_emulator
from ellipsis_local.imagery import Imagery
from functions import empty
from measuring import Row
from ours import INTERPRETER

__all__ = ["percentiles", "places", "server", "tile_zooms", "without_http"]

MB = 1e6
RATE, CONNECTIONS = 200, 8
MOST_EXTRA, MOST_P99, MOST_TILE, MOST_MEMORY = 0.1, 0.05, 0.03, 200.0
"""Seconds, and MB."""
NODES = 2
TILES = 300
LOWER = 6
"""How many zooms below a scene's own are looked at."""
SIDE, QUICK_SIDE = 16_000, 8000
"""Of the raster that goes up and down, 4 bands of uint16, not compressed: 2 GB, with --quick 0.5 GB."""
FEW = 3
"""Rounds of the large files."""


def server(bench: Bench) -> list[Row]:
    """Without `--client` the rows of the client are left out."""
    # A user of this run: the client asks for all computes that its user ever had.
    token = el.account.logIn(f"server-{uuid.uuid4()}", "secret")
    layer = bench.ours.layer(data.scene(bench.layers))
    rows = [*paths(bench, token, layer), *tiles(bench, token, layer)]
    if bench.client is None:
        print("\nserver: without the rows of the real client, for which --client is needed")
        return rows
    return [*computes(bench, token), *rows, *get_raster(bench, token, layer), *transfers(bench, token)]


# ----- computes ------------------------------------------------------------------------------------------------------


def computes(bench: Bench, token: str) -> list[Row]:
    """A compute's whole life: through the client, and as calls in this process."""
    layer = bench.ours.small_raster()

    def inside() -> float:
        began = time.perf_counter()
        made = bench.ours.create([layer], NODES)
        bench.ours.execute(made, empty)
        bench.ours.terminate(made)
        return time.perf_counter() - began

    local, client = [], []
    given = {"token": token, "layer": layer, "nodes": NODES, "interpreter": INTERPRETER, "rounds": bench.rounds}
    with served.ours(bench.ours.home) as here:
        inside()
        for _ in range(2):
            local += [inside() for _ in range(bench.rounds)]
            client += served.ask(bench.client, "compute", here.url, **given)["rounds"]
    awake = [one["seconds"] - one["slept"] for one in client]
    polls = sorted(one["polls"] for one in client)
    return [
        Row(
            "createCompute + execute + terminateCompute through the client, without its sleeps", awake,
            baseline="in-process", baseline_values=local,
            note=f"it slept {polls[0]} to {polls[-1]} times for a second; with that "
            f"{median(one['seconds'] for one in client):.3g} s",
        ),
        Row(
            "… costs more than in-process", [one - median(local) for one in awake], limit=MOST_EXTRA
        ),
    ]  # fmt: skip


# ----- small requests ------------------------------------------------------------------------------------------------


def paths(bench: Bench, token: str, layer: dict[str, str]) -> list[Row]:
    """GET /path/{id} of a raster, at a rate and as many as go; a file of the same size, for scale."""
    target = f"/path/{layer['pathId']}?token={token}"
    asked = {"token": token, "connections": CONNECTIONS, "seconds": 3 if bench.quick else 5}
    cases = {"kept connections": True, "a connection each": False}
    found: dict[tuple[str, str, float | None], list[dict[str, Any]]] = {}
    with temporary_folder() as folder, served.ours(bench.ours.home) as here, served.plain(folder) as there:
        size = served.load(here, [target], token, seconds=1)["size"]
        (folder / "file").write_bytes(b"x" * size)
        for _ in range(bench.rounds):
            for name, keep in cases.items():
                for rate in (RATE, None):
                    ours = served.load(here, [target], rate=rate, keep=keep, **asked)
                    plain = served.load(there, ["/file"], rate=rate, keep=keep, **asked)
                    found.setdefault(("ours", name, rate), []).append(ours)
                    found.setdefault(("plain", name, rate), []).append(plain)
    rows = []
    for name in cases:
        for share, goal in ((50, None), (99, MOST_P99)):
            ours, plain = (percentiles((one["took"] for one in found[who, name, RATE]), share) for who in BOTH)
            note = f"a file of the same size from the plain server: {1000 * median(plain):.3g} ms"
            rows.append(
                Row(f"GET /path/{{id}}, {RATE}/s, {CONNECTIONS} × {name}: p{share}", ours, limit=goal, note=note)
            )
        ours, plain = ([len(one["took"]) / one["seconds"] for one in found[who, name, None]] for who in BOTH)
        row = f"GET /path/{{id}}, as many as go, {CONNECTIONS} × {name}"
        rows.append(Row(row, ours, "/s", baseline="plain server", baseline_values=plain))
    return rows


BOTH = ("ours", "plain")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ellipsis-benchmark-") as folder:
        yield Path(folder)


def percentiles(rounds: Iterable[list[float]], share: int) -> list[float]:
    return [sorted(took)[min(len(took) - 1, len(took) * share // 100)] for took in rounds]


# ----- tiles ---------------------------------------------------------------------------------------------------------


def tiles(bench: Bench, token: str, layer: dict[str, str]) -> list[Row]:
    """Tiles in random places of a scene whose blocks nobody has decoded yet, at its own zoom and at lower ones."""
    timestamp = current_emulator().store.timestamp(layer["pathId"], layer["timestampId"])
    prefix = f"/path/{layer['pathId']}/raster/timestamp/{layer['timestampId']}/tile"
    rows = []
    for name, zooms in tile_zooms(timestamp).items():
        http, call, plain = [], [], []
        for number in range(bench.rounds):
            wanted = places(timestamp, zooms, number)
            http.append(over_http(bench, token, [f"{prefix}/{z}/{x}/{y}?token={token}" for z, x, y in wanted]))
            took, size = without_http(timestamp, wanted)
            call.append(took)
            plain.append(from_plain(token, size, len(wanted)))
        for share in (50, 99):
            ours, alone, scale = (percentiles(rounds, share) for rounds in (http, call, plain))
            row = f"tile, {name}: p{share}"
            note = f"a file of the same size from the plain server: {1000 * median(scale):.3g} ms"
            rows.append(Row(row, ours, limit=MOST_TILE, note=note))
            rows.append(Row(f"{row}, against", ours, baseline="Imagery.tile, no HTTP", baseline_values=alone))
    return rows


def tile_zooms(timestamp: Any) -> dict[str, range]:
    """The zooms at which tiles of a scene are asked for, by name."""
    native = current_emulator().imagery.zoom(timestamp)
    return {"its own zoom": range(native, native + 1), "lower zooms": range(native - LOWER, native)}


def over_http(bench: Bench, token: str, targets: list[str]) -> list[float]:
    """Each once, one after the other, from a server that has just begun."""
    with served.ours(bench.ours.home) as here:
        served.load(here, targets[:1], token, connections=1, most=2)
        return served.load(here, targets, token, connections=1, seconds=600, most=len(targets))["took"]


def without_http(timestamp: Any, wanted: list[tuple[int, int, int]]) -> tuple[list[float], int]:
    """Seconds of each, and the bytes of the largest."""
    imagery = Imagery()
    try:
        imagery.tile(timestamp, *wanted[0])
        took, size = [], 0
        for place in wanted:
            began = time.perf_counter()
            made = imagery.tile(timestamp, *place)
            took.append(time.perf_counter() - began)
            size = max(size, len(made or b""))
        return took, size
    finally:
        imagery.close()


def from_plain(token: str, size: int, count: int) -> list[float]:
    with temporary_folder() as folder, served.plain(folder) as there:
        (folder / "file").write_bytes(b"x" * size)
        return served.load(there, ["/file"], token, connections=1, seconds=600, most=count)["took"]


def places(timestamp: Any, zooms: range, seed: int) -> list[tuple[int, int, int]]:
    """Tiles in which a scene lies, chosen at random; the same for the same seed."""
    west, south, east, north = mercator(timestamp)
    chosen = random.Random(seed)
    found = []
    for _ in range(TILES):
        z = chosen.choice(zooms)
        size = data.WORLD / 2**z
        x = int((chosen.uniform(west, east) + data.WORLD / 2) / size)
        y = int((data.WORLD / 2 - chosen.uniform(south, north)) / size)
        found.append((z, x, y))
    return found


def mercator(timestamp: Any) -> tuple[float, float, float, float]:
    """West, south, east and north of the scene in EPSG:3857, a little inside."""
    from rasterio.warp import transform_bounds

    file = timestamp.rasters[0]
    left, top = file.transform[2], file.transform[5]
    right, bottom = left + file.width * file.transform[0], top + file.height * file.transform[4]
    west, south, east, north = transform_bounds(file.crs, "EPSG:3857", left, bottom, right, top)
    dx, dy = (east - west) / 50, (north - south) / 50
    return west + dx, south + dy, east - dx, north - dy


# ----- a whole raster ------------------------------------------------------------------------------------------------


def get_raster(bench: Bench, token: str, layer: dict[str, str]) -> list[Row]:
    """The client's getRaster of nearly all of the scene, tile after tile. That its pixels are right, tests see to."""
    timestamp = current_emulator().store.timestamp(layer["pathId"], layer["timestampId"])
    west, south, east, north = mercator(timestamp)
    extent = {"xMin": west, "yMin": south, "xMax": east, "yMax": north}
    with served.ours(bench.ours.home, watched=True) as here:
        found = served.ask(bench.client, "raster", here.url, token=token, layer=layer, extent=extent)
        peak = here.peak
    bands, height, width = found["shape"]
    return [
        Row(
            "getRaster of the scene through the client", [found["seconds"]],
            note=f"{found['tiles']} tiles, {width} × {height} pixels, {bands} bands, the mask among them; the server "
            f"held up to {peak / MB:.0f} MB, of which decoded blocks of the raster are a part that GDAL limits",
        ),
        Row("… tiles per second", [found["tiles"] / found["seconds"]], "/s"),
    ]  # fmt: skip


# ----- large files ---------------------------------------------------------------------------------------------------


def transfers(bench: Bench, token: str) -> list[Row]:
    """One large file up and down through the client; the same client at a plain server, for scale."""
    path_id = el.path.raster.add("what goes up", token)["id"]
    layer = {"pathId": path_id, "timestampId": el.path.raster.timestamp.add(path_id, token)["id"]}
    took: dict[str, list[float]] = {}
    try:
        with (
            large_file(QUICK_SIDE if bench.quick else SIDE) as file,
            served.plain(file.parent) as there,
            served.ours(bench.ours.home, watched=True) as here,
        ):
            size, target = file.stat().st_size, str(file.with_name("down"))
            served.load(here, [f"/path/{path_id}"], token, connections=1, most=20)
            before = here.alone
            for _ in range(1 if bench.quick else min(bench.rounds, FEW)):
                asked = {"token": token, "file": str(file)}
                found = served.ask(bench.client, "transfer", here.url, layer=layer, target=target, **asked)
                found["plain up"] = served.ask(bench.client, "upload", there.url, target="/", **asked)["seconds"]
                source = {"source": f"/{file.name}", "target": target, "token": token}
                found["plain down"] = served.ask(bench.client, "download", there.url, **source)["seconds"]
                for name, seconds in found.items():
                    took.setdefault(name, []).append(seconds)
    finally:
        el.layers.remove(path_id)
    speed = {name: [size / MB / one for one in values] for name, values in took.items()}
    what = f"{size / 1e9:.2g} GB"
    return [
        Row(f"{what} up, path.file.add", speed["file up"], "MB/s", "plain server", speed["plain up"]),
        Row(f"{what} up, raster.timestamp.file.add", speed["raster up"], "MB/s", "plain server", speed["plain up"]),
        Row(f"{what} down, path.file.download", speed["file down"], "MB/s", "plain server", speed["plain down"]),
        Row(
            "server at the peak of these (RSS)", [here.alone_peak / MB], "MB", limit=MOST_MEMORY,
            note=f"{before / MB:.0f} MB before them",
        ),
        Row("… with the process that looks at rasters (PSS)", [here.peak / MB], "MB", limit=MOST_MEMORY),
    ]  # fmt: skip


@contextmanager
def large_file(side: int) -> Iterator[Path]:
    """An uncompressed GeoTIFF of noise, beside the other data; it goes at the end."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    folder = Path(tempfile.mkdtemp(prefix="large-", dir=data.folder()))
    try:
        file = folder / "large.tif"
        noise = np.random.default_rng(data.SEED).integers(0, 10_000, (data.BANDS, data.BLOCK, side), "u2")
        with rasterio.open(
            file, "w", driver="GTiff", width=side, height=side, count=data.BANDS, dtype="uint16", crs="EPSG:32631",
            transform=from_origin(data.UTM_LEFT, data.UTM_TOP, data.PIXEL, data.PIXEL), tiled=True,
            blockxsize=data.BLOCK, blockysize=data.BLOCK, bigtiff="if_safer",
        ) as target:  # fmt: skip
            for row in range(0, side, data.BLOCK):
                height = min(data.BLOCK, side - row)
                target.write(np.roll(noise, row, 2)[:, :height], window=Window(0, row, side, height))
        yield file
    finally:
        shutil.rmtree(folder)
