"""What the service answers about the pixels of a raster timestamp: tiles, windows, point values, statistics.

Imagery ──> sampling    the pixels of any grid, out of a timestamp's files
        │   ├── places    where the grid's pixels lie in a file's rows and columns
        │   └── handles   open files, kept for the next request
        ├── points      the pixels under single locations
        └── zonal       statistics of those inside a geometry
            ├── shapes    a geometry in a layer's columns and rows
            └── tally     what the values of a band come to
zoom                        the native zoom
crs                         from one CRS to another, for all of them
"""

from ellipsis_local.imagery.imagery import Imagery
from ellipsis_local.imagery.zoom import zoom

__all__ = ["Imagery", "zoom"]
