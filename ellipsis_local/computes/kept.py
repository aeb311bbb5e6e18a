"""What an execution was given: of the last one the function, and of its failed nodes all that they received.

computes/COMPUTE_ID/
  execution.json           the last execution: its number, the function's description, seed and limits
  kept/NODE/inputs.json    a failed node's parts and files, by the names beside it, and how it failed
  kept/NODE/…              hard links to the files of the cut and of the layers, else copies

A kept node comes into view whole. The next execution of the compute removes what the former one kept, and deleting the
compute removes all; the clean-up of the cache removes neither. A link takes no room of its own while its cut is in the
cache. Where links are impossible (another disk), one execution copies at most `COPIED_BYTES`: what is beyond is made
again from the layers when it is asked for, as that of nodes that did not fail is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.home import Home
from ellipsis_local.nodes import NodeOutcome, Parts
from ellipsis_local.settings import PREFIX, default_home

__all__ = ["Given", "Keeper", "Received", "read_given", "read_kept", "replay_command"]

FORMAT = 1
COPIED_BYTES = 4 * 1024**3
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS)

Files = tuple[tuple[str, str], ...]
"""Path id and location of each file that every node receives."""


@dataclass(frozen=True)
class Given:
    """What all nodes of one execution were given."""

    execution: int
    function: dict[str, Any]
    """Its description, as `ellipsis_local.nodes` makes it."""
    large: bool
    """Whether each node returns a memory file."""
    executable: str | None
    """The calling process's interpreter, where the nodes ran in that process; None for the environment's."""
    seed: int | None
    memory: int | None
    """`node_memory`, in bytes."""
    timeout: float | None
    """`node_timeout`, in seconds."""


@dataclass(frozen=True)
class Received:
    """What one node received."""

    parts: tuple[dict[str, Any], ...]
    """Of the layers, as `ellipsis_local.partitions` describes them."""
    files: Files
    kind: str | None = None
    """How it failed, where it did."""
    text: str = ""


class Keeper:
    """Keeps what one execution gives its nodes; a failure to keep is none of the execution.

    Parameters
    ----------
    folder : Path
        The compute's.
    find : callable
        Gives the parts of all nodes and the files, or None where they are not at hand; called once, if a node fails.
    """

    def __init__(self, folder: Path, find: Callable[[], tuple[Parts, Files] | None]) -> None:
        self._folder = folder
        self._kept = folder / "kept"
        self._find = find
        self._lock = threading.Lock()
        self._found: tuple[Parts, Files] | None = None
        self._looked = False
        self._room = COPIED_BYTES

    def begin(self, given: Given) -> None:
        """Remember a new execution in the place of the former one."""
        with contextlib.suppress(OSError):
            if self._kept.exists():
                grave = Home.temporary(self._folder)
                try:
                    self._kept.rename(grave)
                finally:
                    shutil.rmtree(grave, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            with Home.publish_file(self._folder / "execution.json") as draft:
                draft.write_text(json.dumps({"format": FORMAT, **asdict(given)}), encoding="utf-8")

    def keep(self, outcome: NodeOutcome) -> None:
        """Keep what a failed node received; of any other outcome nothing."""
        if outcome.state != "failed":
            return
        with self._lock, contextlib.suppress(OSError, EllipsisLocalError):
            if not self._looked:
                self._looked = True
                self._found = self._find()
            if self._found is not None:
                self._publish(outcome, *self._found)

    def _publish(self, outcome: NodeOutcome, parts: Parts, files: Files) -> None:
        target = self._kept / str(outcome.node)
        self._kept.mkdir(exist_ok=True)
        draft = Home.temporary(self._kept)
        try:
            own = parts[outcome.node] if parts else ()
            kept = [
                {**part, "path": self._bring(Path(part["path"]), draft, f"{i}{Path(part['path']).suffix}")}
                for i, part in enumerate(own)
            ]
            named = [[path_id, self._bring(Path(location), draft, path_id)] for path_id, location in files]
            text = {"format": FORMAT, "parts": kept, "files": named, "kind": outcome.kind, "text": outcome.text}
            (draft / "inputs.json").write_text(json.dumps(text), encoding="utf-8")
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _bring(self, source: Path, folder: Path, name: str) -> str:
        """A link to a file, else a copy; its name."""
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
    usual = os.environ.get(f"{PREFIX}HOME") or default_home()
    home = "" if Path(usual).expanduser().absolute() == root else f"--home {shlex.quote(str(root))} "
    return f"ellipsis-local {home}replay {compute_id} {node} --pdb"


def read_given(folder: Path, execution: int) -> Given | None:
    """What an execution of the compute with this folder was given; None where that was not noted down."""
    found = _read(folder / "execution.json")
    if found is None or found["execution"] != execution:
        return None
    return Given(**found)


def read_kept(folder: Path, node: int) -> Received | None:
    """What a failed node of the last execution received; None where nothing was kept of it."""
    place = folder / "kept" / str(node)
    found = _read(place / "inputs.json")
    if found is None:
        return None
    return Received(
        parts=tuple({**part, "path": str(place / part["path"])} for part in found["parts"]),
        files=tuple((path_id, str(place / name)) for path_id, name in found["files"]),
        kind=found["kind"],
        text=found["text"],
    )


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON in a file of ours; None where there is none, or one of another release."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.pop("format", None) == FORMAT else None
