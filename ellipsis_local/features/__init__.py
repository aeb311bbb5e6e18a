"""Features: what the service answers about the features of one vector timestamp, and their change.

features       all of it: `reading` pages and single ones, `history` the log, `changing`, `properties`
sheets         a stored file as rows that can be read from anywhere; `opening`, `copies` in the cache, `bounds`
ids            ids of features; `columns` types and values, `incoming` and `geojson` out, `filters`, `nearby`
schemas        which columns new features get; `knowing` what they must agree with
writing        GeoParquet piece by piece; `rewriting` a file, `versions` of it in the store
records        the log; `tables`

`Features` is in `ellipsis_local.features.features`: numpy is not imported before it is asked for.
"""

from ellipsis_local.features.tables import SCHEMA

__all__ = ["SCHEMA"]
