"""The functions' own logic, in this process: no environment, no workers, milliseconds."""

import pytest

from flood_risk import jobs
from flood_risk.nodes import ground_under_buildings, water_area

pytestmark = pytest.mark.ellipsis(inline=True)


def test_the_area_follows_the_pixels(ellipsis_layers, ellipsis_token):
    parts = jobs.run(water_area, [jobs.HEIGHT], ellipsis_token, nodes=3)
    assert len(parts) == 3
    assert 0 < jobs.total(parts)["pixels"] < 61 * 78 * 2


def test_every_building_is_looked_at(ellipsis_layers, ellipsis_token):
    parts = jobs.run(ground_under_buildings, [jobs.HEIGHT, jobs.BUILDINGS], ellipsis_token, nodes=1)
    assert len(parts[0]) == 151


def test_water_lies_in_the_low_part(ellipsis_layers, ellipsis_token):
    assert jobs.flooded_area(ellipsis_token)["pixels"] > 0
    assert 0 < len(jobs.flooded_buildings(ellipsis_token, nodes=1)) < 151
