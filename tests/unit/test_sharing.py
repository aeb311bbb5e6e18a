"""Who may do what with which path, and what users note on paths."""

from __future__ import annotations

import random
import threading
import uuid
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from ellipsis_local import accounts as accounts_room
from ellipsis_local import sharing as sharing_room
from ellipsis_local import store
from ellipsis_local.accounts import Accounts, User
from ellipsis_local.database import Database
from ellipsis_local.errors import AccessError, ArgumentError, NotEmulatedError, NotFoundError, StoreError
from ellipsis_local.sharing import DOWNLOAD, EDIT, MANAGE, NONE, OWNER, VIEW, Sharing, tier_of
from ellipsis_local.sharing import usage as usage_module
from ellipsis_local.store import Catalogue

UNKNOWN = "00000000-0000-4000-8000-000000000000"
SCHEMA = (*store.SCHEMA, *accounts_room.SCHEMA, *sharing_room.SCHEMA)


class Reads(Database):
    """A database that counts how often it is read."""

    count = 0

    def rows(self, query, values=()):
        self.count += 1
        return super().rows(query, values)


@pytest.fixture
def database(tmp_path):
    found = Reads(tmp_path / "ellipsis.sqlite", SCHEMA)
    yield found
    found.close()


@pytest.fixture
def catalogue(database, tmp_path):
    return Catalogue(database, tmp_path / "layers")


@pytest.fixture
def accounts(database):
    return Accounts(database)


@pytest.fixture
def sharing(database, catalogue, accounts):
    found = Sharing(database, catalogue, accounts)
    yield found
    found.close()


def make_user(database, name):
    """A user without a password: hashing takes longer than these tests."""
    user = User(str(uuid.uuid5(uuid.NAMESPACE_URL, name)), name)
    with database.transaction() as connection:
        connection.execute("INSERT INTO users VALUES (?, ?, x'', x'', 0)", user[:2])
    return user


@pytest.fixture
def ada(database):
    return make_user(database, "ada")


@pytest.fixture
def bob(database):
    return make_user(database, "bob@example.org")


@pytest.fixture
def eve(database):
    return make_user(database, "eve")


@pytest.fixture
def tree(catalogue, ada):
    """Ids of folder/sub/layer, all ada's."""
    folder = catalogue.add_path("folder", "folder", owner=ada.id)
    sub = catalogue.add_path("folder", "sub", owner=ada.id, parent_id=folder)
    return folder, sub, catalogue.add_path("raster", "layer", owner=ada.id, parent_id=sub)


@pytest.fixture
def level(sharing, catalogue):
    def found(user, path_id):
        return sharing.level(user, catalogue.get_path(path_id))

    return found


@pytest.fixture
def join(sharing, ada):
    """Invite a user as ada, and accept."""

    def invited(user, path_id, access):
        invite = sharing.invites.send(path_id, ada, {"accessLevel": access}, user_id=user.id)
        sharing.invites.accept(path_id, invite, user)

    return invited


# ----- levels ---------------------------------------------------------------------------------------------------------


def test_the_owner_of_a_folder_owns_what_lies_in_it(catalogue, level, tree, ada, bob):
    of_bob = catalogue.add_path("vector", "roads", owner=bob.id, parent_id=tree[1])
    assert [level(ada, path_id) for path_id in (*tree, of_bob)] == [OWNER] * 4
    assert [level(bob, path_id) for path_id in (*tree, of_bob)] == [NONE] * 3 + [OWNER]
    assert [level(None, path_id) for path_id in (*tree, of_bob)] == [NONE] * 4


