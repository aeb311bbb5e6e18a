"""One job run under one way of cutting: create, execute, fetch the results, terminate, forget."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ellipsis_local.computes.results import result_path
from ellipsis_local.computes.specification import ComputeRequest, Planning
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.errors import NodeError
from ellipsis_local.partitions import CutRequest, Partitioning
from ellipsis_local.types import Extent


@dataclass(frozen=True)
class Run:
    results: list[Any]
    """One per node; none where one failed."""
    cut: CutRequest
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
    emulator: Emulator
    token: str
    function: Callable[[dict[str, Any]], Any]
    request: ComputeRequest

    def plan(self, nodes: int, planning: Planning) -> CutRequest:
        """The cut; ArgumentError as createCompute would give it, for more nodes than pixels, say."""
        emulator = self.emulator
        timestamps = [emulator.store.timestamp(path, timestamp) for path, timestamp in self.request.layers]
        return planning.plan(emulator.partitions, timestamps, nodes, emulator.settings)

    def run(self, nodes: int, planning: Planning, *, keep: bool = True) -> Run:
        """Run it and leave nothing of the compute, unless a NodeError passes and `keep` wants it for a replay."""
        emulator = self.emulator
        computes, user = emulator.computes, emulator.user(self.token)
        request = replace(self.request, nodes=nodes, planning=planning)
        compute_id = emulator.create_compute(request, user, wait=True)
        kept = False
        try:
            results = emulator.execute_compute(compute_id, self.function, user, wait=True) or []
            if request.large_result:
                paths = [result_path(emulator.home, computes.records, str(url), user.id) for url in results]
                results = [io.BytesIO(path.read_bytes()) for path in paths]
            cut = computes.records.get(compute_id).spec.cut
        except NodeError:
            kept = keep
            raise
        finally:
            computes.terminate(compute_id, user.id, wait=True)
            if not kept:
                computes.delete(compute_id)
        assert cut is not None  # noqa: S101 - a job has layers
        return Run(results, cut, emulator)


def on_emulator(inline: bool | None) -> AbstractContextManager[Emulator]:
    """The emulator in use; where its nodes are to run otherwise, another one on the same home."""
    emulator = current_emulator()
    if inline is None or inline == emulator.settings.inline:
        return nullcontext(emulator)
    return Emulator(replace(emulator.settings, inline=inline))
