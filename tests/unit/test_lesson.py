"""Lessons: what is said of a student's function, and a lesson as one file."""

from __future__ import annotations

import json
import warnings
import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.errors import ArgumentError, FidelityWarning

PATH, TIME = "559bf6e4-ef58-478a-a305-b0fa9db68ba7", "b51d252d-b15a-4b63-9675-9e17ef99ebf5"
CATALOG = f"""
[[layer]]
name = "heights"
type = "raster"
pathId = "{PATH}"
[[layer.timestamp]]
files = ["first.tif"]
[[layer.timestamp]]
id = "{TIME}"
files = ["last.tif"]
"""
LESSON = """
title = "Heights"
files = ["lesson.md"]
layers = "layers"
requirements = ["numpy"]

[[exercise]]
name = "highest"
task = "How high is the highest pixel?"
layers = ["heights"]
reduce = "max"
expected = 599

[[exercise]]
name = "mean"
layers = ["heights"]
expected = 299.5

[[exercise]]
name = "first"
layers = ["heights@1"]
reduce = "sum"
"""


@pytest.fixture
def folder(tmp_path):
    """A teacher's folder: two rasters of 20 × 30 pixels; every value of the last one is another."""
    made = tmp_path / "teacher"
    (made / "layers").mkdir(parents=True)
    (made / "layers" / "catalog.toml").write_text(CATALOG)
    for name, values in (("first", np.zeros(600)), ("last", np.arange(600))):
        with rasterio.open(
            made / "layers" / f"{name}.tif", "w", driver="GTiff", height=20, width=30, count=1, dtype="float64",
            crs="EPSG:3857", transform=Affine(10, 0, 0, 0, -10, 200),
        ) as target:  # fmt: skip
            target.write(values.reshape(20, 30), 1)
    (made / "lesson.toml").write_text(LESSON)
    (made / "lesson.md").write_text("# Heights\n")
    return made


@pytest.fixture
def exercise(el, folder):
    """An exercise on the last raster."""
    el.configure(inline=True)
    layer = el.layers.load(folder / "layers")["heights"]

    def make(**given):
        return el.lesson.Exercise("heights", layers=[layer], **given)

    return make


