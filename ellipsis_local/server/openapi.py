"""The description of the API, at /openapi.json: FastAPI writes down its own habits, which are not ours.

Operations have the names of the client's functions, the endpoints' docstrings are their texts, and what they answer
stands here. All of it is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ellipsis_local.client_requests import requests_by_function

JSON = "application/json"
REFUSED = {
    400: "a bad argument", 401: "no token, or a wrong one", 403: "insufficient access", 404: "not here",
    409: "not in this state", 413: "too large", 416: "no such range of bytes", 429: "too many wrong passwords",
    501: "not emulated",
}  # fmt: skip
OTHERWISE = (
    "Any request may be refused, whatever it asks for: 400, 403, 421 or 431 where its headers are not for this server, "
    "503 where too many are under way, 507 where the home cannot be written, 500 for a bug."
)
FUNCTIONS = "x-client-functions"
"""The key of an operation under which the client's functions stand that are for it."""

ANSWERS = {
    "Token": "account_logIn",
    "Validity": "validate",
    "Account": "account_getInfo",
    "NewAccessToken": "account_accessToken_create",
    "Page[AccessToken]": "account_accessToken_get",
    "User": "user_get",
    "list[User]": "user_search",
    "Page[PathInfo]": "account_listRoot path_search path_folder_listFolder",
    "PathInfo": "path_get path_folder_traverse",
    "Made": (
        "path_folder_add path_raster_add path_vector_add path_file_add path_raster_timestamp_add "
        "path_vector_timestamp_add path_raster_timestamp_file_add path_vector_timestamp_file_add "
        "path_vector_featureProperty_add path_invite_send compute_createCompute"
    ),
    "list[Invite]": "path_invite_getYourInvites path_invite_getPathInvites",
    "list[Member]": "path_member_get",
    "list[str]": "path_hashtag_search path_vector_timestamp_feature_add",
    "Page[ActiveUser]": "path_usage_getActiveUsers",
    "list[DayUsage]": "path_usage_getUsage path_usage_getAggregatedUsage",
    "Usage": "path_usage_getUserUsage",
    "Geometry": "path_raster_timestamp_getBounds path_vector_timestamp_getBounds",
    "Page[TimestampFile]": "path_raster_timestamp_file_get path_vector_timestamp_file_get",
    "list[list[Any]]": "path_raster_timestamp_getLocationInfo",
    "list[Analysis]": "path_raster_timestamp_analyse",
    "list[list[Feature]]": "path_vector_timestamp_getLocationInfo",
    "FeaturePage": (
        "path_vector_timestamp_listFeatures path_vector_timestamp_compressedListFeatures "
        "path_vector_timestamp_getFeaturesByExtent path_vector_timestamp_getFeaturesByIds"
    ),
    "list[FeaturePage]": "path_vector_timestamp_featuresByTiles",
    "Page[FeatureVersion]": "path_vector_timestamp_feature_versions",
    "Page[FeatureChange]": "path_vector_timestamp_getChanges",
    "Page[ComputeInfo]": "compute_listComputes",
}
"""Which operations answer with which of `answer_models`; the others with nothing but that it is done."""

SHARED = (
    "account_accessToken_create path_folder_add path_raster_add path_vector_add path_file_add path_invite_send "
    "path_member_edit path_editPublicAccess"
)
"""Operations that take an access object: its `geoFence` is not emulated."""
ALSO = {
    401: "account_logIn",
    404: "user_get compute_listComputes",
    409: "compute_execute",
    413: (
        "path_raster_timestamp_getSampledRaster path_raster_timestamp_getLocationInfo path_raster_timestamp_analyse "
        "path_vector_timestamp_getLocationInfo"
    ),
    429: "account_logIn",
    501: (
        f"{SHARED} path_raster_timestamp_add path_vector_timestamp_add path_raster_timestamp_file_add "
        "path_vector_timestamp_file_add"
    ),
}
"""What operations are refused with besides what follows from their form (see `_refusals`)."""
OWN = "account_accessToken_create account_accessToken_get path_invite_getYourInvites path_usage_getUserUsage"
"""Operations on what is the user's own, which an access token may not ask for."""
OPEN = (
    "account_logIn validate account_getInfo account_listRoot user_search user_get path_search path_hashtag_search "
    "compute_listComputes"
)
"""Operations that anybody with a good token may ask for, and that name nothing that may be missing."""

