"""An installed client: its own function objects get other bodies while a mock is active, whoever imported them.

What is not emulated in this process goes on in the client's code, with requests to the innermost mock's server.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from ellipsis_local import direct_requests
from ellipsis_local.api_functions import attached
from ellipsis_local.errors import MockError
from ellipsis_local.mocking.local_functions import CLIENT, local_functions, mocked
from ellipsis_local.mocking.network_guard import MANAGER, host_of, refused
from ellipsis_local.node_program.ellipsis_node.patch_functions import copied, set_attribute, swap
from ellipsis_local.settings import is_loopback

SENDING = ("call", "upload", "download")
"""The client's functions through which all of its requests go."""
VERBS = ("get", "post", "put", "patch", "delete")
DOCUMENTED = ("compute.getComputeInfo", "compute.addLayer")
"""What is documented and the client does not export; it has them inside a mock."""
SEEN = ("account.browserLogin",)
"""What goes to the service by other ways than requests: a page that is opened in the user's browser."""


@runtime_checkable
class Addressed(Protocol):
    """Where requests of the client go: the innermost mock of whoever sends them."""

    def url(self, token: str | None) -> str:
        """The address of its server, for requests with that token."""

    def check(self, token: str | None) -> None:
        """An error for a token of the hosted service."""


def is_installed() -> bool:
    """Whether `import ellipsis` finds a module, other than a folder that merely has this name."""
    if CLIENT in sys.modules:
        module = sys.modules[CLIENT]
        return module is not None and getattr(module, "__file__", None) is not None
    found = importlib.util.find_spec(CLIENT)
    return found is not None and found.origin is not None


def import_client() -> types.ModuleType:
    """The client's package; MockError where the module of that name is another one."""
    # It turns all warnings off when it is imported.
    with warnings.catch_warnings():
        client = importlib.import_module(CLIENT)
        try:
            manager = importlib.import_module(MANAGER)
        except ModuleNotFoundError as error:
            if error.name not in (MANAGER, CLIENT):
                raise
            manager = None
    if not all(callable(getattr(manager, name, None)) for name in SENDING):
        raise MockError(
            f"the module {CLIENT} ({client.__file__}) is not the client of Ellipsis Drive, or a release of it that is "
            f"not known here: {MANAGER} lacks {', '.join(SENDING)}; rename the module, or install another release"
        )
    return client


def install(client: types.ModuleType, current: Callable[[], Addressed]) -> Callable[[], None]:
    """Give the client's functions other bodies; what is returned gives them their own again."""
    manager = sys.modules[MANAGER]
    with contextlib.ExitStack() as stack:
        requests = _Requests(manager, current)
        for name in requests.names:
            stack.callback(swap(vars(manager)[name], requests.sender(name)))
        for name, local in local_functions().items():
            # Functions that only compute or write files stay the client's, and so do those that are requests.
            if not name.startswith("util.") and name not in attached:
                for undo in _replaced(client, name, local):
                    stack.callback(undo)
        for name in SEEN:
            for function in _functions(*_place(client, name)):
                stack.callback(swap(function, mocked(name, _refuse)))
        return stack.pop_all().close


def _place(client: types.ModuleType, name: str) -> tuple[types.ModuleType | None, str]:
    """The module of the client that should hold it, and its name there."""
    *parents, own = name.split(".")
    owner: Any = client
    for parent in parents:
        owner = getattr(owner, parent, None)
    return (owner if isinstance(owner, types.ModuleType) else None), own


def _replaced(client: types.ModuleType, name: str, local: Callable[..., Any]) -> Iterator[Callable[[], None]]:
    owner, own = _place(client, name)
    found = _functions(owner, own)
    for function in found:
        yield swap(function, local)
    if owner is not None and own not in vars(owner) and name in DOCUMENTED:
        yield set_attribute(owner, own, next(iter(found), local))


def _functions(owner: types.ModuleType | None, name: str) -> list[types.FunctionType]:
    """The client's own functions of that name, exported or not, without what a user has put in their place."""
    if owner is None:
        return []
    values = [vars(module).get(name) for module in (owner, sys.modules.get(f"{owner.__name__}.root", owner))]
    unique = {id(value): value for value in values if isinstance(value, types.FunctionType)}
    return [function for function in unique.values() if _is_own(function)]


def _is_own(value: Any) -> bool:
    own = isinstance(value, types.FunctionType) and f"{value.__module__}.".startswith(f"{CLIENT}.")
    return own and not value.__closure__


def _refuse(*_: Any, **__: Any) -> Any:
    raise refused(host_of(getattr(sys.modules[MANAGER], "appUrl", "")) or "the service")


class _Requests:
    """The client's own way of sending, over other globals: another address, and no proxy on the way there."""

    def __init__(self, manager: types.ModuleType, current: Callable[[], Addressed]) -> None:
        self._manager = manager
        self._current = current
        self._default = vars(manager)["baseUrl"]
        own = {name: value for name, value in vars(manager).items() if _is_own(value)}
        self._found = {name: value for name, value in own.items() if value.__module__ == manager.__name__}
        self._own = {name: copied(value) for name, value in self._found.items()}
        self.names = [name for name in SENDING if name in self._own]
        """Those of `SENDING` that are the client's own."""

    def sender(self, name: str) -> Callable[..., Any]:
        signature = inspect.signature(self._own[name])

        @functools.wraps(self._own[name])
        def send(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            url = self._address(given.arguments.get("token"))
            requests = self._manager.requests
            if (method := given.arguments.get("method")) is not None:
                given.arguments["method"] = _sent(requests, method.__name__)
            verbs = {verb: _sent(requests, verb) for verb in VERBS}
            names = vars(self._manager) | {"baseUrl": url, "requests": types.SimpleNamespace(**vars(requests) | verbs)}
            # They look each other up here when they are called; what a user has put in their place stays.
            for one, function in self._own.items():
                if names.get(one) is self._found[one]:
                    names[one] = copied(function, names)
            return names[name](*given.args, **given.kwargs)

        return mocked(f"apiManager.{name}", send)

    def _address(self, token: Any) -> str:
        """Where a request goes: the mock's server, or another on this machine that the user has set meanwhile."""
        token = token if isinstance(token, str) else None
        own, now = self._current(), self._manager.baseUrl
        if now == self._default:
            return own.url(token)
        own.check(token)
        host = host_of(now)
        if host is None or not is_loopback(host):
            raise refused(host or str(now))
        return str(now)


def _sent(requests: Any, method: str) -> Callable[..., Any]:
    def send(url: str, **options: Any) -> Any:
        if direct_requests.is_served(url):
            return direct_requests.send(method.upper(), url, **options)
        with requests.Session() as session:
            # Neither a proxy nor an entry of .netrc has a say in what goes to this machine.
            session.trust_env = False
            return session.request(method.upper(), url, **options)

    return send
