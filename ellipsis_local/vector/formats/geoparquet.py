"""GeoParquet."""

from __future__ import annotations

from pathlib import Path

from ellipsis_local.formats import Format, limits, register
from ellipsis_local.vector.reader import calls


def check_parquet(path: Path, _: str | None = None) -> None:
    """LimitError where a Parquet file speaks of too much; LayerError where it cannot be read."""
    import pyarrow.parquet

    with calls(path):
        metadata = pyarrow.parquet.read_metadata(path)
    limits.check_table(metadata, str(path))


GEOPARQUET = register(
    Format(
        name="parquet", kind="vector", driver="Parquet", title="GeoParquet", suffixes=(".parquet", ".geoparquet"),
        aliases=("geoparquet",), begins=lambda head: head.startswith(b"PAR1"), check=check_parquet, archived=False,
        reads="parquet", options=lambda _: {},
    )
)  # fmt: skip
