"""What the calling process and the node program hand each other: records, and how they go over a pipe.

Each record has one `to_json` and one `from_json`. JSON of an earlier release lacks the newer fields and can be read.
Nothing here needs more than the standard library, so that the caller need not import numpy for it.
"""

from __future__ import annotations

import json
import os
import re
import struct
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Literal, Mapping, Tuple, Union


def node_of(partition: int, partitions: int, nodes: int) -> int:
    """The node that runs a partition: each the same number of them, up to one, that follow each other.

    There are as many partitions as nodes, unless they are shards.
    """
    return partition * min(nodes, partitions) // partitions


SMALL_RESULT_BYTES = 2_000_000
"""What one node may return without largeResult: "2mb" in the documentation, of our encoding (our choice)."""


@dataclass(frozen=True)
class RasterPart:
    """A node's part of a raster layer: one array in a file, which is mapped."""

    path: str
    """Of an ``.npy`` file."""
    dtype: str
    """As numpy writes it, such as ``<u2``."""
    shape: Tuple[int, ...]
    """Bands, height, width."""
    offset: int
    """Bytes before the pixels, which lie in C order."""
    transform: Tuple[float, ...]
    """The six numbers of an `affine.Affine`, from pixels to units of the CRS."""
    extent: Mapping[str, Any]
    """``xMin``, ``xMax``, ``yMin``, ``yMax`` in units of the CRS."""
    crs: str
    nodata: float | str | None
    """NaN is ``'nan'``: JSON has no NaN, and it would not equal itself."""
    id: str = ""
    """The key under which the function finds it; empty where the part is of no layer yet."""
    mask: str | None = None
    """Path of an ``.npy`` file of bool with the same offset, True where the pixel is valid; None: there is no mask."""
    mask_shape: Tuple[int, ...] | None = None
    """Height and width, or bands, height and width."""
    scales: Tuple[float, ...] = ()
    """Per band what its values are to be multiplied with; empty where that is 1."""
    offsets: Tuple[float, ...] = ()
    units: Tuple[str | None, ...] = ()
    type: Literal["raster"] = "raster"

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class VectorPart:
    """A node's part of a vector layer: a GeoParquet file."""

    path: str
    rows: int
    crs: str | None = None
    """The one that the function sees; None where the part is of no layer yet."""
    id: str = ""
    type: Literal["vector"] = "vector"

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


Part = Union[RasterPart, VectorPart]


def part_from_json(data: Mapping[str, Any]) -> Part:
    """The part that `to_json` wrote."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return RasterPart(**values) if data["type"] == "raster" else VectorPart(**values)


def files_of(part: Part) -> list[str]:
    """The paths of a part's files."""
    return [part.path] if part.type == "vector" or part.mask is None else [part.path, part.mask]


def moved(part: Part, place: Callable[[str], str], **changes: Any) -> Part:
    """The part with its files elsewhere: `place` makes the new path of each from the old one."""
    if part.type == "raster" and part.mask is not None:
        return replace(part, path=place(part.path), mask=place(part.mask), **changes)
    return replace(part, path=place(part.path), **changes)


@dataclass(frozen=True)
class NodeFile:
    """A file that every node receives."""

    id: str
    """The path id, the key under which the function finds it."""
    location: str

    def to_json(self) -> list[str]:
        return [self.id, self.location]

    @classmethod
    def from_json(cls, data: list[str]) -> NodeFile:
        return cls(*data)


