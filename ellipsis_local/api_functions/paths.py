"""Of `ellipsis.path`: what is done to a folder and all below it."""

from __future__ import annotations

from typing import Any

from ellipsis_local import arguments
from ellipsis_local.api_functions import request
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError


def editPublicAccess(
    pathId: str, token: str, access: dict[str, Any] | None = None, hidden: bool | None = None, recursive: bool = False
) -> Any:
    """Say what everybody may do with a path; with `recursive` all below a folder as well.

    `access` may be None where `hidden` is given (the client itself fails there).
    """
    path = f"/path/{arguments.uuid_text('pathId', pathId)}"
    if access is None and hidden is None:
        raise ArgumentError("hidden and access cannot both be None", argument="access", value=None)
    if arguments.boolean("recursive", recursive) and request("GET", path, {}, token)["type"] == "folder":
        for child in request("GET", f"{path}/list", {"includeTrashed": False}, token, every=True)["result"]:
            editPublicAccess(child["id"], token, access, hidden, recursive=True)
    return request("PATCH", f"{path}/publicAccess", {**(access or {}), "hidden": hidden}, token)


def listPath(
    pathId: str, pathType: str, pageStart: str | None = None, listAll: bool = True, token: str | None = None
) -> Any:
    """What lies in a folder: its folders, or its layers and files (deprecated by the client)."""
    if pathType not in ("layer", "folder"):
        raise invalid("pathType", pathType, f"must be one of 'layer' or 'folder', not {pathType!r}")
    path = f"/path/{arguments.uuid_text('pathId', pathId)}/list"
    given = {"pageStart": pageStart, "isFolder": pathType == "folder"}
    return request("GET", path, given, token, every=arguments.boolean("listAll", listAll))


FUNCTIONS = {"path.editPublicAccess": editPublicAccess, "path.root.listPath": listPath}
