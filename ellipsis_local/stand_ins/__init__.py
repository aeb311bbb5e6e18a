"""Layers that are invented in the place of real ones, and the file that keeps what is known of those."""

from ellipsis_local.stand_ins.invent import SEED, add_stand_in
from ellipsis_local.stand_ins.lock_file import LOCK_FILE, LockedLayer, known_here, read_lock, write_lock
from ellipsis_local.stand_ins.schema import LayerSchema, make_schema, schema_of

__all__ = [
    "LOCK_FILE", "SEED", "LayerSchema", "LockedLayer", "add_stand_in", "known_here", "make_schema", "read_lock",
    "schema_of", "write_lock",
]  # fmt: skip
