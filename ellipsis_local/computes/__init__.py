"""Computes: their durable record, and the life that leads through its states."""

from ellipsis_local.computes.lifecycle import Computes
from ellipsis_local.computes.records import SCHEMA, Records

__all__ = ["SCHEMA", "Computes", "Records"]
