"""Nothing leaves for the service: what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from ellipsis_local.errors import RealServiceError
from ellipsis_local.mocking import naming
from ellipsis_local.node_program.ellipsis_node.block_hosts import close_hosts, open_hosts
from ellipsis_local.settings import is_loopback

__all__ = ["DOMAIN", "guard", "host_of", "refused", "unguard"]

DOMAIN = "ellipsis-drive.com"
"""The service's; all names below it count (seen in the client: api. and app.)."""


def host_of(url: object) -> str | None:
    """The host of an address, where it is one."""
    try:
        return urlsplit(str(url)).hostname
    except ValueError:
        return None


def refused(host: str, request: str | None = None) -> RealServiceError:
    """The error for an attempt to reach the service; it names the call."""
    call, where = naming.client_call(), naming.request() or request
    named = call or where or f"a connection to {host}"
    detail = "" if named == where or call is None else f" ({where})" if where else f" ({host})"
    return RealServiceError(
        f"{named}{detail} was about to leave for the hosted service, and nothing does while ellipsis_local.mock is "
        "active: call it outside of the mock, or use a function that is emulated (docs/coverage.md lists them)",
        call=named,
    )


def guard(more: Collection[str | None] = ()) -> None:
    """Refuse whatever wants to reach the service, or one of `more` hosts that are not this machine's own."""
    hosts = {host for host in more if host and not is_loopback(host)}
    close_hosts([DOMAIN, *sorted(hosts - {DOMAIN})], refused)


def unguard() -> None:
    """Let everything leave again."""
    open_hosts()