@dataclass(frozen=True)
class NodeConfig:
    """What the nodes of one compute are told when they start."""

    compute: str
    folder: str
    """Holds ``results`` and ``scratch``, and ``log.jsonl``."""
    nodes: int
    parts: Tuple[Tuple[Part, ...], ...] = ()
    """Per partition one part per layer; empty without layers."""
    files: Tuple[NodeFile, ...] = ()
    workers: int = 1
    """How many processes the nodes share."""
    gpus: Tuple[str, ...] = ()
    """Ids of the GPUs that are handed out; without any, nodes see none."""
    memory: int | None = None
    """Bytes that a node may take besides what it starts with."""
    memory_is_share: bool = False
    """Whether nobody has set that: it is the worker's share of the machine's free memory, partitions not counted."""
    seed: int | None = None
    """`random` and numpy.random of a node, and the names of its result files, follow from it."""
    clock: float | None = None
    """The time of all lines of the log, in seconds since 1970."""
    closed: Tuple[str, ...] = ()
    """Hosts that the function must not reach; see `block_hosts`."""
    inline: bool = False
    """Whether the nodes run in the caller's own process."""
    slot: int = 0
    """The number of the worker that is told."""

    @property
    def results(self) -> str:
        return os.path.join(self.folder, "results")

    @property
    def scratch(self) -> str:
        return os.path.join(self.folder, "scratch")

    @property
    def log(self) -> str:
        return os.path.join(self.folder, "log.jsonl")

    def node_folder(self, execution: int, node: int) -> str:
        """Where a node works in one execution; there while it runs, and after it has failed."""
        return os.path.join(self.scratch, f"{execution}-{node}")

    @property
    def spare_folder(self) -> str:
        """An empty folder that a worker keeps between its nodes."""
        return os.path.join(self.scratch, f"spare-{self.slot}")

    @property
    def partitions(self) -> int:
        """How often the function runs in one execution."""
        return len(self.parts) or self.nodes

    @property
    def keeps_frames(self) -> bool:
        """Whether a node keeps its frames from one execution to the next: not where it runs several partitions."""
        return self.partitions <= self.nodes

    def worker_of(self, partition: int) -> int:
        """The worker that runs a partition, as all of the same node."""
        return node_of(partition, self.partitions, self.nodes) % self.workers

    def memory_of(self, partition: int) -> int | None:
        """Bytes for the run on a partition; files that are mapped take none of the share until they are written to."""
        if self.memory is None or not self.memory_is_share:
            return self.memory
        parts = self.parts[partition] if self.parts else ()
        return self.memory + sum(os.path.getsize(name) for part in parts for name in files_of(part))

    @property
    def too_much_memory(self) -> str:
        """What is said of a node that asked for more."""
        way_out = "give it less (more nodes), or"
        if self.memory_is_share:
            share = "its share of the memory that was free here when the nodes started"
            return f"it asked for more than {self.memory:,} bytes, {share}; {way_out} set node_memory"
        return f"it asked for more than node_memory={self.memory:,} bytes; {way_out} raise node_memory"

    def make_folders(self) -> None:
        for folder in (self.results, self.scratch):
            os.makedirs(folder, exist_ok=True)

    @property
    def vectors(self) -> bool:
        """Whether a node receives a frame."""
        return any(part.type == "vector" for node in self.parts for part in node)

    def to_json(self) -> dict[str, Any]:
        parts = [[part.to_json() for part in node] for node in self.parts]
        return {**vars(self), "parts": parts, "files": [file.to_json() for file in self.files]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NodeConfig:
        lists = {name: tuple(data[name]) for name in ("gpus", "closed")}
        parts = tuple(tuple(map(part_from_json, node)) for node in data["parts"])
        return cls(**{**data, **lists, "parts": parts, "files": tuple(map(NodeFile.from_json, data["files"]))})


@dataclass(frozen=True)
class NodeFunction:
    """A function as nodes get it: as text, or pickled."""

    kind: str
    """``source``; ``pickle``: by cloudpickle here; ``dill``: by a client of before 3.3."""
    key: str
    """Equal for equal functions, which are made once."""
    pickle: str = ""
    """In base64."""
    text: str = ""
    """What the client sends: the source in a def of the name ``userFunction``."""
    source: str = ""
    """The function's own lines, which tracebacks show."""
    filename: str | None = None
    """The file that the function was written in."""
    line: int = 1
    """Where in that file its source begins."""
    wrapped: bool = True
    """Whether a line of the text, and not of the source, calls the function."""
    faults: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    """Per node what goes wrong on purpose; see `faults`."""

    @property
    def name(self) -> str | None:
        """That of its def; None for a pickle."""
        found = re.search(r"^[ \t]*def[ \t]+(\w+)", self.source, re.MULTILINE)
        return found and found[1]

    @property
    def outer_frames(self) -> int:
        """How many frames of a traceback stand before the function's own: ours, and the line that wraps the text."""
        return 2 if self.kind == "source" and self.wrapped else 1

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NodeFunction:
        return cls(**data)


@dataclass(frozen=True)
class Command:
    """One execution."""

    execution: int
    function: NodeFunction
    large: bool
    """Whether each node returns a memory file."""
    timeout: float | None = None
    """Seconds that a node may take."""
    runs: Tuple[Tuple[int, int], ...] | None = None
    """Partitions, each with the number of its worker; None: all, where they belong. More of them may follow."""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "function": self.function.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Command:
        # Homes hold commands of earlier releases.
        runs = data.get("runs")
        runs = None if runs is None else tuple((partition, slot) for partition, slot in runs)
        return cls(**{**data, "function": NodeFunction.from_json(data["function"]), "runs": runs})


@dataclass(frozen=True)
class ReplayPlan:
    """One node of an execution again; the outcome goes to the file `outcome` in the folder of `config`."""

    config: NodeConfig
    command: Command
    node: int
    pdb: bool

    @property
    def outcome(self) -> str:
        return os.path.join(self.config.folder, "outcome")

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "config": self.config.to_json(), "command": self.command.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReplayPlan:
        config, command = NodeConfig.from_json(data["config"]), Command.from_json(data["command"])
        return cls(config, command, data["node"], data["pdb"])


@dataclass(frozen=True)
class NodeOutcome:
    """How the run on one partition ended."""

    node: int
    """The number of the partition: that of its node, unless nodes run several (shards)."""
    state: str
    """``completed`` or ``failed``."""
    seconds: float | None
    size: int = 0
    """Bytes of the result."""
    payload: bytes = b""
    """A small result, encoded; it goes beside the JSON."""
    file: str | None = None
    """A large result: the name of its file in the compute's `results`."""
    kind: str | None = None
    """Of a failure: exception, result, memory, storage, timeout, died or engine."""
    text: str = ""
    peak_memory: int | None = None
    """The most bytes of physical memory that the node's process held while it ran: see `memory`. None where the node
    did not answer, runs in the calling process, or its system does not tell."""
    machine: str | None = None
    """Where it ran; None for the calling machine."""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "payload"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], payload: bytes = b"") -> NodeOutcome:
        return cls(**data, payload=payload)


