"""Modules named `ellipsis` for as long as a mock is active, where the client is not installed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ellipsis_local.mocking.local_functions import CLIENT, local_functions, modules


@functools.cache
def fake_modules() -> dict[str, ModuleType]:
    """The modules by their full names: the local functions, as the client has them."""
    made = {CLIENT: _module(CLIENT, package=True)}
    for name, local in modules().items():
        full = f"{CLIENT}.{name}"
        made[full] = module = _module(full, package=any(other.startswith(f"{name}.") for other in modules()))
        parent, _, own = full.rpartition(".")
        setattr(made[parent], own, module)
        for public in local.__all__:
            if f"{name}.{public}" in local_functions():
                setattr(module, public, local_functions()[f"{name}.{public}"])
    for module in made.values():
        module.__all__ = [name for name in vars(module) if not name.startswith("_")]  # type: ignore[attr-defined]
    return made


def _module(name: str, *, package: bool) -> ModuleType:
    module = ModuleType(name, f"`{name}` of ellipsis_local, inside ellipsis_local.mock.")
    module.__spec__ = ModuleSpec(name, None, origin="ellipsis_local.mock", is_package=package)
    if package:
        module.__path__ = []
    module.__package__ = name if package else name.rpartition(".")[0]

    def lacking(attribute: str) -> Any:
        text = f"module {name!r} has no attribute {attribute!r}"
        if not attribute.startswith("_"):
            text += (
                ": it is ellipsis_local's own here, because the client is not installed; with the client (pip install "
                f"{CLIENT}), ellipsis_local.mock has its other functions, too, as far as they are emulated"
            )
        raise AttributeError(text, name=attribute, obj=module)

    module.__getattr__ = lacking  # type: ignore[method-assign]
    return module


def _named() -> list[str]:
    return [name for name in sys.modules if name == CLIENT or name.startswith(f"{CLIENT}.")]


def install() -> Callable[[], None]:
    """Let `import ellipsis` find them; what is returned puts `sys.modules` back."""
    before = {name: sys.modules.pop(name) for name in _named()}
    sys.modules.update(fake_modules())

    def undo() -> None:
        for name in _named():
            del sys.modules[name]
        sys.modules.update(before)

    return undo
