"""Nodes on the machines of a Dask cluster; this room alone imports distributed, and nobody imports it unasked."""

from ellipsis_local.cluster.dask_engine import DaskEngine

__all__ = ["DaskEngine"]
