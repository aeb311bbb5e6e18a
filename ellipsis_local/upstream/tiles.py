"""A raster from its tiles at native zoom: fetched, kept in the draft, then put together as a GeoTIFF in EPSG:3857.

A tile is a TIFF of 256 × 256 pixels whose last band is the mask, 0 where there is nothing; status 204 is a tile of
nothing (seen in the client). The raster is never held whole: it is written in windows, from the few tiles under each.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from ellipsis_local.errors import ArgumentError, UpstreamError
from ellipsis_local.types import Extent
from ellipsis_local.upstream.grids import envelopes, grid_of, place, touches
from ellipsis_local.upstream.models import ServiceTimestamp, bounds_of
from ellipsis_local.upstream.partial_downloads import keep

if TYPE_CHECKING:
    from ellipsis_local.upstream.pull_layer import LayerPull

WORKERS = 4
AHEAD = 32
MOST_TILES = 250_000
TILE_BYTES = 64 * 1024**2


def fetch_tiles(pull: LayerPull, timestamp: ServiceTimestamp, folder: Path, area: Extent | None) -> Path:
    """Fetch the tiles of a timestamp into `folder`, and write the raster there; its path."""
    from ellipsis_local.upstream.mosaics import write

    client, path, progress = pull.client, pull.path, pull.progress
    base = f"/path/{path.id}/raster/timestamp/{timestamp.id}"
    what = f"the bounds of timestamp {timestamp.id}"
    geometry = client.json(f"{base}/bounds", what=what)
    bounds = bounds_of(geometry)
    if bounds is None or timestamp.zoom is None:
        raise UpstreamError(
            f"{client.url} tells no {'bounds' if bounds is None else 'zoom'} of timestamp {timestamp.id}"
        )
    if area is not None and not area.intersects(bounds):
        where = f"it lies within {tuple(bounds)} (EPSG:4326)"
        text = f"extent: timestamp {timestamp.id} of {path.name!r} has nothing there; {where}"
        raise ArgumentError(text, argument="extent")
    grid = grid_of(timestamp.zoom, bounds if area is None else area.common(bounds))
    count = len(grid.columns) * len(grid.rows)
    if count > MOST_TILES:
        text = f"timestamp {timestamp.id} of {path.name!r} has {count:,} tiles at zoom {grid.zoom}, and at most "
        text += f"{MOST_TILES:,} are pulled: give an extent, or ask for the right to download its files"
        raise ArgumentError(text, argument="extent")
    parts = envelopes(geometry)
    wanted = [tile for tile in product(grid.rows, grid.columns) if touches(grid.zoom, tile, parts)]
    fetch(pull, base, grid.zoom, wanted, folder)
    target = folder / "tiles.tif"
    progress.say(f"putting {len(wanted):,} tiles of {path.name} together")
    write(target, folder, grid, bands=path.bands, dtype=path.dtype)
    return target


def fetch(pull: LayerPull, base: str, zoom: int, wanted: Sequence[tuple[int, int]], folder: Path) -> None:
    """Fetch what is not in the folder yet, a few at a time, in any order."""
    name, progress = pull.path.name, pull.progress

    def one(tile: tuple[int, int]) -> None:
        row, column = tile
        url, what = f"{base}/tile/{zoom}/{column}/{row}", f"tile {zoom}/{column}/{row} of {name!r}"
        data = pull.client.body(url, {"applyStyle": False}, what=what, most=TILE_BYTES)
        keep(place(folder, row, column), data or b"")

    missing = [tile for tile in wanted if not place(folder, *tile).is_file()]
    done, what = len(wanted) - len(missing), f"fetching tiles of {name}"
    open_: set[Future[None]] = set()
    executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="ellipsis_local-pull")
    try:
        progress.count(what, done, len(wanted), "tiles")
        rest = iter(missing)
        while batch := [executor.submit(one, tile) for tile in islice(rest, AHEAD - len(open_))] + list(open_):
            finished, open_ = wait(batch, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                done += 1
                progress.count(what, done, len(wanted), "tiles")
    finally:
        executor.shutdown(cancel_futures=True)
