"""What goes over the wire: times, and the document that says what is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from ellipsis_local.client_requests import requests_by_function
from ellipsis_local.server.app import _app
from ellipsis_local.server.openapi import ALSO, ANSWERS, FUNCTIONS, NO_USER, OPEN, OWN
from ellipsis_local.server.request_models import Moment
from ellipsis_local.server.wire import wire_date

FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""As the client parses it."""


@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 1), datetime(2024, 2, 29, 1, 2, 3, 4), datetime(9999, 12, 31, 23, 59, 59, 999_999)]
)
def test_times_come_back_from_the_client(moment: datetime) -> None:
    assert datetime.strptime(wire_date(moment), FORMAT) == moment


def test_times_are_utc() -> None:
    assert wire_date(datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2023-12-31T22:00:00.000000Z"
    adapter = TypeAdapter(Moment)
    assert adapter.validate_python("2024-01-01T00:00:00") == datetime(2024, 1, 1, tzinfo=UTC)
    assert adapter.validate_python("2024-01-01T00:00:00+02:00") == datetime(2023, 12, 31, 22, tzinfo=UTC)
    assert adapter.validate_python(None) is None


@pytest.mark.parametrize("text", ["yesterday", "", "0001-01-01T00:00:00+01:00", "9999-12-31T23:00:00-02:00", 5])
def test_what_is_no_time(text: object) -> None:
    with pytest.raises(ValidationError, match="must be a time such as"):
        TypeAdapter(Moment).validate_python(text)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description as it is served."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(_app().openapi()))
    return found


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        node = list(node.values())
    for one in node if isinstance(node, list) else ():
        yield from references(one)


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    functions = requests_by_function()
    names = [operation["operationId"] for operation in operations_of(document)]
    assert len(names) == len(set(names)) > 80
    assert all(re.fullmatch("[a-zA-Z]+(_[a-zA-Z]+)*", name) for name in names)
    others = {"validate", "path_vector_timestamp_compressedListFeatures", "path_vector_timestamp_featuresByTiles"}
    assert {name for name in names if name.replace("_", ".") not in functions} == others
    for operation in operations_of(document):
        assert operation["summary"] and operation["description"] and operation["tags"], operation["operationId"]
        for name in operation[FUNCTIONS]:
            assert f"`{name}`" in operation["description"]
        for status, one in operation["responses"].items():
            schemas = [content["schema"] for content in one.get("content", {}).values()]
            assert schemas or status in ("204", "206")
            if not status.startswith("2"):
                assert schemas == [{"$ref": "#/components/schemas/Error"}]
            # Of any form would be of none.
            assert all(schema.keys() & {"$ref", "type", "items"} for schema in schemas), operation["operationId"]
    assert {tag["name"] for tag in document["tags"]} == {tag for one in operations_of(document) for tag in one["tags"]}
    assert all(server["description"] for server in document["servers"])


def test_what_is_said_of_operations_is_said_of_one_that_is_there(document: dict[str, Any]) -> None:
    names = {operation["operationId"] for operation in operations_of(document)}
    said = " ".join([*ANSWERS.values(), *ALSO.values(), NO_USER, OPEN, OWN]).split()
    assert sorted(set(said) - names) == []
    # No operation has two answers.
    assert len(" ".join(ANSWERS.values()).split()) == len(set(" ".join(ANSWERS.values()).split()))


def test_references_lead_to_what_is_there_and_everything_is_referred_to(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {one.removeprefix("#/components/schemas/") for one in references(document)} == set(schemas)


def test_only_what_can_happen_is_described(document: dict[str, Any]) -> None:
    statuses = {one["operationId"]: set(one["responses"]) for one in operations_of(document)}
    assert statuses["account_getInfo"] == {"200", "401", "default"}
    assert statuses["validate"] == {"200", "default"}
    assert statuses["compute_execute"] == {"200", "400", "401", "403", "404", "409", "413", "default"}
    assert {name for name, found in statuses.items() if "416" in found} == {
        "compute_root_downloadFile", "path_file_download", "path_raster_timestamp_file_download",
        "path_vector_timestamp_file_download",
    }  # fmt: skip


def test_who_needs_a_token(document: dict[str, Any]) -> None:
    security = {one["operationId"]: one["security"] for one in operations_of(document)}
    assert security["account_logIn"] == security["validate"] == []
    assert security["path_get"] == [{"HTTPBearer": []}, {}]
    assert security["compute_createCompute"] == [{"HTTPBearer": []}]
