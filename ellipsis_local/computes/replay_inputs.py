"""What an execution was given: of the last one the function, and of its failed nodes all that they received.

kept/NODE/ of the compute holds hard links to the files of the cut and of the layers, else copies; `inputs.json` names
them; `left` is the node's working directory. The next execution removes what the former one kept.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.records import NodeFile, NodeFunction, Part, moved, part_from_json
from ellipsis_local.nodes import NodeOutcome, Parts
from ellipsis_local.settings import typed_command

FORMAT = 1
COPIED_BYTES = 4 * 1024**3
"""By one execution, where links are impossible (another disk); what is beyond is made again from the layers."""
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS)

Files = tuple[NodeFile, ...]


@dataclass(frozen=True)
class ExecutionInputs:
    """What all nodes of one execution were given."""

    execution: int
    function: NodeFunction | None
    """None before the first execution, and where it was not noted down."""
    large: bool
    """Whether each node returns a memory file."""
    executable: str | None
    """The calling process's interpreter, where the nodes ran in that process; None for the environment's."""
    seed: int | None
    memory: int | None
    """In bytes."""
    timeout: float | None
    """In seconds."""

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **vars(self), "function": None if self.function is None else self.function.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExecutionInputs:
        values = {name: value for name, value in data.items() if name != "format"}
        return cls(**values | {"function": NodeFunction.from_json(data["function"])})


@dataclass(frozen=True)
class NodeInputs:
    """What one node received."""

    parts: tuple[Part, ...]
    files: Files
    kind: str | None = None
    """How it failed, where it did."""
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        parts, files = [part.to_json() for part in self.parts], [file.to_json() for file in self.files]
        return {"format": FORMAT, "parts": parts, "files": files, "kind": self.kind, "text": self.text}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NodeInputs:
        files = tuple(map(NodeFile.from_json, data["files"]))
        return cls(tuple(map(part_from_json, data["parts"])), files, data["kind"], data["text"])

    def moved(self, place: Callable[[str], str]) -> NodeInputs:
        """The same with its files elsewhere: `place` makes the new path of each from the old one."""
        files = tuple(NodeFile(file.id, place(file.location)) for file in self.files)
        return replace(self, parts=tuple(moved(part, place) for part in self.parts), files=files)


class Keeper:
    """Keeps what `find` says failed nodes of one execution received; a failure to keep is none of the execution."""

    def __init__(self, folder: Path, find: Callable[[], tuple[Parts, Files] | None]) -> None:
        self._folder = folder
        self._execution = -1
        self._kept = folder / "kept"
        self._find = cache(find)
        self._lock = threading.Lock()
        self._room = COPIED_BYTES

    def begin(self, given: ExecutionInputs) -> None:
        """Remember a new execution in the place of the former one."""
        self._execution = given.execution
        with contextlib.suppress(OSError):
            if self._kept.exists():
                grave = Home.temporary(self._folder)
                try:
                    self._kept.rename(grave)
                finally:
                    shutil.rmtree(grave, ignore_errors=True)
            for left in (self._folder / "scratch").glob("*[0-9]-[0-9]*"):
                shutil.rmtree(left, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            _overwrite(self._folder / "execution.json", json.dumps(given.to_json()).encode())

    def keep(self, outcome: NodeOutcome) -> None:
        """Keep what a failed node received; of any other outcome nothing."""
        if outcome.state != "failed":
            return
        with self._lock, contextlib.suppress(OSError, EllipsisLocalError):
            found = self._find()
            if found is not None:
                self._publish(outcome, *found)

    def _publish(self, outcome: NodeOutcome, parts: Parts, files: Files) -> None:
        # Without its parents: the compute may be deleted by now.
        self._kept.mkdir(exist_ok=True)
        with Home.publish(self._kept / str(outcome.node)) as draft:
            numbers = count()
            own = NodeInputs(parts[outcome.node] if parts else (), files, outcome.kind, outcome.text)
            kept = own.moved(lambda path: self._bring(Path(path), draft, next(numbers)))
            (draft / "inputs.json").write_text(json.dumps(kept.to_json()), encoding="utf-8")
            with contextlib.suppress(OSError):
                (self._folder / "scratch" / f"{self._execution}-{outcome.node}").rename(draft / "left")

    def _bring(self, source: Path, folder: Path, number: int) -> str:
        """A link to a file, else a copy; its name."""
        name = f"{number}{source.suffix}"
        try:
            os.link(source, folder / name)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            self._room -= source.stat().st_size
            if self._room < 0:
                raise
            shutil.copyfile(source, folder / name)
        return name


def replay_command(root: Path, compute_id: str, node: int) -> str:
    """What a person types to run a node of a compute in this home again; of a temporary home, in the script itself."""
    if root.is_relative_to(Path(tempfile.gettempdir()).absolute()):
        # It is gone by the time at which the message is read.
        return f"ellipsis_local.testing.replay({compute_id!r}, {node})"
    return typed_command(root, f"replay {compute_id} {node} --pdb")


def read_execution_inputs(folder: Path, execution: int) -> ExecutionInputs | None:
    """What an execution of the compute with this folder was given; None where that was not noted down."""
    found = _read(folder / "execution.json")
    return None if found is None or found["execution"] != execution else ExecutionInputs.from_json(found)


def read_node_inputs(folder: Path, node: int) -> NodeInputs | None:
    """What a failed node of the last execution received; None where nothing was kept of it."""
    place = folder / "kept" / str(node)
    found = _read(place / "inputs.json")
    return None if found is None else NodeInputs.from_json(found).moved(lambda name: str(place / name))


def left_behind(folder: Path, node: int) -> Path | None:
    """The working directory of a failed node of the last execution, as it left it; None where nothing is in it."""
    left = folder / "kept" / str(node) / "left"
    return left if left.is_dir() and any(left.iterdir()) else None


def _overwrite(path: Path, data: bytes) -> None:
    """A file's new bytes in the place of its old ones; half of them, after a kill, are no JSON, and count as none."""
    # A rename, and a file that is emptied first, take ten times as long where the file system then waits for the disk.
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags & ~os.O_TRUNC, 0o666)) as file:
        file.write(data)
        file.truncate()


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON in a file of ours; None where there is none, or one of another release."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("format") == FORMAT else None
