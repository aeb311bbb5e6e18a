"""What is to be cut, as plain data: hashable, JSON both ways, the same on every machine."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

from ellipsis_local.node_program.ellipsis_node.records import Part
from ellipsis_local.partitions import npy
from ellipsis_local.partitions.shards import Shards
from ellipsis_local.partitions.tree import Cut, Tree
from ellipsis_local.raster.grid import Grid
from ellipsis_local.raster.placement import Placement
from ellipsis_local.raster.validity import Missing
from ellipsis_local.types import Extent, RasterFile, VectorSource

FORMAT = 2
"""Part of every key: raised when files of the same name would hold something else."""

Nodata: TypeAlias = float | Literal["nan"]
"""NaN goes by name: JSON has none, and it would not equal itself."""

Features = Literal["once", "intersecting"]

Cells: TypeAlias = "Tree | Shards"
"""What decides where the partitions are."""


@dataclass(frozen=True)
class RasterSource:
    """One raster file and how it comes onto the grid of its layer."""

    file: RasterFile
    placement: Placement

    @property
    def location(self) -> str:
        return self.file.location

    def to_json(self) -> dict[str, Any]:
        return {"file": self.file.to_json(), "placement": asdict(self.placement)}

    @classmethod
    def from_json(cls, data: dict[str, Any], plan: dict[str, Any]) -> RasterSource:
        """The source that `to_json` wrote; `plan` is that of its layer, which completes what version 0.1.0 wrote."""
        if "file" in data:
            return cls(RasterFile.from_json(data["file"]), Placement(**_tuples(data["placement"])))
        top, bottom, left, right = covers = tuple(data["covers"])
        size = (right - left, bottom - top) if data["exact"] else (0, 0)
        known = {name: data[name] for name in ("location", "content", "crs", "transform", "nodata")}
        file = RasterFile.from_json(
            {**known, "width": size[0], "height": size[1], "bands": plan["bands"], "block": [512, 512]}
            | {"dtype": npy.name_of(plan["dtype"])}
        )
        return cls(file, Placement(covers, data["exact"], flip=tuple(data["flip"])))


@dataclass(frozen=True)
class RasterPlan:
    """One raster layer on one grid in the CRS of the call."""

    id: str
    crs: str
    grid: Grid
    bands: int
    dtype: str
    """As numpy writes it, such as ``<u2``."""
    nodata: Nodata | None
    sources: tuple[RasterSource, ...]
    """Later ones lie on top."""
    warnings: tuple[str, ...] = ()
    mask: Literal["none", "all", "bands"] = "none"
    """Whether nodes are given a mask: one for all bands, or one for each."""
    type: Literal["raster"] = "raster"

    @property
    def pixel_bytes(self) -> int:
        """Of all bands of one pixel."""
        return self.bands * npy.itemsize(self.dtype)

    @property
    def missing(self) -> Missing:
        """How the layer tells missing pixels."""
        nodata = math.nan if self.nodata == "nan" else self.nodata
        return Missing(nodata, self.mask != "none", per_band=self.mask == "bands")

    def agreed(self, name: Literal["scales", "offsets", "units"]) -> tuple[Any, ...]:
        """What all files say of the bands; nothing where they do not agree."""
        said = {getattr(source.file, name) for source in self.sources}
        return tuple(*said) if len(said) == 1 else ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sources": [source.to_json() for source in self.sources]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RasterPlan:
        sources = tuple(RasterSource.from_json(source, data) for source in data["sources"])
        grid = Grid(**_tuples(data["grid"]))
        return cls(**{**data, "grid": grid, "sources": sources, "warnings": tuple(data["warnings"])})


@dataclass(frozen=True)
class VectorPlan:
    """One vector layer, to be brought into the CRS of the call."""

    id: str
    crs: str
    sources: tuple[VectorSource, ...]
    type: Literal["vector"] = "vector"
    rule: int = 2
    """Part of the key: 1 was a point on the surface of a feature, 2 is its first vertex, and exact dtypes."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> VectorPlan:
        return cls(**{**data, "sources": tuple(VectorSource(**_extent(source)) for source in data["sources"])})


