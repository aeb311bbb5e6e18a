"""Interactive maps for notebooks: folium's, which load nothing from the network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from ellipsis_local.extras import optional_module
from ellipsis_local.types import Extent

LEAFLET = files("ellipsis_local") / "dashboard" / "static"
LINKS = {"default_js": ("leaflet.js", "text/javascript"), "default_css": ("leaflet.css", "text/css")}


def frame_map(frame: Any, options: Mapping[str, Any]) -> Any:
    """What ``GeoDataFrame.explore`` makes, without tiles and without a legend unless `options` ask for them."""
    for name in ("folium", "mapclassify", "matplotlib"):
        optional_module(name, extra="explore", purpose="a map of features")
    # Texts of a layer are shown as they are, and never become elements or scripts of the page.
    shown = frame.rename(columns=escape)
    for name in shown.columns.drop(shown.geometry.name):
        shown[name] = shown[name].map(lambda one: escape(one) if isinstance(one, str) else one)
    # The legend of numbers is drawn by a script of another host.
    given: dict[str, Any] = {"tiles": None, "legend": False, "max_zoom": 24} | dict(options)
    if isinstance(given.get("column"), str):
        given["column"] = escape(given["column"])
    made = shown.explore(**given)
    return made if "m" in options else offline(made)


def image_map(png: bytes, extent: Extent, options: Mapping[str, Any]) -> Any:
    """A picture in EPSG:3857 over its extent in degrees; `options` are those of folium's ImageOverlay and Map."""
    folium = optional_module("folium", extra="explore", purpose="a map of a raster")
    given = dict(options)
    given_map, tiles = given.pop("m", None), given.pop("tiles", None)
    made = offline(folium.Map(tiles=tiles, max_zoom=24)) if given_map is None else given_map
    corners = [[extent.y_min, extent.x_min], [extent.y_max, extent.x_max]]
    picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    folium.raster_layers.ImageOverlay(picture, corners, **given).add_to(made)
    if given_map is None:
        made.fit_bounds(corners)
    return made


def offline(made: Any) -> Any:
    """The map with the Leaflet of this package in it, and without folium's links, which are for icons and pop-ups."""
    for attribute, (name, kind) in LINKS.items():
        text = base64.b64encode((LEAFLET / name).read_bytes()).decode()
        setattr(made, attribute, [(name, f"data:{kind};base64,{text}")])
    return made
