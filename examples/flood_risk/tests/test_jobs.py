"""The jobs as they run on the service: real environments, one process per node."""

import pytest

from ellipsis_local import layers
from ellipsis_local.testing import assert_raster_equal, faults
from flood_risk import jobs


def test_nodes_agree_with_the_logic(ellipsis_layers, ellipsis_token):
    assert jobs.flooded_area(ellipsis_token, nodes=4) == jobs.flooded_area(ellipsis_token, nodes=1)


def test_depth_is_published(ellipsis_layers, ellipsis_token, tmp_path):
    files = []
    for nodes in (1, 4):
        path, timestamp = jobs.publish_depth(ellipsis_token, nodes)
        files.append(layers.export(path, timestamp, tmp_path / f"depth_{nodes}.tif"))
    assert_raster_equal(tmp_path / "depth_4.tif", tmp_path / "depth_1.tif")


def test_nothing_is_left_running_when_a_node_dies(ellipsis, ellipsis_layers, ellipsis_token):
    with faults(killed=[1]), pytest.raises(ValueError, match="node 1"):
        jobs.flooded_area(ellipsis_token, nodes=3)
    states = {compute["status"] for compute in ellipsis.compute.listComputes(ellipsis_token)["result"]}
    assert states == {"stopped"}


def test_a_plan_without_nodes_is_told(ellipsis_layers, ellipsis_token):
    with faults(no_nodes=True), pytest.raises(ValueError, match="nodes"):
        jobs.flooded_area(ellipsis_token, nodes=None)