def test_what_was_added_to_the_home_itself(catalogue, level, ada, bob):
    folder = catalogue.add_path("folder", "fixtures")
    layer = catalogue.add_path("raster", "layer", parent_id=folder)
    of_bob = catalogue.add_path("raster", "layer", parent_id=folder, owner=bob.id)
    below = catalogue.add_path("raster", "layer", parent_id=catalogue.add_path("folder", "f", owner=bob.id))
    assert [level(ada, path_id) for path_id in (folder, layer, of_bob, below)] == [OWNER, OWNER, NONE, NONE]
    assert [level(None, path_id) for path_id in (folder, layer, of_bob, below)] == [DOWNLOAD, DOWNLOAD, NONE, NONE]
    catalogue.set_public_access(folder, {"accessLevel": VIEW})
    assert (level(None, layer), level(ada, layer)) == (VIEW, OWNER)
    catalogue.set_public_access(folder, {"accessLevel": NONE, "hidden": True})
    assert level(None, layer) == NONE
    catalogue.set_public_access(folder, {"hidden": True})
    assert level(None, layer) == DOWNLOAD


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ({}, NONE),
        ({"hidden": False}, NONE),
        ({"accessLevel": 100, "hidden": True}, VIEW),
        ({"accessLevel": 250}, 250),
        ({"accessTier": "view"}, VIEW),
        ({"accessTier": "view+"}, DOWNLOAD),
        ({"accessTier": "nonsense"}, NONE),
        ({"accessLevel": None}, NONE),
        ({"accessLevel": True}, NONE),
        ({"accessLevel": "900"}, NONE),
        ({"accessLevel": 10**6}, OWNER),
        ({"accessLevel": -5}, NONE),
    ],
    ids=repr,
)
def test_public_access(catalogue, level, tree, bob, access, expected):
    catalogue.set_public_access(tree[0], access)
    assert [level(None, path_id) for path_id in tree] == [expected] * 3
    assert [level(bob, path_id) for path_id in tree] == [expected] * 3


def test_the_highest_of_all_that_is_given_wins(catalogue, level, tree, join, bob):
    folder, sub, layer = tree
    join(bob, folder, VIEW)
    assert [level(bob, path_id) for path_id in tree] == [VIEW] * 3
    join(bob, layer, EDIT)
    assert [level(bob, path_id) for path_id in tree] == [VIEW, VIEW, EDIT]
    catalogue.set_public_access(sub, {"accessLevel": DOWNLOAD})
    assert [level(bob, path_id) for path_id in tree] == [VIEW, DOWNLOAD, EDIT]
    catalogue.move([layer], None)
    assert level(bob, layer) == EDIT


def test_an_access_token_gives_no_more_than_its_list(catalogue, level, tree, join, ada, bob):
    folder, sub, layer = tree
    of_home = catalogue.add_path("raster", "of the home")

    def levels(user, *grants):
        return [level(user._replace(grants=grants), path_id) for path_id in (*tree, of_home)]

    assert levels(ada) == [NONE] * 4
    assert levels(ada, (sub, DOWNLOAD)) == [NONE, DOWNLOAD, DOWNLOAD, NONE]
    assert levels(ada, (sub, DOWNLOAD), (layer, VIEW), (UNKNOWN, OWNER)) == [NONE, DOWNLOAD, DOWNLOAD, NONE]
    assert levels(ada, (layer, VIEW), (layer, 1000)) == [NONE, NONE, OWNER, NONE]
    assert levels(ada, (layer, 1000), (layer, VIEW)) == [NONE, NONE, OWNER, NONE]
    assert levels(ada, (of_home, EDIT)) == [NONE, NONE, NONE, EDIT]
    assert levels(bob, (folder, OWNER)) == [NONE] * 4
    join(bob, folder, DOWNLOAD)
    assert levels(bob, (folder, OWNER)) == [DOWNLOAD, DOWNLOAD, DOWNLOAD, NONE]
    assert levels(bob, (folder, VIEW)) == [VIEW, VIEW, VIEW, NONE]


def plain_level(user, record, paths, members):
    """The rules once more, path by path, as they are written down."""
    chain = [record]
    while chain[-1].parent_id is not None:
        chain.append(paths[chain[-1].parent_id])
    owners = {one.owner for one in chain} - {None}
    public = [one.public_access["accessLevel"] for one in chain if "accessLevel" in one.public_access]
    if user is None:
        return max(public) if public else NONE if owners else DOWNLOAD
    if user.id in owners or not owners:
        own = OWNER
    else:
        own = max([*public, *(members.get((user.id, one.id), NONE) for one in chain), NONE])
    if user.grants is None:
        return own
    return min(own, max([level for path_id, level in user.grants for one in chain if one.id == path_id], default=NONE))


