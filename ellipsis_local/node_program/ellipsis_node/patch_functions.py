"""Another body for a function that is there already, for a while: whoever holds the function calls the new one."""

from __future__ import annotations

import types
from typing import Any, Callable

Undo = Callable[[], None]


def _stub(*args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    hook: Any = "the hook"
    return hook(*args, **kwargs)


def swap(function: types.FunctionType, hook: Callable[..., Any]) -> Undo:
    """Let every call of the function be one of `hook`, until what is returned is called.

    The function object stays, so it does not matter who imported it, or keeps it in a default, a dict or a partial.
    `inspect` sees the hook's signature. ValueError for a function with a closure, whose body cannot be another's.
    """
    if function.__closure__:
        raise ValueError(f"{function.__qualname__} has a closure")
    former = function.__code__, function.__defaults__, function.__kwdefaults__
    wrapped = vars(function).get("__wrapped__")
    # A constant of the new body is the hook itself: the body runs with the globals of the function's module.
    constants = tuple(hook if value == "the hook" else value for value in _stub.__code__.co_consts)
    # The body first: defaults without parameters do no harm, parameters without defaults would.
    function.__code__ = _stub.__code__.replace(co_consts=constants, co_name=function.__name__)
    function.__defaults__ = function.__kwdefaults__ = None
    function.__wrapped__ = getattr(hook, "__wrapped__", hook)  # type: ignore[attr-defined]

    def undo() -> None:
        _, function.__defaults__, function.__kwdefaults__ = former
        function.__code__ = former[0]
        if wrapped is None:
            vars(function).pop("__wrapped__", None)
        else:
            function.__wrapped__ = wrapped  # type: ignore[attr-defined]

    return undo


def copied(function: types.FunctionType, names: dict[str, Any] | None = None) -> types.FunctionType:
    """A function of its own with the body that it has now; `names` are its globals, in place of the module's."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__ if names is None else names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def set_attribute(owner: Any, name: str, value: Any) -> Undo:
    """Set an attribute of a module or class; undone only where it still is what was set."""
    had, former = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)

    def undo() -> None:
        if vars(owner).get(name) is not value:
            return
        if had:
            setattr(owner, name, former)
        else:
            delattr(owner, name)

    return undo