LayerPlan: TypeAlias = RasterPlan | VectorPlan


@dataclass(frozen=True)
class CutRequest:
    """Layers, cells and options: all that decides the partitions, and nothing that must be looked up again."""

    crs: str | None
    """None where there are no layers."""
    nodes: int
    features: Features
    overlap: float
    layers: tuple[LayerPlan, ...]
    tree: Cells
    """The cells where rasters decide them; None where one cell or the features do. Of shards those of the rasters."""
    cut: Cut = "balanced"
    """How the features are cut, where they decide."""
    seed: int = 0
    """Of a random cut."""

    @property
    def rasters(self) -> tuple[RasterPlan, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, RasterPlan))

    @property
    def vectors(self) -> tuple[VectorPlan, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, VectorPlan))

    @cached_property
    def key(self) -> str:
        """Equal for requests with equal partitions, whatever ids and places their layers have."""
        how = [] if self.cut == "balanced" or self.settled else [self.cut, self.seed if self.cut == "random" else 0]
        return digest(
            [_nameless(layer) for layer in self.layers], self.crs, self.nodes, self.features, self.overlap,
            cells_to_json(self.tree), *how,
        )  # fmt: skip

    @property
    def settled(self) -> bool:
        """Whether the cells are known without reading a feature."""
        if isinstance(self.tree, Shards):
            return not self.vectors
        return self.tree is not None or self.nodes == 1 or not self.vectors

    def moved(self, change: Callable[[str], str]) -> CutRequest:
        """The same with what `change` makes of the files' locations."""

        def moved(part: Any) -> Any:
            if isinstance(part, RasterSource):
                return replace(part, file=moved(part.file))
            if isinstance(part, RasterPlan | VectorPlan):
                return replace(part, sources=tuple(map(moved, part.sources)))  # type: ignore[arg-type]
            return replace(part, location=change(part.location))

        return replace(self, layers=tuple(map(moved, self.layers)))

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data; `from_json` takes it back."""
        cells = cells_to_json(self.tree)
        return {"format": FORMAT, **asdict(self), "layers": [layer.to_json() for layer in self.layers], "tree": cells}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CutRequest:
        layers = tuple(layer_from_json(layer) for layer in data["layers"])
        known = {field.name: data[field.name] for field in fields(cls)}
        return cls(**known | {"layers": layers, "tree": cells_from_json(data["tree"])})


@dataclass(frozen=True)
class Partitioning:
    """The cut as made: where each partition's part of each layer is."""

    crs: str | None
    """``EPSG:3857``, or with `native` the layers' own: an authority string, else WKT. None without layers."""
    extents: tuple[Extent, ...]
    """One cell per partition, in units of the CRS, without overlap or buffer; empty without layers."""
    parts: tuple[tuple[Part, ...], ...]
    """``parts[partition][layer]``, as the node program gets them; shards are more or fewer than nodes."""
    warnings: tuple[str, ...]
    """What was left out of the layers, with how much."""


def layer_from_json(data: dict[str, Any]) -> LayerPlan:
    return VectorPlan.from_json(data) if data["type"] == "vector" else RasterPlan.from_json(data)


def _extent(data: dict[str, Any]) -> dict[str, Any]:
    extent = data.get("extent")
    return data | {"extent": None if extent is None else Extent(*extent)}


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def cells_to_json(cells: Cells) -> Any:
    return cells.to_json() if isinstance(cells, Shards) else cells


def cells_from_json(data: Any) -> Cells:
    return Shards.from_json(data) if isinstance(data, dict) else tree_from_json(data)


def tree_from_json(data: Any) -> Tree:
    if data is None:
        return None
    axis, position, first, second = data
    return cast(Tree, (axis, position, tree_from_json(first), tree_from_json(second)))


def content(layer: LayerPlan) -> str:
    """A hash of all that decides the pixels or features of a layer in the CRS of the call."""
    return digest(_nameless(layer))


def _nameless(layer: LayerPlan) -> dict[str, Any]:
    data = layer.to_json()
    del data["id"]
    for source in data["sources"]:
        del source.get("file", source)["location"]
    return data


def digest(*parts: Any) -> str:
    text = json.dumps([FORMAT, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
