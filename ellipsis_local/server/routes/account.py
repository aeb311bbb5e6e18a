"""`/account` and `/user`: logging in, the user's root folders, tokens; other users by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from ellipsis_local.accounts import TokenRecord, User
from ellipsis_local.errors import AccountError
from ellipsis_local.server.auth import Asker
from ellipsis_local.server.path_json import page, paths_json
from ellipsis_local.server.request_models import Body, Id, JsonObject, PageStart, PathTypes, Text
from ellipsis_local.server.wire import WireRoute

router = APIRouter(route_class=WireRoute, tags=["account"])


class LogIn(Body):
    """Who logs in; `validFor` is in seconds."""

    username: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    validFor: Annotated[int, Field(gt=0, le=10**10)] | None = None  # noqa: N815


class NewToken(Body):
    """An access token: what it reaches, and for how many seconds."""

    description: Text
    accessList: Annotated[list[JsonObject], Field(max_length=1000)]  # noqa: N815
    validFor: Annotated[int, Field(gt=0, le=10**10)] | None = None  # noqa: N815
    scope: Literal["all"] = "all"


@router.post("/account/login", openapi_extra={"security": []})
def log_in(request: Request, asker: Asker, body: LogIn) -> dict[str, Any]:
    """Log in with a name and a password, and get a token.

    The first login of a name makes the user (our choice); `validFor` is in seconds, at most 60 days (seen in a client).
    Who has sent many wrong passwords has to wait (our choice).
    """
    address = request.client.host if request.client else None
    return {"token": asker.emulator.accounts.log_in(body.username, body.password, body.validFor, address)}


@router.post("/validate", openapi_extra={"security": []})
def validate(asker: Asker) -> dict[str, bool]:
    """Tell whether the token of the request is good (seen in the QGIS plugin)."""
    # Whether the token of the header is good (seen in the QGIS plugin), so a bad one is no error.
    try:
        return {"valid": bool(asker.user)}
    except AccountError:
        return {"valid": False}


@router.get("/account")
def account(asker: Asker) -> dict[str, Any]:
    """Tell who the user of the token is, and how many nodes a compute may have (`plan`: seen in the client)."""
    return asker.emulator.account(asker.user)


@router.get("/account/root/{rootName}")
def list_root(
    asker: Asker, root: Annotated[str, Path(alias="rootName")], types: PathTypes = None, page_start: PageStart = None
) -> dict[str, Any]:
    """List one of the user's root folders.

    `rootName` is myDrive, sharedWithMe, favorites or trash (documented).
    """
    return paths_json(asker.emulator, asker.drive, asker.drive.root(root, types), page_start)


@router.post("/account/security/accessToken")
def add_token(asker: Asker, body: NewToken) -> dict[str, Any]:
    """Make an access token, which reaches the paths of its list only (documented)."""
    token_id, token = asker.emulator.accounts.add_access_token(
        asker.full_user.id, body.description, body.accessList, body.validFor
    )
    return {"id": token_id, "token": token}


@router.get("/account/security/accessToken")
def list_tokens(asker: Asker, page_start: PageStart = None) -> dict[str, Any]:
    """List the access tokens that are valid, without the tokens of logins (our choice) and without their texts."""
    # Scripts revoke the first of the list, which must not end their own login (seen in scripts).
    found = [token for token in asker.emulator.accounts.tokens(asker.full_user.id) if token.scope == "access"]
    return page(found, page_start, lambda token: str(token.id), token_json)


@router.delete("/account/security/accessToken/{accessTokenId}")
def revoke_token(asker: Asker, token_id: Annotated[Id, Path(alias="accessTokenId")]) -> None:
    """Make an access token invalid."""
    asker.emulator.accounts.revoke(asker.full_user.id, token_id)


@router.get("/user")
def search_users(
    asker: Asker, username: Text, fuzzy: Annotated[bool, Query(alias="fuzzySearch")] = True
) -> list[dict[str, Any]]:
    """Find users by their names; with `fuzzySearch` by a part of it (documented)."""
    # The client asks without a token (seen in the client); a wrong one is refused, here too.
    asker.guest  # noqa: B018
    return [user_json(user) for user in asker.emulator.accounts.search(username, fuzzy)]


@router.get("/user/{userId}")
def get_user(asker: Asker, user_id: Annotated[Id, Path(alias="userId")]) -> dict[str, Any]:
    """Get the name of a user."""
    asker.guest  # noqa: B018 - as above
    return user_json(asker.emulator.accounts.get_user(user_id))


def user_json(user: User) -> dict[str, Any]:
    return {"id": user.id, "username": user.name}


def token_json(token: TokenRecord) -> dict[str, Any]:
    return {
        "id": token.id,
        "description": token.description,
        "createdAt": token.created,
        "expiresAt": token.expires,
        "scope": token.scope,
        "accessList": token.access_list,
    }