BEGIN = b"\x93EN1"
"""Begins every message: a function may write to descriptors that are not its own."""
LENGTHS = struct.Struct("<4sII")


class GarbledError(ValueError):
    """What came is no message."""


def message(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One message: a JSON header and a binary payload."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(BEGIN, len(text), len(payload)) + text + payload


def _lengths(data: bytes | bytearray) -> tuple[int, int]:
    """Of the header and the payload of the message that begins so."""
    begin, text, payload = LENGTHS.unpack_from(data)
    if begin != BEGIN:
        raise GarbledError("something else was written between the messages")
    return text, payload


def write_message(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message, and flush it."""
    stream.write(message(header, payload))
    stream.flush()


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other end of the pipe is gone")
    return data


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read one message; EOFError where the other end is gone, GarbledError where it is none."""
    text, payload = _lengths(_exactly(stream, LENGTHS.size))
    header: dict[str, Any] = json.loads(_exactly(stream, text))
    return header, _exactly(stream, payload) if payload else b""


class Inbox:
    """Messages that come in pieces, as `receive` gets them."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._data = bytearray()

    def read(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Receive once, then give the messages that are whole; EOFError and GarbledError as `read_message`."""
        received = self._receive()
        if not received:
            raise EOFError("the other end is gone")
        self._data += received
        while len(self._data) >= LENGTHS.size:
            text, payload = _lengths(self._data)
            middle, end = LENGTHS.size + text, LENGTHS.size + text + payload
            if len(self._data) < end:
                return
            header, body = json.loads(self._data[LENGTHS.size : middle]), bytes(self._data[middle:end])
            del self._data[:end]
            yield header, body
