"""Waits end and ages are told under a clock that a test froze, whichever date it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from ellipsis_local import processes
from ellipsis_local.clocks import file_time, monotonic
from ellipsis_local.environments.manifest import Environment
from ellipsis_local.home import Home
from ellipsis_local.upstream.http_client import Client
from tests.unit.test_environments_build import INTERPRETER

DAY = 86400.0
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(params=["1970-01-01", "2100-01-01"])
def frozen(request: pytest.FixtureRequest) -> Iterator[None]:
    with freeze_time(request.param):
        yield


@pytest.fixture
def folders(tmp_path: Path) -> Home:
    folders = Home(tmp_path / "folders")
    folders.prepare()
    return folders


@pytest.mark.usefixtures("frozen")
def test_a_lock_that_is_held_is_given_up(folders: Home) -> None:
    with folders.lock("a"), pytest.raises(TimeoutError, match="the lock a is held"), folders.lock("a", timeout=0.1):
        pass
    with folders.lock("a", timeout=0.1):
        pass


FROZEN_FIRST = """
import gc
import sys

import ellipsis_local.testing
from freezegun import freeze_time

assert "pandas" not in sys.modules
with freeze_time("2030-01-01"):
    assert "pandas" in sys.modules
    gc.collect()
"""


def test_a_clock_that_is_stopped_before_pandas_is_imported_ends_no_process() -> None:
    subprocess.run([sys.executable, "-c", FROZEN_FIRST], check=True)


@pytest.mark.usefixtures("frozen")
def test_programs_have_a_time_limit() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        # What it starts holds its output open, and ends as well.
        processes.run(["/bin/sh", "-c", "sleep 600 & sleep 600"], 0.1, stdout=subprocess.PIPE)
    done = processes.run([sys.executable, "-c", "print(input())"], 60, "told", stdin=-1, stdout=-1, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "told\n")
    with subprocess.Popen(SLEEPER) as process:
        processes.wait(process, 0.1)
        assert process.returncode is None
        process.kill()
        processes.wait(process, 60)
        assert process.returncode is not None


@pytest.mark.usefixtures("frozen")
def test_waits_between_attempts_pass() -> None:
    before, asked = monotonic(), []
    Client("http://127.0.0.1:9/v3", check=lambda: asked.append(1))._sleep(0.1)
    assert monotonic() - before >= 0.1
    assert asked


@pytest.mark.usefixtures("frozen")
def test_ages_are_those_of_the_disk(folders: Home, tmp_path: Path) -> None:
    fresh, old = Home.temporary(folders.cache), Home.temporary(folders.cache)
    os.utime(old, (file_time(tmp_path) - DAY,) * 2)
    folders.sweep()
    assert (fresh.exists(), old.exists()) == (True, False)


@pytest.mark.usefixtures("frozen")
def test_the_use_of_an_environment_is_noted_by_the_day_of_all_who_share_it(tmp_path: Path) -> None:
    made = Environment("a", tmp_path, tmp_path / "python", INTERPRETER, (), {}, datetime(2024, 1, 1, tzinfo=UTC))
    mark = tmp_path / "last-used"
    made.note_use()
    noted = mark.stat().st_mtime
    assert abs(noted - file_time(tmp_path)) < timedelta(hours=1).total_seconds()
    made.note_use()
    assert mark.stat().st_mtime == noted
    os.utime(mark, (noted - DAY, noted - DAY))
    made.note_use()
    assert mark.stat().st_mtime >= noted


@pytest.mark.parametrize("before", [True, False])
def test_a_server_answers_and_ends(home: Path, before: bool) -> None:
    """In a process of its own, where it is imported under the frozen clock, too."""
    code = f"""if True:
        import urllib.error, urllib.request
        from freezegun import freeze_time
        import ellipsis_local
        ellipsis_local.configure(home={str(home)!r})
        if {before}:
            import ellipsis_local.server
        with freeze_time("2100-01-01"), ellipsis_local.serve() as server:
            try:
                urllib.request.urlopen(server.url + "/account", timeout=60)
            except urllib.error.HTTPError as error:
                print(error.code)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("401\n", "")
