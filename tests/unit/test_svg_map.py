"""Maps as SVG, and the libraries that only extras bring."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest
import shapely

from ellipsis_local.errors import MissingExtraError
from ellipsis_local.extras import optional_module
from ellipsis_local.svg_map import SvgMap
from ellipsis_local.types import Extent

HOLE = "POLYGON ((0 0, 3 0, 3 3, 0 0), (1 1, 2 1, 2 1.5, 1 1))"


@pytest.mark.parametrize(
    ("wkt", "path"),
    [
        ("LINESTRING (0 0, 10 20)", "M0.00,40.00L20.00,0.00"),
        ("MULTILINESTRING ((0 0, 10 20), (5 5, 5 6))", "M0.00,40.00L20.00,0.00M10.00,30.00L10.00,28.00"),
        (HOLE, "M0.00,40.00L6.00,40.00L6.00,34.00L0.00,40.00ZM2.00,38.00L4.00,38.00L4.00,37.00L2.00,38.00Z"),
        ("POINT (5 5)", "M7.00,30.00a3,3 0 1 0 6,0a3,3 0 1 0 -6,0Z"),
        ("GEOMETRYCOLLECTION (MULTIPOINT (5 5), LINESTRING (0 0, 1 0))",
         "M7.00,30.00a3,3 0 1 0 6,0a3,3 0 1 0 -6,0ZM0.00,40.00L2.00,40.00"),
        ("POINT EMPTY", ""),
    ],
)  # fmt: skip
def test_geometries_are_paths_north_up(wkt, path):
    picture = SvgMap(Extent(0, 0, 10, 20), width=20)
    picture.shapes([shapely.from_wkt(wkt), None], size=3, fill="red")
    drawn = ElementTree.fromstring(picture.element()).findall(".//{*}path")
    assert [element.get("d") for element in drawn] == [path, ""]


def test_foreign_text_stays_text():
    picture = SvgMap(Extent(0, 0, 1, 1), width=100)
    picture.shapes([shapely.Point(0, 0)], titles=["</title><script>\x00&"])
    picture.label(0, 1, ["<b>", "two"])
    root = ElementTree.fromstring(picture.element())
    assert root.find(".//{*}title").text == "</title><script>\ufffd&"
    assert [element.text for element in root.findall(".//{*}tspan")] == ["<b>", "two"]


def test_a_library_that_is_missing_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        MissingExtraError, match=r"^a picture needs matplotlib, .*pip install 'ellipsis-local\[plot\]'$"
    ) as caught:
        optional_module("matplotlib", extra="plot", purpose="a picture")
    assert caught.value.extra == "plot"


def test_what_a_library_itself_lacks_is_no_missing_extra(monkeypatch, tmp_path):
    (tmp_path / "broken_library.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        optional_module("broken_library", extra="plot", purpose="a picture")
