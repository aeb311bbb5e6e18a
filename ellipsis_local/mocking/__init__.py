"""`ellipsis_local.mock`: the service's functions are the local ones for a while, on a home of their own."""

from ellipsis_local.mocking.double import Mock, mock

__all__ = ["Mock", "mock"]