@pytest.mark.parametrize("seed", range(5))
def test_many_levels_at_once_are_those_of_the_rules(database, catalogue, sharing, ada, bob, eve, seed):
    rng = random.Random(seed)
    folders = [None]
    for _ in range(60):
        folders.append(
            catalogue.add_path(
                "folder",
                "f",
                parent_id=rng.choice(folders[-6:]),
                owner=rng.choice([None, None, ada.id, bob.id]),
                public_access=rng.choice([{}, {}, {"accessLevel": rng.randrange(0, 400)}, {"hidden": True}]),
            )
        )
    layers = [
        catalogue.add_path("raster", "r", parent_id=rng.choice(folders), owner=rng.choice([None, ada.id, eve.id]))
        for _ in range(60)
    ]
    ids = [*folders[1:], *layers]
    members = {(user.id, path_id): rng.randrange(0, 951) for user in (ada, bob, eve) for path_id in rng.sample(ids, 12)}
    with database.transaction() as connection:
        connection.executemany(
            "INSERT INTO memberships VALUES (?, ?, ?, '{}', 0)", [(*key, value) for key, value in members.items()]
        )
    paths = {record.id: record for record in catalogue.list_paths()}
    some = tuple((path_id, rng.randrange(0, 1000)) for path_id in rng.sample(ids, 10))
    for user in (None, ada, bob, eve, ada._replace(grants=some), bob._replace(grants=()), User(UNKNOWN, "token-x")):
        for asked in (list(paths.values()), rng.sample(list(paths.values()), 8)):
            expected = {record.id: plain_level(user, record, paths, members) for record in asked}
            assert sharing.levels(user, asked) == expected
            for record in asked[:20]:
                assert sharing.level(user, record) == expected[record.id]


def test_levels_take_few_reads(database, catalogue, sharing, tree, ada, bob):
    layers = [catalogue.add_path("raster", "r", parent_id=tree[i % 2], owner=ada.id) for i in range(300)]
    records = [catalogue.get_path(path_id) for path_id in layers]
    for user, asked, most in (
        (ada, records[:1], 0),
        (bob, records[:1], 2),
        (None, records[:1], 1),
        (bob, records, 2),
        (None, records, 1),
        (bob, [], 1),
    ):
        database.count = 0
        if len(asked) == 1:
            sharing.level(user, asked[0])
        else:
            sharing.levels(user, asked)
        assert database.count <= most


def test_a_path_that_is_its_own_parent_is_not_followed_for_ever(database, catalogue, level, tree, bob):
    with database.transaction() as connection:
        connection.execute("UPDATE paths SET parent_id = ? WHERE id = ?", (tree[2], tree[0]))
    assert level(bob, tree[1]) == NONE


def test_tiers_of_levels():
    assert [tier_of(level) for level in (0, 99, 100, 200, 250, 300, 899, 900, 950)] == [
        "none", "none", "view", "viewPlus", "share", "edit", "editPlus", "admin", "admin",
    ]  # fmt: skip


# ----- invites --------------------------------------------------------------------------------------------------------


def test_an_accepted_invite_is_a_membership(sharing, level, tree, ada, bob):
    invite = sharing.invites.send(tree[0], ada, {"accessTier": "view+", "processingUnits": 10}, user_id=bob.id.upper())
    [found] = sharing.invites.of_user(bob)
    assert sharing.invites.of_path(tree[0].upper()) == [found]
    assert (found.id, found.path_id, found.user, found.sender) == (invite, tree[0], bob, ada)
    assert found.access == {"accessLevel": DOWNLOAD, "processingUnits": 10}
    assert level(bob, tree[2]) == NONE
    sharing.invites.accept(tree[0], invite, bob)
    assert level(bob, tree[2]) == DOWNLOAD
    assert sharing.invites.of_user(bob) == sharing.invites.of_path(tree[0]) == []
    assert sharing.shared_with(bob) == [tree[0]]
    [member] = sharing.members.get(tree[0])
    assert (member.user, member.type, member.access) == (bob, "direct", found.access)


def test_declined_and_revoked_invites_are_gone(sharing, level, tree, ada, bob):
    first = sharing.invites.send(tree[0], ada, {"accessLevel": VIEW}, email="bob@example.org")
    sharing.invites.decline(tree[0], first, bob)
    second = sharing.invites.send(tree[0], ada, {"accessLevel": VIEW}, user_id=bob.id, email=bob.name)
    sharing.invites.revoke(tree[0], second)
    for invite in (first, second):
        for answer in (sharing.invites.accept, sharing.invites.decline):
            with pytest.raises(NotFoundError, match="inviteId"):
                answer(tree[0], invite, bob)
        with pytest.raises(NotFoundError, match="inviteId"):
            sharing.invites.revoke(tree[0], invite)
    assert level(bob, tree[0]) == NONE


