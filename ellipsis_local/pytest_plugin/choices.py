"""What was chosen for a test: marker before command line before ini file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

INLINE = ("marked", "always", "never")
SHARED, SESSION = "shared", "session"
HELP = {
    "ellipsis_inline": "which tests run their nodes in the test's own process: those marked so (marked, the default), "
    "all but those marked inline=False (always), or none (never)",
    "ellipsis_strict": "refuse what would not run on the service (true), and cut and answer as that does (service)",
    "ellipsis_cores": "how many nodes run at the same time; default all cores",
    "ellipsis_environments": "where virtual environments are kept: those of your own home (shared, the default), "
    "made for this run (session), or a folder",
    "ellipsis_seed": "ids and the nodes' random numbers follow from it: a number (default 0), or none",
    "ellipsis_clock": "the time that all that is stored gets, such as 2025-06-01T12:00:00Z; default none",
    "ellipsis_layers": "folders of layers that the fixture ellipsis_layers loads",
    "ellipsis_leaks": "fail tests that leave processes, threads or open files behind (default true)",
    "ellipsis_guard": "keep every test from the hosted service, also those without the fixture (default true where the "
    "project sets any of these options, else false)",
}

KINDS: dict[str, Literal["bool", "paths"]] = {
    "ellipsis_leaks": "bool",
    "ellipsis_guard": "bool",
    "ellipsis_layers": "paths",
}
"""Of the options of the ini file; the others are texts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; those of the command line win over those of the ini file."""
    group = parser.getgroup("ellipsis", "ellipsis_local: the service on this machine")
    group.addoption("--ellipsis-inline", choices=INLINE, default=None, help=HELP["ellipsis_inline"])
    group.addoption(
        "--ellipsis-strict", action="store_const", const=True, default=None,
        help="refuse what would not run on the service",
    )  # fmt: skip
    group.addoption(
        "--ellipsis-as-the-service", dest="ellipsis_strict", action="store_const", const="service",
        help="as --ellipsis-strict, and cut into shards, keep the service's limits, and give results as JSON",
    )  # fmt: skip
    group.addoption("--ellipsis-cores", metavar="N", default=None, help=HELP["ellipsis_cores"])
    group.addoption("--ellipsis-environments", metavar="WHERE", default=None, help=HELP["ellipsis_environments"])
    group.addoption("--ellipsis-seed", metavar="N", default=None, help=HELP["ellipsis_seed"])
    # None tells what nobody has set, see `guards`.
    for name, text in HELP.items():
        parser.addini(name, text, type=KINDS.get(name, "string"), default=None)


def _whole(name: str, text: str, least: int) -> int | None:
    if text.lower() in ("", "none"):
        return None
    if not text.isdecimal() or int(text) < least:
        raise pytest.UsageError(f"{name} must be a whole number from {least} on, or none; not {text!r}")
    return int(text)


def _strict(given: Any) -> bool | str:
    from ellipsis_local.settings import parse_strict

    try:
        return parse_strict(given or False)
    except ValueError as error:
        raise pytest.UsageError(f"ellipsis_strict {error}; not {given!r}") from None


def guard_of(item: pytest.Item) -> bool | None:
    """What the closest marker that says so has for `guard`; None where none does."""
    found = (marker.kwargs["guard"] for marker in item.iter_markers("ellipsis") if "guard" in marker.kwargs)
    return next((bool(value) for value in found), None)


def guards(config: pytest.Config) -> bool:
    """Whether what is not marked is kept from the service: as the ini file says, else where that sets any option."""
    chosen = config.getini("ellipsis_guard")
    return any(config.getini(name) is not None for name in HELP) if chosen is None else bool(chosen)


@dataclass(frozen=True)
class Choices:
    inline: str = "marked"
    keep: str = SHARED
    """Where environments are kept: 'shared', 'session' or a folder."""
    layers: tuple[Path, ...] = ()
    leaks: bool = True
    given: dict[str, Any] = field(default_factory=dict)
    """The settings that somebody chose."""

    @classmethod
    def of(cls, config: pytest.Config) -> Choices:
        """Those of the command line and of the ini file; pytest.UsageError for an impossible value."""

        def value(name: str) -> Any:
            given = config.getoption(name)
            return config.getini(name) if given is None else given

        inline = value("ellipsis_inline") or "marked"
        if inline not in INLINE:
            raise pytest.UsageError(f"ellipsis_inline must be one of {', '.join(INLINE)}; not {inline!r}")
        keep = value("ellipsis_environments") or SHARED
        if keep not in (SHARED, SESSION):
            # From the command line relative to where pytest was started, from the ini file to that file.
            base = config.invocation_params.dir if config.getoption("ellipsis_environments") else config.rootpath
            keep = str(base / Path(keep).expanduser())
        return cls(
            inline=inline,
            keep=keep,
            layers=tuple(Path(folder) for folder in config.getini("ellipsis_layers") or ()),
            leaks=config.getini("ellipsis_leaks") is not False,
            given={
                "strict": _strict(value("ellipsis_strict")),
                "cores": _whole("ellipsis_cores", value("ellipsis_cores") or "", 1),
                "seed": _whole("ellipsis_seed", value("ellipsis_seed") or "0", 0),
                "clock": config.getini("ellipsis_clock") or None,
            },
        )

    def refined(self, item: pytest.Item) -> Choices:
        """With what the test's markers say; the closest wins, setting by setting."""
        given: dict[str, Any] = {}
        for marker in reversed(list(item.iter_markers("ellipsis"))):
            if marker.args:
                raise pytest.UsageError(
                    f"{item.nodeid}: the marker ellipsis takes names only, such as inline=True; not {marker.args!r}"
                )
            given |= marker.kwargs
        for name in ("home", "environments"):
            if name in given:
                raise pytest.UsageError(
                    f"{item.nodeid}: {name} cannot be set by the marker ellipsis; every test has a home of its own, "
                    "and the option ellipsis_environments says where environments are kept"
                )
        if guard_of(item) is False:
            raise pytest.UsageError(
                f"{item.nodeid}: guard=False of the marker ellipsis is for a test that talks to the service, and its "
                "fixtures are there to keep a test from it: leave out one of them"
            )
        given.pop("guard", None)
        layers = given.pop("layers", self.layers)
        if isinstance(layers, str | os.PathLike):
            layers = (layers,)
        leaks = given.pop("leaks", self.leaks)
        inline = given.pop("inline", self.inline == "always")
        given["inline"] = bool(inline) and self.inline != "never"
        folder = item.path.parent
        return replace(
            self,
            layers=tuple(folder / Path(layer).expanduser() for layer in layers),
            leaks=bool(leaks),
            given=self.given | given,
        )

    def settings(self) -> dict[str, Any]:
        """The settings for `ellipsis_local.mock`, without those that nobody chose."""
        return {name: value for name, value in self.given.items() if value is not None}

    def environments(self, folders: pytest.TempPathFactory) -> Path | None:
        """The folder of the environments; None: that of the user's own home."""
        if self.keep == SHARED:
            return None
        if self.keep == SESSION:
            base = folders.getbasetemp()
            # pytest-xdist gives each of its processes a folder below the run's.
            return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ellipsis-environments"
        return Path(self.keep)

    def header(self) -> str | None:
        """What is chosen otherwise than by default, in a line."""
        default = {"strict": False, "seed": 0, "cores": None, "clock": None}
        chosen = [f"{name}={value}" for name, value in self.given.items() if value != default.get(name)]
        if self.inline != "marked":
            chosen.append(f"inline={self.inline}")
        if self.keep != SHARED:
            chosen.append(f"environments={self.keep}")
        return f"ellipsis_local: {', '.join(chosen)}" if chosen else None
