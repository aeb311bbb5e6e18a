"""Import an archive or reset a home again and again, each time killed one step later; run by test_state.

killed_state.py HOME ARCHIVE WORK → {"import": {"old": …, "new": …, "done": 1}, …} on stdout: how often which home was
there afterwards
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ellipsis_local.emulator import Emulator
from ellipsis_local.settings import Settings
from ellipsis_local.state import import_home, reset_home

STEPS = ("open", "os.", "shutil.", "sqlite3.")
"""What is counted, by the names of Python's audit events: all that touches the disk."""
THOROUGH = 24
FORMER, LATTER = ("former", "former, too"), ("ramp", "trees")


def attempt(act: Callable[[Path], object], home: Path, last: int) -> tuple[int, bool]:
    """Act in a process that is killed at its step `last`: how many steps it did, and whether it was killed."""
    child = os.fork()
    if child == 0:
        count = 0

        def kill(event: str, _: object) -> None:
            nonlocal count
            if event.startswith(STEPS):
                count += 1
                if count == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(kill)
            act(home)
        finally:
            os._exit(min(count, 255))
    _, status = os.waitpid(child, 0)
    return (last, True) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), False)


def names_in(home: Path) -> tuple[str, ...]:
    """The layers of a home, all of whose files are there; it is opened as the next process would."""
    with Emulator(Settings(home=home)) as emulator:
        paths = emulator.store.list()
        files = {
            file.location
            for path in paths
            for timestamp in emulator.store.catalogue.timestamps_of(path.id)
            for file in timestamp.files
        }
        assert all(file.is_file() for file in files)
        assert len(files) == len(paths)
        there = len(list(emulator.home.layers.iterdir()))
    assert not (home / "import.json").exists()
    # What a killed reset leaves goes later, by age.
    assert there == len(files) or not files
    return tuple(sorted(path.name for path in paths))


def killed(
    source: Path | None, work: Path, act: Callable[[Path], object], states: dict[tuple[str, ...], str]
) -> Counter[str]:
    outcomes: Counter[str] = Counter()

    def run(last: int) -> int:
        home = work / str(last)
        if source is not None:
            shutil.copytree(source, home)
        count, died = attempt(act, home, last)
        found = states[names_in(home)]
        outcomes[found if died else "done"] += 1
        assert died or found == "new"
        if source is not None:
            assert (home / "environments" / "kept").is_dir()
        shutil.rmtree(home)
        return count

    total = run(255)
    assert total < 255
    # Every step of the end, where one home takes the place of the other; some of those that only lay it out.
    for step in (*range(1, total - THOROUGH, 11), *range(max(1, total - THOROUGH), total + 1)):
        run(step)
    return outcomes


def main(source: Path, archive: Path, work: Path) -> None:
    (source / "environments" / "kept").mkdir(parents=True)
    (source / "environments" / "kept" / "environment.json").write_text("{}")
    # Loaded before the forks.
    import_home(archive, home=work / "warm")
    reset_home(home=work / "warm")
    told = {
        "import": killed(
            source, work, lambda home: import_home(archive, replace=True, home=home), {FORMER: "old", LATTER: "new"}
        ),
        "import into nothing": killed(
            None, work, lambda home: import_home(archive, home=home), {(): "old", LATTER: "new"}
        ),
        "reset": killed(source, work, lambda home: reset_home(home=home), {FORMER: "old", (): "new"}),
    }
    print(json.dumps(told))


main(*map(Path, sys.argv[1:]))
