"""docs/testing.md: its blocks are a project whose tests pass."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_s_project_passes_its_own_tests(
    pytester: pytest.Pytester, shared_environments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    # Of the plugins only the one that the page is about: the others that are installed take seconds to import.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name, text in BLOCKS:
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "fixtures" / "dem.tif", pytester.path / "layers")
    result = pytester.runpytest_subprocess(
        "-p",
        "ellipsis_local",
        "-p",
        "no:cacheprovider",
        f"--ellipsis-environments={shared_environments}",
        "--ellipsis-cores=2",
    )
    tests = sum(len(re.findall(r"^ *def test_", text, re.MULTILINE)) for _, text in BLOCKS)
    parameters = 2
    result.assert_outcomes(passed=tests + parameters)


def test_every_option_is_on_the_page() -> None:
    from ellipsis_local.faults import NAMES
    from ellipsis_local.pytest_plugin import choices

    assert [name for name in choices.HELP if f"`{name}`" not in PAGE] == []
    assert [name for name in NAMES if f"`{name}`" not in PAGE] == []
