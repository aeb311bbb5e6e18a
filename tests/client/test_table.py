"""The table of the client's functions is complete, every row is tested, and docs/coverage.md says the same."""

from __future__ import annotations

import functools
import inspect
from types import ModuleType

from tests.client.coverage import DOCUMENT, VERSION, document, tested
from tests.client.table import HIDDEN, TABLE, exported, split
from tests.client.test_refused import REFUSED


def test_every_exported_function_has_a_row_and_nothing_else(client: ModuleType) -> None:
    assert client.__version__ == VERSION
    names = set(exported(client))
    assert len(names) > 150
    assert sorted(names - set(TABLE)) == [] and sorted(set(TABLE) - names) == []
    for name in HIDDEN:
        owner = functools.reduce(getattr, split(name)[0].split("."), client)
        assert inspect.isfunction(getattr(owner, split(name)[1])) and name not in names


def test_every_row_has_a_test() -> None:
    tests = tested()
    assert sorted(set(TABLE) | set(HIDDEN)) == sorted(tests)
    for name, row in (TABLE | HIDDEN).items():
        refused = [test for test in tests[name] if test.startswith("test_refused.py")]
        assert bool(refused) == (row.state == "not") == (name in REFUSED), name
        assert (row.state == "local") <= all(
            "test_util.py" in test or "test_account.py" in test for test in tests[name]
        )
        assert row.note or row.state in ("emulated", "local", "not"), f"{name}: what does not work?"


def test_the_document_is_the_generated_one() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run `python -m tests.client.coverage`"
