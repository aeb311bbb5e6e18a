"""Users and tokens: who is let in, what is kept, and homes of the first release."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from ellipsis_local import identity
from ellipsis_local.accounts import SCHEMA, TIERS, Accounts, User, checked_access, passwords, wrong_passwords
from ellipsis_local.database import Database
from ellipsis_local.errors import AccountError, ArgumentError, NotEmulatedError, NotFoundError, TooManyLoginsError

PATH = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def database(tmp_path):
    found = Database(tmp_path / "ellipsis.sqlite", SCHEMA)
    yield found
    found.close()


@pytest.fixture
def accounts(database):
    return Accounts(database)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when the test says so."""

    class Clock:
        now = 1_700_000_000.0

        def time(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(identity, "time", found)
    return found


# ----- logging in -----------------------------------------------------------------------------------------------------


def test_the_first_login_makes_the_user(accounts):
    first, second = accounts.log_in("ada", "secret"), accounts.log_in("ada", "secret")
    assert first != second
    assert accounts.user(first) == accounts.known_user(second) == User(accounts.find_user("ada").id, "ada", None)
    with pytest.raises(AccountError, match="password"):
        accounts.log_in("ada", "Secret")
    assert [(user.name, user.tokens) for user in accounts.users()] == [("ada", 2)]


def test_names_that_look_the_same_are_one_user(accounts, database):
    composed, decomposed, wide = "Jos\u00e9", "Jose\u0301", "\uff2aos\u00e9"
    accounts.log_in(decomposed, "secret")
    assert [user.name for user in accounts.users()] == [composed]
    for name in (composed, decomposed, wide):
        assert accounts.known_user(accounts.log_in(name, "secret")).name == composed
        with pytest.raises(AccountError):
            accounts.log_in(name, "another")
    with pytest.raises(ArgumentError, match="already"):
        accounts.add_user(wide, "x")
    with pytest.raises(ArgumentError, match="must not begin"):
        accounts.log_in("\uff54oken-1", "x")
    # Those that a former release took stay as they are.
    with database.transaction() as connection:
        connection.execute("UPDATE users SET name = ?", (decomposed,))
    assert accounts.known_user(accounts.log_in(decomposed, "secret")).name == decomposed


def test_a_user_has_the_same_id_in_every_home(accounts, tmp_path):
    accounts.log_in("ada", "x")
    database = Database(tmp_path / "other.sqlite", SCHEMA)
    other = Accounts(database).add_user("ada", "y")
    database.close()
    assert accounts.find_user("ada").id == other.id


@pytest.mark.parametrize(
    ("name", "password", "valid_for", "argument"),
    [
        ("", "x", None, "username"),
        (" \t", "x", None, "username"),
        ("a" * 255, "x", None, "username"),
        ("a\nb", "x", None, "username"),
        ("a\x00", "x", None, "username"),
        ("a\u2028b", "x", None, "username"),
        ("\ud800", "x", None, "username"),
        (3, "x", None, "username"),
        (None, "x", None, "username"),
        ("token-0123456789ab", "x", None, "username"),
        ("a", "", None, "password"),
        ("a", "p" * 1025, None, "password"),
        ("a", None, None, "password"),
        ("a", b"x", None, "password"),
        ("a", "x", 0, "validFor"),
        ("a", "x", -1, "validFor"),
        ("a", "x", 5_184_001, "validFor"),
        ("a", "x", 10**400, "validFor"),
        ("a", "x", "60", "validFor"),
        ("a", "x", True, "validFor"),
        ("a", "x", 1.5, "validFor"),
    ],
)
def test_what_cannot_be_taken_is_named_and_makes_nobody(accounts, name, password, valid_for, argument):
    with pytest.raises(ArgumentError, match=argument) as caught:
        accounts.log_in(name, password, valid_for)
    assert caught.value.argument == argument
    assert accounts.users() == []


def test_errors_do_not_show_passwords(accounts):
    accounts.add_user("ada", "right")
    for password in ("wrong-pass", "wrong-pass" * 200, b"wrong-pass"):
        with pytest.raises((AccountError, ArgumentError)) as caught:
            accounts.log_in("ada", password)
        assert "wrong-pass" not in str(caught.value)
        assert getattr(caught.value, "value", None) is None


@pytest.mark.parametrize(("name", "password"), [("a" * 254, "p" * 1024), ("Ünï 😀", "\ud800\x00☃"), (" a ", " ")])
def test_odd_names_and_passwords_work(accounts, name, password):
    assert accounts.known_user(accounts.log_in(name, password)).name == name
    assert accounts.known_user(accounts.log_in(name, password)).name == name


def test_cheap_hashes_of_a_mock_are_made_anew_in_a_lasting_home(accounts, lasting_passwords):
    def stored():
        return accounts._row_of("ann")["password"]

    mocked = Accounts(accounts._database, mocked=True)
    mocked.log_in("ann", "secret words")
    cheap = stored()
    assert passwords.outdated(b"", cheap)
    mocked.log_in("ann", "secret words")
    assert stored() == cheap
    with pytest.raises(AccountError):
        mocked.log_in("ann", "other words")
    accounts.log_in("ann", "secret words")
    assert not passwords.outdated(b"", stored())


def test_two_first_logins_at_once_agree_on_one_password(accounts, monkeypatch):
    hashed, both = passwords.hashed, threading.Barrier(2, timeout=30)

    def together(password, **cost):
        found = hashed(password, **cost)
        both.wait()
        return found

    monkeypatch.setattr(passwords, "hashed", together)
    right = {}

    def log_in(password):
        try:
            right[password] = accounts.log_in("ada", password)
        except AccountError:
            right[password] = None

    threads = [threading.Thread(target=log_in, args=(password,)) for password in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(token is None for token in right.values()) == [False, True]
    assert len(accounts.users()) == 1


def test_wrong_passwords_are_slowed_per_user_and_address(accounts, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(wrong_passwords, "monotonic", lambda: now)
    for name in ("ada", "bob"):
        accounts.log_in(name, "right")

    def wait(name="ada", password="wrong", address="192.0.2.1"):
        """Seconds to wait; 0 where the password was looked at."""
        try:
            accounts.log_in(name, password, None, address)
        except TooManyLoginsError as error:
            return error.seconds
        except AccountError:
            pass
        return 0

    assert [wait() for _ in range(7)] == [0] * 6 + [1]
    # The right one waits as well: whoever guesses learns nothing.
    assert wait(password="right") == 1
    assert wait("bob") == wait(address="192.0.2.2") == wait(address=None) == 0
    waits = []
    for _ in range(8):
        now += wait()
        assert wait() == 0
        waits.append(wait())
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    now += 60
    assert wait(password="right") == 0
    # Own mistakes are forgotten then, and the others after a while.
    assert [wait() for _ in range(6)] == [0] * 6
    now += wrong_passwords.FORGET_SECONDS
    assert wait() == 0


def test_one_address_cannot_guess_among_many_users(accounts, monkeypatch):
    monkeypatch.setattr(wrong_passwords, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(wrong_passwords, "MOST_KEPT", 30)
    for number in range(60):
        accounts.log_in(f"user {number}", "right")
    answers = []
    for number in range(60):
        with pytest.raises(AccountError) as caught:
            accounts.log_in(f"user {number}", "wrong", None, "192.0.2.1")
        answers.append(type(caught.value))
    assert answers == [AccountError] * 51 + [TooManyLoginsError] * 9
    assert len(accounts._wrong._counts) <= 30


def test_guesses_at_once_are_counted_one_by_one(accounts):
    accounts.log_in("ada", "right")

    def guess(number):
        with pytest.raises(AccountError) as caught:
            accounts.log_in("ada", f"wrong {number}", None, "192.0.2.1")
        return type(caught.value)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(guess, range(40)))
    assert found.count(AccountError) <= wrong_passwords.FREE + 2


def test_neither_passwords_nor_tokens_are_kept_as_text(accounts, database):
    token = accounts.log_in("ada", "a-password-to-look-for")
    accounts.register_token("ada", "a-token-to-look-for")
    _, access = accounts.add_access_token(accounts.find_user("ada").id, "d", [{"pathId": PATH, "accessLevel": 1}])
    rows = [
        repr(tuple(row))
        for name in ("users", "tokens", "token_facts")
        for row in database.rows(f"SELECT * FROM {name}")
    ]
    assert len(rows) == 7
    for secret in (token, access, "a-password-to-look-for", "a-token-to-look-for"):
        assert all(secret not in row for row in rows)
    (stored,) = database.row("SELECT password FROM users")
    assert stored.startswith(b"$argon2id$")


def test_a_damaged_hash_lets_nobody_in(accounts, database):
    accounts.add_user("ada", "x")
    with database.transaction() as connection:
        connection.execute("UPDATE users SET password = x'00ff'")
    with pytest.raises(AccountError):
        accounts.log_in("ada", "x")


# ----- homes of the first release -------------------------------------------------------------------------------------

FIRST_RELEASE = (
    """CREATE TABLE users (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, password BLOB NOT NULL, created REAL NOT
        NULL)""",
    """CREATE TABLE tokens (
        token BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES users, created REAL NOT NULL, expires REAL)""",
)


@pytest.fixture
def old(tmp_path):
    """Accounts over a home with a user and two tokens, as the first release wrote them."""
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    for statement in FIRST_RELEASE:
        connection.execute(statement)
    salt = b"0123456789abcdef"
    hashed = hashlib.scrypt(b"secret", salt=salt, n=2**14, r=8, p=1)
    user_id = str(uuid.uuid5(uuid.UUID("3bd1a6f0-6f0e-5a3c-9a56-5f1d8f1d6f52"), "ada"))
    connection.execute("INSERT INTO users VALUES (?, 'ada', ?, ?, 1.0)", (user_id, salt, hashed))
    for number in (1, 2):
        digest = hashlib.sha256(f"local_{number}".encode()).digest()
        connection.execute("INSERT INTO tokens VALUES (?, ?, ?, NULL)", (digest, user_id, float(number)))
    connection.commit()
    connection.close()
    database = Database(path, SCHEMA)
    yield Accounts(database), database, user_id
    database.close()


def test_an_old_home_keeps_its_users_and_tokens(old):
    accounts, database, user_id = old
    assert accounts.known_user("local_1") == User(user_id, "ada")
    with pytest.raises(AccountError, match="password"):
        accounts.log_in("ada", "wrong")
    assert database.row("SELECT length(salt) AS n FROM users")["n"] == 16
    assert accounts.known_user(accounts.log_in("ada", "secret")).id == user_id
    row = database.row("SELECT salt, password FROM users")
    assert row["salt"] == b"" and row["password"].startswith(b"$argon2id$")
    accounts.log_in("ada", "secret")
    with pytest.raises(AccountError, match="password"):
        accounts.log_in("ada", "wrong")


def test_tokens_of_an_old_home_can_be_listed_and_revoked(old):
    accounts, _, user_id = old
    found = accounts.tokens(user_id)
    assert [(one.scope, one.created.timestamp()) for one in found] == [("login", 1.0), ("login", 2.0)]
    assert accounts.tokens(user_id) == found
    accounts.revoke(user_id, found[0].id)
    with pytest.raises(AccountError, match="revoked"):
        accounts.known_user("local_1")
    assert accounts.known_user("local_2").id == user_id


def test_a_weaker_hash_is_made_anew_at_the_next_login(accounts, database, monkeypatch, lasting_passwords):
    with monkeypatch.context() as patched:
        patched.setattr(passwords, "MEMORY_KIB", 8)
        passwords._hasher.cache_clear()
        accounts.add_user("ada", "x")
    passwords._hasher.cache_clear()
    assert b"m=8," in database.row("SELECT password FROM users")[0]
    accounts.log_in("ada", "x")
    assert b"m=19456," in database.row("SELECT password FROM users")[0]
    accounts.log_in("ada", "x")


# ----- whose token it is ----------------------------------------------------------------------------------------------


def test_an_unknown_token_is_a_user_of_its_own_in_one_process_only(accounts):
    user = accounts.user("Bearer of-the-service ")
    assert user == accounts.user("of-the-service") != accounts.user("another")
    assert re.fullmatch(r"token-[0-9a-f]{12}", user.name)
    with pytest.raises(AccountError, match=r"not known here; log in with account\.logIn, or .*--token TOKEN"):
        accounts.known_user("of-the-service")
    for token in ("", "  ", "Bearer "):
        with pytest.raises(AccountError, match="empty"):
            accounts.known_user(token)
        with pytest.raises(ArgumentError, match="empty"):
            accounts.user(token)
    for token in (None, 3, b"x"):
        with pytest.raises(ArgumentError, match="token must be of type string"):
            accounts.known_user(token)
    with pytest.raises(AccountError):
        accounts.known_user("\ud800")


def test_nobody_can_take_the_name_of_a_tokens_user(accounts):
    name = accounts.user("a token of the service").name
    for make in (accounts.log_in, accounts.add_user):
        with pytest.raises(ArgumentError, match="choose another"):
            make(name, "x")


def test_a_token_expires(accounts, clock):
    short, long = accounts.log_in("ada", "x", 60), accounts.log_in("ada", "x")
    user_id = accounts.known_user(short).id
    assert accounts.tokens(user_id)[0].expires == datetime.fromtimestamp(clock.now + 60, UTC)
    clock.now += 60
    for ask in (accounts.user, accounts.known_user):
        with pytest.raises(AccountError, match="expired; log in"):
            ask(short)
    assert [one.expires for one in accounts.tokens(user_id)] == [None]
    assert accounts.users()[0].tokens == 1
    assert accounts.known_user(long).id == user_id


def test_tokens_that_are_over_for_long_are_dropped_at_the_next_login(accounts, clock, database):
    token = accounts.log_in("ada", "x", 60)
    clock.now += 61
    accounts.log_in("ada", "x")
    assert database.row("SELECT count(*) FROM tokens")[0] == 2
    clock.now += timedelta(days=31).total_seconds()
    accounts.log_in("ada", "x")
    assert database.row("SELECT count(*) FROM tokens")[0] == 2
    assert database.row("SELECT count(*) FROM token_facts")[0] == 2
    with pytest.raises(AccountError, match="not known here"):
        accounts.known_user(token)


def test_revoking(accounts):
    token, other = accounts.log_in("ada", "x"), accounts.log_in("eve", "x")
    ada, eve = accounts.known_user(token), accounts.known_user(other)
    [record] = accounts.tokens(ada.id)
    for user_id, token_id in ((eve.id, record.id), (ada.id, UNKNOWN), (UNKNOWN, record.id)):
        with pytest.raises(NotFoundError):
            accounts.revoke(user_id, token_id)
    with pytest.raises(ArgumentError, match="accessTokenId must be"):
        accounts.revoke(ada.id, "x")
    assert accounts.known_user(token) == ada
    accounts.revoke(ada.id, record.id.upper())
    for ask in (accounts.user, accounts.known_user):
        with pytest.raises(AccountError, match="revoked"):
            ask(token)
    assert accounts.tokens(ada.id) == []
    with pytest.raises(NotFoundError, match="no valid token"):
        accounts.revoke(ada.id, record.id)
    assert accounts.known_user(other) == eve


def test_a_given_text_becomes_a_token(accounts):
    with pytest.raises(NotFoundError, match="users list"):
        accounts.register_token("ada", "epat_1")
    ada = accounts.add_user("ada", "x", token="Bearer epat_1")
    eve = accounts.add_user("eve", "x")
    assert accounts.known_user("epat_1") == ada
    accounts.register_token("ada", "epat_1")
    [record] = accounts.tokens(ada.id)
    assert (record.scope, record.expires, record.description) == ("login", None, "registered")
    with pytest.raises(ArgumentError, match="another user's"):
        accounts.register_token("eve", "epat_1")
    for text in ("", "Bearer  ", "a b", "a\n", "x" * 1025, "\ud800", None):
        if text == "a\n":
            continue  # spaces around a token are not part of it
        with pytest.raises(ArgumentError, match="token"):
            accounts.register_token("eve", text)
    assert accounts.tokens(eve.id) == []
    accounts.revoke(ada.id, record.id)
    accounts.register_token("ada", "epat_1")
    assert accounts.known_user("epat_1") == ada


# ----- users ----------------------------------------------------------------------------------------------------------


def test_adding_a_user_is_all_or_nothing(accounts):
    accounts.add_user("ada", "x", token="taken")
    with pytest.raises(ArgumentError, match="already"):
        accounts.add_user("ada", "y")
    with pytest.raises(ArgumentError, match="another user's"):
        accounts.add_user("eve", "x", token="taken")
    with pytest.raises(ArgumentError, match="spaces"):
        accounts.add_user("eve", "x", token="a b")
    assert [user.name for user in accounts.users()] == ["ada"]
    accounts.log_in("ada", "x")


def test_finding_users(accounts):
    ada, adam, percent = (accounts.add_user(name, "x") for name in ("Ada", "adam", "100%_"))
    assert accounts.get_user(ada.id.upper()) == ada
    assert accounts.names([ada.id, adam.id, UNKNOWN]) == {ada.id: "Ada", adam.id: "adam"}
    assert accounts.find_user("ada") is None
    assert accounts.search("ada") == [ada, adam]
    assert accounts.search("ada", fuzzy=False) == []
    assert accounts.search("Ada", fuzzy=False) == [ada]
    assert accounts.search("%") == accounts.search("_") == [percent]
    with pytest.raises(NotFoundError, match="userId"):
        accounts.get_user(UNKNOWN)
    for value in ("x", None, 3):
        with pytest.raises(ArgumentError, match="userId must be"):
            accounts.get_user(value)
    for value in (None, "\ud800", "x" * 1001):
        with pytest.raises(ArgumentError, match="username"):
            accounts.search(value)


def test_a_search_is_limited(accounts, database):
    with database.transaction() as connection:
        connection.executemany(
            "INSERT INTO users VALUES (?, ?, x'', x'', 0)", [(str(uuid.uuid4()), f"user{i}") for i in range(60)]
        )
    assert len(accounts.search("user")) == 50


def test_another_password(accounts):
    token = accounts.log_in("ada", "old")
    accounts.set_password("ada", "new")
    with pytest.raises(AccountError):
        accounts.log_in("ada", "old")
    accounts.log_in("ada", "new")
    assert accounts.known_user(token).name == "ada"
    with pytest.raises(NotFoundError):
        accounts.set_password("eve", "new")
    with pytest.raises(ArgumentError):
        accounts.set_password("ada", "")


def test_removing_a_user(accounts):
    token = accounts.log_in("ada", "x")
    kept = accounts.log_in("eve", "x")
    user_id = accounts.known_user(token).id
    accounts.remove_user("ada")
    with pytest.raises(AccountError, match="not known here"):
        accounts.known_user(token)
    with pytest.raises(NotFoundError):
        accounts.remove_user("ada")
    assert accounts.known_user(kept).name == "eve"
    assert accounts.known_user(accounts.log_in("ada", "another")).id == user_id


# ----- access tokens --------------------------------------------------------------------------------------------------


def test_an_access_token(accounts, clock):
    ada = accounts.add_user("ada", "x")
    given = [
        {"pathId": PATH.upper(), "access": {"accessLevel": 100, "processingUnits": 10}},
        {"pathId": OTHER, "accessTier": "viewPlus"},
    ]
    token_id, token = accounts.add_access_token(ada.id, "for a map", given, 60)
    assert accounts.known_user(token) == accounts.user(token) == User(ada.id, "ada", ((PATH, 100), (OTHER, 200)), False)
    [record] = accounts.tokens(ada.id)
    assert (record.id, record.description, record.scope) == (token_id, "for a map", "access")
    assert record.access_list == [
        {"pathId": PATH, "access": {"accessLevel": 100, "processingUnits": 10}},
        {"pathId": OTHER, "access": {"accessLevel": 200}},
    ]
    assert record.expires - record.created == timedelta(seconds=60)
    with pytest.raises(ArgumentError, match="access token already"):
        accounts.register_token("ada", token)
    clock.now += 61
    with pytest.raises(AccountError, match="expired"):
        accounts.known_user(token)


def test_an_empty_access_list_opens_nothing(accounts):
    ada = accounts.add_user("ada", "x")
    _, token = accounts.add_access_token(ada.id, "", [])
    assert accounts.known_user(token).grants == ()


ENTRY = {"pathId": PATH, "access": {"accessLevel": 100}}


@pytest.mark.parametrize(
    "access_list",
    [
        None,
        "x",
        {},
        [3],
        [None],
        [{}],
        [{"pathId": PATH}],
        [{"access": {"accessLevel": 100}}],
        [{"pathId": "x", "access": {"accessLevel": 100}}],
        [{"pathId": None, "access": {"accessLevel": 100}}],
        [{"pathId": PATH, "access": None}],
        [{"pathId": PATH, "access": 100}],
        [{"pathId": PATH, "access": {}}],
        [{"pathId": PATH, "access": {"accessLevel": "100"}}],
        [{"pathId": PATH, "access": {"accessLevel": True}}],
        [{"pathId": PATH, "access": {"accessLevel": 100.0}}],
        [{"pathId": PATH, "access": {"accessLevel": -1}}],
        [{"pathId": PATH, "access": {"accessLevel": 1001}}],
        [{"pathId": PATH, "access": {"accessLevel": 100, "what": 1}}],
        [{"pathId": PATH, "access": {"accessLevel": 100}, "what": 1}],
        [{"pathId": PATH, "access": {"accessLevel": 100, "canCompute": 1}}],
        [ENTRY, {"pathId": PATH.upper(), "access": {"accessLevel": 200}}],
        [{"pathId": str(uuid.UUID(int=i)), "accessLevel": 1} for i in range(1001)],
    ],
    ids=lambda value: repr(value)[:60],
)
def test_bad_access_lists(accounts, access_list):
    ada = accounts.add_user("ada", "x")
    with pytest.raises(ArgumentError, match="accessList"):
        accounts.add_access_token(ada.id, "d", access_list)
    assert accounts.tokens(ada.id) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"user_id": UNKNOWN}, "userId"),
        ({"description": None}, "description"),
        ({"description": "x" * 1001}, "description"),
        ({"description": "\ud800"}, "description"),
        ({"valid_for": 0}, "validFor"),
        ({"scope": "some"}, "scope"),
        ({"scope": None}, "scope"),
    ],
)
def test_bad_arguments_of_access_tokens(accounts, change, error):
    ada = accounts.add_user("ada", "x")
    with pytest.raises(ArgumentError, match=error):
        accounts.add_access_token(**({"user_id": ada.id, "description": "d", "access_list": [ENTRY]} | change))
    assert accounts.tokens(ada.id) == []


