"""A Sphinx extension: what the package says of itself, written into the pages that name it in a line `%%% NAME`.

NAME is a function of this module, or a file of the repository (`%%% CHANGELOG.md`).
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from ellipsis_local import errors, lesson, settings

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"^%%% (\S+)$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")
ELSEWHERE = {"examples/flood_risk/README.md": "/howto/flood_risk.md", "CONTRIBUTING.md": "/explanation/contributing.md"}
"""Pages of the repository that are made of a file outside of this folder."""


def one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")


def command_line() -> Iterator[str]:
    """Every command with its arguments and options, a level deeper than typer writes it."""
    import typer
    from typer.cli import get_docs_for_click

    from ellipsis_local.cli.app import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command, info_name="ellipsis-local"), name="ellipsis-local"
    )
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", re.sub(r"\[/?(bold)?\]", "", text))
    # What a shell does not take as it is would have no highlighting either.
    yield re.sub(r"^#", "##", text.replace("```console\n$ ", "```text\n"), flags=re.MULTILINE)


def setting_table() -> Iterator[str]:
    """Name, variable, default, and the text below the field."""
    (tree,) = ast.parse(inspect.getsource(settings.Settings)).body
    assert isinstance(tree, ast.ClassDef)
    texts = {
        one.target.id: after.value.value
        for one, after in zip(tree.body, [*tree.body[1:], None], strict=True)
        if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    yield "| setting | variable | values | default | |\n|---|---|---|---|---|"
    for field in fields(settings.Settings):
        default = "the user's data folder" if field.name == "home" else f"`{field.default}`"
        variable = f"`{settings.PREFIX}{field.name.upper()}`"
        kind = one_line(str(field.type))
        yield f"| `{field.name}` | {variable} | `{kind}` | {default} | {one_line(texts[field.name])} |"


def http_table() -> Iterator[str]:
    """Per request what it does, by the server's own OpenAPI document."""
    from ellipsis_local.emulator import Emulator
    from ellipsis_local.server.app import create_app

    with tempfile.TemporaryDirectory() as folder, Emulator(settings.Settings(home=Path(folder))) as emulator:
        document = create_app(emulator).openapi()
    yield "| request | | fields |\n|---|---|---|"
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            text = operation.get("description") or operation.get("summary")
            names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                kind = content["schema"].get("$ref", "").rpartition("/")[2]
                names += document["components"]["schemas"].get(kind, {}).get("properties", {})
            told = ", ".join(f"`{name}`" for name in names if name != "token")
            yield f"| `{method.upper()} {path}` | {one_line(text)} | {told} |"


def pytest_table() -> Iterator[str]:
    """Fixtures by their docstrings, options by their help."""
    from ellipsis_local import pytest_plugin
    from ellipsis_local.pytest_plugin.choices import HELP

    yield "## Fixtures\n\n| fixture | |\n|---|---|"
    for name in dir(pytest_plugin):
        if name == "ellipsis" or name.startswith("ellipsis_"):
            function = getattr(pytest_plugin, name)
            text = inspect.getdoc(getattr(function, "__wrapped__", function)) or ""
            text, _, _ = text.partition("Returns\n")
            yield f"| `{name}` | {one_line(text)} |"
    yield "\n## Options of the ini file\n\n| option | |\n|---|---|"
    yield from (f"| `{name}` | {one_line(text)} |" for name, text in HELP.items())


def error_tree() -> Iterator[str]:
    """As `errors.py` draws it; every class has to have its section on the page that shows it."""
    tree = inspect.cleandoc(errors.__doc__ or "").partition("\n\n")[2]
    yield f"```text\n{inspect.cleandoc(tree)}\n```"


PAGES = {page.__name__: page for page in (command_line, setting_table, http_table, pytest_table, error_tree)}


def repository_file(name: str) -> str:
    """A text of the repository, whose links lead to pages here, or are the names of files."""
    folder = (ROOT / name).parent
    return LINK.sub(lambda found: link_here(found, folder), (ROOT / name).read_text(encoding="utf-8"))


def link_here(found: re.Match[str], folder: Path) -> str:
    text, (target, _, anchor) = found[1], found[2].partition("#")
    path = (folder / target).resolve().relative_to(ROOT).as_posix()
    page = ELSEWHERE.get(path, f"/{path.removeprefix('docs/')}" if path.startswith("docs/") else None)
    if page is None:
        return text if text.startswith("`") else f"`{text}`"
    return f"[{text}]({page}{anchor and '#'}{anchor})"


def fill(app: Any, name: str, source: list[str]) -> None:  # noqa: ARG001 - as Sphinx calls it
    """Write what a page names into it, while Sphinx reads it."""
    # Settings that were read made it absolute; each page has a home in the folder where it is run.
    os.environ["ELLIPSIS_LOCAL_HOME"] = "home"
    text = source[0]
    if "/" not in name:
        # These are read in the repository, too, and link to files there.
        text = LINK.sub(lambda link: link_here(link, ROOT / "docs") if link[2].startswith("../") else link[0], text)
    source[0] = MARK.sub(
        lambda mark: "\n".join(PAGES[mark[1]]()) if mark[1] in PAGES else repository_file(mark[1]), text
    )


def pack_lesson(app: Any) -> None:
    """The 90-minute lesson as one file, its notebook without what is for the page alone; the page itself opens it."""
    import nbformat
    from myst_nb.core.read import read_myst_markdown_notebook

    source = Path(app.srcdir) / "tutorials" / "valley"
    notebook = read_myst_markdown_notebook((source / "lesson.md").read_text(encoding="utf-8"))
    left_out = {"solution", "remove-cell"}
    notebook.cells = [cell for cell in notebook.cells if not left_out & set(cell.metadata.get("tags", ()))]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(source / "lesson.toml", folder)
        nbformat.write(notebook, Path(folder) / "lesson.ipynb")
        archive = Path(app.outdir) / "valley.zip"
        lesson.pack(folder, archive, overwrite=True)
    os.environ["LESSON_ARCHIVE"] = str(archive)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", pack_lesson)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
