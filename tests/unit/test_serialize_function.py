"""How a function is sent, and what is said of one that the service would not run."""

from __future__ import annotations

import functools
import math
import sys
import warnings

import pytest

from ellipsis_local.errors import ArgumentError, FidelityError, FidelityWarning
from ellipsis_local.nodes import describe_function
from ellipsis_local.nodes.serialize_function import service_text

HERE = sys.version_info[:3]
ELSEWHERE = (3, 9, 0)
FACTOR = 3


def plain(params):
    import numpy

    def inner(x):
        return inner(x - 1) if x else numpy.pi

    return [len(params), inner(2)]


def recursive(params, depth=0):
    return depth if depth > 3 else recursive(params, depth + 1)


def uses_module_name(params):
    return math.pi * FACTOR


def annotated(params: dict[str, FACTOR]) -> None:
    return None


def default_from_module(params, factor=FACTOR):
    return factor


def name_with_def_inside(params):
    return 1


@functools.cache
def decorated(params):
    return 1


def run(description: dict) -> object:
    """What the service does with the text."""
    scope: dict = {}
    exec(description.text, scope)
    return scope["userFunction"]({})


def test_text_is_the_clients() -> None:
    # Written out by hand after hosted-service.md: two spaces before every line but the first, one before that.
    source = "def f(params):\n    return 1\n"
    assert service_text(source) == (
        "def userFunction(params):\n def f(params):\n      return 1\n  \n return f(params)", "f"
    )  # fmt: skip


@pytest.mark.parametrize(("function", "result"), [(plain, [0, math.pi]), (recursive, 4)])
def test_self_contained_functions_go_as_source(function, result) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        description = describe_function(function, ELSEWHERE, strict=True)
    assert description.kind == "source"
    assert run(description) == result


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (uses_module_name, "it uses math from outside"),
        (uses_module_name, "it uses FACTOR from outside"),
        (annotated, "it uses FACTOR from outside"),
        (default_from_module, "it uses FACTOR from outside"),
        (lambda params: 1, "lambda"),
        (decorated.__wrapped__, "decorator"),
    ],
)
def test_what_the_service_would_not_run(function, problem) -> None:
    with pytest.warns(FidelityWarning, match=problem):
        assert describe_function(function, HERE, strict=False).kind == "pickle"
    with pytest.raises(FidelityError, match=problem):
        describe_function(function, HERE, strict=True)
    with pytest.raises(FidelityError, match="this Python's own version"):
        describe_function(function, ELSEWHERE, strict=False)


def test_a_closure_is_pickled() -> None:
    factor = 2

    def closure(params):
        return factor

    with pytest.warns(FidelityWarning, match="it uses factor from outside"):
        assert describe_function(closure, HERE, strict=False).kind == "pickle"


def test_a_function_inside_another_goes_as_source_with_a_warning() -> None:
    def nested(params):
        return len(params)

    with pytest.warns(FidelityWarning, match="indented wrongly"):
        description = describe_function(nested, ELSEWHERE, strict=False)
    assert run(description) == 0


def test_a_name_with_def_goes_as_source_with_a_warning() -> None:
    with pytest.warns(FidelityWarning, match="would call 'name_with__inside'"):
        description = describe_function(name_with_def_inside, ELSEWHERE, strict=False)
    assert run(description) == 1


def test_a_function_without_source_is_pickled() -> None:
    scope: dict = {}
    exec("def made(params):\n    return 7\n", scope)
    with pytest.warns(FidelityWarning, match="source is not available"):
        assert describe_function(scope["made"], HERE, strict=False).kind == "pickle"


async def coroutine(params):
    return 1


def generator(params):
    yield 1


def no_argument():
    return 1


def two_arguments(params, more):
    return 1


class Callable:
    def __call__(self, params):
        return 1

    def method(self, params):
        return 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "must be a function, not NoneType"),
        ("f", "must be a function, not str"),
        (len, "must be a function, not builtin"),
        (Callable(), "must be a function, not Callable"),
        (Callable().method, "must be a function, not method"),
        (functools.partial(plain), "must be a function, not partial"),
        (no_argument, "must take one argument"),
        (two_arguments, "must take one argument"),
        (coroutine, "async function"),
        (generator, "generator"),
    ],
)
def test_what_is_no_function_of_one_argument(value, text) -> None:
    with pytest.raises(ArgumentError, match=text) as caught:
        describe_function(value, HERE, strict=False)
    assert caught.value.argument == "f"


def test_another_text_of_the_same_file_name_is_not_sent(monkeypatch) -> None:
    import linecache

    scope: dict = {}
    exec("def made(params):\n    return 7\n", scope)
    # As `python -c` leaves it from Python 3.13 on.
    other = "import sys;exec('def other(): pass')\n"
    monkeypatch.setitem(linecache.cache, "<string>", (len(other), None, [other], "<string>"))
    with pytest.warns(FidelityWarning, match="source is not available"):
        assert describe_function(scope["made"], HERE, strict=False).kind == "pickle"