def test_only_the_invited_user_answers(sharing, level, tree, ada, bob, eve):
    invite = sharing.invites.send(tree[0], ada, {"accessLevel": VIEW}, user_id=bob.id)
    for user in (eve, ada):
        for answer in (sharing.invites.accept, sharing.invites.decline):
            with pytest.raises(NotFoundError):
                answer(tree[0], invite, user)
    with pytest.raises(NotFoundError):
        sharing.invites.accept(tree[1], invite, bob)
    with pytest.raises(NotFoundError):
        sharing.invites.revoke(tree[1], invite)
    assert len(sharing.invites.of_user(bob)) == 1
    assert (level(eve, tree[0]), level(bob, tree[0])) == (NONE, NONE)


def test_a_second_invite_takes_the_place_of_the_first(sharing, level, tree, ada, bob):
    first = sharing.invites.send(tree[0], ada, {"accessLevel": VIEW}, user_id=bob.id)
    assert sharing.invites.send(tree[0], ada, {"accessLevel": EDIT}, user_id=bob.id) == first
    assert [invite.access for invite in sharing.invites.of_user(bob)] == [{"accessLevel": EDIT}]
    sharing.invites.accept(tree[0], first, bob)
    lower = sharing.invites.send(tree[0], ada, {"accessLevel": VIEW}, user_id=bob.id)
    sharing.invites.accept(tree[0], lower, bob)
    assert level(bob, tree[0]) == EDIT


def test_nobody_gives_more_than_they_have(sharing, level, tree, join, ada, bob, eve):
    join(bob, tree[1], EDIT)
    for path_id, access in ((tree[0], VIEW), (tree[1], EDIT + 1), (tree[2], MANAGE)):
        with pytest.raises(AccessError, match=f"accessLevel {access} is more") as caught:
            sharing.invites.send(path_id, bob, {"accessLevel": access}, user_id=eve.id)
        assert caught.value.needed == access
    with pytest.raises(AccessError):
        sharing.invites.send(tree[0], ada._replace(grants=((tree[0], VIEW),)), {"accessLevel": EDIT}, user_id=eve.id)
    with pytest.raises(AccessError):
        sharing.invites.send(tree[0], ada, {"accessLevel": OWNER + 1}, user_id=eve.id)
    assert sharing.invites.of_user(eve) == []
    invite = sharing.invites.send(tree[2], bob, {"accessLevel": EDIT}, user_id=eve.id)
    sharing.members.delete(tree[1], ada, bob.id)
    with pytest.raises(AccessError):
        sharing.invites.accept(tree[2], invite, eve)
    assert level(eve, tree[2]) == NONE


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"path_id": UNKNOWN}, NotFoundError, "pathId"),
        ({"path_id": "x"}, ArgumentError, "pathId"),
        ({"user_id": None}, ArgumentError, "userId or email"),
        ({"user_id": UNKNOWN}, NotFoundError, "userId"),
        ({"user_id": "x"}, ArgumentError, "userId"),
        ({"user_id": None, "email": "nobody@example.org"}, ArgumentError, "no mail is sent"),
        ({"user_id": None, "email": ""}, ArgumentError, "empty"),
        ({"email": "eve"}, ArgumentError, "two users"),
        ({"access": None}, ArgumentError, "access must be"),
        ({"access": {}}, ArgumentError, "accessLevel"),
        ({"access": {"accessLevel": "100"}}, ArgumentError, "accessLevel"),
        ({"access": {"accessLevel": 100, "what": 1}}, ArgumentError, "what"),
        ({"access": {"accessLevel": 100, "geoFence": {"maxZoom": 3}}}, NotEmulatedError, "geoFence"),
    ],
    ids=repr,
)
def test_bad_invites(sharing, tree, ada, bob, eve, change, error, text):
    given = {"path_id": tree[0], "by": ada, "access": {"accessLevel": VIEW}, "user_id": bob.id} | change
    with pytest.raises(error, match=text):
        sharing.invites.send(**given)
    assert sharing.invites.of_path(tree[0]) == []


def test_the_owner_is_not_invited(sharing, tree, ada):
    with pytest.raises(ArgumentError, match="owns"):
        sharing.invites.send(tree[0], ada, {"accessLevel": VIEW}, user_id=ada.id)


# ----- members --------------------------------------------------------------------------------------------------------


