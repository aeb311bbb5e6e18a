"""One stream of server-sent events per open page: that something changed, whichever process changed it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ellipsis_local.dashboard.pages import emulator_of
from ellipsis_local.database import connect
from ellipsis_local.emulator import Emulator

POLL_SECONDS = 0.25
BEAT = 60
"""Polls after which a line goes out in any case: a browser that is gone is noticed by it."""


def events(request: Request) -> Response:
    """`?of=computes`, `?of=home` or `?of=COMPUTE`; an event's id is what `Last-Event-ID` brings back after a break."""
    of = request.query_params.get("of", "home")
    emulator = emulator_of(request)
    if of not in ("home", "computes"):
        emulator.computes.records.get(of)
    before = request.headers.get("last-event-id")
    stream = _stream(emulator, of, before, request.app.state.sessions.closing.is_set)
    return StreamingResponse(stream, media_type="text/event-stream")


async def _stream(emulator: Emulator, of: str, seen: str | None, over: Callable[[], bool]) -> AsyncIterator[str]:
    states = _states(emulator, of)
    try:
        # What the page shows was read just before: the first state is news after a break alone.
        state = await anyio.to_thread.run_sync(next, states)
        yield f"retry: 500\nid: {state}\n\n" if seen in (None, state) else _event(state)
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


def _states(emulator: Emulator, of: str) -> Generator[str, None, None]:
    """A text per look, another one where something changed; cheap while nothing does."""
    one = None if of in ("home", "computes") else of
    log = emulator.home.compute(of) / "log.jsonl"
    with contextlib.closing(connect(emulator.home.database, check_same_thread=False)) as connection:
        version, state = None, ""
        while True:
            # Of this connection: another number as soon as any other one committed.
            (now,) = connection.execute("PRAGMA data_version").fetchone()
            if now != version:
                version = now
                state = str(now) if of == "home" else emulator.computes.records.state_of_all(one)
            yield state if one is None else f"{state}-{_size(log)}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
