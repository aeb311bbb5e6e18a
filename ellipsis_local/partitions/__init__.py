"""Layers cut into N partitions: `plan` decides from metadata, `ensure` makes the files, each cut once.

planning   layers, nodes, options ──> CutRequest (plain data)        rasters, warping, bisect, patterns, grid, crs
cutting    CutRequest ──> files of each node                         tasks, helpers, cache
helper     the program of a helper process, one task at a time       pixels, frames, points, npy
"""

from ellipsis_local.partitions.partitions import Partitions
from ellipsis_local.partitions.request import CutRequest, Part, Partitioning
from ellipsis_local.partitions.tree import Cut, Tree

__all__ = ["Cut", "CutRequest", "Part", "Partitioning", "Partitions", "Tree"]
