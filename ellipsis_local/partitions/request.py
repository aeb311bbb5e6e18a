"""What is to be cut, as plain data: hashable, JSON both ways, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

from ellipsis_local.partitions.grid import Cut, Grid, Tree
from ellipsis_local.types import Extent

__all__ = ["CutRequest", "Nodata", "Partitioning", "RasterPlan", "RasterSource", "VectorPlan", "VectorSource"]

FORMAT = 1
"""Part of every key: raised when files of the same name would hold something else."""

Nodata: TypeAlias = float | Literal["nan"]
"""NaN goes by name: JSON has none, and it would not equal itself."""

Features = Literal["once", "intersecting"]


@dataclass(frozen=True)
class RasterSource:
    """One raster file and how it comes onto the grid of its layer."""

    location: str
    content: str
    crs: str
    transform: tuple[float, ...]
    nodata: Nodata | None
    covers: tuple[int, int, int, int]
    """Rows and columns of the grid that it can touch: first row, last row + 1, first column, last column + 1."""
    exact: bool
    """Its pixels are the grid's: copied. Otherwise warped, nearest neighbour."""
    flip: tuple[bool, bool] = (False, False)
    """Of an exact one: rows run north, columns run west."""


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
    type: Literal["raster"] = "raster"


@dataclass(frozen=True)
class VectorSource:
    """One vector file."""

    location: str
    content: str
    crs: str
    format: str
    layer: str | None
    geometry_column: str


@dataclass(frozen=True)
class VectorPlan:
    """One vector layer, to be brought into the CRS of the call."""

    id: str
    crs: str
    sources: tuple[VectorSource, ...]
    type: Literal["vector"] = "vector"


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
    tree: Tree
    """The cells where rasters decide them; None where one cell or the features do."""
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
            [_nameless(layer) for layer in self.layers], self.crs, self.nodes, self.features, self.overlap, self.tree,
            *how,
        )  # fmt: skip

    @property
    def settled(self) -> bool:
        """Whether the cells are known without reading a feature."""
        return self.tree is not None or self.nodes == 1 or not self.vectors

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data; `from_json` takes it back."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CutRequest:
        """The request that `to_json` wrote."""
        layers = tuple(layer_from_json(layer) for layer in data["layers"])
        return cls(
            **{
                # Records of before know no cut and no seed.
                **{field.name: data[field.name] for field in fields(cls) if field.name in data},
                "layers": layers,
                "tree": tree_from_json(data["tree"]),
            }
        )


@dataclass(frozen=True)
class Partitioning:
    """The cut as made: where each node finds its part of each layer."""

    crs: str | None
    """``EPSG:3857``, or with `native` the layers' own: an authority string, else WKT. None without layers."""
    extents: tuple[Extent, ...]
    """One cell per node, in units of the CRS, without the overlap; empty without layers."""
    parts: tuple[tuple[dict[str, Any], ...], ...]
    """``parts[node][layer]``: JSON-ready description for the program that runs the node."""
    warnings: tuple[str, ...]
    """What was left out of the layers, with how much."""


def layer_from_json(data: dict[str, Any]) -> LayerPlan:
    """A layer of a request, from its JSON."""
    if data["type"] == "vector":
        return VectorPlan(**{**data, "sources": tuple(VectorSource(**source) for source in data["sources"])})
    sources = (RasterSource(**_tuples(source)) for source in data["sources"])
    return RasterPlan(
        **{
            **data,
            "grid": Grid(**_tuples(data["grid"])),
            "sources": tuple(sources),
            "warnings": tuple(data["warnings"]),
        }
    )


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def tree_from_json(data: Any) -> Tree:
    """A tree of cuts, from nested lists."""
    if data is None:
        return None
    axis, position, first, second = data
    return cast(Tree, (axis, position, tree_from_json(first), tree_from_json(second)))


def content(layer: LayerPlan) -> str:
    """A hash of all that decides the pixels or features of a layer in the CRS of the call."""
    return digest(_nameless(layer))


def _nameless(layer: LayerPlan) -> dict[str, Any]:
    data = asdict(layer)
    del data["id"]
    for source in data["sources"]:
        del source["location"]
    return data


def digest(*parts: Any) -> str:
    """A short hash of JSON-ready data."""
    text = json.dumps([FORMAT, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