@pytest.fixture(autouse=True)
def without_notices():
    """Functions stand in a test, and give arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        yield


def highest(params):
    return float(params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]["raster"].max())


def mean(params):
    return float(params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]["raster"].mean())


def size(params):
    return int(params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]["raster"].size)


def misspelt(params):
    return float(params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]["rastr"].max())


def large_only(params):
    width = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]["raster"].shape[2]
    if width < 30:
        raise ValueError(f"a width of {width}")
    return width


def blurred(params):
    value = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    value["raster"][:, :, 1:] += value["raster"][:, :, :-1].copy()
    return value


def flattened(params):
    value = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    value["raster"] = value["raster"] - value["raster"].mean()
    return value


def average(parts):
    return sum(parts) / len(parts)


def second(parts):
    return parts[1]


def in_two_alone(parts):
    return parts[0] if len(parts) == 1 else parts[0] / 0


@pytest.mark.parametrize(
    ("f", "reduce", "given", "words"),
    [
        # It stops: on everything, on a piece, in reduce.
        (misspelt, max, {}, ["stops on the whole layers already", "KeyError: 'rastr'", "in misspelt: return", "params has one"]),
        (large_only, max, {}, ["But cut into 2 pieces", "it stops on piece 0", "ValueError: a width of", "in large_only"]),
        (highest, second, {}, ["your reduce stops at the list with that one result", "IndexError"]),
        (highest, in_two_alone, {}, ["your reduce stops at the list of the pieces' results", "ZeroDivisionError"]),
        # Another answer than that of the exercise, cut or not.
        (highest, max, {"expected": 5}, ["does not depend on how the layers are cut", "599.0, is too large"]),
        (highest, max, {"expected": 5000}, ["is too small"]),
        (highest, max, {"expected": "high"}, ["not the one that is asked for"]),
        (mean, max, {"expected": 5}, ["on the whole layers, 299.5, is too large", "depends on how the layers are cut as well"]),
        # Another answer of pieces.
        (mean, average, {"nodes": (7,)}, ["gives 299.5. But cut into 7 pieces", "piece 0 gives", "and 1 pieces more", "the mean of what"]),
        (mean, sum, {}, ["the sum of what the pieces give, and that cannot be added"]),
        (mean, min, {}, ["sums and counts, the smallest and the largest"]),
        (size, sum, {"shards": True}, ["as the service does, into", "margin in common", "in 2 of"]),
        (blurred, None, {"reduce": "join"}, ["pixels differ", "within 1 pixels of the border", "overlap"]),
        (flattened, None, {"reduce": "join"}, ["far from any border"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_plain_words(el, exercise, f, reduce, given, words):
    verdict = el.lesson.check(f, exercise(**given), reduce)
    assert not verdict
    assert str(verdict).startswith("heights: not right yet.\n")
    assert [one for one in words if one not in str(verdict)] == []


def test_a_right_function_is_right_in_every_way(el, exercise):
    verdict = el.lesson.check(highest, exercise(expected=599, shards=True), max)
    assert verdict
    assert "gives 599.0, and the same in all" in str(verdict)
    assert "cut='shards'" in verdict.details


def test_features_on_borders(el, exercise):
    import geopandas as gpd
    from shapely.geometry import LineString

    lines = [LineString([(x, 5), (x + 100, 195)]) for x in (10, 90, 150)]
    layer = el.layers.add(gpd.GeoDataFrame({"id": [1, 2, 3]}, geometry=lines, crs="EPSG:3857"))

    def count(params):
        (frame,) = params.values()
        return len(frame)

    task = el.lesson.Exercise("lines", layers=[layer], reduce="sum", features=("once", "intersecting"), nodes=(2,))
    assert "is in both of them: count each once" in str(el.lesson.check(count, task))


def test_what_cannot_be_checked_is_an_error(el, exercise):
    with pytest.raises(ArgumentError, match="no lesson is open"):
        el.lesson.check(highest, "highest")
    with pytest.raises(ArgumentError, match="reduce is needed: heights leaves it to you"):
        el.lesson.check(highest, exercise())
    with pytest.raises(ArgumentError, match="f must be a function"):
        el.lesson.check("highest", exercise())
    with pytest.raises(ArgumentError, match="nodes must hold whole numbers above 1"):
        exercise(nodes=(1,))
    with pytest.raises(ArgumentError, match="reduce must be one of sum, min, max, join"):
        exercise(reduce="mean")


def test_a_lesson_travels_as_one_file(el, folder, tmp_path):
    archive = tmp_path / "heights.zip"
    answer = CliRunner().invoke(app, ["lesson", "pack", str(folder), str(archive)])
    assert answer.exit_code == 0, answer.output
    assert "1 layer, 3 exercises" in answer.output
    with zipfile.ZipFile(archive) as packed:
        assert set(packed.namelist()) == {"lesson.toml", "lesson.md", "layers.json", "home.zip"}
    with pytest.raises(ArgumentError, match="is there already"):
        el.lesson.pack(folder, archive)

    answer = CliRunner().invoke(app, ["lesson", "open", str(archive), str(tmp_path / "student"), "--json"])
    assert json.loads(answer.output)["exercises"] == ["highest", "mean", "first"]
    (tmp_path / "student" / "lesson.md").write_text("# My work\n")
    lesson = el.lesson.open(archive, tmp_path / "student")
    assert (lesson.folder / "lesson.md").read_text() == "# My work\n", "what a student wrote stays"
    assert lesson.layers == {"heights": {"pathId": PATH, "timestampId": TIME}}
    assert lesson.exercises["first"].layers[0]["timestampId"] != TIME

    assert el.lesson.check(highest, "highest")
    assert "mean of what the pieces give" in str(el.lesson.check(mean, "mean", average))
    with pytest.raises(ArgumentError, match="must be one of highest, mean, first"):
        el.lesson.check(highest, "lowest")
    with pytest.raises(ArgumentError, match="holds something else"):
        el.lesson.open(archive, folder / "layers")
    (folder / "lesson.toml").write_text(LESSON.replace("599", "598"))
    el.lesson.pack(folder, archive, overwrite=True)
    with pytest.raises(ArgumentError, match="holds another lesson"):
        el.lesson.open(archive, tmp_path / "student")


@pytest.mark.parametrize(
    ("former", "new", "words"),
    [
        ("title = ", "titel = ", "unknown titel; known are"),
        ("title = ", "title ", "is no TOML"),
        ('"Heights"', "5", "title must be of type str"),
        ('"lesson.md"', '"../lesson.md"', "must be the name of a file beside"),
        ('"lesson.md"', '"other.md"', "other.md is missing"),
        ('["heights@1"]', '["heights@3"]', "has the timestamps 1 to 2"),
        ('["heights@1"]', '["depths"]', "must be of heights, not 'depths'"),
        ('"max"', '"mean"', "reduce must be one of"),
        ('name = "mean"', 'name = "highest"', "two exercises are called 'highest'"),
        ('name = "mean"', "", "exercise 2: .*name"),
    ],
)
def test_a_lesson_file_that_is_wrong_is_refused_with_its_place(el, folder, tmp_path, former, new, words):
    (folder / "lesson.toml").write_text(LESSON.replace(former, new))
    with pytest.raises(ArgumentError, match=words) as caught:
        el.lesson.pack(folder, tmp_path / "lesson.zip")
    assert "lesson.toml" in str(caught.value)
    assert not (tmp_path / "lesson.zip").exists()


def test_an_archive_that_is_none_is_refused_and_leaves_nothing(el, folder, tmp_path):
    archive, bad = tmp_path / "lesson.zip", tmp_path / "bad.zip"
    el.lesson.pack(folder, archive)
    bad.write_bytes(b"no zip")
    with pytest.raises(ArgumentError, match="no whole archive"):
        el.lesson.open(bad)
    with pytest.raises(ArgumentError, match="no such file"):
        el.lesson.open(tmp_path / "nowhere.zip")
    for extra, words in (("../outside", "in a way that it may not"), ("a/b", "in a way that it may not")):
        bad.write_bytes(archive.read_bytes())
        with zipfile.ZipFile(bad, "a") as packed:
            packed.writestr(extra, "x")
        with pytest.raises(ArgumentError, match=words):
            el.lesson.open(bad)
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(bad, "w") as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name) if name != "home.zip" else b"damaged")
    with pytest.raises(ArgumentError, match="no whole archive"):
        el.lesson.open(bad)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "home", "lesson.zip", "teacher"]
