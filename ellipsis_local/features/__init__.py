"""Features: what the service answers about the features of one vector timestamp, and their change.

The class `Features` is in `ellipsis_local.features.features`: numpy is not imported before it is asked for.
"""

from ellipsis_local.features.tables import SCHEMA

__all__ = ["SCHEMA"]
