"""A host that loses sight of the store, or of the broker, in the middle of a run: nobody need do anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hosts import Cluster, Net, cluster
from tests.support.partition import partition


@pytest.fixture(scope="module")
def world() -> Iterator[Cluster]:
    """Two hosts with a worker each."""
    with cluster(48) as made:
        yield made


@pytest.mark.parametrize("net", Net, ids=lambda net: net.word)
def test_a_run_ends_without_the_host_that_is_cut_off_and_the_host_comes_back(world: Cluster, net: Net) -> None:
    done = partition(world, net, shard_texts=6)
    assert done.violations == []
