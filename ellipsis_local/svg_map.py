"""A map as one SVG: pixels as PNGs, features as paths, north up. It needs no library, and nothing from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ellipsis_local.html_parts import escaped
from ellipsis_local.types import Extent

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK = "#1d2430"


class SvgMap:
    """One map, `width` pixels wide; what is added later lies above. Places are in units of its CRS, sizes in pixels."""

    def __init__(self, extent: Extent, width: float) -> None:
        self.extent = extent
        self.width = width
        self._scale = width / extent.width
        self.height = extent.height * self._scale
        self._parts: list[str] = []

    def image(self, png: bytes, extent: Extent) -> None:
        (x, y), (right, bottom) = self._place(extent.x_min, extent.y_max), self._place(extent.x_max, extent.y_min)
        data = base64.b64encode(png).decode()
        self._parts.append(
            f'<image x="{x:.2f}" y="{y:.2f}" width="{right - x:.2f}" height="{bottom - y:.2f}" '
            f'preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )

    def shapes(self, geometries: Iterable[Any], titles: Iterable[str] = (), size: float = 2, **style: Any) -> None:
        """Shapely geometries of any type; points are discs of the radius `size`, `style` are attributes of SVG.

        `titles` are what a browser shows under the pointer.
        """
        attributes = " ".join(f'{name.replace("_", "-")}="{escaped(value)}"' for name, value in style.items())
        self._parts.append(f'<g fill-rule="evenodd" {attributes}>')
        for geometry, title in zip_longest(geometries, titles, fillvalue=""):
            label = f"<title>{escaped(title)}</title>" if title else ""
            self._parts.append(f'<path d="{self._path(geometry, size)}">{label}</path>')
        self._parts.append("</g>")

    def rectangle(self, extent: Extent, **style: Any) -> None:
        from shapely import box

        self.shapes([box(*extent)], fill="none", **style)

    def label(self, x: float, y: float, lines: Sequence[str], size: float = 11) -> None:
        """Lines in a white box whose upper left corner is at a point of the map."""
        left, top = self._place(x, y)
        wide, high = 0.62 * size * max(map(len, lines)) + size, 1.3 * size * len(lines) + 0.6 * size
        rows = "".join(
            f'<tspan x="{left + size / 2:.2f}" dy="{1.3 * size:.2f}">{escaped(line)}</tspan>' for line in lines
        )
        self._parts.append(
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{wide:.2f}" height="{high:.2f}" rx="4" fill="#fff" '
            f'fill-opacity="0.9" stroke="{INK}" stroke-width="0.8"/>'
            f'<text y="{top:.2f}" font-size="{size:g}" font-weight="bold" fill="{INK}">{rows}</text>'
        )

    def element(self, x: float = 0, y: float = 0) -> str:
        """The map as an svg element, which stands alone or at a place in another one."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" x="{x:g}" y="{y:g}" width="{self.width:.2f}" '
            f'height="{self.height:.2f}" viewBox="0 0 {self.width:.2f} {self.height:.2f}" '
            f'font-family="system-ui, sans-serif">{"".join(self._parts)}</svg>'
        )

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.extent.x_min) * self._scale, (self.extent.y_max - y) * self._scale

    def _path(self, geometry: Any, size: float) -> str:
        """What `d` of a path says of a geometry: its rings and lines, and a disc around each point."""
        if geometry is None or geometry.is_empty:
            return ""
        if hasattr(geometry, "geoms"):
            return "".join(self._path(part, size) for part in geometry.geoms)
        if geometry.geom_type == "Polygon":
            return "".join(f"{self._line(ring)}Z" for ring in (geometry.exterior, *geometry.interiors))
        if geometry.geom_type == "Point":
            ((x, y),) = self._points(geometry)
            half = f"a{size:g},{size:g} 0 1 0"
            return f"M{x - size:.2f},{y:.2f}{half} {2 * size:g},0{half} {-2 * size:g},0Z"
        return self._line(geometry)

    def _points(self, geometry: Any) -> NDArray[Any]:
        import numpy as np
        import shapely

        xy = shapely.get_coordinates(geometry)
        return np.column_stack(self._place(xy[:, 0], xy[:, 1]))

    def _line(self, geometry: Any) -> str:
        return "M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in self._points(geometry))
