"""The program of a helper process: JSON lines in, JSON lines out, until standard input ends. Started by its path.

It imports the modules of this room without `__init__`, and heavy libraries with the first task that needs them.
"""

import ctypes
import importlib
import json
import os
import queue
import signal
import sys
import threading
import types
from pathlib import Path

TASKS = {
    "pixels": ("pixels", "cut"),
    "load": ("frames", "load"),
    "bisect": ("frames", "bisect"),
    "touched": ("frames", "touched"),
    "features": ("frames", "cut"),
}


def find_package() -> None:
    """Make `ellipsis_local.partitions` importable without importing what its users need."""
    here = Path(__file__).absolute().parent
    for name, folder in (("ellipsis_local", here.parent), ("ellipsis_local.partitions", here)):
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module


class LeftOut:
    """Libraries that others look for and a cut of features does not need: pandas takes longer than most layers."""

    names: "tuple[str, ...]" = ("geopandas", "pandas")

    def find_spec(self, name: str, *_: object) -> None:
        if name in self.names:
            raise ModuleNotFoundError(name, name=name)


def leave_out(layer: "dict[str, object]") -> None:
    """Import what reads a layer of features without what it looks for besides; what is clipped needs shapely later."""
    sys.meta_path.insert(0, LeftOut())
    sources = layer["sources"]
    if any(source["format"] == "ogr" for source in sources):  # type: ignore[attr-defined]
        LeftOut.names = ("geopandas", "pandas", "shapely")
        importlib.import_module("pyogrio.raw")
        LeftOut.names = ("geopandas", "pandas")


def receive(tasks: "queue.SimpleQueue[bytes]") -> None:
    """Pass on what the caller writes; end the process, in the middle of a task, when the caller is gone."""
    for line in sys.stdin.buffer:
        tasks.put(line)
    os._exit(0)


def perform(task: dict[str, object]) -> dict[str, object]:
    """One task; a failure becomes an answer with its kind and text."""
    try:
        module, function = TASKS[str(task["do"])]
        answer = getattr(importlib.import_module(f"ellipsis_local.partitions.{module}"), function)(task)
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets to know
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"error": f"{error}" or kinds[0], "kinds": kinds, "errno": getattr(error, "errno", None)}
    return {"answer": answer}


def main() -> None:
    if sys.platform == "linux":
        # A library may keep `receive` from running for seconds.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not come between the answers
    setup = json.loads(sys.stdin.buffer.readline() or b"{}")
    sys.path.extend(folder for folder in setup.get("path", ()) if folder not in sys.path)
    find_package()
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(tasks,), daemon=True).start()
    while True:
        task = json.loads(tasks.get())
        if task["do"] in ("load", "touched", "features") and not isinstance(sys.meta_path[0], LeftOut):
            leave_out(task["layer"])
        answers.write(json.dumps(perform(task)).encode() + b"\n")


if __name__ == "__main__":
    main()
