"""Does the result of a job depend on how its layers are cut? It must not: the service does not say how it cuts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal, get_args

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.computes.parse_arguments import compute_request
from ellipsis_local.computes.specification import Planning
from ellipsis_local.emulator import working
from ellipsis_local.environments import DEFAULT_INTERPRETER
from ellipsis_local.errors import ArgumentError, NodeError
from ellipsis_local.notices import held_back
from ellipsis_local.partitions import Cut, Shards
from ellipsis_local.testing.explaining import CutDependenceError, Disagreement, explain, way
from ellipsis_local.testing.job import Job, Run, on_emulator
from ellipsis_local.testing.rasters import check_tolerance
from ellipsis_local.testing.values import Mismatch, joined
from ellipsis_local.testing.values import compare as compare_values
from ellipsis_local.tracebacks import short_traceback

CUTS: tuple[Cut, ...] = get_args(Cut)
EXACT_CUTS: tuple[Cut, ...] = tuple(cut for cut in CUTS if cut != "shards")
"""Those with every pixel in one partition, unlike the service's shards."""
Features = Literal["once", "intersecting"]
FEATURES: tuple[Features, ...] = get_args(Features)
WHOLE = 1 << 40
"""Pixels along a side of a shard that holds any layer."""
CORE, BUFFER = 8, 1
"""Of shards the core and the buffer on each side, in proportion."""
OWN_TOKEN = "check_partition_invariance"  # noqa: S105 - any text is a token here, and layers of the home are everybody's


@dataclass(frozen=True)
class Invariance:
    """What was tried, and the value that all of it gave."""

    reference: Any
    """The reduced value of one node; without a `reduce` a mosaic, which `assert_raster_equal` takes, or a frame."""
    tried: tuple[str, ...]
    """The ways of cutting that were run and agreed, such as ``nodes=2, cut='rows', features='once'``."""
    same: tuple[str, ...]
    """Those that were not run, because they make the same partitions as one that was."""
    impossible: tuple[str, ...]
    """Those with more nodes than the rasters have pixels."""