NO_TOKEN = ("account_logIn", "validate")
NO_USER = (
    "user_search user_get path_search path_get path_folder_listFolder path_folder_traverse path_member_get "
    "path_hashtag_search path_file_download path_raster_timestamp_getRaster path_raster_timestamp_getSampledRaster "
    "path_raster_timestamp_getLocationInfo path_raster_timestamp_analyse path_raster_timestamp_getBounds "
    "path_raster_timestamp_file_download path_vector_timestamp_listFeatures path_vector_timestamp_getLocationInfo "
    "path_vector_timestamp_compressedListFeatures path_vector_timestamp_getFeaturesByExtent "
    "path_vector_timestamp_featuresByTiles path_vector_timestamp_getFeaturesByIds path_vector_timestamp_getBounds "
    "path_vector_timestamp_getChanges path_vector_timestamp_feature_versions path_vector_timestamp_file_download"
)
"""Operations that need no token at all, and those that need none for what is public (seen in the client)."""


def _binary(kind: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}, "description": description}}


FILE = {**_binary("application/octet-stream", "the file"), 206: {"description": "a part of the file"}}
PICTURE = _binary("image/tiff", "a TIFF, or a PNG where a style is asked for")
PICTURE[200]["content"]["image/png"] = PICTURE[200]["content"]["image/tiff"]


def fix_openapi(document: dict[str, Any], base_path: str) -> dict[str, Any]:
    """The document, changed in place."""
    functions: dict[tuple[str, str], list[str]] = {}
    for name, request in requests_by_function().items():
        functions.setdefault(request, []).append(name)
    schemas, answers = _answer_schemas()
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    document["components"]["schemas"] |= schemas
    for path, methods in document["paths"].items():
        address = path.removeprefix(base_path)
        for method, operation in methods.items():
            served = functions.get((method.upper(), address), [])
            # What only other clients ask for has its address as a name.
            parts = (part for part in address.split("/") if part and not part.startswith("{"))
            operation["operationId"] = served[0].replace(".", "_") if served else "_".join(parts)
            operation[FUNCTIONS] = served
            if operation["operationId"] in NO_TOKEN:
                operation["security"] = []
            elif operation["operationId"] in NO_USER.split():
                operation["security"].append({})
            _fix_texts(operation, served)
            _fix_responses(operation, answers.get(operation["operationId"], answers[""]))
    return document


def _answer_schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of all models, and that of each operation's answer; of those that are not named as ""."""
    from pydantic import TypeAdapter

    from ellipsis_local.server import answer_models

    kinds = {"": "Done", "error": "Error"} | {name: kind for kind, names in ANSWERS.items() for name in names.split()}
    adapters = {kind: TypeAdapter(eval(kind, vars(answer_models))) for kind in set(kinds.values())}  # noqa: S307 - ours
    mode: Literal["serialization"] = "serialization"
    inputs = [(kind, mode, adapters[kind]) for kind in sorted(adapters)]
    made, definitions = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    return definitions["$defs"], {name: made[kind, mode] for name, kind in kinds.items()}


def _fix_texts(operation: dict[str, Any], functions: list[str]) -> None:
    """The first line of an endpoint's docstring is the summary."""
    text = operation.pop("description", "")
    operation["summary"] = text.partition("\n")[0].rstrip(".")
    if functions:
        text += f"\n\nIn the Python client: {', '.join(f'`{name}`' for name in functions)}."
    operation["description"] = text


def _fix_responses(operation: dict[str, Any], answer: dict[str, Any]) -> None:
    good = {status: one for status, one in operation["responses"].items() if status in ("200", "204", "206")}
    content = good["200"]["content"]
    if len(content) > 1:
        del content[JSON]
    else:
        content[JSON] = {"schema": answer}
        good["200"]["description"] = "done" if answer.get("$ref", "").endswith("/Done") else "the answer"
    error = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    refused = {str(status): {"description": REFUSED[status], **error} for status in sorted(_refusals(operation))}
    operation["responses"] = good | refused | {"default": {"description": "refused for another reason", **error}}


def _refusals(operation: dict[str, Any]) -> Iterator[int]:
    """The statuses with which an operation refuses."""
    name, has_body = operation["operationId"], "requestBody" in operation
    if has_body or "parameters" in operation:
        yield 400
    if operation["security"]:
        yield 401
    if name not in OPEN.split():
        yield from (403,) if name in OWN.split() else (403, 404)
    if has_body:
        yield 413
    if "206" in operation["responses"]:
        yield 416
    yield from (status for status, names in ALSO.items() if name in names.split())
