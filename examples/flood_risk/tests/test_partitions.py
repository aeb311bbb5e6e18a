"""Results must not depend on where the partitions are cut."""

import pytest

from ellipsis_local.testing import EXACT_CUTS, check_partition_invariance
from flood_risk import jobs
from flood_risk.nodes import ground_under_buildings, water_area

pytestmark = pytest.mark.ellipsis(inline=True)


def test_the_area_does_not_depend_on_the_cut(ellipsis_layers):
    check_partition_invariance(water_area, jobs.total, [jobs.HEIGHT], cuts=EXACT_CUTS)


def test_with_shards_it_does(ellipsis_layers):
    """The service's partitions overlap: what lies in the buffer is added twice, and the area is too large there."""
    with pytest.raises(AssertionError, match="in common"):
        check_partition_invariance(water_area, jobs.total, [jobs.HEIGHT], cuts=["shards"])


def test_buildings_on_a_border_count_on_both_sides(ellipsis_layers):
    check_partition_invariance(
        ground_under_buildings, jobs.flooded, [jobs.HEIGHT, jobs.BUILDINGS], features=["intersecting"], cuts=EXACT_CUTS
    )


def test_with_each_building_in_one_partition_it_would(ellipsis_layers):
    """The service does not say which features a partition gets: this job needs those of both sides of a border."""
    with pytest.raises(AssertionError):
        check_partition_invariance(
            ground_under_buildings, jobs.flooded, [jobs.HEIGHT, jobs.BUILDINGS], features=["once"]
        )
