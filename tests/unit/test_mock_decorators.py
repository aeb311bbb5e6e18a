"""`ellipsis_local.mock` on functions and classes; the classes below run as the tests that they decorate."""

from __future__ import annotations

import asyncio
import inspect
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

import ellipsis_local
from ellipsis_local import mock, scopes
from ellipsis_local.emulator import current_settings
from ellipsis_local.errors import ArgumentError, SettingsError


@pytest.fixture(autouse=True)
def outside(el: ModuleType) -> None:
    """A home outside of the mocks."""


def add_folder(name: str = "results") -> list[str]:
    """Add a folder to the home in use; the names of all that is there."""
    token = ellipsis_local.account.logIn("ada", "secret")
    ellipsis_local.path.folder.add(name, token)
    return [one["name"] for one in ellipsis_local.layers.list()]


# ----- functions -------------------------------------------------------------------------------------------------------


@mock
def test_fixtures_are_still_seen(tmp_path: Path, fixtures: Path) -> None:
    assert scopes.in_scope()
    assert tmp_path.is_dir()
    assert fixtures.is_dir()


@pytest.mark.parametrize("number", [1, 2])
@mock(max_nodes=3)
def test_parameters_and_settings(number: int, tmp_path: Path) -> None:
    assert current_settings().max_nodes == 3
    assert number in (1, 2)
    assert tmp_path.is_dir()


def test_every_call_has_a_home_of_its_own() -> None:
    @mock
    def job(name: str, *, often: int = 1) -> list[str]:
        """Does it."""
        found = add_folder(name)
        return found if often == 1 else [*found, *job(f"{name}{often}", often=often - 1)]

    assert job("a") == ["a"]
    assert job("b", often=2) == ["b", "b2"]
    assert not scopes.in_scope()
    assert (job.__name__, job.__doc__, str(inspect.signature(job))) == (
        "job", "Does it.", "(name: 'str', *, often: 'int' = 1) -> 'list[str]'",
    )  # fmt: skip


def test_coroutines_have_theirs_while_others_run() -> None:
    @mock
    async def job(name: str, step: asyncio.Barrier) -> list[str]:
        await step.wait()
        found = add_folder(name)
        await step.wait()
        return found + [one["name"] for one in ellipsis_local.layers.list()]

    async def both() -> list[list[str]]:
        step = asyncio.Barrier(2)
        return await asyncio.gather(job("a", step), job("b", step))

    assert asyncio.run(both()) == [["a", "a"], ["b", "b"]]
    assert not scopes.in_scope()


def test_what_cannot_be_decorated() -> None:
    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(ArgumentError, match=r"generator is a generator.*write `with ellipsis_local.mock"):
        mock(generator)
    with pytest.raises(ArgumentError, match=r"decorates functions and classes, not str; .* mock\(home=…\)"):
        mock("folder")  # type: ignore[type-var]
    with pytest.raises(SettingsError, match="no setting 'core'"):
        mock(core=1)


# ----- classes ---------------------------------------------------------------------------------------------------------


@mock(max_nodes=5)
class TestPlain:
    def test_one(self, tmp_path: Path) -> None:
        assert tmp_path.is_dir()
        assert add_folder() == ["results"]

    def test_two(self) -> None:
        assert add_folder() == ["results"]
        assert current_settings().max_nodes == 5

    @staticmethod
    def test_static() -> None:
        assert add_folder() == ["results"]

    @classmethod
    def test_class(cls) -> None:
        assert issubclass(cls, TestPlain)
        assert add_folder() == ["results"]

    def helper(self) -> bool:
        return scopes.in_scope()

    def test_helpers_are_inside(self) -> None:
        assert self.helper()
        assert not TestPlain.__dict__["helper"].__code__.co_name.startswith("call")


class TestInherited(TestPlain):
    def test_two(self) -> None:
        add_folder("first")
        assert len(ellipsis_local.layers.list()) == 1
        with pytest.raises(AssertionError):  # the same home: what was added is there
            super().test_two()

    def test_own(self) -> None:
        assert scopes.in_scope()
        assert add_folder() == ["results"]


