"""The command line: a thin front on the same `Emulator` that the Python functions use.

app            the program, its global options, its groups
session        the home that one command works on; errors, warnings and interruptions as a person reads them
output         tables, JSON, sizes, questions
layers, computes, logs, environments, users, doctor, demo      the commands
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The program `ellipsis-local`; does not return."""
    from ellipsis_local.cli.app import app

    app(prog_name="ellipsis-local")
