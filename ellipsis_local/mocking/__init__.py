"""`ellipsis_local.mock`: the service's functions are the local ones for a while, on a home of their own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ellipsis_local.mocking.double import Mock, mock

__all__ = ["Mock", "mock"]


def __getattr__(name: str) -> Any:
    # `network_guard` is wanted without the emulator.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ellipsis_local.mocking import double

    return getattr(double, name)
