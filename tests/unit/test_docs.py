"""The docs: what they say of errors and commands is there, and the examples of docstrings run."""

from __future__ import annotations

import doctest
import re
import warnings
from pathlib import Path

import pytest
import typer

from ellipsis_local import compute, errors, lesson
from ellipsis_local.cli.app import app
from ellipsis_local.errors import FidelityWarning
from ellipsis_local.testing.invariance import check_partition_invariance

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = re.compile(r"^(?:    |.*?`)ellipsis-local ([a-z][^`\n]*)", re.MULTILINE)


def test_every_error_has_a_row_with_its_cause_and_way_out() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", (DOCS / "reference" / "errors.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(errors.__all__)


@pytest.mark.parametrize("folder", ["howto", "tutorials"])
def test_commands_and_their_options_exist(folder: str) -> None:
    known, wrong = typer.main.get_command(app), []
    for page in sorted((DOCS / folder).rglob("*.md")):
        for line in COMMAND.findall(page.read_text(encoding="utf-8")):
            command, words = known, line.split()
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            options = {name for one in command.params for name in one.opts}
            named = {word for word in words if word.startswith("--")}
            if hasattr(command, "commands") or not named <= options:
                wrong.append(f"{page.name}: {line}")
    assert wrong == []


@pytest.mark.parametrize("function", [compute.execute, check_partition_invariance, lesson.check])
def test_examples_of_docstrings_run(el, token, function) -> None:
    el.configure(inline=True)
    (example,) = (one for one in doctest.DocTestFinder(recurse=False).find(function, globs={"el": el, "token": token}))
    assert example.examples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert result.failed == 0
