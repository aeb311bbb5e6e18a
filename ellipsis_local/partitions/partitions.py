"""The room's one object: plan, ensure, prune."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from ellipsis_local import faults
from ellipsis_local.errors import PartitionError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.partitions.cache import CutCache
from ellipsis_local.partitions.request import CutRequest, Partitioning, VectorSource
from ellipsis_local.partitions.tree import Cut, Tree
from ellipsis_local.processes import available_cores
from ellipsis_local.types import Timestamp

if TYPE_CHECKING:
    from ellipsis_local.partitions.here import Place


def _silent(_: str) -> None:
    pass


class Partitions:
    """Layers cut into N partitions, each cut made once for every compute and process that uses the home.

    Parameters
    ----------
    home : Home
        Prepared (`Home.prepare`).
    cores : int, optional
        How many helper processes may cut at a time; all cores of the machine where None.
    cache_size : int
        Bytes of cuts that `prune` leaves.
    here : {'never', 'rasters', 'all'}
        Which small layers are cut in the calling process: none, rasters where it has their library loaded, or all.
    """

    def __init__(self, home: Home, *, cores: int | None, cache_size: int, here: Place = "never") -> None:
        self._home = home
        self._cores = cores
        self._here = here
        self._cache_size = cache_size
        self._cache = CutCache(home)

    def plan(
        self,
        layers: Sequence[Timestamp],
        nodes: int,
        *,
        crs: Literal["EPSG:3857", "native"] = "EPSG:3857",
        features: Literal["once", "intersecting"] = "once",
        overlap: float = 0.0,
        cut: Cut = "balanced",
        seed: int = 0,
        tree: Tree = None,
    ) -> CutRequest:
        """Decide the cut from metadata alone; reads no pixel and makes nothing. See `planning.plan`.

        Raises
        ------
        ArgumentError
            An impossible number of nodes or overlap.
        PartitionError
            Layers that cannot be cut as asked.
        """
        from ellipsis_local.partitions.planning import plan

        return plan(layers, nodes, crs=crs, features=features, overlap=overlap, cut=cut, seed=seed, tree=tree)

    def ensure(self, request: CutRequest, report: Callable[[str], None] = _silent) -> Partitioning:
        """The partitions of a request: found in milliseconds where they were made before, else made.

        Parameters
        ----------
        request : CutRequest
            From `plan`, or from another process by `CutRequest.from_json`.
        report : callable
            Receives one line per step, only where something has to be made.

        Raises
        ------
        PartitionError
            A layer cannot be read, or a helper process died. Nothing is left of the attempt.
        StoreError
            The home cannot be written, or is full. Nothing is left of the attempt.
        """
        if not request.layers:
            return Partitioning(None, (), ((),) * request.nodes, ())
        self._check_present(request)
        found = self._cache.find(request)
        if found is not None:
            return found
        try:
            with self._home.lock(f"cut-{request.key}"):
                return self._cache.find(request) or self._make(request, report)
        except OSError as error:
            raise StoreError(f"the home {self._home.root} cannot be used: {error}") from error

    def find(self, request: CutRequest) -> Partitioning | None:
        """The partitions of a request that was made before; None where `ensure` would have to make them."""
        return self._cache.find(request) if request.layers else Partitioning(None, (), ((),) * request.nodes, ())

    def _check_present(self, request: CutRequest) -> None:
        """PartitionError for a layer that a test lets vanish, in the words of one whose files are gone."""
        gone = faults.vanished(self._home.root, [layer.id for layer in request.layers])
        if gone is not None:
            source = next(layer.sources[0] for layer in request.layers if layer.id == gone)
            said = f"{source.location} is not there"
            if not isinstance(source, VectorSource):
                said = f"{source.location} cannot be read: {source.location}: No such file or directory"
            raise PartitionError(f"layer {gone} cannot be cut: LayerError: {said}")

    def _make(self, request: CutRequest, report: Callable[[str], None]) -> Partitioning:
        from ellipsis_local.partitions.cutting import make

        self._cache.discard(request)
        index = make(self._home, self._cache, request, self._cores or available_cores(), report, here=self._here)
        return self._cache.store(request, index)

    def prune(self, keep: Collection[str] = ()) -> int:
        """Drop the least recently used cuts until at most `cache_size` bytes are left; returns the bytes freed.

        Parameters
        ----------
        keep : collection of str
            What must stay: keys of requests (`CutRequest.key`), or paths of parts.
        """
        return self._cache.prune(self._cache_size, keep)
