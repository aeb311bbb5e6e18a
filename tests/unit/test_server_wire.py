"""What goes over the wire: times, and the document that says what is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from ellipsis_local.server.openapi import fix_openapi
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


def test_the_document_says_what_is_answered() -> None:
    json, tiff = {"schema": {"type": "string"}}, {"schema": {"format": "binary"}}
    document = {
        "paths": {
            "/a": {"get": {"responses": {"200": {"content": {"application/json": json}}, "422": {}, "400": {}}}},
            "/b": {"get": {"responses": {"200": {"content": {"application/json": json, "image/tiff": tiff}}}}},
        },
        "components": {"schemas": {"Body": {}, "HTTPValidationError": {}, "ValidationError": {}}},
    }
    found = fix_openapi(document)
    assert set(found["paths"]["/a"]["get"]["responses"]) == {"200", "400"}
    assert found["paths"]["/a"]["get"]["responses"]["200"]["content"] == {"application/json": {"schema": {}}}
    assert set(found["paths"]["/b"]["get"]["responses"]["200"]["content"]) == {"image/tiff"}
    assert set(found["components"]["schemas"]) == {"Body"}
