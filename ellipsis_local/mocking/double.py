"""`ellipsis_local.mock` itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, overload

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import MockError
from ellipsis_local.mocking.activation import Activation, Plan
from ellipsis_local.mocking.decorating import decorated, decorated_class
from ellipsis_local.settings import absolute_folders, read_settings

T = TypeVar("T", bound=Callable[..., Any])

Folder = str | PathLike[str]


class Mock:
    """What `mock` returns: a context manager, a decorator, and `start` with `stop`.

    Each entry has a home of its own. One object may be entered again, also before it is left, and from several threads:
    the entry that is left is the last one of the thread that leaves, or else the last one.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._activations: list[tuple[int, Activation]] = []

    def start(self) -> ModuleType:
        """Enter; the mocked module `ellipsis`. Each call needs one of `stop`, at the latest the end of the process."""
        activation = Activation(self._plan)
        module = activation.start()
        with self._lock:
            self._activations.append((threading.get_ident(), activation))
        return module

    def stop(self) -> None:
        """Leave; MockError where it is not entered."""
        with self._lock:
            entry = self._last("stop needs a start before it, one for each")
            self._activations.remove(entry)
        entry[1].close()

    def _last(self, hint: str) -> tuple[int, Activation]:
        if not self._activations:
            raise MockError(f"this ellipsis_local.mock is not active: {hint}")
        own = [entry for entry in self._activations if entry[0] == threading.get_ident()]
        return (own or self._activations)[-1]

    def _active(self) -> Activation:
        with self._lock:
            return self._last("enter it first, with `with` or start")[1]

    @property
    def home(self) -> Path:
        """The folder that holds all that is stored in the mock, while it is active."""
        return self._active().settings().home

    @property
    def layers(self) -> dict[str, Any]:
        """What `ellipsis_local.layers.load` answered for the folders of `layers`, while it is active."""
        return dict(self._active().loaded)

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __call__(self, function_or_class: T, /) -> T:
        if isinstance(function_or_class, type):
            return decorated_class(function_or_class, self._plan)
        return decorated(function_or_class, self._plan)


@overload
def mock(function_or_class: T, /) -> T: ...
@overload
def mock(
    *,
    home: Folder | None = None,
    layers: Folder | Iterable[Folder] | None = None,
    inline: bool = False,
    seed: int | None = None,
    clock: datetime | str | None = None,
    strict: bool | Literal["service"] | None = None,
    environments: Folder | None = None,
    **settings: Any,
) -> Mock: ...
def mock(
    function_or_class: Callable[..., Any] | None = None,
    /,
    *,
    home: Folder | None = None,
    layers: Folder | Iterable[Folder] | None = None,
    inline: bool = False,
    seed: int | None = None,
    clock: datetime | str | None = None,
    strict: bool | Literal["service"] | None = None,
    environments: Folder | None = None,
    **settings: Any,
) -> Any:
    """Let `ellipsis` be the local one for a while, on a home of its own, with nothing leaving for the service.

    >>> with el.mock() as ellipsis:
    ...     token = ellipsis.account.logIn('demo_user', 'demo_user')
    >>> @el.mock(inline=True)
    ... def test_maximum(): ...

    Inside, the functions of an installed package `ellipsis` that are emulated are the local ones, in whatever way they
    were imported, before or after; its other functions send their requests to a server on the same home, which starts
    with the first of them. Where the package is not installed, `import ellipsis` gives the local functions.
    `ellipsis_local`'s own functions, and `configure`, work on the mock as well. Leaving restores everything.

    Threads that enter mocks have one each; a thread that was started within a mock shares the one that was entered
    last.

    Parameters
    ----------
    function_or_class : function or class
        With ``@mock``: what to decorate. Of a class each test method, with its setUp, is in a mock of its own.
    home : path, optional
        The folder to use, which is kept, with its ``settings.toml``; a new one for each entry, removed at its end,
        where None.
    layers : path or list of paths, optional
        Folders of layers to load at each entry, as `ellipsis_local.layers.load` does.
    inline : bool
        Run nodes in this process; no environment is built.
    seed : int, optional
        Ids, and the `random` and numpy.random of every node, follow from it.
    clock : datetime, optional
        The time that all that is stored gets.
    strict : bool or 'service', optional
        Refuse what the service would refuse, instead of warning; 'service' also cuts, counts and answers as that does.
    environments : path, optional
        The folder in which environments are built and found; that of the home outside of the mock where None.
    **settings
        Other settings of `ellipsis_local.configure`. Environment variables do not reach into a mock.

    Returns
    -------
    Mock or what was decorated
        A context manager that yields the mocked module `ellipsis`, with `start`, `stop`, `home` and `layers`; a
        decorator.

    Raises
    ------
    SettingsError, ArgumentError
        At once, for what cannot be used.
    RealServiceError
        Inside, by whatever wants to reach the service.
    AccountError
        Inside, for a token that looks like one of the service.
    """
    optional = {"inline": inline or None, "seed": seed, "clock": clock, "strict": strict, "environments": environments}
    given = settings | {name: value for name, value in optional.items() if value is not None}
    given = absolute_folders(given, "ellipsis_local.mock")
    kept = None if home is None else read_settings({"home": home}, {}, source="ellipsis_local.mock").home
    made = Mock(Plan(kept, _folders(layers), given))
    return made if function_or_class is None else made(function_or_class)


def _folders(layers: Any) -> tuple[Path, ...]:
    given = [] if layers is None else [layers] if isinstance(layers, str | PathLike) else layers
    if not isinstance(given, Iterable):
        raise invalid("layers", layers, f"must be a folder or a list of folders, not {layers!r}")
    folders = []
    for path in given:
        text = arguments.path_text("layers", path)
        folder = Path(text or "").expanduser().absolute()
        if text is None or not folder.is_dir():
            way_out = "give the path of a folder with layer files in it"
            raise invalid("layers", path, f"must name folders, and {path!r} is none; {way_out}")
        folders.append(folder)
    return tuple(folders)
