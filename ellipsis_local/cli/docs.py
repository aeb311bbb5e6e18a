"""`ellipsis-local docs`: the documentation, as pages that came with the package."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import ellipsis_local
from ellipsis_local.cli.printing import Json, print_answer
from ellipsis_local.errors import StoreError

PAGES = Path(ellipsis_local.__file__).parent / "_site" / "html"
"""Written by `tox run -e docs`, and carried by wheels that are built after it."""


def docs(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open them in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Open the documentation of this release: tutorials, how-tos, a gallery, reference. It needs no network."""
    start = PAGES / "index.html"
    if not start.is_file():
        raise StoreError(
            f"this installation came without the pages ({PAGES}): in a checkout `tox run -e docs` makes them; "
            "README.md and the folder docs have the text"
        )
    address = start.as_uri()
    if browser and not as_json:
        webbrowser.open(address)
    print_answer({"address": address, "file": start}, address, as_json=as_json)
