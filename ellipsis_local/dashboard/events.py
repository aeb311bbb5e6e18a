"""One stream of server-sent events per open page: that something changed, whichever process changed it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ellipsis_local.dashboard.pages import emulator_of
from ellipsis_local.dashboard.request_log import RequestLog
from ellipsis_local.database import connect

States = Generator[str, None, None]

POLL_SECONDS = 0.25
BEAT = 60
"""Polls after which a line goes out in any case: a browser that is gone is noticed by it."""


def events(request: Request) -> Response:
    """`?of=` computes, layers, requests, builds or a compute's id; `Last-Event-ID`: of an event, after a break."""
    of = request.query_params.get("of", "computes")
    emulator = emulator_of(request)
    if of == "requests":
        states = _counts(request.app.state.requests)
    elif of == "layers":
        states = _states(emulator.home.database, emulator.store.catalogue.state)
    elif of in ("computes", "builds"):
        outputs = emulator.environments.output_files if of == "builds" else list
        states = _states(emulator.home.database, emulator.computes.records.state_of_all, outputs)
    else:
        record = emulator.computes.records.get(of)
        look = partial(emulator.computes.records.state_of_all, record.id)
        log, output = emulator.home.compute(record.id) / "log.jsonl", emulator.environments.output_file
        files = [log, output(record.spec.environment)]
        states = _states(emulator.home.database, look, lambda: files)
    stream = _stream(states, request.headers.get("last-event-id"), request.app.state.sessions.closing.is_set)
    return StreamingResponse(stream, media_type="text/event-stream")


async def _stream(states: States, seen: str | None, over: Callable[[], bool]) -> AsyncIterator[str]:
    try:
        # The page was read before: what changed until now is told by nothing else.
        state = await anyio.to_thread.run_sync(next, states)
        yield "retry: 500\n" + (f"id: {state}\n\n" if seen == state else _event(state))
        quiet = 0
        while not over():
            await anyio.sleep(POLL_SECONDS)
            former, state = state, await anyio.to_thread.run_sync(next, states)
            quiet = 0 if state != former else quiet + 1
            if state != former:
                yield _event(state)
            elif quiet % BEAT == 0:
                yield ": still here\n\n"
    finally:
        states.close()


def _event(state: str) -> str:
    return f"event: changed\nid: {state}\ndata:\n\n"


def _counts(log: RequestLog) -> States:
    while True:
        yield str(log.changes)


def _states(database: Path, look: Callable[[], str], files: Callable[[], list[Path]] = list) -> States:
    """What `look` sees, asked again only where another connection committed; with the sizes of files that grow."""
    with contextlib.closing(connect(database, check_same_thread=False)) as connection:
        version, state = None, ""
        while True:
            # Of this connection: another number as soon as any other one committed.
            (now,) = connection.execute("PRAGMA data_version").fetchone()
            if now != version:
                version, state = now, look()
            yield "-".join([state, *(str(_size(file)) for file in files())])


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
