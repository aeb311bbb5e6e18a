"""Ids and dates of the store: tables of what is accepted and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest

from ellipsis_local import ids
from ellipsis_local.errors import ArgumentError

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
NOON = datetime(2023, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("value", [ID, ID.upper(), ID.replace("-", ""), "{" + ID + "}", UUID(ID)])
def test_ids_become_canonical(value):
    assert ids.as_uuid("pathId", value) == ID


@pytest.mark.parametrize("value", ["", "scene", ID[:-1], 7, None, b"x", ["a"]])
def test_malformed_ids_get_the_words_of_the_client(value):
    with pytest.raises(ArgumentError, match="pathId must be of type string and be a uuid") as caught:
        ids.as_uuid("pathId", value)
    assert caught.value.argument == "pathId"


def test_made_ids_are_the_same_for_ever():
    # Written down in scripts: changing either value breaks them.
    assert ids.made_id("path", "a/b.tif") == "8efbfef3-34d5-5ff5-82e7-d6d15e6f128e"
    assert ids.made_id("timestamp", "a/b.tif") != ids.made_id("path", "a/b.tif")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # Without a zone: UTC, as the client sends it.
        (datetime(2023, 7, 1, 12), (NOON, NOON)),
        (NOON, (NOON, NOON)),
        (None, (NOON, NOON)),
        (datetime(2023, 7, 1, 14, tzinfo=timezone(timedelta(hours=2))), (NOON, NOON)),
        ("2023-07-01T12:00:00Z", (NOON, NOON)),
        (date(2023, 7, 1), (datetime(2023, 7, 1, tzinfo=UTC),) * 2),
        ({"from": NOON, "to": datetime(2023, 7, 2, 12)}, (NOON, NOON + timedelta(days=1))),
        ((NOON, NOON), (NOON, NOON)),
    ],
)
def test_dates(value, expected):
    assert ids.date_range(value, NOON) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "date must be of type datetime"),
        ("yesterday", "date must be of type datetime"),
        ({"from": NOON}, "properties from and to"),
        ({"from": NOON, "to": None}, "dateTo must be of type datetime"),
        ({"from": NOON, "to": NOON - timedelta(days=1)}, "later than"),
    ],
)
def test_bad_dates(value, words):
    with pytest.raises(ArgumentError, match=words):
        ids.date_range(value, NOON)


def test_dates_keep_their_microseconds_and_zone():
    moment = datetime(2023, 7, 1, 12, 0, 0, 5, tzinfo=UTC)
    assert ids.from_text(ids.to_text(moment)) == moment
    assert ids.from_text(ids.to_text(moment)).utcoffset() == timedelta(0)
