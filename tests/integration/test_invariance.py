"""Map-reduce code that depends on the cut is caught, with the seam; code that does not is left alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine

from ellipsis_local.errors import ArgumentError, NodeError
from ellipsis_local.testing import EXACT_CUTS, assert_raster_equal, check_partition_invariance

pytestmark = pytest.mark.filterwarnings("ignore::ellipsis_local.FidelityWarning")
"""Arrays and frames as results do not travel to the service's client, which is tested elsewhere."""

LEFT, TOP, STEP = 500_000, 6_000_000, 10


@pytest.fixture
def fast(el, home):
    """Nodes in this process."""
    el.configure(inline=True)
    return el


@pytest.fixture
def ramp(fast):
    """36 × 48 pixels of 10 m whose values grow to the east and to the south; nodata in the north-western fifth."""
    rows, cols = np.mgrid[:36, :48]
    values = (rows * 3 + cols * 5 + 1).astype("float32")
    values[:12, :20] = -1
    return fast.layers.add(
        {"raster": values, "transform": Affine(STEP, 0, LEFT, 0, -STEP, TOP), "crs": "EPSG:3857", "nodata": -1}
    )


@pytest.fixture
def fields(fast):
    """7 × 5 squares of 50 m, 10 m apart; the lines through the middle meet a column and a row of them."""
    squares = [
        shapely.box(LEFT + 60 * i, TOP - 60 * j - 50, LEFT + 60 * i + 50, TOP - 60 * j)
        for j in range(5) for i in range(7)
    ]  # fmt: skip
    frame = gpd.GeoDataFrame(
        {"id": range(len(squares)), "value": [float(i % 7) + (90 if i == 34 else 0) for i in range(len(squares))]},
        geometry=squares, crs="EPSG:3857",
    )  # fmt: skip
    return fast.layers.add(frame)


# ----- wrong ones: what people write, and how the difference shows -----------------------------------------------------


def mean_of_valid(params):
    part = next(iter(params.values()))
    values = part["raster"][part["raster"] != part["nodata"]]
    return float(values.mean()) if values.size else None


def mean_of_means(results):
    means = [mean for mean in results if mean is not None]
    return {"mean": sum(means) / len(means)}


def count_features(params):
    return len(next(iter(params.values())))


def smallest(params):
    return float(next(iter(params.values()))["value"].min())


def smallest_or_zero(params):
    frame = next(iter(params.values()))
    return float(frame["value"].min()) if len(frame) else 0.0


def smallest_or_none(params):
    frame = next(iter(params.values()))
    return float(frame["value"].min()) if len(frame) else None


def smoothed(params):
    import numpy

    part = next(iter(params.values()))
    padded = numpy.pad(part["raster"][0], 1, mode="edge")
    height, width = part["raster"].shape[1:]
    mean = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    return {**part, "raster": mean[numpy.newaxis], "nodata": None}


def stretched(params):
    part = next(iter(params.values()))
    values = part["raster"] - part["raster"].min()
    return {**part, "raster": values / max(float(values.max()), 1.0), "nodata": None}


def all_features(params):
    return next(iter(params.values()))


def first_of_partition(params):
    frame = next(iter(params.values()))
    return [int(frame["id"].iloc[0])] if len(frame) else []


def joined_lists(results):
    return sorted(item for result in results for item in result)


def as_geotiff(params):
    import io

    import rasterio

    part = next(iter(params.values()))
    values = part["raster"].astype("float32") * 2
    file = io.BytesIO()
    bands, height, width = values.shape
    with rasterio.open(
        file, "w", driver="GTiff", count=bands, height=height, width=width, dtype="float32", crs=part["crs"],
        transform=part["transform"],
    ) as target:  # fmt: skip
        target.write(values)
    file.seek(0)
    return file


def fails_on_small(params):
    part = next(iter(params.values()))
    if part["raster"].shape[2] < 48:
        raise RuntimeError("too narrow")
    return int(part["raster"].shape[1])


def caught(*args, **options) -> str:
    with pytest.raises(AssertionError) as found:
        check_partition_invariance(*args, **{"picture": False, "cuts": ("balanced", "rows", "columns")} | options)
    return str(found.value)


