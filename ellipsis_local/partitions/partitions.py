"""The room's one object: plan, ensure, prune."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ellipsis_local import faults
from ellipsis_local.errors import PartitionError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.partitions.cache import CutCache
from ellipsis_local.partitions.cut_workers import Place
from ellipsis_local.partitions.cutting import make
from ellipsis_local.partitions.planning import plan
from ellipsis_local.partitions.request import CutRequest, Partitioning
from ellipsis_local.processes import available_cores
from ellipsis_local.progress import OnProgress, silent
from ellipsis_local.types import VectorSource

if TYPE_CHECKING:
    from ellipsis_local.partitions.preview import Preview


class Partitions:
    """Layers cut into N partitions, each cut made once for every compute and process that uses the home."""

    def __init__(self, home: Home, *, cores: int | None, cache_size: int, here: Place = "never") -> None:
        self._home = home
        self._cores = cores
        self._here = here
        self._cache_size = cache_size
        self._cache = CutCache(home)

    plan = staticmethod(plan)

    @staticmethod
    def preview(request: CutRequest) -> Preview | None:
        """What partitions `ensure` would make, without making them; see `Preview`."""
        from ellipsis_local.partitions.preview import preview

        return preview(request)

    def ensure(
        self, request: CutRequest, report: OnProgress = silent, check: Callable[[], None] = lambda: None
    ) -> Partitioning:
        """The partitions, found or made; PartitionError or StoreError, and nothing is left of it, where that fails.

        `check` is called often while helpers are at work, and what it raises ends them.
        """
        if request.layers:
            self._check_present(request)
        found = self.find(request)
        if found is not None:
            return found
        try:
            with self._home.lock(f"cut-{request.key}"):
                found = self._cache.find(request)
                if found is not None:
                    return found
                self._cache.discard(request)
                cores = self._cores or available_cores()
                index = make(self._home, self._cache, request, cores, report, check, here=self._here)
                return self._cache.store(request, index)
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

    def prune(self, keep: Callable[[], Collection[str]] = tuple, unused_for: float | None = None) -> int:
        """Drop the least recently used cuts down to `cache_size`, but those of these keys or paths; the bytes freed.

        `keep` is asked again before each goes. `unused_for`: instead all that nobody used for so many seconds.
        """
        return self._cache.prune(self._cache_size if unused_for is None else 0, keep, unused_for or 0)