def test_members_of_a_path_and_of_the_folders_above_it(sharing, tree, join, bob, eve):
    folder, sub, layer = tree
    join(bob, folder, VIEW)
    join(eve, sub, EDIT)
    join(eve, folder, VIEW)
    join(bob, sub, VIEW - 1)
    join(bob, layer, DOWNLOAD)

    def found(path_id, types=None):
        return [(m.user.name[:3], m.type, m.access["accessLevel"]) for m in sharing.members.get(path_id, types)]

    assert found(layer) == [("bob", "inherited", VIEW), ("eve", "inherited", EDIT), ("bob", "direct", DOWNLOAD)]
    assert found(layer, ["direct"]) == [("bob", "direct", DOWNLOAD)]
    assert found(layer, ["inherited"]) == [("bob", "inherited", VIEW), ("eve", "inherited", EDIT)]
    assert found(folder, ["inherited"]) == found(layer, []) == []
    assert [member.path_id for member in sharing.members.get(layer)] == [folder, sub, layer]
    for types in (["owner"], "direct", [3], 3):
        with pytest.raises(ArgumentError, match="type"):
            sharing.members.get(layer, types)
    with pytest.raises(NotFoundError):
        sharing.members.get(UNKNOWN)


def test_editing_a_member(sharing, level, tree, join, ada, bob, eve):
    join(bob, tree[0], VIEW)
    sharing.members.edit(tree[0], ada, bob.id, {"accessLevel": MANAGE, "canShare": True})
    sharing.members.edit(tree[0], ada, bob.id, {"processingUnits": 5})
    [member] = sharing.members.get(tree[0])
    assert member.access == {"accessLevel": MANAGE, "canShare": True, "processingUnits": 5}
    assert level(bob, tree[2]) == MANAGE
    join(eve, tree[0], OWNER)
    for changes in ({"accessLevel": VIEW}, {"canShare": False}):
        with pytest.raises(AccessError):
            sharing.members.edit(tree[0], bob, eve.id, changes)
    with pytest.raises(AccessError):
        sharing.members.edit(tree[0], bob, bob.id, {"accessLevel": OWNER})
    with pytest.raises(ArgumentError, match="accessLevel"):
        sharing.members.edit(tree[0], ada, bob.id, {"accessLevel": "100"})
    with pytest.raises(NotFoundError, match="no direct member"):
        sharing.members.edit(tree[2], ada, bob.id, {"accessLevel": VIEW})
    for user_id in (UNKNOWN, ada.id):
        with pytest.raises(NotFoundError, match="no direct member"):
            sharing.members.edit(tree[0], ada, user_id, {"accessLevel": VIEW})
    assert (level(bob, tree[0]), level(eve, tree[0])) == (MANAGE, OWNER)


def test_ending_a_membership(sharing, level, tree, join, ada, bob, eve):
    join(bob, tree[0], VIEW)
    join(eve, tree[0], OWNER)
    with pytest.raises(AccessError):
        sharing.members.delete(tree[0], bob, eve.id)
    sharing.members.delete(tree[0], bob, bob.id.upper())
    assert (level(bob, tree[0]), level(eve, tree[0])) == (NONE, OWNER)
    with pytest.raises(NotFoundError):
        sharing.members.delete(tree[0], ada, bob.id)
    sharing.members.delete(tree[0], ada, eve.id)
    assert sharing.members.get(tree[0]) == sharing.shared_with(eve) == []


def test_a_removed_user_is_no_member_any_longer(sharing, accounts, level, tree, join, ada, bob):
    join(bob, tree[0], VIEW)
    sharing.invites.send(tree[2], ada, {"accessLevel": EDIT}, user_id=bob.id)
    accounts.remove_user(bob.name)
    assert sharing.members.get(tree[0]) == sharing.invites.of_path(tree[2]) == []
    assert level(bob, tree[0]) == NONE


# ----- hashtags, favourites, domains ----------------------------------------------------------------------------------


def test_hashtags(sharing, tree):
    folder, sub, layer = tree
    for tag in ("Forest", "#forest", " FOREST ", "éTÉ", "trees"):
        sharing.add_hashtag(layer, tag)
    sharing.add_hashtag(sub, "forest")
    assert sharing.hashtags(layer) == ["Forest", "trees", "éTÉ"]
    assert sharing.hashtags_of(tree) == {layer: ["Forest", "trees", "éTÉ"], sub: ["forest"]}
    assert sharing.tagged("#fOrest") == {sub, layer}
    assert sharing.tagged("ÉTÉ") == {layer}
    sharing.remove_hashtag(layer, "#FOREST")
    assert sharing.hashtags(layer) == ["trees", "éTÉ"]
    with pytest.raises(NotFoundError, match="no hashtag"):
        sharing.remove_hashtag(layer, "forest")
    with pytest.raises(NotFoundError, match="pathId"):
        sharing.add_hashtag(UNKNOWN, "x")
    for tag in ("", "#", "a/b", "a?b", "a#b", "x" * 101, "a\nb", "\ud800", None, 3):
        with pytest.raises(ArgumentError, match="hashtag"):
            sharing.add_hashtag(folder, tag)
    assert sharing.hashtags(folder) == []


