"""What the service answers about the pixels of a raster timestamp: tiles, windows, point values, statistics.

Pixels are those of `raster.layer`; `zonal_statistics` takes what lies inside a geometry, burned by
`rasterize_geometry`, into `statistics`; `zoom` is the native one.
"""

from ellipsis_local.imagery.imagery import Imagery
from ellipsis_local.raster.zoom import zoom

__all__ = ["Imagery", "zoom"]
