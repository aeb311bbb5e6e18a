"""What the shell completes: ids and names of the home, read from its database alone, because a shell does not wait."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import typer


def _rows(ctx: typer.Context, query: str) -> list[tuple[str, str]]:
    """Values and their help; none where there is no home, or none that can be read."""
    from ellipsis_local.errors import EllipsisLocalError
    from ellipsis_local.home import Home
    from ellipsis_local.settings import read_settings

    given = ctx.find_root().params.get("home")
    with contextlib.suppress(EllipsisLocalError, OSError, sqlite3.Error):
        path = Home(read_settings({} if given is None else {"home": Path(given).expanduser()}).home).database
        if path.is_file():
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2)) as database:
                return [(str(value), str(told)) for value, told in database.execute(query)]
    return []


def _complete(query: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        return [row for row in _rows(ctx, query) if row[0].startswith(incomplete)]

    return complete


complete_computes = _complete("SELECT id, status FROM computes ORDER BY number DESC")
complete_layers = _complete("SELECT name, id FROM paths WHERE type != 'folder' UNION SELECT id, name FROM paths")
complete_users = _complete("SELECT name, id FROM users ORDER BY name")


def complete_environments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys of the environments, which are folders."""
    from ellipsis_local.errors import EllipsisLocalError
    from ellipsis_local.settings import read_settings

    given = ctx.find_root().params.get("home")
    with contextlib.suppress(EllipsisLocalError, OSError):
        settings = read_settings({} if given is None else {"home": Path(given).expanduser()})
        folder = (settings.environments or settings.home) / "environments"
        return sorted(one.parent.name for one in folder.glob(f"{incomplete}*/environment.json"))
    return []