def test_searching_hashtags(sharing, catalogue, tree, ada, bob):
    of_home = catalogue.add_path("raster", "of the home")
    for path_id, tag in ((tree[2], "forest"), (of_home, "Deforested"), (of_home, "100%_")):
        sharing.add_hashtag(path_id, tag)
    assert sharing.search_hashtags("FOREST", ada) == ["forest", "Deforested"]
    assert sharing.search_hashtags("forest", bob) == sharing.search_hashtags("forest") == ["Deforested"]
    assert sharing.search_hashtags("%") == sharing.search_hashtags("_") == ["100%_"]
    assert sharing.search_hashtags("\ud800") == []
    catalogue.set_public_access(of_home, {"hidden": True})
    assert sharing.search_hashtags("forest") == []
    catalogue.trash(of_home)
    assert sharing.search_hashtags("forest", bob) == []
    with pytest.raises(ArgumentError):
        sharing.search_hashtags(None)


def test_favourites(sharing, tree, ada, bob):
    stranger = User(UNKNOWN, "token-0123")
    for user, path_id in ((ada, tree[2]), (ada, tree[0]), (ada, tree[2]), (stranger, tree[1])):
        sharing.set_favourite(user, path_id, True)
    assert sharing.favourites(ada) == [tree[2], tree[0]]
    assert sharing.favourites(stranger) == [tree[1]]
    assert sharing.is_favourite(ada, tree[0])
    sharing.set_favourite(ada, tree[0], False)
    sharing.set_favourite(bob, tree[0], False)
    assert sharing.favourites(ada) == [tree[2]]
    assert not sharing.is_favourite(ada, tree[0])
    assert not sharing.is_favourite(None, tree[2])
    assert sharing.favourites(None) == sharing.shared_with(None) == []
    with pytest.raises(NotFoundError):
        sharing.set_favourite(ada, UNKNOWN, True)
    with pytest.raises(ArgumentError, match="favorite"):
        sharing.set_favourite(ada, tree[0], "yes")


def test_domains(sharing, tree):
    assert sharing.domains(tree[0]) == []
    sharing.set_domains(tree[0], ["example.org", "localhost"])
    assert sharing.domains(tree[0]) == ["example.org", "localhost"]
    for domains in ("example.org", [3], [""], ["a b"], ["a\n"], ["x" * 254], ["a"] * 101, ["\ud800"]):
        with pytest.raises(ArgumentError, match="domains"):
            sharing.set_domains(tree[0], domains)
    with pytest.raises(NotFoundError):
        sharing.set_domains(UNKNOWN, ["a"])
    assert sharing.domains(tree[0]) == ["example.org", "localhost"]
    sharing.set_domains(tree[0], None)
    assert sharing.domains(tree[0]) == []


# ----- usage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A day and seconds that pass only when the test says so."""

    class Clock:
        today = date(2024, 5, 1)
        seconds = 0.0

        def monotonic(self):
            return self.seconds

    found = Clock()
    monkeypatch.setattr(Database, "now", lambda _: datetime(*found.today.timetuple()[:3], tzinfo=UTC))
    monkeypatch.setattr(usage_module, "monotonic", found.monotonic)
    return found


def written(database):
    with database.transaction() as connection:
        return {tuple(row) for row in connection.execute("SELECT user, day, units FROM usage")}


@pytest.fixture
def usage(sharing, clock):
    sharing.usage._written = clock.seconds
    return sharing.usage


