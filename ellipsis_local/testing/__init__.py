"""Tools for tests of functions that run on partitions, and of this emulator's users.

Comparisons; whether a result depends on the cut; layers that hurt; faults for the time of a block; one node again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ellipsis_local.clocks import import_pandas

if TYPE_CHECKING:
    import ellipsis_local.testing.layers as layers
    from ellipsis_local.replay import inputs, replay
    from ellipsis_local.testing.frames import assert_frame_equal
    from ellipsis_local.testing.injected import faults
    from ellipsis_local.testing.invariance import EXACT_CUTS, Invariance, check_partition_invariance
    from ellipsis_local.testing.rasters import assert_raster_equal

__all__ = [
    "EXACT_CUTS",
    "Invariance",
    "assert_frame_equal",
    "assert_raster_equal",
    "check_partition_invariance",
    "faults",
    "inputs",
    "layers",
    "replay",
]

HOMES = {
    "EXACT_CUTS": "ellipsis_local.testing.invariance",
    "Invariance": "ellipsis_local.testing.invariance",
    "assert_frame_equal": "ellipsis_local.testing.frames",
    "assert_raster_equal": "ellipsis_local.testing.rasters",
    "check_partition_invariance": "ellipsis_local.testing.invariance",
    "faults": "ellipsis_local.testing.injected",
    "inputs": "ellipsis_local.replay",
    "replay": "ellipsis_local.replay",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: pandas and rasterio come with the one that needs them."""
    # freezegun asks for every name of every module.
    import_pandas()
    if name == "layers":
        return import_module(f"{__name__}.layers")
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
