"""The docs: what they say of errors and commands is there, and the examples of docstrings run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import typer

from ellipsis_local import errors, testing
from ellipsis_local.api_functions import attached
from ellipsis_local.cli.app import app
from ellipsis_local.errors import FidelityWarning
from tests.unit import test_public_surface

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


CODE = re.compile(r"^```(?:\{code-cell\}|py|python)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXTERNAL = re.compile(r"https?://[^\s<>()`'\"]+")
EXAMPLE_HOSTS = re.compile(r"127\.0\.0\.1|localhost|[\w.-]*\bexample|[\w.-]+\.example|…|.*[{}*].*")


@pytest.mark.parametrize("folder", ["gallery", "howto", "tutorials"])
def test_code_of_pages_is_seen_without_scrolling(folder: str) -> None:
    found = [
        (page.name, code) for page in (DOCS / folder).rglob("*.md") for code in CODE.findall(page.read_text("utf-8"))
    ]
    assert found
    assert [(name, line) for name, code in found for line in code.splitlines() if len(line) > 88] == []


def test_links_to_other_sites_have_the_form_of_one() -> None:
    """Whether they are there, `tox run -e links` asks."""
    found = {
        (page.name, link.rstrip(".,;:"))
        for page in [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]
        for link in EXTERNAL.findall(page.read_text("utf-8"))
    }
    assert len(found) > 5
    wrong = []
    for name, link in found:
        parts = urlsplit(link)
        if not EXAMPLE_HOSTS.fullmatch(parts.hostname or ""):
            fine = parts.scheme == "https" and re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc)
            wrong += [] if fine else [f"{name}: {link}"]
    assert wrong == []


MODULES = ("", "lesson", "state", "testing", "testing.layers", *test_public_surface.MODULES)
WITHOUT = {
    "layers.pull": "asks another service",
    "lesson.Lesson": "what lesson.open gives",
    "lesson.Verdict": "what lesson.check gives",
    "state.HomeArchive": "what export_home gives",
    "testing.Invariance": "what check_partition_invariance gives",
}
"""Public names without an example, besides errors, constants, the layers that hurt, which `testing.layers.all` gives, and
the functions that are the client's requests: its own documentation has these, and tests/client calls each of them."""
EXTRAS = {"layers.open": ("rioxarray",), "layers.explore": ("folium",)}


def public() -> Iterator[tuple[str, Any]]:
    for module in MODULES:
        found = importlib.import_module(f"ellipsis_local.{module}".rstrip("."))
        yield module, found
        for name in found.__all__:
            if callable(value := getattr(found, name)):
                yield f"{module}.{name}".lstrip("."), value


def examples_of(value: Any) -> str:
    return inspect.getdoc(value) or ""


EXAMPLES = {name: value for name, value in public() if ">>>" in examples_of(value)}
# One function has two names.
ONCE = {id(value): name for name, value in reversed(EXAMPLES.items())}.values()


def test_every_public_name_has_an_example() -> None:
    alike = {f"testing.layers.{name}" for name in testing.layers.NOTES}
    lacking = {
        name
        for name, value in public()
        if callable(value)
        and name not in EXAMPLES
        and not (inspect.isclass(value) and issubclass(value, Warning | Exception))
    }
    assert lacking - alike - set(attached) == set(WITHOUT)


@pytest.mark.parametrize("name", ONCE)
def test_examples_of_docstrings_run(el, token, tmp_path, monkeypatch, capsys, name) -> None:
    for module in EXTRAS.get(name, ()):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    # With a seed, ids are the same each time.
    el.configure(inline=True, seed=1)
    names = {"el": el, "token": token, "Path": Path, "requests": requests}
    example = doctest.DocTestParser().get_doctest(examples_of(EXAMPLES[name]), names, name, name, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert result.attempted
    assert result.failed == 0, capsys.readouterr().out
