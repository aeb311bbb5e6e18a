"""The client's invites, members, hashtags and usage, between two users."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from tests.client.covers import covers


@pytest.fixture
def them(client: ModuleType, other: str) -> str:
    """The id of the other user."""
    return client.account.getInfo(other)["id"]


@covers(
    "path.invite.send", "path.invite.getYourInvites", "path.invite.getPathInvites", "path.invite.accept",
    "path.member.get", "path.member.edit", "path.member.delete",
)  # fmt: skip
def test_an_invited_user_becomes_a_member_until_that_ends(
    client: ModuleType, token: str, other: str, them: str
) -> None:
    folder = client.path.folder.add("folder", token)["id"]
    raster = client.path.raster.add("raster", token, parentId=folder)["id"]
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.get(raster, other)

    invite = client.path.invite.send(folder, {"accessLevel": 100}, token, userId=them, sendMail=False)["id"]
    (mine,) = client.path.invite.getPathInvites(folder, token)
    (theirs,) = client.path.invite.getYourInvites(other)
    assert mine == theirs and mine["id"] == invite
    assert (mine["pathId"], mine["user"]["username"], mine["sender"]["username"], mine["access"]) == (
        folder, "somebody_else", "demo_user", {"accessLevel": 100},
    )  # fmt: skip
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.get(folder, other)
    client.path.invite.accept(folder, invite, other)
    assert client.path.invite.getYourInvites(other) == []
    assert client.path.get(raster, other)["yourAccess"]["accessLevel"] == 100
    assert [path["id"] for path in client.account.listRoot("sharedWithMe", other)["result"]] == [folder]

    (direct,) = client.path.member.get(folder, token)
    assert (direct["user"]["id"], direct["type"], direct["access"]["accessLevel"]) == (them, "direct", 100)
    (inherited,) = client.path.member.get(raster, token)
    assert inherited["type"] == "inherited"
    assert client.path.member.get(raster, token, memberType=["direct"]) == []

    with pytest.raises(ValueError, match="to edit it takes access level"):
        client.path.raster.timestamp.add(raster, other)
    client.path.member.edit(folder, them, {"accessLevel": 300}, token)
    assert "id" in client.path.raster.timestamp.add(raster, other)
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.member.edit(folder, them, {"accessLevel": 900}, other)

    client.path.member.delete(folder, them, token)
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.get(raster, other)
    with pytest.raises(ValueError, match="no direct member"):
        client.path.member.delete(folder, them, token)


@covers("path.invite.send", "path.invite.decline", "path.invite.revoke")
def test_invites_are_declined_and_revoked(client: ModuleType, token: str, other: str, them: str) -> None:
    path = client.path.raster.add("raster", token)["id"]
    declined = client.path.invite.send(path, {"accessLevel": 200}, token, email="somebody_else")["id"]
    client.path.invite.decline(path, declined, other)
    assert client.path.invite.getPathInvites(path, token) == []
    revoked = client.path.invite.send(path, {"accessLevel": 200}, token, userId=them)["id"]
    client.path.invite.revoke(path, revoked, token)
    with pytest.raises(ValueError, match=revoked):
        client.path.invite.accept(path, revoked, other)
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.get(path, other)
    with pytest.raises(ValueError, match="nobody@example.org"):
        client.path.invite.send(path, {"accessLevel": 200}, token, email="nobody@example.org")
    with pytest.raises(ValueError, match="accessLevel"):
        client.path.invite.send(path, {"accessLevel": 5000}, token, userId=them)


def test_members_may_leave(client: ModuleType, token: str, other: str, them: str) -> None:
    path = client.path.raster.add("raster", token)["id"]
    invite = client.path.invite.send(path, {"accessLevel": 100}, token, userId=them)["id"]
    client.path.invite.accept(path, invite, other)
    client.path.member.delete(path, them, other)
    assert client.path.member.get(path, token) == []


@covers("path.editPublicAccess")
def test_what_is_published_everybody_may_see(client: ModuleType, token: str, other: str) -> None:
    folder = client.path.folder.add("folder", token)["id"]
    path = client.path.raster.add("raster", token, parentId=folder)["id"]
    with pytest.raises(ValueError, match="without a token you have 0"):
        client.path.get(path)
    client.path.editPublicAccess(folder, token, access={"accessLevel": 100}, hidden=False, recursive=True)
    assert client.path.get(path)["yourAccess"]["accessLevel"] == 100
    assert client.path.get(path, other)["publicAccess"] == {"accessLevel": 100, "hidden": False}
    assert {found["id"] for found in client.path.search()["result"]} == {folder, path}
    client.path.editPublicAccess(path, token, access={}, hidden=True)
    assert {found["id"] for found in client.path.search()["result"]} == {folder}
    assert {found["id"] for found in client.path.search(token=token)["result"]} == {folder, path}
    # The client puts `hidden` into the access that it was not given.
    with pytest.raises(TypeError):
        client.path.editPublicAccess(path, token, hidden=False)


@covers("path.hashtag.add", "path.hashtag.search", "path.hashtag.delete")
def test_hashtags_are_added_found_and_removed(client: ModuleType, token: str, other: str) -> None:
    path = client.path.raster.add("raster", token, publicAccess={"accessLevel": 100})["id"]
    client.path.hashtag.add(path, "flood", token)
    client.path.hashtag.add(path, "#valley", token)
    assert client.path.get(path, token)["hashtags"] == ["flood", "valley"]
    assert client.path.hashtag.search("floo") == ["flood"]
    assert [found["id"] for found in client.path.search(hashtag="flood", token=token)["result"]] == [path]
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.hashtag.add(path, "theirs", other)
    client.path.hashtag.delete(path, "flood", token)
    assert client.path.hashtag.search("flood") == []
    assert client.path.search(hashtag="flood", token=token)["result"] == []
    with pytest.raises(ValueError, match="no hashtag 'flood'"):
        client.path.hashtag.delete(path, "flood", token)


@covers("path.usage.getActiveUsers", "path.usage.getUsage", "path.usage.getAggregatedUsage", "path.usage.getUserUsage")
def test_what_users_read_is_counted(client: ModuleType, token: str, other: str, them: str, fixtures: Path) -> None:
    path = client.path.raster.add("raster", token, publicAccess={"accessLevel": 200})["id"]
    timestamp = client.path.raster.timestamp.add(path, token)["id"]
    client.path.raster.timestamp.file.add(path, timestamp, token, "tif", str(fixtures / "awkward_one_pixel.tif"))
    client.path.raster.timestamp.activate(path, timestamp, token)
    assert client.path.usage.getActiveUsers(path, token)["result"] == []
    read = client.path.raster.timestamp.getLocationInfo
    read(path, timestamp, [[5.97, 51.9]], token=other)
    read(path, timestamp, [[5.97, 51.9]], token=other)
    read(path, timestamp, [[5.97, 51.9]])
    (used,) = client.path.usage.getActiveUsers(path, token)["result"]
    assert used["id"] == used["user"]["id"] == them and used["user"]["username"] == "somebody_else"
    (day,) = client.path.usage.getUsage(path, them, token)
    assert day["processingUnits"] == 2
    assert client.path.usage.getAggregatedUsage(path, True, token) == [day]
    assert client.path.usage.getAggregatedUsage(path, False, token) == [day | {"processingUnits": 1}]
    when = datetime.fromisoformat(day["date"])
    assert client.path.usage.getUserUsage(them, when, other) == {"processingUnits": 2}
    assert client.path.usage.getUserUsage(them, when - timedelta(days=400), other) == {"processingUnits": 0}
    with pytest.raises(ValueError, match="only your own usage"):
        client.path.usage.getUserUsage(them, when, token)
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.usage.getActiveUsers(path, other)
