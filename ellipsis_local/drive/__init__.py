"""Ellipsis Drive as one user sees it: the store, behind the access rights."""

from ellipsis_local.drive.drive import Drive
from ellipsis_local.drive.path_metadata import SCHEMA, PathMetadata

__all__ = ["SCHEMA", "Drive", "PathMetadata"]
