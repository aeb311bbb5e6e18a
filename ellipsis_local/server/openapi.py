"""The OpenAPI document, made to say what is answered: FastAPI writes down its own habits, which are not ours."""

from __future__ import annotations

from typing import Any

JSON = "application/json"


def _binary(kind: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}, "description": description}}


FILE = {**_binary("application/octet-stream", "the file"), 206: {"description": "a part of the file"}}
PICTURE = _binary("image/tiff", "a TIFF, or a PNG where a style is asked for")
PICTURE[200]["content"]["image/png"] = PICTURE[200]["content"]["image/tiff"]


def fix_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """The document, changed in place: a bad argument is 400, never 422; an answer is JSON of any form, or none."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            content = operation["responses"].get("200", {}).get("content", {})
            if len(content) > 1:
                content.pop(JSON, None)
            elif JSON in content:
                content[JSON] = {"schema": {}}
    return document