def test_usage_by_user_path_and_day(usage, clock, tree, ada, bob):
    usage.record(ada, tree[0])
    usage.record(ada, tree[0], 2.5)
    usage.record(bob, tree[0], 4)
    usage.record(None, tree[0], 8)
    usage.record(ada, tree[1], 16)
    clock.today += timedelta(days=1)
    usage.record(ada, tree[0], 32)
    usage.record(User(UNKNOWN, "token-x"), tree[0], 64)
    first, second = date(2024, 5, 1), date(2024, 5, 2)
    assert usage.active_users(tree[0]) == sorted([ada, bob])
    assert usage.of_user_on_path(tree[0], ada.id) == [(first, 3.5), (second, 32)]
    assert usage.of_user_on_path(tree[1], bob.id) == []
    assert usage.aggregated(tree[0], True) == [(first, 7.5), (second, 96)]
    assert usage.aggregated(tree[0], False) == [(first, 8)]
    assert usage.of_user(ada.id, first) == 19.5
    assert usage.of_user(ada.id, datetime(2024, 5, 1, 23)) == 19.5
    assert usage.of_user(ada.id, datetime(2024, 5, 1, 23, tzinfo=timezone(timedelta(hours=-2)))) == 32
    assert usage.of_user(bob.id, second) == 0


def test_usage_is_written_now_and_then(database, usage, clock, tree, ada):
    for _ in range(100):
        usage.record(ada, tree[0])
    assert written(database) == set()
    clock.seconds += 6
    usage.record(ada, tree[0])
    assert written(database) == {(ada.id, "2024-05-01", 101.0)}
    usage.record(ada, tree[0])
    assert written(database) == {(ada.id, "2024-05-01", 101.0)}


def test_usage_is_written_at_the_end(database, sharing, usage, tree):
    usage.record(None, tree[0])
    sharing.close()
    assert written(database) == {("", "2024-05-01", 1.0)}


def test_usage_that_cannot_be_written_waits(database, sharing, usage, clock, tree, ada, monkeypatch):
    with monkeypatch.context() as patched:

        def full():
            raise StoreError("the disk is full")

        patched.setattr(database, "transaction", full)
        usage.record(ada, tree[0])
        clock.seconds += 6
        usage.record(ada, tree[0])
        with pytest.raises(StoreError):
            usage.aggregated(tree[0], True)
        sharing.close()
    assert [day.units for day in usage.aggregated(tree[0], True)] == [2]


def test_usage_of_a_deleted_path_is_dropped(catalogue, database, usage, tree, ada):
    usage.record(ada, tree[2])
    usage.record(ada, tree[0])
    usage.write()
    usage.record(ada, tree[2])
    usage.record(ada, tree[0])
    catalogue.delete_path(tree[2])
    assert [day.units for day in usage.aggregated(tree[0], True)] == [2]
    assert len(written(database)) == 1


def test_usage_of_several_threads(usage, tree, ada):
    def count():
        for _ in range(500):
            usage.record(ada, tree[0])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        usage.write()
    for thread in threads:
        thread.join()
    assert [day.units for day in usage.aggregated(tree[0], True)] == [2000]


def test_bad_usage(usage, tree, ada):
    for units in (-1, float("nan"), float("inf"), "1", None, True):
        with pytest.raises(ArgumentError, match="units"):
            usage.record(ada, tree[0], units)
    assert usage.active_users(tree[0]) == []
    for ask in (usage.active_users, lambda path_id: usage.aggregated(path_id, True)):
        with pytest.raises(NotFoundError):
            ask(UNKNOWN)
    for bad in ("2024-05-01", None, 3):
        with pytest.raises(ArgumentError, match="date"):
            usage.of_user(ada.id, bad)
    with pytest.raises(ArgumentError, match="userId"):
        usage.of_user("x", date(2024, 5, 1))


# ----- all of it ------------------------------------------------------------------------------------------------------


def test_rows_go_with_their_path(database, catalogue, sharing, tree, join, ada, bob, eve):
    join(bob, tree[2], VIEW)
    sharing.invites.send(tree[2], ada, {"accessLevel": VIEW}, user_id=eve.id)
    sharing.add_hashtag(tree[2], "tag")
    sharing.set_favourite(ada, tree[2], True)
    sharing.set_domains(tree[2], ["a"])
    sharing.usage.record(ada, tree[2])
    sharing.usage.write()
    tables = ("memberships", "invites", "hashtags", "favourites", "domains", "usage")

    def counts():
        return [database.row(f"SELECT count(*) FROM {name}")[0] for name in tables]

    assert counts() == [1] * 6
    catalogue.delete_path(tree[0])
    assert counts() == [0] * 6
    assert sharing.shared_with(bob) == sharing.favourites(ada) == []
