"""Layers as tables: in a notebook, and as a GeoDataFrame. A layer is the dictionary of `path.get` all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from ellipsis_local import html_parts
from ellipsis_local.answers import GIBIBYTE
from ellipsis_local.errors import LayerError
from ellipsis_local.html_parts import escaped
from ellipsis_local.types import STAND_IN, PathRecord, Timestamp

if TYPE_CHECKING:
    from ellipsis_local.features.features import Features
    from ellipsis_local.store import LayerStore

MOST_ROWS = 200
LAYERS = (
    ("name", False), ("type", False), ("content", False), ("timestamps", True), ("last date", False), ("pathId", False),
    ("last timestampId", False),
)  # fmt: skip
TIMESTAMPS = (
    ("timestampId", False), ("date", False), ("status", False), ("files", True), ("size", True), ("longitude", False),
    ("latitude", False), ("description", False),
)  # fmt: skip
FRAME = ("pathId", "timestampId", "name", "type", "status", "from", "to", "files", "bytes", "standIn", "geometry")


class Layer(dict[str, Any]):
    """What `path.get` answers, with a table for notebooks."""

    @property
    def timestamps(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(self["type"], {}).get("timestamps", [])
        return found

    def _content(self) -> str:
        kind = self["type"]
        if kind == "raster" and self[kind]["bands"]:
            # The last one is the mask.
            bands = [band["name"] for band in self[kind]["bands"][:-1]]
            return f"{len(bands)} × {self[kind]['format']}: {', '.join(bands)}"
        if kind == "vector":
            return ", ".join(one["name"] for one in self[kind]["properties"])
        return f"{self[kind]['size']:,} bytes" if kind == "file" else ""

    def row(self) -> tuple[object, ...]:
        """Its row under `LAYERS`."""
        invented = ", stand-in" if any(one.get(STAND_IN) for one in self.timestamps) else ""
        content = self._content()
        shown = content if len(content) <= 60 else f"{content[:59]}…"
        last = self.timestamps[-1] if self.timestamps else None
        told = ("", "", "") if last is None else (len(self.timestamps), f"{last['date']['to']:%Y-%m-%d}", last["id"])
        return self["name"], f"{self['type']}{invented}", shown, told[0], told[1], self["id"], told[2]

    def _repr_html_(self) -> str:
        rows = []
        for one in self.timestamps:
            extent, date = one["extent"], "{from:%Y-%m-%d} – {to:%Y-%m-%d}".format_map(one["date"])
            place = [f"{extent[f'{axis}Min']:.5g} – {extent[f'{axis}Max']:.5g}" if extent else "" for axis in "xy"]
            size = decimal(round(one["totalSize"] * GIBIBYTE))
            rows.append((one["id"], date, one["status"], one["files"], size, *place, one["description"] or ""))
        head = f"<strong>{escaped(self['name'])}</strong> {escaped(self.row()[1])} {escaped(self['id'])}"
        content = f'<br/><span class="soft">{escaped(self._content())}</span>' if self._content() else ""
        return _whole(f"<p>{head}{content}</p>{html_parts.table(TIMESTAMPS, rows) if rows else ''}")


class Layers(list[Layer]):
    """Layers, with a table for notebooks."""

    def _repr_html_(self) -> str:
        if not self:
            return _whole("<p>no layers; layers.add and layers.load add some</p>")
        more = f'<p class="soft">and {len(self) - MOST_ROWS:,} more</p>' if len(self) > MOST_ROWS else ""
        return _whole(html_parts.table(LAYERS, [one.row() for one in self[:MOST_ROWS]]) + more)


def _whole(body: str) -> str:
    return f'<div class="ellipsis-local"><style>{html_parts.STYLE}</style>{body}</div>'


def layers_frame(store: LayerStore) -> Any:
    """A GeoDataFrame with a row for each timestamp of the layers that is not in the trash."""
    import geopandas

    def timestamps(record: PathRecord) -> list[tuple[Any, ...]]:
        found = store.catalogue.timestamps_of(record.id)
        return [_frame_row(record, timestamp) for timestamp in found if not timestamp.trashed]

    layers = [record for record in store.list() if record.type in ("raster", "vector")]
    rows = [row for rows in store.catalogue.still_here(layers, timestamps) for row in rows]
    columns = {name: [row[index] for row in rows] for index, name in enumerate(FRAME)}
    return geopandas.GeoDataFrame(columns, geometry="geometry", crs="EPSG:4326")


def features_frame(features: Features, timestamp: Timestamp) -> tuple[Any, bool]:
    """The first page of features as a GeoDataFrame in EPSG:4326, without their users; and whether these are all."""
    import geopandas

    found, following = features.page(timestamp, size=None)
    empty = geopandas.GeoDataFrame(geometry=[], crs="EPSG:4326")
    frame = geopandas.GeoDataFrame.from_features(found, crs="EPSG:4326") if found else empty
    return frame.drop(columns="userId", errors="ignore"), following is None


def _frame_row(record: PathRecord, timestamp: Timestamp) -> tuple[Any, ...]:
    from ellipsis_local.store import footprint

    try:
        area = footprint(timestamp)
    except LayerError:
        # Outside of the area that its CRS is made for.
        area = None
    size = sum(file.size for file in timestamp.files)
    told = (timestamp.status, timestamp.date_from, timestamp.date_to, len(timestamp.files), size, timestamp.invented)
    place = None if area is None or area.is_empty else area
    return record.id, timestamp.id, record.name, record.type, *told, place
