"""Requests to servers of this process, whatever else a test lets `requests` do (responses, requests_mock, vcrpy).

Those stand in the place of methods of `requests.Session` and `HTTPAdapter`, or of urllib3's connections, from before or
after. A request to any other server is theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ellipsis_local.settings import is_loopback

if TYPE_CHECKING:
    import requests

_served: set[int] = set()


def serves(port: int, *, serving: bool = True) -> None:
    """Note that this process serves at a port, or no longer does."""
    (_served.add if serving else _served.discard)(port)


def is_served(url: str) -> bool:
    """Whether it is an address of a server of this process, on this machine's own address."""
    try:
        parts = urlsplit(url)
        return parts.port in _served and is_loopback(parts.hostname or "")
    except ValueError:
        return False


def send(
    method: str, url: str, *, timeout: Any = None, stream: bool = False, verify: Any = True, **options: Any
) -> requests.Response:
    """As `requests.request`, without proxies, .netrc and redirects; raises what that raises."""
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    for name in ("allow_redirects", "proxies", "cert"):
        options.pop(name, None)
    request: Any = requests.Request(method, url, **options).prepare()
    adapter: Any = HTTPAdapter()
    try:
        pool = adapter.get_connection_with_tls_context(request, verify)
        adapter.cert_verify(pool, request.url, verify, None)
        pool.ConnectionCls = _own_class(pool.ConnectionCls)
        answer = pool.urlopen(
            method,
            request.path_url,
            body=request.body,
            headers=request.headers,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            retries=False,
            timeout=urllib3.Timeout(*(timeout if isinstance(timeout, tuple) else (timeout, timeout))),
            chunked=request.body is not None and "Content-Length" not in request.headers,
        )
        response: requests.Response = adapter.build_response(request, answer)
        if not stream:
            response.content  # noqa: B018 - is read now
        return response
    except urllib3.exceptions.SSLError as error:
        raise requests.exceptions.SSLError(error, request=request) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error, request=request) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError(error, request=request) from error
    finally:
        # An answer that is still to be read keeps its connection.
        adapter.close()


def _own_class(connection: Any) -> Any:
    """urllib3's own class of connections, where vcrpy has put one around it."""
    while hasattr(connection, "_baseclass"):
        connection = connection._baseclass
    return connection