def test_a_mean_of_means_is_caught_with_the_line_at_which_it_differs(ramp) -> None:
    text = caught(mean_of_valid, mean_of_means, [ramp], nodes=(4,), cuts=("columns",))
    assert re.search(r"value\['mean'\]: [\d.]+, with one node [\d.]+ \([+-][\d.]+, [+-][\d.]+%\)", text)
    assert "nodes=4, cut='columns', features='once'" in text
    assert "node 1: x 500120 to 500240, y 5999640 to 6000000, 36 x 12 pixels" in text
    assert "cut in two at one of these lines alone" in text
    assert "x = 500120 (y from 5999640 to 6000000)" in text
    assert re.search(r"what they return\n  node 0: [\d.]+\n  node 1: .*\n  one node alone: 188.09", text, re.DOTALL)
    assert "sums and counts in place of means" in text


def test_features_on_a_border_that_are_counted_twice(fields) -> None:
    text = caught(count_features, sum, [fields], nodes=(2,), cuts=("columns",))
    assert re.search(r"value: 40, with one node 35 \(\+5, \+14\.286%\)", text)
    assert "nodes=2, cut='columns', features='intersecting'" in text
    assert "5 of 35 features of" in text
    assert "id=" in text
    assert "take each once" in text
    right = check_partition_invariance(
        count_features, sum, [fields], features=("once",), nodes=(2,), cuts=("columns", "random")
    )
    assert right.reference == 35


def test_an_empty_partition_that_counts_as_zero_or_as_nan(fast, fields) -> None:
    corners = [shapely.Point(LEFT + 1, TOP - 1), shapely.Point(LEFT + 900, TOP - 900), shapely.Point(LEFT + 890, TOP)]
    layer = fast.layers.add(gpd.GeoDataFrame({"value": [3.0, 4.0, 5.0]}, geometry=corners, crs="EPSG:3857"))
    text = caught(smallest_or_zero, min, [layer], nodes=(5,), cuts=("blocks",), features=("once",))
    assert "value: 0.0, with one node 3.0" in text
    assert re.search(r"node [\d, ]+ holds nothing of a layer", text)
    right = check_partition_invariance(
        smallest_or_none, lambda r: min(v for v in r if v is not None), [layer], nodes=(5,), cuts=("blocks", "random")
    )
    assert right.reference == 3.0


def test_a_window_that_ends_at_the_border(ramp, tmp_path) -> None:
    text = caught(smoothed, None, [ramp], nodes=(2,), cuts=("columns",), picture=tmp_path / "seen")
    assert "36 of 1728 pixels differ" not in text
    assert re.search(r"values: 72 of 1728 pixels differ .* in band 1", text)
    assert "all at most 1 pixels from a border" in text
    assert "node 0: 36 of them, node 1: 36 of them" in text
    assert "overlap" in text
    picture = Path(re.search(r"picture: (.*)", text)[1])
    assert picture == tmp_path / "seen" / "difference.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_statistic_of_the_partition_taken_for_one_of_the_layer(ramp, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = caught(stretched, None, [ramp], nodes=(2,), picture=None)
    assert text.endswith("no picture: the picture of a difference needs matplotlib, which is not installed: "
                         "pip install 'ellipsis-local[plot]'")  # fmt: skip
    assert "pixels differ" in text
    assert "a statistic of the partition" in text


def test_rows_that_come_twice_and_rows_that_begin_anew(fields) -> None:
    text = caught(all_features, None, [fields], nodes=(2,), cuts=("rows",))
    assert "rows: 42, expected 35" in text
    assert "only in actual: 7 rows" in text
    assert "7 of the 7 rows that differ lie on it" in text
    right = check_partition_invariance(
        all_features, lambda frames: pd.concat(frames).drop_duplicates("id"), [fields], nodes=(3,), cuts=("rows",)
    )
    assert right.tried == tuple(f"nodes=3, cut='rows', features='{name}'" for name in ("once", "intersecting"))
    text = caught(first_of_partition, joined_lists, [fields], nodes=(2,), cuts=("rows",), features=("once",))
    assert "value: 2 entries, with one node 1" in text