@mock
class TestSetUp:
    def setup_method(self, method: Any) -> None:
        self.method = method.__name__
        assert add_folder("setup") == ["setup"]

    def teardown_method(self) -> None:
        assert sorted(add_folder("teardown")) == sorted(["setup", *self.added, "teardown"])

    def test_it_is_the_same_home(self) -> None:
        self.added = ["test"]
        assert self.method == "test_it_is_the_same_home"
        assert {"setup", "test"} <= set(add_folder("test"))

    def test_again(self) -> None:
        self.added = []
        assert [one["name"] for one in ellipsis_local.layers.list()] == ["setup"]


class TestSetUpInherited(TestSetUp):
    def setup_method(self, method: Any) -> None:
        super().setup_method(method)
        assert sorted(add_folder("more")) == ["more", "setup"]

    def teardown_method(self) -> None:
        self.added.append("more")
        super().teardown_method()
        assert "teardown" in [one["name"] for one in ellipsis_local.layers.list()]

    def test_again(self) -> None:
        self.added = []
        assert len(ellipsis_local.layers.list()) == 2


class TestTearDownOnly(TestSetUp):
    def teardown_method(self) -> None:
        assert scopes.in_scope()


@mock
class UnitTest(unittest.TestCase):
    homes: ClassVar[set[Path]] = set()

    def setUp(self) -> None:
        add_folder("setup")
        self.homes.add(current_settings().home)
        self.addCleanup(self.check)

    def check(self) -> None:
        assert scopes.in_scope()

    def tearDown(self) -> None:
        assert len(ellipsis_local.layers.list()) == 2

    def test_one(self) -> None:
        assert len(add_folder("test")) == 2

    def test_two(self) -> None:
        assert len(add_folder("test")) == 2


class UnitSubclass(UnitTest):
    def test_three(self) -> None:
        assert len(add_folder("test")) == 2


@mock
class UnitFailing(unittest.TestCase):
    __test__ = False

    def setUp(self) -> None:
        raise RuntimeError("not today")

    def test_one(self) -> None: ...


@mock
class UnitAsync(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        add_folder("setup")

    async def test_one(self) -> None:
        assert len(add_folder("test")) == 2


def run(kind: type[unittest.TestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
    assert not scopes.in_scope()
    return result


@pytest.mark.parametrize(("kind", "count"), [(UnitTest, 2), (UnitSubclass, 3), (UnitAsync, 1)])
def test_unittest_runs_setup_test_and_cleanup_in_one_mock(kind: type[unittest.TestCase], count: int) -> None:
    UnitTest.homes.clear()
    result = run(kind)
    assert (result.testsRun, result.failures, result.errors) == (count, [], [])
    assert len(UnitTest.homes) == (0 if kind is UnitAsync else count)
    assert not any(home.exists() for home in UnitTest.homes)


def test_a_failing_setup_leaves_nothing() -> None:
    result = run(UnitFailing)
    assert len(result.errors) == 1
    assert "not today" in result.errors[0][1]

    @mock
    class Failing:
        def setup_method(self) -> None:
            raise RuntimeError("not today")

        def test_one(self) -> None: ...

    with pytest.raises(RuntimeError, match="not today"):
        Failing().setup_method()
    assert not scopes.in_scope()


def test_the_class_stays_itself() -> None:
    class Before:
        made: ClassVar[list[str]] = []

        def __init_subclass__(cls, **kwargs: Any) -> None:
            Before.made.append(cls.__name__)

        def test_one(self, a: int, b: int = 2) -> int:
            return a + b

    assert mock(Before) is Before
    assert str(inspect.signature(Before.test_one)) == "(self, a: 'int', b: 'int' = 2) -> 'int'"
    assert Before().test_one(1) == 3

    class After(Before):
        def test_two(self) -> bool:
            return scopes.in_scope()

    assert Before.made == ["After"]
    assert After().test_two()
    assert not scopes.in_scope()
