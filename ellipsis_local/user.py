"""`ellipsis.user`: other users, by name or id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local.api_functions import attach

__all__: list[str] = []

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


attach("user")
