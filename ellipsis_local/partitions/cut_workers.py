"""Helper processes of the calling interpreter, given tasks as JSON lines; little is cut in this process, sooner.

`subprocess` and not `multiprocessing`: users' scripts have no ``__main__`` guard, and the caller may have threads.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Literal

from ellipsis_local.clocks import monotonic
from ellipsis_local.errors import PartitionError, StoreError
from ellipsis_local.partitions.cut_worker import perform
from ellipsis_local.partitions.request import CutRequest
from ellipsis_local.partitions.tasks import Task, is_small

PROGRAM = Path(__file__).with_name("cut_worker.py")
LIBRARIES = ("numpy", "rasterio", "affine", "geopandas", "pandas", "shapely", "pyogrio", "pyproj", "pyarrow")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

Place = Literal["never", "rasters", "all"]
"""What may be cut here: rasters where this process has their library loaded, or whatever is small."""

LOOK_SECONDS = 0.2

KEEPERS = ("frames", "pixels")
"""Modules that keep something from one task to the next; a helper takes it along when it ends."""

_turn = threading.Lock()


class Helper:
    """One process and the task that it is busy with."""

    def __init__(self, environ: dict[str, str], path: Sequence[str]) -> None:
        self.task: int | None = None
        self.received = b""
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environ,
            bufsize=0,
            start_new_session=True,  # the terminal's Ctrl-C is the caller's to act on
        )
        self.send({"path": list(path)})

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None  # noqa: S101
        return self.process.stdout

    def send(self, message: Task) -> None:
        assert self.process.stdin is not None  # noqa: S101
        data = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while data:
                data = data[self.process.stdin.write(data) :]
        except BrokenPipeError:
            raise self.death() from None

    def receive(self) -> Task | None:
        """An answer, None while it is incomplete."""
        data = os.read(self.stdout.fileno(), 1 << 16)
        if not data:
            raise self.death()
        self.received += data
        if not self.received.endswith(b"\n"):
            return None
        message: Task = json.loads(self.received)
        self.received = b""
        return message

    def death(self) -> PartitionError:
        """The error for a process that ended by itself, with its last words."""
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self.log.seek(0)
        said = self.log.read()[-2000:].decode(errors="replace").strip()
        return PartitionError(
            f"a helper process that cuts layers {how}"
            + (" (out of memory?)" if code == -9 else "")
            + (f": {said}" if said else "")
        )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            if stream is not None:
                stream.close()


class Helpers:
    """A few helper processes, until they are closed, whatever they are doing."""

    def __init__(self, count: int, bytecode: Path, check: Callable[[], None] = lambda: None) -> None:
        """What `check` raises, from time to time while tasks are performed, ends them."""
        self._check = check
        environ, path = environment(bytecode), library_folders()
        self._helpers: list[Helper] = []
        try:
            for _ in range(count):
                self._helpers.append(Helper(environ, path))
        except OSError as error:
            self.close()
            raise PartitionError(f"no helper process can be started with {sys.executable}: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for helper in self._helpers:
            helper.close()

    def run(self, tasks: Sequence[Task], count: Callable[[int], None] = lambda _: None) -> list[Task]:
        """Perform the tasks, in parallel, those of one `stay` in one process; answers in the same order.

        `count` is told how many are done.
        """
        answers: list[Task] = [{} for _ in tasks]
        waiting = deque(enumerate(tasks))
        left, looked = len(tasks), monotonic()
        with selectors.DefaultSelector() as selector:
            for number, helper in enumerate(self._helpers):
                selector.register(helper.stdout, selectors.EVENT_READ, (number, helper))
                self._give(number, helper, waiting)
            while left:
                ready = selector.select(LOOK_SECONDS)
                if monotonic() - looked >= LOOK_SECONDS:
                    self._check()
                    looked = monotonic()
                for key, _ in ready:
                    number, helper = key.data
                    answer = helper.receive()
                    if answer is None:
                        continue
                    answers[helper.task] = unwrap(answer, tasks[helper.task])
                    left -= 1
                    count(len(tasks) - left)
                    self._give(number, helper, waiting)
        return answers

    def _give(self, number: int, helper: Helper, waiting: deque[tuple[int, Task]]) -> None:
        """The next task that this helper may have."""
        helper.task = None
        for position, (index, task) in enumerate(waiting):
            if task.get("stay", number) % len(self._helpers) == number:
                del waiting[position]
                helper.task = index
                helper.send(task)
                return


def is_for_here(request: CutRequest, place: Place) -> bool:
    """Whether to cut in this process: on `rasters` no features, because pandas' options are the caller's."""
    if not hasattr(os, "fork"):
        # On Windows pipes cannot be waited for.
        return True
    if place == "rasters" and (request.vectors or "rasterio" not in sys.modules):
        return False
    return place != "never" and is_small(request)


class Here:
    """In the place of `Helpers`. Tasks take turns in a process, because what they keep is kept by modules."""

    def close(self) -> None:
        """Let go of what the tasks kept; what this takes from another thread, that one reads again."""
        with _turn:
            for name in KEEPERS:
                module = sys.modules.get(f"ellipsis_local.partitions.{name}")
                if module is not None:
                    module.forget()

    def run(self, tasks: Sequence[Task], count: Callable[[int], None] = lambda _: None) -> list[Task]:
        """See `Helpers.run`; tasks and answers are what JSON makes of them here, too."""
        import numpy as np

        answers: list[Task] = []
        # What the caller makes of NaN is not asked.
        with _turn, np.errstate(all="ignore"):
            for task in tasks:
                answers.append(json.loads(json.dumps(unwrap(perform(json.loads(json.dumps(task))), task))))
                count(len(answers))
        return answers


def unwrap(message: Task, task: Task) -> Task:
    if "error" not in message:
        answer: Task = message["answer"]
        return answer
    if message["errno"] in FULL:
        raise StoreError(f"the home cannot hold the partitions of layer {task.get('id')}: {message['error']}")
    raise PartitionError(f"layer {task.get('id')} cannot be cut: {message['kinds'][0]}: {message['error']}")


def library_folders() -> list[str]:
    """Where the caller finds the libraries that a helper needs, for callers that have added to `sys.path`."""
    found = []
    for library in LIBRARIES:
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.origin:
            found.append(str(Path(spec.origin).parents[1]))
    return list(dict.fromkeys(found))


def environment(bytecode: Path) -> dict[str, str]:
    """The caller's; where its Python writes no bytecode and has none, helpers keep their own: it saves a second."""
    environ = dict(os.environ)
    if sys.dont_write_bytecode and not _compiled():
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        environ["PYTHONPYCACHEPREFIX"] = str(bytecode / str(sys.implementation.cache_tag))
    return environ


def _compiled() -> bool:
    """Whether the libraries' bytecode lies beside them already, as most installers leave it."""
    specs = [importlib.util.find_spec(library) for library in ("numpy", "rasterio", "geopandas")]
    return all(spec is not None and spec.cached and Path(spec.cached).exists() for spec in specs)
