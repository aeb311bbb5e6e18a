"""A project of 50 tests: 40 of a function's logic, 8 on real nodes, 2 of partition invariance. Collected by pytest."""

import sys

import pytest

from ellipsis_local.testing import EXACT_CUTS, check_partition_invariance

HEIGHT = {"pathId": "559bf6e4-ef58-478a-a305-b0fa9db68ba7", "timestampId": "b51d252d-b15a-4b63-9675-9e17ef99ebf5"}
ROADS = "roads"


def highest(params):
    raster = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    return float(raster["raster"].max())


def above(params):
    raster = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    return int((raster["raster"] > 20).sum())


def run(ellipsis, token, function, nodes):
    interpreter = f"python3.{sys.version_info[1]}"
    compute = ellipsis.compute.createCompute([HEIGHT], token, nodes=nodes, interpreter=interpreter)["id"]
    try:
        return ellipsis.compute.execute(compute, function, token)
    finally:
        ellipsis.compute.terminateCompute(compute, token)


@pytest.mark.ellipsis(inline=True)
@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
@pytest.mark.parametrize("number", range(10))
def test_logic(ellipsis, ellipsis_layers, ellipsis_token, nodes, number):
    values = run(ellipsis, ellipsis_token, highest, nodes)
    assert len(values) == nodes
    assert max(values) == pytest.approx(80.03125)


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("number", range(4))
def test_nodes(ellipsis, ellipsis_layers, ellipsis_token, nodes, number):
    assert sum(run(ellipsis, ellipsis_token, above, nodes)) > 0


@pytest.mark.ellipsis(inline=True)
@pytest.mark.parametrize(("function", "reduce"), [(highest, max), (above, sum)])
def test_invariance(ellipsis_layers, ellipsis_token, function, reduce):
    check_partition_invariance(function, reduce, [HEIGHT], token=ellipsis_token, cuts=EXACT_CUTS)
