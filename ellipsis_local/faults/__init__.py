"""Faults on purpose: what a test asks to go wrong in one home, and the points at which the rooms ask for it.

    with ellipsis_local.testing.faults(killed=[1]): …        puts a `Plan` on the home in use, and takes it off again

Nothing is patched. A room that can fail for real asks here at the point where it would, `faults.NAME(home.root, …)`;
without an active plan that is one look into an empty dictionary. What follows is the room's own way to fail, so that
records, messages and errors are those of the real failure.

| asked | by |
|---|---|
| `most_nodes` | the plan of the account (`emulator`), the check of a request (`computes.specification`) |
| `build` | the start of a compute, before its environment (`computes.lifecycle`) |
| `vanished` | `partitions`, before a cut is looked for |
| `hold`, `arrived`, `release`, `let_go` | the start of a compute (`computes.lifecycle`) |
| `polled` | whoever asks how far a compute is (`compute`, `server.routes.computes`) |
| `of_nodes` | an execution; the entry `faults` of the function's description is carried out by the node program |
| `terminates` | an execution, after each node |
| `drop` | the server, for each request |
"""

from ellipsis_local.faults.active import (
    active,
    arrived,
    build,
    drop,
    hold,
    let_go,
    most_nodes,
    of_nodes,
    polled,
    release,
    terminates,
    vanished,
)
from ellipsis_local.faults.plan import Plan

__all__ = [
    "Plan",
    "active",
    "arrived",
    "build",
    "drop",
    "hold",
    "let_go",
    "most_nodes",
    "of_nodes",
    "polled",
    "release",
    "terminates",
    "vanished",
]
