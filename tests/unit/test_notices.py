"""Warnings and errors point at the caller; warnings are held back where there is none."""

from __future__ import annotations

import threading
import traceback
import warnings

import pytest

from ellipsis_local import layers
from ellipsis_local.computes.execution import _alike
from ellipsis_local.errors import EllipsisLocalError, LayerWarning
from ellipsis_local.nodes import NodeOutcome
from ellipsis_local.notices import held_back, warn
from ellipsis_local.tracebacks import is_ours, short_traceback

SECONDS = 20


def test_a_warning_points_at_the_caller() -> None:
    with pytest.warns(LayerWarning, match="look") as caught:
        warn("look", LayerWarning)
    assert caught[0].filename == __file__


def test_one_thread_holds_back_its_own_warnings_alone() -> None:
    inside, done = threading.Barrier(2), threading.Barrier(2)
    found: list[object] = []

    def background() -> None:
        with held_back() as notices:
            inside.wait(SECONDS)
            warn("unseen", LayerWarning)
            done.wait(SECONDS)
            found.extend(notices)

    thread = threading.Thread(target=background)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread.start()
        inside.wait(SECONDS)
        warn("seen", LayerWarning)
        done.wait(SECONDS)
        thread.join(SECONDS)
        with held_back() as notices, held_back() as inner:
            warn("inner", LayerWarning)
        warn("seen again", LayerWarning)
    assert [str(warning.message) for warning in caught] == ["seen", "seen again"]
    assert found == [("unseen", LayerWarning)]
    assert (notices, inner) == ([], [("inner", LayerWarning)])


def frames(error: BaseException) -> list[str]:
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]


def test_an_error_ends_at_the_public_function_and_keeps_its_cause() -> None:
    with pytest.raises(EllipsisLocalError) as caught:
        layers.get("no id")
    assert [is_ours(file) for file in frames(caught.value)] == [False, True]

    @short_traceback
    def fails(error: Exception) -> None:
        try:
            raise OSError("the disk")
        except OSError as cause:
            raise error from cause

    with pytest.raises(EllipsisLocalError) as caught:
        fails(EllipsisLocalError("no"))
    assert isinstance(caught.value.__cause__, OSError)
    assert len(frames(caught.value)) == 2
    # A bug is looked for with all there is.
    with pytest.raises(RuntimeError) as bug:
        fails(RuntimeError("no"))
    assert len(frames(bug.value)) == 3


@pytest.mark.parametrize(
    ("texts", "notes"),
    [
        ({3: "a"}, []),
        (dict.fromkeys(range(64), "a"), ["nodes 0 to 63 failed the same way"]),
        (
            {0: "a", 1: "a", 2: "t\nb", 5: "a", 6: "a", 7: "a"},
            ["nodes 0, 1, 5 to 7 failed the same way", "node 2 failed, too: b"],
        ),
        ({0: "a", 1: "b", 2: "b"}, ["nodes 1, 2 failed, too: b"]),
        (
            {n: f"KeyError: {n}" for n in range(9)},
            [
                *(f"node {n} failed, too: KeyError: {n}" for n in (1, 2, 3)),
                "5 more nodes failed; getComputeInfo shows all",
            ],
        ),
    ],
)
def test_equal_failures_are_told_once(texts: dict[int, str], notes: list[str]) -> None:
    failed = [NodeOutcome(n, "failed", None, kind="exception", text=text) for n, text in texts.items()]
    assert list(_alike(failed, "node")) == notes
