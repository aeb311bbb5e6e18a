"""Results must not depend on where the partitions are cut."""

import pytest

from ellipsis_local.testing import check_partition_invariance
from flood_risk import jobs
from flood_risk.nodes import ground_under_buildings, water_area

pytestmark = pytest.mark.ellipsis(inline=True)


def test_the_area_does_not_depend_on_the_cut(ellipsis_layers):
    check_partition_invariance(water_area, jobs.total, [jobs.HEIGHT])


def test_buildings_on_a_border_count_on_both_sides(ellipsis_layers):
    check_partition_invariance(
        ground_under_buildings, jobs.flooded, [jobs.HEIGHT, jobs.BUILDINGS], features=["intersecting"]
    )


def test_with_each_building_in_one_partition_it_would(ellipsis_layers):
    """The service does not say which features a partition gets: this job needs those of both sides of a border."""
    with pytest.raises(AssertionError):
        check_partition_invariance(
            ground_under_buildings, jobs.flooded, [jobs.HEIGHT, jobs.BUILDINGS], features=["once"]
        )
