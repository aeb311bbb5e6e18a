"""Layers from another service of the same kind into the local store: downloaded, verified, then added whole."""

from ellipsis_local.progress import Progress
from ellipsis_local.upstream.http_client import RefusedError
from ellipsis_local.upstream.provenance import SCHEMA
from ellipsis_local.upstream.upstream import Pulled, Upstream

__all__ = ["SCHEMA", "Progress", "Pulled", "RefusedError", "Upstream"]
