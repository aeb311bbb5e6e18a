"""The home that one command works on; errors, warnings and interruptions as a person reads them."""

from __future__ import annotations

import contextlib
import errno
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from ellipsis_local.cli.printing import errors
from ellipsis_local.errors import (
    EllipsisLocalError,
    EnvironmentWarning,
    FidelityWarning,
    LayerWarning,
    OutputWarning,
    PixelWarning,
)

if TYPE_CHECKING:
    from ellipsis_local.emulator import Emulator
    from ellipsis_local.settings import Settings

INTERRUPTED = 130
OUR_WARNINGS = (EnvironmentWarning, FidelityWarning, LayerWarning, OutputWarning, PixelWarning)


@dataclass(frozen=True)
class Session:
    """What the global options say."""

    home: Path | None = None
    traceback: bool = False

    def settings(self, **given: Any) -> Settings:
        """The settings in force, as `configure(home=…, **given)` would leave them."""
        from ellipsis_local.settings import read_settings

        return read_settings(given if self.home is None else {"home": self.home, **given})

    @contextlib.contextmanager
    def emulator(self, **given: Any) -> Iterator[Emulator]:
        """The emulator of the home, on which the package's public functions work as well; closed at the end."""
        from ellipsis_local.emulator import Emulator, use

        with Emulator(self.settings(**given)) as emulator:
            use(emulator)
            try:
                yield emulator
            finally:
                use(None)


def session_of(ctx: typer.Context) -> Session:
    found = ctx.find_object(Session)
    return Session() if found is None else found


class Front(TyperGroup):
    """The root of all commands: whatever goes wrong below it is told here.

    Exit codes: 0 done, 1 an error, 2 a command line that cannot be understood, 130 Ctrl-C.
    """

    def invoke(self, ctx: Any) -> Any:
        with _warnings_told():
            try:
                return super().invoke(ctx)
            except (KeyboardInterrupt, typer.Abort):
                # an Abort is a Ctrl-C at a question
                errors().print("interrupted", style="yellow")
                raise typer.Exit(INTERRUPTED) from None
            except (EllipsisLocalError, OSError) as error:
                # A closed pipe (… | head) is typer's to end.
                if ctx.params.get("traceback") or getattr(error, "errno", None) == errno.EPIPE:
                    raise
                tell_error(error)
                raise typer.Exit(1) from None


def tell_error(error: BaseException) -> None:
    """The error's own words on stderr, and what was noted on it."""
    out, words = errors(), str(error)
    out.print("[bold red]error:[/]", end=" ")
    if isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename}: {error.strerror}"
    for text in (words, *getattr(error, "__notes__", ())):
        out.print(text, markup=False)


@contextlib.contextmanager
def _warnings_told() -> Iterator[None]:
    """Our warnings as one line on stderr, each text once; those of libraries stay with Python's filters."""
    told: set[str] = set()
    shown = warnings.showwarning

    def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, OUR_WARNINGS):
            shown(message, category, *place, **more)
        elif str(message) not in told:
            told.add(str(message))
            out = errors()
            out.print("[yellow]warning:[/]", end=" ")
            out.print(str(message), markup=False)

    with warnings.catch_warnings():
        for category in OUR_WARNINGS:
            warnings.simplefilter("always", category)
        warnings.showwarning = tell
        yield
