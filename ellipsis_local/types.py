"""The nouns that rooms hand to each other: immutable, without behaviour beyond their own arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

__all__ = [
    "Extent", "ExtentDict", "FileStatus", "PathRecord", "PathType", "RasterFile", "StoredFile", "Timestamp",
    "VectorFile",
]  # fmt: skip

PathType = Literal["folder", "raster", "vector", "file"]
FileStatus = Literal["pending", "completed", "errored"]
"""Of a file of a timestamp (seen in scripts): one that is not completed is no data."""
STAND_IN = "standIn"
"""In the options of a file that was invented: what it was to be like (nothing where it was pulled), or 'changed' where
it was changed later. In the metadata of a path that was made for such a file: True."""


class ExtentDict(TypedDict):
    """An extent as the service writes it."""

    xMin: float
    xMax: float
    yMin: float
    yMax: float


class Extent(NamedTuple):
    """A rectangle in CRS units: x is easting or longitude, y is northing or latitude."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def width(self) -> float:
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        return self.y_max - self.y_min

    @classmethod
    def around(cls, points: Iterable[tuple[float, float]]) -> Extent:
        """The smallest that holds some points."""
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), min(ys), max(xs), max(ys))

    def common(self, other: Extent) -> Extent:
        """What both hold; with sides below 0 where that is nothing."""
        return Extent(*map(max, self[:2], other[:2]), *map(min, self[2:], other[2:]))

    def union(self, other: Extent) -> Extent:
        return Extent(*map(min, self[:2], other[:2]), *map(max, self[2:], other[2:]))

    def intersects(self, other: Extent) -> bool:
        return (
            self.x_min < other.x_max
            and other.x_min < self.x_max
            and self.y_min < other.y_max
            and other.y_min < self.y_max
        )

    def buffer(self, distance: float) -> Extent:
        return Extent(self.x_min - distance, self.y_min - distance, self.x_max + distance, self.y_max + distance)

    def to_dict(self) -> ExtentDict:
        return {"xMin": self.x_min, "xMax": self.x_max, "yMin": self.y_min, "yMax": self.y_max}


@dataclass(frozen=True)
class RasterFile:
    """What the store knows of one raster file; effective values, after the overrides given when it was added."""

    location: str
    """What rasterio opens."""
    content: str
    """Hash of the bytes and of the overrides: equal hashes hold equal pixels."""
    crs: str
    """WKT or authority code."""
    transform: tuple[float, float, float, float, float, float]
    """Affine coefficients a, b, c, d, e, f: column, row → x, y."""
    width: int
    height: int
    bands: int
    dtype: str
    nodata: float | None
    block: tuple[int, int]
    """Block shape, rows then columns."""
    descriptions: tuple[str | None, ...] = ()
    mask: Literal["unknown", "none", "mask", "alpha"] = "unknown"
    """What besides nodata says which pixels are there; unknown in records of version 0.1.0."""
    scales: tuple[float, ...] = ()
    """Per band what its values are to be multiplied with; empty where that is 1 for all."""
    offsets: tuple[float, ...] = ()
    """Per band what is to be added then; empty where that is 0 for all."""
    units: tuple[str | None, ...] = ()
    """Per band, where any has one."""

    def __post_init__(self) -> None:
        if self.nodata is not None and math.isnan(self.nodata):
            # One object, so that records are equal whose nodata value is NaN.
            object.__setattr__(self, "nodata", math.nan)

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data; NaN goes by name, because JSON has none."""
        nan = self.nodata is not None and math.isnan(self.nodata)
        return asdict(self) | ({"nodata": "nan"} if nan else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RasterFile:
        """The record that `to_json` wrote, or a release before."""
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
        return cls(**values | ({"nodata": math.nan} if values["nodata"] == "nan" else {}))


@dataclass(frozen=True)
class VectorSource:
    """What of a `VectorFile` reading it needs."""

    location: str
    content: str
    crs: str
    format: Literal["ogr", "parquet"]
    layer: str | None
    geometry_column: str
    extent: Extent | None = None
    without_geometry: int | None = None
    """How many features have none; None in records that do not say, and whose extent is then not known either."""


@dataclass(frozen=True)
class VectorFile:
    """What the store knows of one vector file."""

    location: str
    """What pyogrio or geopandas opens."""
    content: str
    crs: str
    features: int
    """How many features have a geometry."""
    extent: Extent | None
    """In the file's CRS; None where there is no feature."""
    fields: tuple[str, ...]
    geometry_column: str = "geometry"
    format: Literal["ogr", "parquet"] = "ogr"
    layer: str | None = None
    """The layer within a file that holds several."""
    without_geometry: int | None = None
    """How many features have none, and are left out; None in records of 0.1.0, which do not say."""
    types: tuple[str, ...] = ()
    """Of the fields, as Arrow writes them; empty in records of 0.1.0, as `geometries`."""
    geometries: tuple[str, ...] = ()
    """The kinds that occur, such as ``MultiPolygon``."""

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> VectorFile:
        """The record that `to_json` wrote, or a release before."""
        extent = None if data["extent"] is None else Extent(*data["extent"])
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists, "extent": extent})


@dataclass(frozen=True)
class StoredFile:
    """A file of a timestamp, or of a path of type file, as it was given."""

    id: str
    name: str
    folder: Path
    main: str
    """The file name, inside `folder`, that the others accompany."""
    size: int
    format: str
    created: datetime
    detail: RasterFile | VectorFile | None
    """None for a path of type file."""
    options: dict[str, Any] = field(default_factory=dict)
    """The overrides given when it was added: epsg, nodata, layer, member, mosaic_priority."""
    content: str = ""
    """Hash of the bytes and of the overrides."""
    parts: tuple[str, ...] = ()
    """The names of all files in `folder`, `main` among them."""
    trashed: bool = False
    status: FileStatus = "completed"
    message: str | None = None
    """Why it is errored."""

    @property
    def location(self) -> Path:
        return self.folder / self.main

    @property
    def invented(self) -> bool:
        return STAND_IN in self.options


@dataclass(frozen=True)
class Timestamp:
    """A dated version of a raster or vector layer, with its files in the order in which they were added."""

    id: str
    path_id: str
    type: Literal["raster", "vector"]
    status: str
    description: str | None
    date_from: datetime
    date_to: datetime
    files: tuple[StoredFile, ...]
    """Those that are completed and not in the trash; later ones lie on top of earlier ones."""
    trashed: bool = False
    unfinished: tuple[StoredFile, ...] = ()
    """Those that are pending or errored, and not in the trash."""

    @property
    def invented(self) -> bool:
        """Whether any of it is no real data."""
        return any(file.invented for file in self.files)

    @property
    def stand_in(self) -> bool:
        """Whether it holds what was invented and nothing else, so that anything real may take its place."""
        return bool(self.files) and all(isinstance(file.options.get(STAND_IN), Mapping) for file in self.files)

    @property
    def rasters(self) -> tuple[RasterFile, ...]:
        return tuple(f.detail for f in self.files if isinstance(f.detail, RasterFile))

    @property
    def vectors(self) -> tuple[VectorFile, ...]:
        return tuple(f.detail for f in self.files if isinstance(f.detail, VectorFile))


@dataclass(frozen=True)
class PathRecord:
    """A node of the catalogue's tree: folder, raster, vector or file."""

    id: str
    type: PathType
    name: str
    parent_id: str | None
    owner: str | None
    """The user that made it; None where it was added to the home itself."""
    created: datetime
    trashed: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    public_access: dict[str, Any] = field(default_factory=dict)