def test_a_node_that_fails_under_a_cut_only(fast, ramp) -> None:
    text = caught(fails_on_small, sum, [ramp], nodes=(2,), cuts=("rows", "columns"))
    assert "nodes=2, cut='columns', features='once'\n  fails on node 0, and does not on one node:" in text
    assert "RuntimeError: too narrow" in text
    command = re.search(r"run it again: .*replay.*([0-9a-f-]{36}).*\b0\b", text)
    assert fast.compute.getComputeInfo(command[1], "check_partition_invariance")["status"] == "stopped"
    assert len(fast.compute.listComputes("check_partition_invariance")["result"]) == 1
    assert "ways that agree\n  nodes=2, cut='rows', features='once'" in text


def test_what_reduce_does_not_take(fields) -> None:
    text = caught(
        smallest,
        lambda r: {True: 1, False: 1 / (1 - len(r) // 2)}[len(r) == 1],
        [fields],
        nodes=(2,),
        cuts=("rows",),
        features=("once",),
    )
    assert "reduce fails, and does not on the result of one node: ZeroDivisionError" in text


# ----- right ones ------------------------------------------------------------------------------------------------------


def sum_and_count(params):
    part = next(iter(params.values()))
    values = part["raster"][part["raster"] != part["nodata"]]
    return float(values.sum()), int(values.size)


def sum_and_ids(params):
    total, ids = 0.0, []
    for part in params.values():
        if isinstance(part, dict):
            total += float(part["raster"].sum())
        else:
            ids += part["id"].tolist()
    return total, ids


def test_right_ones_are_left_alone(ramp, fields) -> None:
    found = check_partition_invariance(
        sum_and_count, lambda r: {"mean": sum(s for s, _ in r) / sum(n for _, n in r)}, ramp, nodes=(2, 5, 9999), cuts=EXACT_CUTS,
    )  # fmt: skip
    assert found.reference["mean"] == pytest.approx(188.096774)
    assert len(found.tried) + len(found.same) == 12
    assert len(found.impossible) == 6
    assert "nodes=5, cut='random', features='once'" in found.tried
    both = check_partition_invariance(
        sum_and_ids, lambda r: (sum(s for s, _ in r), sorted({i for _, ids in r for i in ids})), [ramp, fields],
        nodes=(3,), cuts=("medians", "random"),
    )  # fmt: skip
    assert both.tried == tuple(
        f"nodes=3, cut={cut!r}, features={name!r}" for name in ("once", "intersecting") for cut in ("medians", "random")
    )
    assert both.reference[1] == list(range(35))


def mean(results):
    return sum(total for total, _ in results) / sum(count for _, count in results)


def highest(params):
    return max(int(part["raster"].max()) for part in params.values() if isinstance(part, dict))


def test_shards_count_their_buffer_twice(ramp, fields) -> None:
    text = caught(sum_and_count, mean, [ramp], nodes=(2, 5), cuts=("balanced", "shards"))
    assert "differs from that of one shard under 2 of 4 ways" in text
    assert "nodes=2, cut='shards', shard_size=" in text
    assert re.search(r"neighbours have [\d.]+ m on each side of these lines in common:\n +[xy] = ", text)
    assert "ways that agree\n  nodes=2, cut='balanced'" in text
    assert "cuts=EXACT_CUTS" in text
    found = check_partition_invariance(highest, max, [ramp, fields], nodes=(2, 5), cuts=("shards",))
    assert [name.partition(", shard_size")[0] for name in found.tried] == [
        "nodes=2, cut='shards'", "nodes=5, cut='shards'"
    ]  # fmt: skip
    ids = check_partition_invariance(all_ids, lambda r: sorted(set().union(*r)), [fields], nodes=(3,), cuts=("shards",))
    assert ids.reference == list(range(35))
    assert "features come to every shard" in caught(count_features, sum, [fields], nodes=(3,), cuts=("shards",))


def all_ids(params):
    return [int(number) for part in params.values() for number in part["id"]]


def marked(params):
    (frame,) = params.values()
    return int(frame["mark"].notna().sum())


def test_a_column_that_does_not_occur_in_a_shard_is_not_there(fast) -> None:
    squares = [shapely.box(LEFT + 500 * i, TOP, LEFT + 500 * i + 50, TOP + 50) for i in range(8)]
    layer = fast.layers.add(
        gpd.GeoDataFrame({"id": range(8), "mark": [*[None] * 7, "x"]}, geometry=squares, crs="EPSG:3857")
    )
    check_partition_invariance(marked, sum, [layer], nodes=(3,), cuts=("balanced", "columns"))
    text = caught(marked, sum, [layer], nodes=(3,), cuts=("shards",))
    assert "fails on shard" in text
    assert "KeyError: 'mark'" in text


def test_memory_files_are_put_together(ramp) -> None:
    found = check_partition_invariance(as_geotiff, None, [ramp], largeResult=True, nodes=(5,))
    rows, cols = np.mgrid[:36, :48]
    values = (rows * 3 + cols * 5 + 1).astype("float32")
    values[:12, :20] = -1
    expected = {"raster": values * 2, "transform": Affine(STEP, 0, LEFT, 0, -STEP, TOP), "crs": "EPSG:3857"}
    assert_raster_equal(found.reference, expected)


def test_the_same_seed_is_the_same_cut(ramp) -> None:
    texts = [caught(mean_of_valid, mean_of_means, [ramp], nodes=(4,), cuts=("random",), seed=s) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_nothing_is_left(fast, token, ramp) -> None:
    caught(mean_of_valid, mean_of_means, [ramp], token=token, nodes=(2,))
    assert fast.compute.listComputes(token)["result"] == []
    assert fast.configure().cut == "balanced"


def test_a_comparison_of_ones_own(ramp) -> None:
    def near(value, reference) -> None:
        assert abs(value["mean"] - reference["mean"]) < 1000

    assert check_partition_invariance(mean_of_valid, mean_of_means, [ramp], nodes=(2,), compare=near)
    text = caught(mean_of_valid, mean_of_means, [ramp], nodes=(2,), compare=lambda *_: False)
    assert "compare says that" in text


def test_bad_arguments(ramp, fields) -> None:
    for options, words in (
        ({"nodes": (1,)}, "a number above 1"),
        ({"nodes": (0, 2)}, "at least 1, not 0"),
        ({"cuts": ("diagonal",)}, "cuts must hold at least one of balanced"),
        ({"features": ()}, "features must hold at least one of once, intersecting"),
        ({"rtol": -1}, "rtol must be a number, 0 or more"),
        ({"seed": "x"}, "seed must be of type int"),
        ({"compare": 3}, "compare must be a function"),
        ({"picture": 3}, "picture must be a path, False or None, not 3"),
    ):
        with pytest.raises(ArgumentError, match=words):
            check_partition_invariance(sum_and_count, sum, [ramp], **options)
    with pytest.raises(ArgumentError, match="reduce is needed"):
        check_partition_invariance(sum_and_count, None, [ramp])
    with pytest.raises(ArgumentError, match="layers must hold"):
        check_partition_invariance(sum_and_count, sum, [])
    with pytest.raises(NodeError, match="has no attribute|KeyError"):
        check_partition_invariance(smallest, sum, [ramp])


def test_with_real_nodes(el, home) -> None:
    rows, cols = np.mgrid[:8, :12]
    layer = el.layers.add(
        {"raster": (rows + cols).astype("int16"), "transform": Affine(1, 0, 0, 0, -1, 0), "crs": "EPSG:3857"}
    )
    interpreter = f"python3.{sys.version_info[1]}"
    text = caught(smoothed, None, [layer], nodes=(2,), cuts=("rows",), interpreter=interpreter)
    assert "24 of 96 pixels differ" in text
    options = {"nodes": (2,), "cuts": ("random",), "interpreter": interpreter, "largeResult": True}
    found = check_partition_invariance(as_geotiff, None, [layer], **options)
    here = check_partition_invariance(as_geotiff, None, [layer], inline=True, **options)
    assert_raster_equal(here.reference, found.reference)
    assert el.configure().inline is False
    assert found.reference.values.shape == (1, 8, 12)
