"""`import ellipsis` while tests are collected, before any fixture runs, where the client is not installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

CLIENT = "ellipsis"


class StandInFinder(MetaPathFinder, Loader):
    """Finds the modules that a mock shows; their functions work inside a mock only. The last to be asked."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != CLIENT:
            return None
        from ellipsis_local.mocking.fake_modules import fake_modules

        if name not in fake_modules():
            return None
        return ModuleSpec(name, self, is_package=hasattr(fake_modules()[name], "__path__"))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from ellipsis_local.mocking.fake_modules import fake_modules

        return fake_modules()[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has all that it has."""

    def install(self) -> None:
        """Ask this finder, too."""
        sys.meta_path.append(self)

    def remove(self) -> None:
        """Ask it no more, and forget what it found."""
        sys.meta_path.remove(self)
        for name in [name for name in sys.modules if name.partition(".")[0] == CLIENT]:
            if getattr(sys.modules[name].__spec__, "loader", None) is self:
                del sys.modules[name]
