"""The store: a catalogue in SQLite and the files of layers under one home."""

from ellipsis_local.store.catalog_toml import fixtures_folder
from ellipsis_local.store.catalogue import Catalogue
from ellipsis_local.store.export import file_footprint, footprint
from ellipsis_local.store.formats import Kind, detect
from ellipsis_local.store.records import SCHEMA, FileRow, checked_name, path_record
from ellipsis_local.store.staging import ArrayParcel, NewFile, Overrides, TableParcel, Taken, Target, content_of
from ellipsis_local.store.store import LayerStore

__all__ = [
    "SCHEMA", "ArrayParcel", "Catalogue", "FileRow", "Kind", "LayerStore", "NewFile", "Overrides", "TableParcel",
    "Taken", "Target", "checked_name", "content_of", "detect", "file_footprint", "fixtures_folder", "footprint",
    "path_record",
]  # fmt: skip
