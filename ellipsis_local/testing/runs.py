"""One job run under one way of cutting: create, execute, fetch the results, terminate, forget."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ellipsis_local.computes.results import result_path
from ellipsis_local.computes.specification import ComputeRequest, Planning
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.errors import NodeError
from ellipsis_local.partitions import CutRequest, Partitioning
from ellipsis_local.types import Extent

__all__ = ["Job", "Run", "on_emulator"]


@dataclass(frozen=True)
class Run:
    """What came of one way of cutting."""

    nodes: int
    planning: Planning
    results: list[Any]
    """One per node."""
    cut: CutRequest
    layers: tuple[tuple[str, str], ...]
    """Path id and timestamp id of each."""
    emulator: Emulator

    @cached_property
    def partitioning(self) -> Partitioning:
        """Extents and files of the nodes; they were made for the run, and are found again."""
        return self.emulator.partitions.ensure(self.cut)

    @property
    def extents(self) -> tuple[Extent, ...]:
        return self.partitioning.extents

    @property
    def crs(self) -> str:
        return self.partitioning.crs or ""


@dataclass(frozen=True)
class Job:
    """A function with all that it runs on."""

    emulator: Emulator
    token: str
    function: Callable[[dict[str, Any]], Any]
    request: ComputeRequest

    def plan(self, nodes: int, planning: Planning) -> str:
        """What tells this way of cutting from others: equal for equal cells and features.

        Raises
        ------
        ArgumentError
            As createCompute would, for more nodes than pixels, say.
        """
        emulator = self.emulator
        timestamps = [emulator.store.timestamp(path, timestamp) for path, timestamp in self.request.layers]
        return planning.plan(emulator.partitions, timestamps, nodes, emulator.settings).key

    def run(self, nodes: int, planning: Planning, *, keep: bool = True) -> Run:
        """Run it; nothing is left of the compute.

        What the function raises passes through as NodeError; with `keep` the compute stays then, for a replay.
        """
        emulator = self.emulator
        user = emulator.user(self.token)
        request = replace(self.request, nodes=nodes, planning=planning)
        compute_id = emulator.create_compute(request, user, wait=True)
        try:
            results = emulator.execute_compute(compute_id, self.function, user, wait=True) or []
            if request.large_result:
                results = [self._fetched(str(url), user.id) for url in results]
            cut = emulator.computes.records.get(compute_id).spec.cut
        except NodeError:
            emulator.computes.terminate(compute_id, user.id, wait=True)
            if not keep:
                emulator.computes.delete(compute_id)
            raise
        except BaseException:
            self._end(compute_id, user.id)
            raise
        self._end(compute_id, user.id)
        assert cut is not None  # noqa: S101 - a job has layers
        return Run(nodes, planning, results, cut, request.layers, emulator)

    def _end(self, compute_id: str, owner: str) -> None:
        self.emulator.computes.terminate(compute_id, owner, wait=True)
        self.emulator.computes.delete(compute_id)

    def _fetched(self, url: str, owner: str) -> io.BytesIO:
        path = result_path(self.emulator.home, self.emulator.computes.records, url, owner)
        return io.BytesIO(path.read_bytes())


@contextlib.contextmanager
def on_emulator(inline: bool | None) -> Iterator[Emulator]:
    """The emulator in use; where its nodes are to run otherwise, another one on the same home."""
    emulator = current_emulator()
    if inline is None or inline == emulator.settings.inline:
        yield emulator
        return
    with Emulator(replace(emulator.settings, inline=inline)) as other:
        yield other
