"""Who a path is shared with: invites, members, hashtags; and how much it was used."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from ellipsis_local.errors import AccessError
from ellipsis_local.server.auth import Asker
from ellipsis_local.server.path_json import page
from ellipsis_local.server.request_models import Body, Id, JsonObject, JsonQuery, Moment, PageStart, PathId, Text
from ellipsis_local.server.routes.account import user_json
from ellipsis_local.server.wire import WireRoute
from ellipsis_local.sharing import DayUsage, Invite, Member

router = APIRouter(route_class=WireRoute, tags=["sharing"])

InviteId = Annotated[Id, Path(alias="inviteId")]
UserId = Annotated[Id, Path(alias="userId")]
LoggedIn = Annotated[bool, Query(alias="loggedIn")]


class NewInvite(Body):
    """Whom to invite, and to what."""

    userId: Id | None = None  # noqa: N815 - the wire's name
    email: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    access: JsonObject
    sendMail: bool | None = None  # noqa: N815


class Answer(Body):
    """What the invited user says."""

    accept: bool


class ChangedMember(Body):
    """A member's new access."""

    access: JsonObject


class NewHashtag(Body):
    """A tag."""

    hashtag: Annotated[str, Field(min_length=1, max_length=100)]


@router.get("/path/invite")
def own_invites(asker: Asker) -> list[dict[str, Any]]:
    """List the invites of the user that were neither accepted nor declined."""
    return [invite_json(waiting) for waiting in asker.emulator.sharing.invites.of_user(asker.full_user)]


@router.post("/path/{pathId}/invite")
def invite(asker: Asker, path_id: PathId, body: NewInvite) -> dict[str, Any]:
    """Invite a user to a path, by id or e-mail; no mail is sent, an address is the user of that name (our choice)."""
    record = asker.drive.managed(path_id)
    invites = asker.emulator.sharing.invites
    return {"id": invites.send(record.id, asker.user, body.access, user_id=body.userId, email=body.email)}


@router.get("/path/{pathId}/invite")
def path_invites(asker: Asker, path_id: PathId) -> list[dict[str, Any]]:
    """List the invites to a path that were neither accepted nor declined."""
    record = asker.drive.managed(path_id)
    return [invite_json(waiting) for waiting in asker.emulator.sharing.invites.of_path(record.id)]


@router.delete("/path/{pathId}/invite/{inviteId}")
def revoke_invite(asker: Asker, path_id: PathId, invite_id: InviteId) -> None:
    """Take an invite back."""
    asker.emulator.sharing.invites.revoke(asker.drive.managed(path_id).id, invite_id)


@router.post("/path/{pathId}/invite/{inviteId}/accept")
def answer_invite(asker: Asker, path_id: PathId, invite_id: InviteId, body: Answer) -> None:
    """Accept or decline an invite."""
    invites = asker.emulator.sharing.invites
    (invites.accept if body.accept else invites.decline)(path_id, invite_id, asker.full_user)


def invite_json(invite: Invite) -> dict[str, Any]:
    return {
        "id": invite.id,
        "pathId": invite.path_id,
        "user": user_json(invite.user),
        "sender": user_json(invite.sender),
        "access": invite.access,
        "createdAt": invite.created,
    }


@router.get("/path/{pathId}/member")
def members(
    asker: Asker,
    path_id: PathId,
    types: Annotated[Any, *JsonQuery(list[str] | None, '["direct"]'), Query(alias="type")] = None,
) -> list[dict[str, Any]]:
    """List who was invited to a path and accepted: `direct` to itself, `inherited` to a folder above (documented)."""
    found = asker.emulator.sharing.members.get(asker.guest.path(path_id).id, types)
    return [member_json(member) for member in found]


@router.patch("/path/{pathId}/member/{userId}")
def edit_member(asker: Asker, path_id: PathId, user_id: UserId, body: ChangedMember) -> None:
    """Change what a member may do; at most what the asking user may do (our choice)."""
    asker.emulator.sharing.members.edit(asker.drive.managed(path_id).id, asker.user, user_id, body.access)


@router.delete("/path/{pathId}/member/{userId}")
def delete_member(asker: Asker, path_id: PathId, user_id: UserId) -> None:
    """End a membership; members may end their own (our choice)."""
    # Members may leave, whatever they may do else; but not their access tokens for them.
    leaves = user_id == asker.user.id and asker.user.grants is None
    record = asker.drive.path(path_id) if leaves else asker.drive.managed(path_id)
    asker.emulator.sharing.members.delete(record.id, asker.user, user_id)


def member_json(member: Member) -> dict[str, Any]:
    return {
        "user": user_json(member.user),
        "type": member.type,
        "pathId": member.path_id,
        "access": member.access,
        "createdAt": member.created,
    }


@router.get("/path/hashtag")
def search_hashtags(asker: Asker, hashtag: Text) -> list[str]:
    """Find hashtags of paths that the user may see, by how they begin or what they hold (our choice)."""
    return asker.emulator.sharing.search_hashtags(hashtag, asker.guest.user)


@router.post("/path/{pathId}/hashtag")
def add_hashtag(asker: Asker, path_id: PathId, body: NewHashtag) -> None:
    """Add a hashtag to a path."""
    asker.emulator.sharing.add_hashtag(asker.drive.editable(path_id).id, body.hashtag)


@router.delete("/path/{pathId}/hashtag/{hashtag}")
def remove_hashtag(asker: Asker, path_id: PathId, hashtag: Annotated[str, Path(max_length=100)]) -> None:
    """Remove a hashtag from a path."""
    asker.emulator.sharing.remove_hashtag(asker.drive.editable(path_id).id, hashtag)


@router.get("/path/{pathId}/usage/user")
def active_users(asker: Asker, path_id: PathId, page_start: PageStart = None) -> dict[str, Any]:
    """List the users who used a path."""
    found = asker.emulator.sharing.usage.active_users(asker.drive.managed(path_id).id)
    return page(found, page_start, lambda user: user.id, lambda user: user_json(user) | {"user": user_json(user)})


@router.get("/path/{pathId}/usage/user/{userId}/processingUnits")
def usage_of_user(asker: Asker, path_id: PathId, user_id: UserId) -> list[dict[str, Any]]:
    """Tell the processing units per day of one user on a path; they are counted by rules of our own."""
    record = asker.drive.managed(path_id)
    return [usage_json(day) for day in asker.emulator.sharing.usage.of_user_on_path(record.id, user_id)]


# The second address is the R client's.
@router.get("/path/{pathId}/usage/processingUnits")
@router.get("/path/{pathId}/processingUnits", include_in_schema=False)
def usage(asker: Asker, path_id: PathId, logged_in: LoggedIn) -> list[dict[str, Any]]:
    """Tell the processing units per day on a path, of users or of everybody else; counted by rules of our own."""
    record = asker.drive.managed(path_id)
    return [usage_json(day) for day in asker.emulator.sharing.usage.aggregated(record.id, logged_in)]


@router.get("/path/usage/user/{userId}/processingUnits")
def own_usage(asker: Asker, user_id: UserId, date: Moment) -> dict[str, Any]:
    """Tell the user's own processing units since a date; of others it is refused (our choice)."""
    if user_id != asker.full_user.id:
        raise AccessError("only your own usage is shown: give the id of account.getInfo")
    return {"processingUnits": asker.emulator.sharing.usage.of_user(user_id, date)}


def usage_json(day: DayUsage) -> dict[str, Any]:
    return {"date": day.date.isoformat(), "processingUnits": day.units}
