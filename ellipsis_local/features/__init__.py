"""Features: what the service answers about the features of one vector timestamp, and their change.

features        the class `Features`: pages, properties, the log, change
query, edit     what is asked and sent, checked; `validate_geojson`, `filters`, `nearby`
table           a stored file as rows; `parquet_cache` copies and bounds, `ids`, `columns`, `geojson`
changelog       the log; `schema_context` the columns of new features; `rewrite` of a file, `tables`

`Features` is in `ellipsis_local.features.features`: numpy is not imported before it is asked for.
"""

from ellipsis_local.features.tables import SCHEMA

__all__ = ["SCHEMA"]
