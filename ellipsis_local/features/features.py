"""The features of vector timestamps: all that is answered about them, and their change."""

from __future__ import annotations

from ellipsis_local.features import copies, versions
from ellipsis_local.features.changing import Changing
from ellipsis_local.store.records import stored_file

__all__ = ["Features"]


class Features(Changing):
    """The features of one home.

    Parameters
    ----------
    home : Home
    database : Database
        With the tables of `SCHEMA`.
    store : LayerStore

    Safe to use from several threads, and from several processes on one home.
    """

    def tidy(self) -> None:
        """Remove copies and bounds of files that are not there any more, and former versions of changed files."""
        rows = self.database.rows("SELECT * FROM files WHERE timestamp_id IS NOT NULL")
        files = [stored_file(row, self.home.layers) for row in rows]
        copies.tidy(self.home, {file.content for file in files})
        versions.tidy(files)
        with self.store.catalogue.transaction() as connection:
            connection.execute("DELETE FROM feature_fields WHERE content NOT IN (SELECT content FROM files)")
