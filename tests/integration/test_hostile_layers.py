"""Each hostile layer catches the bug that its note names: the naive function is wrong or fails, the right one is not."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from ellipsis_local.errors import ArgumentError, NodeError
from ellipsis_local.testing import layers

pytestmark = pytest.mark.filterwarnings("ignore::ellipsis_local.FidelityWarning", "ignore::RuntimeWarning")


class Case(NamedTuple):
    """Two functions of one part of a layer, what is made of their results, and what that must be."""

    naive: Callable[[Any], Any]
    right: Callable[[Any], Any]
    reduce: Callable[[list[Any]], Any]
    truth: Any
    settings: dict[str, Any] = {}


def ratio(results):
    total = sum(count for _, count in results)
    return sum(number for number, _ in results) / total if total else None


def mean(results):
    return sum(results) / len(results)


def least(results):
    return min((number for number in results if number is not None), default=None)


def most(results):
    return max((number for number in results if number is not None), default=None)


def together(results):
    return sorted({item for result in results for item in result})


def merged(results):
    found: dict[Any, Any] = {}
    for result in results:
        found |= result
    return sum(found.values())


def tally(results):
    found: dict[Any, int] = {}
    for result in results:
        for key, count in result.items():
            found[key] = found.get(key, 0) + count
    return found


# ----- rasters ---------------------------------------------------------------------------------------------------------


def mean_of_all(part):
    return float(part["raster"].mean())


def sum_of_valid(part):
    values = part["raster"][part["raster"] != part["nodata"]]
    return float(values.sum()), int(values.size)


def largest(part):
    return float(part["raster"].max())


def largest_of_numbers(part):
    import numpy

    values = part["raster"][numpy.isfinite(part["raster"])]
    return float(values.max()) if values.size else None


def smallest(part):
    return int(part["raster"].min())


def smallest_of_valid(part):
    values = part["raster"][part["raster"] != part["nodata"]]
    return int(values.min()) if values.size else None


def count_of_truth(part):
    return int((part["raster"] > 0).sum())


def count_of_valid(part):
    return int((part["raster"] != part["nodata"]).sum())


def sum_of_bands(part):
    first, second = part["raster"]
    return float((first + second).mean())


def sum_of_bands_as_floats(part):
    first, second = part["raster"].astype("float64")
    return float((first + second).mean())


def rows_of_squeezed(part):
    return len(part["raster"].squeeze())


def rows(part):
    return part["raster"].shape[1]


def steepest(part):
    import numpy

    down, across = numpy.gradient(part["raster"][0])
    return float(numpy.hypot(down, across).max())


def steepest_where_there_are_neighbours(part):
    import numpy

    band = part["raster"][0]
    steps = [abs(numpy.diff(band, axis=axis)) for axis in (0, 1) if band.shape[axis] > 1]
    return float(max(step.max() for step in steps))


def last_axis(part):
    return part["raster"].shape[-1]


def first_axis(part):
    return part["raster"].shape[0]


def tiles_by_int(part):
    t, width = part["transform"], part["raster"].shape[2]
    return [int((t.c + t.a * (col + 0.5)) / 1000) for col in range(width)]


def tiles_by_floor(part):
    import math

    t, width = part["transform"], part["raster"].shape[2]
    return [math.floor((t.c + t.a * (col + 0.5)) / 1000) for col in range(width)]


def sum_of_all(part):
    return float(part["raster"].sum()), int(part["raster"].size)


def sum_without_gap(part):
    values = part["raster"][part["raster"] != 0]
    return float(values.sum()), int(values.size)


RAMP = 1 + np.add(*np.mgrid[:24, :32] * np.array([2, 1])[:, None, None])

CASES: dict[str, Case] = {
    "all_nodata": Case(mean_of_all, sum_of_valid, lambda r: ratio(r) if isinstance(r[0], tuple) else mean(r), None),
    "nan_raster": Case(largest, largest_of_numbers, most, 78.0),
    "nodata_is_zero": Case(smallest, smallest_of_valid, least, 1),
    "zero_is_valid": Case(count_of_truth, count_of_valid, sum, 24 * 31),
    "uint8_bright": Case(sum_of_bands, sum_of_bands_as_floats, mean, 400.0),
    "one_pixel": Case(rows_of_squeezed, rows, sum, 1),
    "one_row": Case(steepest, steepest_where_there_are_neighbours, max, 1.0),
    "bands_31": Case(last_axis, first_axis, max, 31),
    "negative_extent": Case(tiles_by_int, tiles_by_floor, together, [-7000]),
    "rotated": Case(sum_of_all, sum_of_valid, ratio, pytest.approx(float(RAMP.mean()), abs=1)),
    "gap_between_files": Case(
        sum_of_all, sum_without_gap, ratio, pytest.approx(float(np.delete(RAMP, range(12, 20), axis=1).mean()))
    ),
}


# ----- vectors ---------------------------------------------------------------------------------------------------------


def first_value(frame):
    return float(frame["value"].iloc[0])


def least_value(frame):
    return float(frame["value"].min()) if len(frame) else None


def mean_height(frame):
    return float(frame["height"].mean()), 1


def sum_of_heights(frame):
    known = frame["height"].dropna()
    return float(known.sum()), len(known)


def ids(frame):
    return frame["id"].tolist()


def count(results):
    return sum(map(len, results))


def count_once(results):
    return len({number for result in results for number in result})


def width_of_all(frame):
    west, _, east, _ = frame.total_bounds
    return float(east - west)


def width_of_the_widest_part(frame):
    bounds = frame.geometry.explode(index_parts=False).bounds
    return float((bounds["maxx"] - bounds["minx"]).max())


def length_of_all(frame):
    return float(frame.length.sum())


def length_of_lines(frame):
    return float(frame.length[frame.geom_type.isin(["LineString", "MultiLineString"])].sum())


def names(frame):
    return [name.upper() for name in frame["name"]]


def names_that_are_known(frame):
    return [name.upper() for name in frame["name"].dropna()]


def values_by_id(frame):
    return {int(number): float(value) for number, value in zip(frame["id"], frame["value"], strict=True)}


def sum_of_values(frame):
    return {("node", int(frame["id"].sum()), len(frame), float(frame["value"].sum())): float(frame["value"].sum())}


def area_of_outlines(frame):
    import shapely

    return float(sum(shapely.Polygon(polygon.exterior).area for polygon in frame.geometry))


def area(frame):
    return float(frame.area.sum())


def area_of_valid(frame):
    return float(frame.make_valid().area.sum())


def pixels_by_centre(frame):
    from rasterio.features import rasterize
    from rasterio.transform import from_origin

    return int(rasterize(frame.geometry, (24, 34), transform=from_origin(500000, 6000000, 10, 10)).sum())


def pixels_by_point(frame):
    points = frame.representative_point()
    return len({(int((x - 500000) // 10), int((6000000 - y) // 10)) for x, y in zip(points.x, points.y, strict=True)})


def density(frame):
    return float((frame["people"] / frame.area).sum())


def density_where_there_is_area(frame):
    proper = frame[frame.area > 0]
    return float((proper["people"] / proper.area).sum())


def mean_value(frame):
    return sum(frame["value"]) / len(frame), 1


def value_sum_and_count(frame):
    return float(frame["value"].sum()), len(frame)


def classes_by_text(frame):
    found = {}
    for value in frame["class"]:
        name = {"1": "road", "2": "path", "3": "track"}[str(value)]
        found[name] = found.get(name, 0) + 1
    return found


def classes_by_number(frame):
    found = {}
    for value in frame["class"]:
        name = {1: "road", 2: "path", 3: "track"}[int(value)]
        found[name] = found.get(name, 0) + 1
    return found


CASES |= {
    "empty_vector": Case(first_value, least_value, least, None),
    "column_missing_in_one_partition": Case(
        mean_height, sum_of_heights, ratio,
        pytest.approx(sum(3 + i % 5 for i in range(48) if i % 8 < 4) / 24), {"cut": "columns"},
    ),
    "antimeridian": Case(width_of_all, width_of_the_widest_part, max, pytest.approx(math.radians(1) * 6378137)),
    "mixed_geometry_types": Case(length_of_all, length_of_lines, sum, pytest.approx(math.hypot(40, 40) + 80)),
    "null_attributes": Case(names, names_that_are_known, count, 16),
    "duplicate_ids": Case(values_by_id, sum_of_values, merged, sum(range(24))),
    "polygons_with_holes": Case(area_of_outlines, area, sum, pytest.approx(24 * (900 - 400 + 100))),
    "smaller_than_a_pixel": Case(pixels_by_centre, pixels_by_point, sum, 48),
    "zero_area": Case(density, density_where_there_is_area, sum, pytest.approx(1.02)),
    "invalid_polygons": Case(area, area_of_valid, sum, pytest.approx(8 * 200 + 16 * 400)),
    "points_in_one_place": Case(mean_value, value_sum_and_count, ratio, 5.0),
    "floats_that_are_whole": Case(classes_by_text, classes_by_number, tally, {"road": 8, "path": 8, "track": 8}),
    "features_over_every_border": Case(ids, ids, count, 12, {"features": "intersecting"}),
}  # fmt: skip


@pytest.fixture
def outcome(el, token):
    """What comes of a function on two nodes, or the error."""

    def run(layer, function, reduce):
        nodes = 1 if layer.__name__ == "one_pixel" else 2
        made = el.compute.createCompute([layer()], token, nodes=nodes, interpreter=f"python3.{sys.version_info[1]}")
        try:
            return reduce(el.compute.execute(made["id"], wrapped(function), token))
        except NodeError as error:
            return error

    return run


def wrapped(function):
    """The function on the one layer of the params."""

    def f(params):
        return function(next(iter(params.values())))

    return f


@pytest.mark.parametrize("layer", layers.all(), ids=lambda layer: layer.__name__)
def test_a_naive_function_is_caught_and_a_right_one_is_not(el, outcome, layer) -> None:
    case = CASES[layer.__name__]
    el.configure(inline=True, **case.settings)
    assert outcome(layer, case.naive, case.reduce) != case.truth
    once = count_once if layer.__name__ == "features_over_every_border" else case.reduce
    assert outcome(layer, case.right, once) == case.truth


def test_all_have_a_case_and_a_note() -> None:
    assert set(CASES) == set(layers.NOTES) == {layer.__name__ for layer in layers.all()}
    assert all("Catches" in note and note.endswith(".") for note in layers.NOTES.values())
    assert {*layers.all("raster"), *layers.all("vector")} == {*layers.all()}
    assert set(layers.__all__) - {"all", "NOTES"} == set(layers.NOTES)
    with pytest.raises(ArgumentError, match="type must be 'raster' or 'vector', not 'mesh'"):
        layers.all("mesh")


def test_they_are_the_same_every_time(el) -> None:
    def contents(layer):
        timestamp = el.emulator.current_emulator().store.timestamp(*layer.values())
        return [(file.detail.extent, file.detail.features, file.detail.fields) for file in timestamp.files]

    for layer in layers.all("vector"):
        assert contents(layer()) == contents(layer())


def test_on_real_nodes(el, outcome) -> None:
    case = CASES["points_in_one_place"]
    assert isinstance(outcome(layers.points_in_one_place, case.naive, case.reduce), NodeError)
    assert outcome(layers.points_in_one_place, case.right, case.reduce) == case.truth
