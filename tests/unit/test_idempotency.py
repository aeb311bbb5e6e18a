"""Requests that are sent again: work that waits for its release, and never for a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ellipsis_local.server.idempotency import Idempotency


class Job:
    """Work that waits for its release, and counts how often it is done."""

    def __init__(self, error: Exception | None = None) -> None:
        self.released = asyncio.Event()
        self.times = 0
        self.error = error

    async def __call__(self) -> int:
        self.times += 1
        times = self.times
        await self.released.wait()
        if self.error is not None:
            raise self.error
        return times


class Connection:
    """Somebody who asks; `gone` once they gave up."""

    def __init__(self) -> None:
        self.closed = False

    async def gone(self) -> bool:
        return self.closed


def ask(
    repeats: Idempotency[int], job: Job, key: str = "a", *, living: bool = True
) -> tuple[asyncio.Task[int], Connection]:
    connection = Connection()
    return asyncio.create_task(repeats.run(key, job, connection.gone, join_living=living)), connection


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def in_loop(test: Callable[[], Awaitable[Any]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@in_loop
async def test_a_repeat_of_an_unanswered_request_gets_its_answer() -> None:
    repeats, job = Idempotency[int](), Job()
    first, gave_up = ask(repeats, job)
    await settle()
    gave_up.closed = True
    second, _ = ask(repeats, job)
    await settle()
    job.released.set()
    assert await asyncio.gather(first, second) == [1, 1]
    third, _ = ask(repeats, job)
    assert await third == 2


@in_loop
async def test_an_answer_that_nobody_read_waits_for_the_repeat() -> None:
    repeats, job = Idempotency[int](), Job()
    first, gave_up = ask(repeats, job)
    await settle()
    gave_up.closed = True
    job.released.set()
    await first
    assert await ask(repeats, job)[0] == 1
    assert await ask(repeats, job)[0] == 2


@in_loop
async def test_it_does_not_wait_for_ever() -> None:
    repeats, job = Idempotency[int](seconds=0), Job()
    first, gave_up = ask(repeats, job)
    gave_up.closed = True
    job.released.set()
    assert await first == 1
    assert await ask(repeats, job)[0] == 2


@in_loop
async def test_only_so_many_wait() -> None:
    repeats, job = Idempotency[int](most=3), Job()
    job.released.set()
    for key in "abcde":
        task, gave_up = ask(repeats, job, key)
        gave_up.closed = True
        await task
    assert await ask(repeats, job, "e")[0] == 5
    assert await ask(repeats, job, "a")[0] == 6


@in_loop
async def test_other_requests_are_other_work() -> None:
    repeats, job = Idempotency[int](), Job()
    first, second = ask(repeats, job, "a")[0], ask(repeats, job, "b")[0]
    await settle()
    job.released.set()
    assert sorted(await asyncio.gather(first, second)) == [1, 2]


@in_loop
async def test_two_living_requests_are_two_where_they_may_be() -> None:
    repeats, job = Idempotency[int](), Job()
    first, connection = ask(repeats, job, living=False)
    await settle()
    second, _ = ask(repeats, job, living=False)
    await settle()
    assert job.times == 2
    connection.closed = True
    job.released.set()
    assert sorted(await asyncio.gather(first, second)) == [1, 2]


@in_loop
async def test_a_repeat_of_a_deserted_request_joins_it() -> None:
    repeats, job = Idempotency[int](), Job()
    first, connection = ask(repeats, job, living=False)
    await settle()
    connection.closed = True
    second, _ = ask(repeats, job, living=False)
    await settle()
    job.released.set()
    assert await asyncio.gather(first, second) == [1, 1]


@in_loop
async def test_an_error_is_an_answer() -> None:
    repeats, job = Idempotency[int](), Job(ValueError("no"))
    first, gave_up = ask(repeats, job)
    await settle()
    gave_up.closed = True
    second, _ = ask(repeats, job)
    await settle()
    job.released.set()
    for task in (first, second):
        with pytest.raises(ValueError, match="no"):
            await task
    assert job.times == 1


@in_loop
async def test_work_goes_on_when_the_one_who_asked_is_cancelled() -> None:
    repeats, job = Idempotency[int](), Job()
    first, connection = ask(repeats, job)
    await settle()
    connection.closed = True
    first.cancel()
    await settle()
    second, _ = ask(repeats, job)
    await settle()
    job.released.set()
    assert await second == 1
