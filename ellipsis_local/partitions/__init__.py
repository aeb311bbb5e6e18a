"""Layers cut into N partitions: `plan` decides from metadata, `ensure` makes the files, each cut once."""

from ellipsis_local.node_program.ellipsis_node.records import Part
from ellipsis_local.partitions.partitions import Partitions
from ellipsis_local.partitions.request import CutRequest, Partitioning
from ellipsis_local.partitions.shards import Shards
from ellipsis_local.partitions.tree import Cut, Tree

__all__ = ["Cut", "CutRequest", "Part", "Partitioning", "Partitions", "Shards", "Tree"]