@short_traceback
@working("checking whether the result depends on the cut")
def check_partition_invariance(
    f: Callable[[dict[str, Any]], Any],
    reduce: Callable[[list[Any]], Any] | None,
    layers: Iterable[Mapping[str, str]] | Mapping[str, str],
    *,
    nodes: Iterable[int] = (1, 2, 5),
    cuts: Iterable[Cut] = CUTS,
    features: Iterable[Features] = FEATURES,
    seed: int = 0,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    compare: Callable[[Any, Any], Any] | None = None,
    picture: str | PathLike[str] | bool | None = None,
    token: str | None = None,
    files: Iterable[str] = (),
    requirements: Iterable[str] = (),
    interpreter: str = DEFAULT_INTERPRETER,
    largeResult: bool = False,  # noqa: N803 - as createCompute spells it
    inline: bool | None = None,
) -> Invariance:
    """Run a map-reduce job under several ways of cutting its layers, and assert that its result is always the same.

    The reference is the job on one node, which holds the whole layers. A right job agrees with it whatever the cut, the
    service's own of shards among them, whose neighbours have a buffer in common. Their reference is the job on one
    shard that holds the whole layers, because rasters are on the pixels of the tiles there.

    Parameters
    ----------
    f : function
        What `execute` runs on every node.
    reduce : function or None
        Makes the result of the job from the list of the nodes' results, which come in the order of the partitions.
        None puts rasters together as their mosaic, pixel by pixel, and frames one after the other.
    layers : list of dict
        As createCompute takes them: ``{'pathId', 'timestampId'}``.
    nodes : iterable of int
        Node counts. One is always run, as the reference. Counts above the number of pixels are passed over.
    cuts : iterable of str
        Of 'balanced' (the default of the emulator), 'rows', 'columns', 'blocks', 'medians', 'random', and 'shards' (as
        the service, of a size that makes as many as there are nodes, or some more, with a buffer of an eighth). A job
        that counts on exact partitions takes `EXACT_CUTS`, and gives another result on the service.
    features : iterable of str
        Of 'once' (a feature is in one partition) and 'intersecting' (in each that it touches). The service does not
        say which it does; a job that counts on one of them names it here. Of no effect without vector layers.
    seed : int
        Of the random cut: the same seed, the same cut.
    rtol, atol : float
        Numbers, pixels and columns may be apart by ``atol + rtol * abs(expected)``, coordinates by `atol`. Whole
        numbers must be equal.
    compare : callable, optional
        ``compare(value, reference)`` in place of ours; it raises AssertionError, or returns False, where they differ.
        By ours numbers, arrays, rasters (dicts as functions receive them, GeoTIFFs), frames (in any order; GeoPackages,
        too) and any nesting of them are compared by content.
    picture : path or False, optional
        The folder, or the .png, for the picture of a difference, which needs the extra `[plot]`; a temporary folder
        where None; False makes none.
    token : str, optional
        Of the user whose layers they are. Layers that were added to the home itself need none.
    files, requirements, interpreter, largeResult
        As createCompute takes them. With `largeResult` the nodes' results are ``BytesIO``.
    inline : bool, optional
        Whether nodes run in this process, which is much faster; as the setting `inline` says where None.

    Returns
    -------
    Invariance
        The reference, and what was run.

    Raises
    ------
    AssertionError
        Where a result differs or a node fails under a cut: which, the partitions, the seam between them at which the
        difference comes about, the pixels or features that differ, both values, and the path of a picture.
    NodeError
        Where the function fails on one node already. What `reduce` raises of that result passes through as well.
    ArgumentError
        For an argument that cannot be carried out, before anything has started.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> def lowest(params):
    ...     return float(params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].min())
    >>> el.testing.check_partition_invariance(lowest, min, [dem], nodes=[2], cuts=['rows', 'columns']).reference
    5.96875
    """
    counts, ways, assignments = _counts(nodes), _chosen("cuts", cuts, CUTS), _chosen("features", features, FEATURES)
    rtol, atol = check_tolerance("rtol", rtol), check_tolerance("atol", atol)
    seed = arguments.integer("seed", seed) or 0
    for name, value in (("f", f), ("reduce", reduce), ("compare", compare)):
        if not callable(value) and (name == "f" or value is not None):
            raise invalid(name, value, f"must be a function, not {type(value).__name__}")
    if not (picture is None or isinstance(picture, str | PathLike | bool)):
        raise invalid("picture", picture, f"must be a path, False or None, not {picture!r}")
    listed = [layers] if isinstance(layers, Mapping) else layers
    request = compute_request(listed, list(files), 1, interpreter, list(requirements), largeResult, False)
    if not request.layers:
        raise invalid("layers", layers, "must hold at least one {'pathId', 'timestampId'}")
    with on_emulator(inline) as emulator:
        job = Job(emulator, token or OWN_TOKEN, f, request)
        check = _Check(job, reduce or joined, compare, (rtol, atol))
        check.run_whole()
        vectors = any(emulator.store.timestamp(*layer).type == "vector" for layer in request.layers)
        exact = [cut for cut in ways if cut in EXACT_CUTS]
        for assignment in assignments if vectors else FEATURES[:1]:
            for count in counts:
                for cut in exact:
                    check.look(count, Planning(assignment, cut, seed))
        # Layers in a CRS of their own have no tiles.
        if len(exact) < len(ways) and emulator.settings.crs != "native":
            check.look_at_shards(counts, cropped=reduce is None)
        if check.wrong:
            text = explain(check.wrong, check.tried, check.differs, picture)
            raise CutDependenceError(text, check.wrong, check.tried, check.value)
    return Invariance(check.value, tuple(check.tried), tuple(check.same), tuple(check.impossible))


def _counts(nodes: Iterable[int]) -> list[int]:
    given = [nodes] if isinstance(nodes, int) else list(nodes)
    for count in given:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise invalid("nodes", given, f"must hold whole numbers of at least 1, not {count!r}")
    counts = sorted({count for count in given if count > 1})
    if not counts:
        raise invalid("nodes", given, f"must hold a number above 1, to compare with one node, not {given!r}")
    return counts


