"""What a compute is made of, checked whole before anything starts, and kept as JSON in its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ellipsis_local import faults
from ellipsis_local.arguments import invalid
from ellipsis_local.environments import Environments, check_requirements
from ellipsis_local.errors import ArgumentError, EnvironmentWarning, LayerWarning, NotFoundError
from ellipsis_local.ids import as_uuid
from ellipsis_local.nodes import Capabilities
from ellipsis_local.notices import held_back, warn
from ellipsis_local.partitions import Cut, CutRequest, Partitions, Shards, Tree
from ellipsis_local.preflight import Surroundings
from ellipsis_local.service_columns import check_length
from ellipsis_local.settings import Settings, typed_command
from ellipsis_local.store import LayerStore
from ellipsis_local.types import Timestamp

Lacking = tuple[tuple[str, str | None], ...]
"""Path ids with the id of a timestamp, or None for a file, that are not in the home."""


@dataclass(frozen=True)
class Planning:
    """How the layers of one compute are cut, where it is not as the settings say."""

    features: Literal["once", "intersecting"] = "once"
    cut: Cut = "balanced"
    seed: int = 0
    """Of a random cut."""
    tree: Tree = None
    """These very cells."""
    shards: Shards | None = None
    """With the cut ``shards``: of which size; which there are, the layers decide."""

    @classmethod
    def of(cls, settings: Settings) -> Planning:
        """As the settings say."""
        shards = None
        if settings.cut == "shards":
            shards = Shards(settings.shard_size, settings.shard_buffer, settings.shard_edge)
        return cls(settings.features, settings.cut, settings.seed or 0, shards=shards)

    def plan(
        self, partitions: Partitions, timestamps: Sequence[Timestamp], nodes: int, settings: Settings
    ) -> CutRequest:
        return partitions.plan(timestamps, nodes, crs=settings.crs, overlap=settings.overlap, **vars(self))


@dataclass(frozen=True)
class ComputeRequest:
    """The arguments of createCompute, of the right types, not yet held against this home and machine."""

    layers: tuple[tuple[str, str], ...]
    """Path id and timestamp id of each, spelled as the caller did: the function's keys are."""
    files: tuple[str, ...] = ()
    nodes: int | None = None
    interpreter: str = "python3.12"
    requirements: tuple[str, ...] = ()
    large_result: bool = False
    enable_gpu: bool = False
    planning: Planning | None = None
    """How to cut; as the settings say where None. The cut itself is in the record's JSON, and this is not."""

    def to_json(self) -> dict[str, Any]:
        """Its share of a record's JSON, in the words of createCompute."""
        return {
            "layers": [{"pathId": path, "timestampId": timestamp} for path, timestamp in self.layers],
            "files": list(self.files),
            "interpreter": self.interpreter,
            "requirements": list(self.requirements),
            "largeResult": self.large_result,
            "enableGpu": self.enable_gpu,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ComputeRequest:
        return cls(
            layers=tuple((layer["pathId"], layer["timestampId"]) for layer in data["layers"]),
            files=tuple(data["files"]),
            # What became of it, where it is a specification's.
            nodes=data.get("nodes"),
            interpreter=data["interpreter"],
            requirements=tuple(data["requirements"]),
            large_result=data["largeResult"],
            enable_gpu=data["enableGpu"],
        )


@dataclass(frozen=True)
class Specification:
    """What a compute is made of, kept as JSON in its record; all after `nodes` is empty until `specify` is done."""

    request: ComputeRequest
    nodes: int
    python: tuple[int, ...] = ()
    executable: str = ""
    environment: str = ""
    """Its key; the two before it are the interpreter's version and path."""
    cut: CutRequest | None = None
    gpus: tuple[str, ...] | None = None
    """Those that are handed out; None: none were asked for."""
    sent: str = "source"
    """How the function of the last execution was sent: 'source', 'pickle' or 'dill'."""

    @property
    def unit(self) -> Literal["node", "shard"]:
        """What the function runs on once: what a result is of."""
        return "node" if self.cut is None or self.cut.cut != "shards" else "shard"

    @property
    def vectors(self) -> bool:
        return self.cut is not None and bool(self.cut.vectors)

    def surroundings(self, environments: Environments, *, large: bool) -> Surroundings:
        """What it tells the rules of the preflight."""
        request = self.request
        plans = () if self.cut is None else self.cut.rasters
        dtypes = {plan.id: plan.sources[0].file.dtype for plan in plans}
        return Surroundings(
            dtypes={time: dtypes.get(as_uuid("timestampId", time), "") for _, time in request.layers},
            python=self.python,
            layers=request.layers,
            files=request.files,
            requirements=request.requirements,
            large=large,
            installed=lambda: environments.installed(self.environment, request.requirements),
        )

    def to_json(self) -> dict[str, Any]:
        own = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        del own["request"]
        return {**self.request.to_json(), **own, "cut": None if self.cut is None else self.cut.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Specification:
        own = {name: data[name] for name in ("nodes", "python", "executable", "environment", "gpus", "sent")}
        own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
        cut = None if data["cut"] is None else CutRequest.from_json(data["cut"])
        return cls(ComputeRequest.from_json(data), cut=cut, **own)


def check_columns(request: ComputeRequest, settings: Settings) -> None:
    """Warn of texts of a request that are longer than what the service keeps of them; FidelityError with `strict`."""
    strict = bool(settings.strict)
    check_length("the interpreter of a compute", "interpreter", request.interpreter, strict=strict)
    # One text, a requirement per line (seen in the client).
    requirements = "\n".join(request.requirements)
    check_length("the requirements of a compute, all lines together", "requirements", requirements, strict=strict)


def provisional(request: ComputeRequest, settings: Settings) -> Specification:
    """What is known of a request that is still being held against this machine; no node can start from it."""
    return Specification(request, _nodes(request.nodes, settings))


def check_but(
    lacking: Lacking, request: ComputeRequest, settings: Settings, store: LayerStore, environments: Environments
) -> None:
    """Hold all of a request against this home and machine but what is lacking, before that is fetched."""
    _nodes(request.nodes, settings)
    _timestamps(request, store, lacking)
    check_requirements(list(request.requirements))
    # `specify` warns where another is taken.
    with held_back():
        environments.choose(request.interpreter)


def specify(
    request: ComputeRequest,
    settings: Settings,
    store: LayerStore,
    environments: Environments,
    partitions: Partitions,
    offers: Capabilities,
) -> Specification:
    """Hold a request against this home and what the engine offers; nothing is started or written."""
    nodes = _nodes(request.nodes, settings)
    timestamps = _timestamps(request, store)
    requirements = check_requirements(list(request.requirements))
    interpreter = environments.choose(request.interpreter)
    invented = [timestamp.id for timestamp in timestamps if timestamp.invented]
    if invented:
        warn(
            f"{', '.join(invented)}: a stand-in, whose values are invented; its pull brings the real one", LayerWarning
        )
    cut = None
    if timestamps:
        how = request.planning or Planning.of(settings)
        cut = how.plan(partitions, timestamps, nodes, settings)
    return Specification(
        request=request,
        nodes=nodes,
        python=interpreter.version,
        executable=str(interpreter.executable),
        environment=environments.plan(interpreter, requirements),
        cut=cut,
        gpus=_gpus(offers) if request.enable_gpu else None,
    )


def _nodes(nodes: int | None, settings: Settings) -> int:
    most = faults.most_nodes(settings.home, settings.plan if nodes is None else settings.max_nodes)
    if nodes is None and most == 0:
        # The client's own words.
        text = "You have no compute nodes in your plan. Please update your subscription (here: configure(max_nodes=…))"
        raise ArgumentError(text, argument="nodes", value=None)
    nodes = most if nodes is None else nodes
    if nodes < 1:
        raise invalid("nodes", nodes, f"must be at least 1, not {nodes}")
    if nodes > most:
        raise invalid("nodes", nodes, f"must be at most {most}, the nodes of the plan (setting max_nodes), not {nodes}")
    return nodes


def _timestamps(request: ComputeRequest, store: LayerStore, lacking: Lacking = ()) -> list[Timestamp]:
    """Those of the layers; ArgumentError for the first layer or file that is not lacking and that no node can have."""
    if not request.layers and not request.files:
        raise invalid("layers", [], "must hold at least one {'pathId', 'timestampId'}, unless files are given")
    if missing := () if lacking else find_lacking(request, store):
        raise _missing(missing, store)
    seen: set[str] = set()
    timestamps = []
    for path_id, timestamp_id in request.layers:
        canonical = as_uuid("timestampId", timestamp_id)
        if canonical in seen:
            text = f"holds timestamp {timestamp_id} twice; the function gets one value per timestamp: list it once"
            raise invalid("layers", timestamp_id, text)
        seen.add(canonical)
        if lacking and (as_uuid("pathId", path_id), canonical) in lacking:
            continue
        timestamp = store.timestamp(path_id, timestamp_id)
        obstacle = _obstacle(timestamp, in_trash=timestamp.trashed or store.path(path_id).trashed)
        if obstacle is not None:
            raise ArgumentError(f"layers: timestamp {timestamp_id} {obstacle}", argument="layers", value=timestamp_id)
        timestamps.append(timestamp)
    if len(set(request.files)) < len(request.files):
        raise invalid("files", list(request.files), "holds a path twice; list it once")
    for path_id in request.files:
        if not lacking or (as_uuid("files", path_id), None) not in lacking:
            store.get_plain_file(path_id)
    return timestamps


def find_lacking(request: ComputeRequest, store: LayerStore) -> Lacking:
    """What of a request is not in the home, in the order in which it is asked for, each once."""
    found: dict[tuple[str, str | None], None] = {}
    for path_id, timestamp_id in request.layers:
        path = store.catalogue.find_path(as_uuid("pathId", path_id))
        # A path that has no timestamps at all cannot be given one: that is for `specify` to say.
        layered = path is None or path.type in ("raster", "vector")
        if layered and store.catalogue.find_timestamp(as_uuid("timestampId", timestamp_id)) is None:
            found[as_uuid("pathId", path_id), as_uuid("timestampId", timestamp_id)] = None
    for path_id in request.files:
        canonical = as_uuid("files", path_id)
        if store.catalogue.find_path(canonical) is None:
            found[canonical, None] = None
    return tuple(found)


def ways_to_bring(home: Path, path: str, timestamp: str | None) -> list[tuple[str, str]]:
    """From where a layer, or without a timestamp a file, can come into a home, and the command for it."""
    if timestamp is None:
        commands = [f"pull {path}", f"add FILE --type file --path-id {path}"]
    else:
        add = f"add FILE --path-id {path} --timestamp-id {timestamp}"
        commands = [f"pull {path} {timestamp}", add, f"invent {path} {timestamp}"]
    wheres = ("from the service", "from a file of yours", "as a stand-in")
    return [(where, typed_command(home, f"layers {way}")) for where, way in zip(wheres, commands, strict=False)]


def name_of(path: str, timestamp: str | None) -> str:
    return f"file {path}" if timestamp is None else f"timestamp {timestamp} of path {path}"


def _missing(lacking: Lacking, store: LayerStore) -> NotFoundError:
    """The error for all that is not in the home, and how to bring it there."""
    path, timestamp = lacking[0]
    argument = "files" if timestamp is None else "layers"
    ways = [f"{where} `{command}`" for where, command in ways_to_bring(store.home.root, path, timestamp)]
    which = "it" if len(lacking) == 1 else "the first"
    told = ", ".join(name_of(*one) for one in lacking)
    text = f"{told}: not in the home {store.home.root}; bring {which} there {', or '.join(ways)}"
    return NotFoundError(f"{argument}: {text}", argument=argument, value=timestamp or path)


def _obstacle(timestamp: Timestamp, *, in_trash: bool) -> str | None:
    """Why no node can have a timestamp, and the way out."""
    if not timestamp.files:
        return f"holds no files; add with path.{timestamp.type}.timestamp.file.add"
    if in_trash:
        return "or its path is in the trash; recover it first"
    if timestamp.status != "active":
        way = f"activate it with path.{timestamp.type}.timestamp.activate"
        return f"is {timestamp.status!r}, and has to be active; {way}"
    return None


def _gpus(offers: Capabilities) -> tuple[str, ...]:
    found = offers.gpus()
    if not offers.environments:
        text = "nodes in the calling process (inline=True) are given none: they see what it sees"
        warn(f"enableGpu=True, and {text}", EnvironmentWarning)
    elif not found:
        warn("enableGpu=True, and this machine shows no GPU: the nodes get none", EnvironmentWarning)
    return found
