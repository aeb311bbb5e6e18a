"""Warnings that are held back where there is no caller."""

from __future__ import annotations

import threading
import warnings

import pytest

from ellipsis_local.errors import LayerWarning
from ellipsis_local.notices import held_back, warn

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
