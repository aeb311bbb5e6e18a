"""Ellipsis Drive as one user sees it: the store, behind the access rights."""

from ellipsis_local.drive.drive import Drive
from ellipsis_local.drive.extras import SCHEMA, Extras
from ellipsis_local.drive.pages import PAGE, page_of

__all__ = ["PAGE", "SCHEMA", "Drive", "Extras", "page_of"]
