"""Ellipsis Drive compute on one machine: the service's functions over real environments, partitions and processes.

>>> import ellipsis_local as el
>>> token = el.account.logIn('demo_user', 'demo_user')
>>> layer = el.layers.load(names=['dem'])['dem']
>>> computeId = el.compute.createCompute(layers=[layer], token=token, nodes=2)['id']
>>> def ids(params):
...     return sorted(params)
>>> values = el.compute.execute(computeId, ids, token)
>>> el.compute.terminateAll(token)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ellipsis_local import account, compute, errors, layers, lesson, path, state, testing, user, util
    from ellipsis_local.emulator import Emulator, configure
    from ellipsis_local.errors import EllipsisLocalError, EnvironmentWarning, FidelityWarning, LayerWarning, NodeError
    from ellipsis_local.mocking import mock
    from ellipsis_local.reports import logs, report, show
    from ellipsis_local.server import serve
    from ellipsis_local.settings import Settings

__all__ = [
    "EllipsisLocalError",
    "Emulator",
    "EnvironmentWarning",
    "FidelityWarning",
    "LayerWarning",
    "NodeError",
    "Settings",
    "account",
    "compute",
    "configure",
    "errors",
    "layers",
    "lesson",
    "logs",
    "mock",
    "path",
    "report",
    "serve",
    "show",
    "state",
    "testing",
    "user",
    "util",
]

MODULES = ("account", "compute", "errors", "layers", "lesson", "path", "state", "testing", "user", "util")
HOMES = {
    "Emulator": "emulator", "configure": "emulator", "Settings": "settings", "mock": "mocking", "report": "reports",
    "logs": "reports", "show": "reports", "serve": "server",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: helper processes of ours import single rooms, and start faster."""
    if name == "__version__":
        return import_module(f"{__name__}.settings").package_version()
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return getattr(import_module(f"{__name__}.{HOMES.get(name, 'errors')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