def _chosen(name: str, given: Iterable[Any], allowed: Sequence[Any]) -> list[Any]:
    chosen = [given] if isinstance(given, str) else list(given)
    if not chosen or not set(chosen) <= set(allowed):
        text = f"must hold at least one of {', '.join(allowed)}, and nothing else, not {chosen!r}"
        raise invalid(name, chosen, text)
    return list(dict.fromkeys(chosen))


@dataclass
class _Check:
    job: Job
    reduce: Callable[[list[Any]], Any]
    compare: Callable[[Any, Any], Any] | None
    tolerances: tuple[float, float]
    tried: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    wrong: list[Disagreement] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def run_whole(self) -> None:
        """The job on one node. Not in `__init__`: a dataclass has no line there that a warning could name."""
        self.reference = self.job.run(1, Planning())
        self.value = self.reduce(self.reference.results)

    def look_at_shards(self, counts: Sequence[int], *, cropped: bool) -> None:
        """Shards that make as many as there are nodes, or some more; `cropped` where a mosaic must not be larger."""
        whole = Planning(cut="shards", shards=Shards(WHOLE, 0, "cropped"))
        cut = self.job.plan(1, whole)
        grids, found = [plan.grid for plan in cut.rasters], cut.tree
        if not grids or not isinstance(found, Shards) or found.covered is None:
            for count in counts:
                self.look(count, Planning(cut="shards", shards=Shards(CORE + 2 * BUFFER, BUFFER)))
            return
        with held_back():
            self.reference = self.job.run(1, whole)
        exact, self.value = self.value, self.reduce(self.reference.results)
        top, bottom, left, right = found.covered
        # Every raster has whole pixels in every shard.
        unit = round(max(grid.dx for grid in grids) / min(grid.dx for grid in grids))
        for count in counts:
            if count > (bottom - top) * (right - left):
                self.impossible.append(f"nodes={count}, cut='shards'")
                continue
            core = math.ceil(math.sqrt((bottom - top) * (right - left) / count) / unit) * unit
            buffer = max(1, core * BUFFER // CORE // unit) * unit
            edge: Literal["full", "cropped"] = "cropped" if cropped else "full"
            self.look(count, Planning(cut="shards", shards=Shards(core + 2 * buffer, buffer, edge)))
        self.value = exact

    def look(self, nodes: int, planning: Planning) -> None:
        name = way(nodes, planning)
        try:
            key = self.job.plan(nodes, planning).key
        except ArgumentError as error:
            if error.argument != "nodes":
                raise
            self.impossible.append(name)
            return
        if key in self.seen:
            self.same.append(name)
            return
        self.seen.add(key)
        if found := self.differs(nodes, planning):
            self.wrong.append(found)
        else:
            self.tried.append(name)

    def differs(self, nodes: int, planning: Planning) -> Disagreement | None:
        """How the job differs under this way of cutting, None where it does not."""
        # The first run gave the warnings about the function.
        with held_back():
            try:
                run = self.job.run(nodes, planning, keep=not self.wrong)
            except NodeError as error:
                run = Run([], self.job.plan(nodes, planning), self.job.emulator)
                return Disagreement(nodes, planning, run, self.reference, (), error)
            try:
                value = self.reduce(run.results)
            except Exception as error:  # noqa: BLE001 - of the caller's own function, which took one node's result
                return Disagreement(nodes, planning, run, self.reference, (), error)
        findings = tuple(self._findings(value))
        return Disagreement(nodes, planning, run, self.reference, findings, value=value) if findings else None

    def _findings(self, value: Any) -> Iterator[Mismatch]:
        if self.compare is None:
            yield from compare_values(value, self.value, *self.tolerances)
            return
        try:
            if self.compare(value, self.value) is False:
                yield Mismatch((f"compare says that {value!r:.200} is not {self.value!r:.200}",))
        except AssertionError as error:
            yield Mismatch((f"compare says: {str(error) or 'they differ'}",))
