"""Writes docs/coverage.md from the table and the tests: `python -m tests.client.coverage`."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from tests.client.table import HIDDEN, STATES, TABLE, Row, split

__all__ = ["DOCUMENT", "document", "tested"]

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[1] / "docs" / "coverage.md"
VERSION = "3.3.12"

HEAD = """# What the client can do here

Generated from tests/client by `python -m tests.client.coverage`; do not edit.

Every function that the package `ellipsis` {version} exports, called by a test through the unmodified client, over a
socket, against `ellipsis_local.serve()`. Whole scripts run with 3.3.12, 3.3.5 and 3.2.9 (`test_scripts.py`).
`ellipsis_local` has each of them in process, too, with the same arguments (`test_in_process.py`).

- **emulated**: works as in the hosted service, as far as its client and documentation show. A note names our choices and
  the client's own faults.
- **partly**: works, but for what the note says.
- **not emulated**: answers 501, which the client shows as a `ValueError` that names the call (downloads as an
  `HTTPError`). Nothing is made up, nothing changes. In process it is a `NotEmulatedError` with the same text.
- **client-side**: asks no server; tested that it runs beside the libraries that this project needs. In process only
  `util.saveRaster` and `util.saveVector` are there; the others name the client.

{counts}
"""


def tested() -> dict[str, list[str]]:
    """The tests of each function, as `file::test`."""
    found: dict[str, list[str]] = {}
    for file in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"tests.client.{file.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_"):
                for function in getattr(test, "covers", ()):
                    found.setdefault(function, []).append(f"{file.name}::{name}")
    return found


def document() -> str:
    """The whole text of docs/coverage.md."""
    counted = Counter(row.state for row in TABLE.values())
    counts = ", ".join(f"{counted[state]} {words}" for state, words in STATES.items())
    parts = [HEAD.format(version=VERSION, counts=f"Of {len(TABLE)} functions: {counts}.")]
    tests = tested()
    for module, names in groupby(TABLE, key=lambda name: split(name)[0]):
        parts.append("\n".join([f"## {module}", "", *_rows(names, TABLE, tests), ""]))
    rows = _rows(HIDDEN, HIDDEN, tests, whole=True)
    words = "Functions that scripts reach through the modules `root`."
    parts.append("\n".join(["## Not exported", "", words, "", *rows, ""]))
    return "\n".join(parts)


def _rows(
    names: Iterable[str], table: Mapping[str, Row], tests: Mapping[str, list[str]], *, whole: bool = False
) -> Iterator[str]:
    yield "| function | state | note | tests |"
    yield "|---|---|---|---|"
    for name in names:
        row = table[name]
        cited = "<br>".join(tests.get(name, []))
        yield f"| `{name if whole else split(name)[1]}` | {STATES[row.state]} | {row.note} | {cited} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
