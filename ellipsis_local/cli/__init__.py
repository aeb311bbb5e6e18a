"""The command line: a thin front on the same `Emulator` that the Python functions use."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The program `ellipsis-local`; does not return."""
    from ellipsis_local.cli.app import app

    app(prog_name="ellipsis-local")
