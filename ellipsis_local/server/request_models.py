"""What the parts of requests may be: strict types with limits, so that nothing odd gets further than here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from ellipsis_local.errors import ArgumentError
from ellipsis_local.ids import utc
from ellipsis_local.types import Extent, PathType

MAX_TEXT = 10_000
MAX_OBJECT = 256 * 1024
MAX_DEPTH = 32


class Body(BaseModel):
    """A JSON body: types are not guessed; what is not asked for is left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


def _uuid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("must be of type string and be a uuid") from None


def _clean(value: str) -> str:
    if any(ord(character) < 32 and character not in "\t\n\r" for character in value):
        raise ValueError("must hold no control characters")
    return value


def depth(value: Any, left: int = MAX_DEPTH) -> None:
    if left == 0:
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        depth(item, left - 1)


def _object(value: dict[str, Any]) -> dict[str, Any]:
    depth(value)
    if len(orjson.dumps(value)) > MAX_OBJECT:
        raise ValueError(f"is larger than {MAX_OBJECT:,} bytes")
    return value


UUID_SCHEMA = {"type": "string", "format": "uuid"}
Id = Annotated[str, AfterValidator(_uuid), WithJsonSchema(UUID_SCHEMA)]
"""A UUID in a body, in its canonical spelling."""
IdText = Annotated[str, AfterValidator(lambda value: (_uuid(value), value)[1]), WithJsonSchema(UUID_SCHEMA)]
"""A UUID in a body, spelled as the caller did: layers are keys of what the function receives."""
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_clean)]
Name = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_clean)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_object)]
PathId = Annotated[Id, Path(alias="pathId")]
TimestampId = Annotated[Id, Path(alias="timestampId")]
FileId = Annotated[Id, Path(alias="fileId")]
PageStart = Annotated[Id | None, Query(alias="pageStart")]


def JsonQuery(kind: Any, example: str) -> tuple[BeforeValidator, WithJsonSchema]:  # noqa: N802 - makes annotations
    """Annotations of a query parameter, itself Any, that is JSON, as all but strings is (seen in the client)."""
    adapter = TypeAdapter(kind)

    def parse(value: Any) -> Any:
        try:
            value = orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError as error:
            raise ValueError(f"must be JSON ({error})") from None
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"[{part!r}]" for part in first["loc"])
            raise ValueError(f"{place + ': ' if place else ''}{first['msg']}") from None

    schema = {"type": "string", "contentMediaType": "application/json", "examples": [example]}
    return BeforeValidator(parse), WithJsonSchema(schema)


OtherType = Literal["pointCloud", "mesh", "bookmark"]
"""Types of the service that no path has here; the client asks for the first where it publishes a folder."""
PathTypes = Annotated[Any, *JsonQuery(list[PathType | OtherType] | None, '["raster", "vector"]'), Query(alias="type")]


class ExtentBody(Body):
    """A rectangle; its sides must not be empty."""

    xMin: float  # noqa: N815 - the wire's name
    xMax: float  # noqa: N815
    yMin: float  # noqa: N815
    yMax: float  # noqa: N815

    def checked(self) -> Extent:
        """The extent; ArgumentError where a side is empty."""
        extent = Extent(self.xMin, self.yMin, self.xMax, self.yMax)
        if not all(math.isfinite(side) for side in extent) or extent.width <= 0 or extent.height <= 0:
            text = f"extent: xMax must be larger than xMin and yMax than yMin, not {self.model_dump()}"
            raise ArgumentError(text, argument="extent")
        return extent


def _moment(value: Any) -> Any:
    """A time in UTC, which it is without a zone, too (seen in the client)."""
    try:
        return None if value is None else utc("date", value)
    except ArgumentError:
        raise ValueError("must be a time such as 2024-01-31T00:00:00, of the years 1 to 9999") from None


Moment = Annotated[
    datetime | None, BeforeValidator(_moment), WithJsonSchema({"type": ["string", "null"], "format": "date-time"})
]


class DateRange(Body):
    """From and to; a time without a zone is UTC (seen in the client)."""

    start: Moment = Field(None, alias="from")
    end: Moment = Field(None, alias="to")
