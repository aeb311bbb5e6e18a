"""The store: a catalogue in SQLite and the files of layers under one home."""

from ellipsis_local.store.catalogue import Catalogue
from ellipsis_local.store.parcels import content_of
from ellipsis_local.store.records import SCHEMA, FileRow, checked_name
from ellipsis_local.store.store import LayerStore
from ellipsis_local.store.target import NewFile, Taken

__all__ = ["SCHEMA", "Catalogue", "FileRow", "LayerStore", "NewFile", "Taken", "checked_name", "content_of"]
