"""Progress in words, and the bar: on a real terminal, above nothing, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ellipsis_local.progress import BAR, Progress, Reporter, find_output

ROOT = Path(__file__).parents[2]


def test_progress_in_words() -> None:
    assert str(Progress("downloading a", 1_500_000, 3_000_000_000, "bytes")) == "downloading a: 1.5 MB of 3.0 GB"
    assert str(Progress("fetching", 3, 1200, "tiles")) == "fetching: 3 of 1,200 tiles"
    assert str(Progress("fetching", 3, None, "pages")) == "fetching: 3 pages"
    assert str(Progress("pulled a")) == "pulled a"


def test_numbers_are_told_now_and_then() -> None:
    told: list[Progress] = []
    progress = Reporter(told.append)
    for number in range(1001):
        progress.count("a", number, 1000, "bytes")
    assert (told[0].done, told[-1].done) == (0, 1000)
    assert len(told) < 50
    progress.count("b", 1, None, "bytes")
    assert told[-1].what == "b"


LONG = "cutting layers into a great many partitions"
CHILD = f"""
import sys
from ellipsis_local import progress
from ellipsis_local.errors import LayerWarning
from ellipsis_local.notices import warn

def wait():
    print("waits", flush=True)
    sys.stdin.readline()

progress.PATIENCE_SECONDS = float(sys.argv[1])
with progress.BAR.working("adding layers", lambda: True):
    wait()
    progress.BAR.tell(progress.Progress({LONG!r}, 1234, 2345678, "steps"))
    wait()
    warn("a warning", LayerWarning)
    progress.BAR.tell(progress.Progress("nearly\\x1b[2J\\ndone"))
    wait()
print("done")
"""


class Terminal:
    """A program whose stderr, and nothing else, is a real terminal."""

    def __init__(self, process: subprocess.Popen[str], master: int) -> None:
        self.process, self.master, self.written = process, master, ""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        # Linux gives EIO at the end.
        with suppress(OSError):
            while data := os.read(self.master, 4096):
                self.written += data.decode(errors="replace")

    def shows(self, text: str) -> None:
        """Wait until it does."""
        while text not in self.written:
            assert self.process.poll() is None, self.written
            time.sleep(0.005)

    def next(self) -> None:
        """Let the program, which waits, go on."""
        assert self.process.stdin is not None and self.process.stdout is not None
        assert self.process.stdout.readline() == "waits\n"
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def end(self) -> str:
        """Stdout's rest."""
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        assert self.process.wait() == 0
        self.reader.join()
        return rest


@contextmanager
def terminal(patience: float, columns: int = 80) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COLUMNS"))}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(patience)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=slave,
        env=environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"},
        text=True,
    ) as process:
        os.close(slave)
        shown = Terminal(process, master)
        shown.resize(columns)
        try:
            yield shown
        finally:
            process.kill()
            shown.reader.join()
            os.close(master)


def lines(written: str) -> list[str]:
    """What stood in the last line, one after the other, without colours."""
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-JL-Z]", "", written)
    return [line.strip("\r") for line in re.split(r"\r\x1b\[2K|\r\n", plain)]


def test_a_bar_on_a_terminal() -> None:
    with terminal(0, columns=60) as shown:
        shown.shows("adding layers ")
        shown.next()
        shown.shows("cutting layers … ")
        assert max(map(len, lines(shown.written))) == 60
        for columns, text in ((80, "cutting layers into a great many pa… "), (120, f"{LONG} ")):
            shown.resize(columns)
            shown.shows(text)
        shown.next()
        shown.shows("nearly\ufffd[2J\ufffddone ")
        shown.next()
        assert shown.end() == "done\n"
    drawn = lines(shown.written)
    assert any(line.endswith("1,234 of 2,345,678 steps  0:00") for line in drawn)
    # The warning has a line of its own, and of the bar nothing is left.
    assert "<string>:16: LayerWarning: a warning" in drawn
    assert drawn[-1] == ""


def test_no_bar_for_what_is_done_soon() -> None:
    with terminal(1000) as shown:
        for _ in range(3):
            shown.next()
        assert shown.end() == "done\n"
    assert lines(shown.written) == ["<string>:16: LayerWarning: a warning", ""]


def test_where_a_bar_is(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(master), os.fdopen(slave, "w") as screen, Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr(sys, "stderr", screen)
        assert find_output() is None, "in a test"
        monkeypatch.delenv("PYTEST_CURRENT_TEST")
        assert find_output() is not None
        before = threading.active_count()
        with BAR.working("unwanted", lambda: False):
            assert threading.active_count() == before
        with BAR.working("wanted", lambda: True), BAR.working("within", lambda: True):
            assert threading.active_count() == before + 1
        assert threading.active_count() == before
        for stderr in (nowhere, None):
            monkeypatch.setattr(sys, "stderr", stderr)
            assert find_output() is None
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "dumb")
        assert find_output() is None
