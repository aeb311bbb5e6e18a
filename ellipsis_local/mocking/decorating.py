"""Functions and classes that run inside a mock: each call, each test, in one of its own."""

from __future__ import annotations

import functools
import inspect
import types
import unittest
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ellipsis_local.errors import ArgumentError
from ellipsis_local.mocking.activation import Activation, Plan

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type[Any])

TESTS = "test"
"""How the names of test methods begin, as in unittest and pytest."""
AROUND = ("setup_method", "teardown_method")
HELD = "_ellipsis_local_mock"
"""The attribute of a test's instance that holds its `_Test`; the owner is the class whose setup_method entered."""


def decorated(function: F, plan: Plan) -> F:
    """The function, every call of which is in a mock of its own; its signature stays, for pytest's fixtures."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        # Its body would run after the mock was left.
        text = (
            "is a generator, which ellipsis_local.mock cannot decorate: write `with ellipsis_local.mock(): …` inside it"
        )
        raise ArgumentError(f"{function.__qualname__} {text}", argument="function_or_class", value=function)
    if not callable(function):
        text = f"not {type(function).__name__}; settings are given by name: mock(home=…)"
        text = f"ellipsis_local.mock decorates functions and classes, {text}"
        raise ArgumentError(text, argument="function_or_class", value=function)
    return _within(function, lambda _: Activation(plan))


def _within(function: F, activation: Callable[[tuple[Any, ...]], AbstractContextManager[Any]]) -> F:
    @functools.wraps(function)
    async def wait(*args: Any, **kwargs: Any) -> Any:
        with activation(args):
            return await function(*args, **kwargs)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with activation(args):
            return function(*args, **kwargs)

    return wait if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]


def decorated_class(kind: C, plan: Plan) -> C:
    """The class itself, each test of which, and of its subclasses, runs in a mock of its own, with its own setup."""
    if issubclass(kind, unittest.TestCase):
        # They surround setUp, the test, tearDown and the cleanups.
        for name in ("run", "debug"):
            setattr(kind, name, decorated(getattr(kind, name), plan))
        return kind
    _decorate_tests(kind, [name for name in dir(kind) if name.startswith(TESTS)], plan)
    if any(hasattr(kind, name) for name in AROUND):
        _surround(kind, plan)
    _decorate_subclasses(kind, plan)
    return kind


def _decorate_tests(kind: type[Any], names: list[str], plan: Plan) -> None:
    for name in names:
        found = inspect.getattr_static(kind, name)
        if isinstance(found, staticmethod | classmethod):
            setattr(kind, name, type(found)(decorated(found.__func__, plan)))
        elif isinstance(found, types.FunctionType):
            decorated(found, plan)  # refuses generators
            setattr(kind, name, _within(found, lambda args: _Test(args[0], plan, None)))


class _Test:
    """The mock of one test: entered by whoever comes first, setup_method or the test, and left by the same."""

    def __init__(self, test: Any, plan: Plan, owner: type[Any] | None) -> None:
        self._held: dict[str, Any] = getattr(test, "__dict__", {})
        self.plan = plan
        self.owner = owner
        self._own: Activation | None = None

    def __enter__(self) -> None:
        held = self._held.get(HELD)
        if held is None or held.plan is not self.plan:
            self._own = Activation(self.plan)
            self._own.start()
            self._held[HELD] = self

    def __exit__(self, *error: object) -> None:
        if self._own is not None:
            self._held.pop(HELD, None)
            self._own.close()


def _surround(kind: type[Any], plan: Plan) -> None:
    """Enter before setup_method, and leave after teardown_method, which pytest calls unless the former failed."""
    begin, end = (getattr(kind, name, None) for name in AROUND)

    # pytest counts the parameters: with a second one it hands over the test method.
    def setup_method(self: Any, method: Any = None) -> None:
        test = _Test(self, plan, kind)
        test.__enter__()
        try:
            _call(begin, self, method)
        except BaseException:
            test.__exit__()
            raise

    def teardown_method(self: Any, method: Any = None) -> None:
        held = vars(self).get(HELD)
        try:
            _call(end, self, method)
        finally:
            if held is not None and held.owner is kind:
                held.__exit__()

    for name, function in zip(AROUND, (setup_method, teardown_method), strict=True):
        setattr(kind, name, function)


def _call(function: Any, test: Any, method: Any) -> None:
    """As pytest does: with the test method, where there is a parameter for it."""
    if function is not None:
        code = getattr(function, "__code__", None)
        function(test, *([method] if code is not None and code.co_argcount > 1 else []))


def _decorate_subclasses(kind: type[Any], plan: Plan) -> None:
    own = vars(kind).get("__init_subclass__")

    def __init_subclass__(cls: type[Any], /, **kwargs: Any) -> None:  # noqa: N807
        if own is None:
            super(kind, cls).__init_subclass__(**kwargs)
        else:
            own.__get__(None, cls)(**kwargs)
        _decorate_tests(cls, [name for name in vars(cls) if name.startswith(TESTS)], plan)
        if any(name in vars(cls) for name in AROUND):
            _surround(cls, plan)

    setattr(kind, "__init_subclass__", classmethod(__init_subclass__))  # noqa: B010