def test_access_objects():
    assert checked_access("access", {"accessLevel": 200, "canShare": None}) == {"accessLevel": 200}
    assert checked_access("access", {"accessTier": "view+", "processingUnits": 1e4}) == {
        "accessLevel": TIERS["viewPlus"], "processingUnits": 1e4,
    }  # fmt: skip
    assert checked_access("access", {"accessLevel": 100, "accessTier": "view", "geoFence": {}}) == {"accessLevel": 100}
    assert checked_access("access", {"canShare": True}, partial=True) == {"canShare": True}
    for bad in (
        {"accessTier": "everything"},
        {"accessTier": 100},
        {"accessTier": "view", "accessLevel": 200},
        {"accessLevel": 100, "processingUnits": -1},
        {"accessLevel": 100, "processingUnits": float("nan")},
        {"accessLevel": 100, "processingUnits": 10**400},
        {"accessLevel": 100, "processingUnits": True},
        {"accessLevel": 100, "monthlyFee": "1"},
        {"accessLevel": 100, "canShare": 1},
        {"accessLevel": 100, "geoFence": []},
        {"accessLevel": 100, "canCompute": True},
        {"canShare": True},
    ):
        with pytest.raises(ArgumentError, match="access"):
            checked_access("access", bad)
    with pytest.raises(NotEmulatedError, match="geoFence"):
        checked_access("access", {"accessLevel": 100, "geoFence": {"maxZoom": 3}})


def test_access_lists_are_json_that_is_read_back(accounts, database):
    ada = accounts.add_user("ada", "x")
    accounts.add_access_token(ada.id, "d", [ENTRY])
    assert json.loads(database.row("SELECT access_list FROM token_facts")[0]) == [ENTRY]
