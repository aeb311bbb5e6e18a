"""The layers and computes of the integration tests, for those of a cluster."""

from ..integration.conftest import create, points, raster  # noqa: F401
