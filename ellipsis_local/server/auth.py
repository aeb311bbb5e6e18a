"""Who asks: the token of a request, looked up when an endpoint needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ellipsis_local.accounts import User
from ellipsis_local.computes.compute_json import WireAnswers
from ellipsis_local.drive import Drive
from ellipsis_local.drive.drive import LayerType
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import AccessError, AccountError, ArgumentError
from ellipsis_local.server.request_models import PathId, TimestampId
from ellipsis_local.sharing import EDIT
from ellipsis_local.types import StoredFile, Timestamp

KNOWN = "ellipsis_local.caller"

bearer = HTTPBearer(auto_error=False, description="The token of account/login; GETs may give it as ?token=, too.")


@dataclass
class Caller:
    """Whoever sent a request. Everything is looked up at first use, in the thread of the endpoint."""

    emulator: Emulator
    answers: WireAnswers
    token: str | None

    @cached_property
    def user(self) -> User:
        if not self.token:
            raise AccountError("a token is missing: log in with account.logIn and pass what it returns as token")
        return self.emulator.accounts.known_user(self.token)

    @property
    def full_user(self) -> User:
        """The user of a full token; AccessError for an access token, which speaks for some paths only."""
        if self.user.grants is not None:
            raise AccessError("an access token is for the paths of its access list only; log in with account.logIn")
        return self.user

    @cached_property
    def drive(self) -> Drive:
        return self.emulator.drive(self.user)

    @cached_property
    def guest(self) -> Drive:
        """The drive of a user, or of nobody where there is no token; a wrong token is an error here, too."""
        return self.emulator.drive(self.user if self.token else None)


async def asker(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None
) -> Caller:
    known: Caller | None = request.scope.get(KNOWN)
    if known is not None:
        return known
    token = credentials.credentials if credentials is not None else None
    if token is None and request.method == "GET":
        token = request.query_params.get("token")
    return Caller(request.app.state.emulator, request.app.state.answers, token)


async def authenticate(request: Request) -> None:
    """Look up whose token it is, before the body of the request is read."""
    caller = await asker(request, await bearer(request))
    await anyio.to_thread.run_sync(lambda: caller.user)
    request.scope[KNOWN] = caller


Asker = Annotated[Caller, Depends(asker)]
"""The parameter of an endpoint that wants to know who asks."""


@dataclass(frozen=True)
class TimestampRequest:
    asker: Caller
    path_id: str
    timestamp_id: str

    @property
    def emulator(self) -> Emulator:
        return self.asker.emulator

    def view(self, type: LayerType) -> Timestamp:
        """The timestamp, for whoever may view it; the request counts as one processing unit (our choice)."""
        timestamp = self.asker.guest.timestamp(self.path_id, self.timestamp_id, type)
        if timestamp.trashed:
            text = f"timestamp {timestamp.id} is in the trash: recover it before making queries to it"
            raise ArgumentError(text, argument="timestampId", value=self.timestamp_id)
        self.emulator.sharing.usage.record(self.asker.guest.user, timestamp.path_id)
        return timestamp

    def edit(self, type: LayerType) -> Timestamp:
        """It, for a user who may change its content."""
        return self.asker.drive.timestamp(self.path_id, self.timestamp_id, type, EDIT)

    def edit_file(self, file_id: str, type: LayerType) -> StoredFile:
        return self.asker.drive.file(self.path_id, self.timestamp_id, file_id, type, EDIT)


async def timestamp_request(asker: Asker, path_id: PathId, timestamp_id: TimestampId) -> TimestampRequest:
    return TimestampRequest(asker, path_id, timestamp_id)


At = Annotated[TimestampRequest, Depends(timestamp_request)]
"""The parameter of an endpoint below /timestamp/{timestampId}."""
