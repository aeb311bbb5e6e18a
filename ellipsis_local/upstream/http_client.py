"""HTTP to the other service: bounded answers, retries with growing waits, downloads that continue where they broke off.

The token goes in a header to the service's own address, and nowhere else: not in an address, not to the host that a
redirect names. TLS is verified, with the certificates that `requests` finds (REQUESTS_CA_BUNDLE names others).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from ellipsis_local import direct_requests
from ellipsis_local.clocks import monotonic
from ellipsis_local.errors import UpstreamError
from ellipsis_local.settings import is_loopback

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
ATTEMPTS = 6
"""At one request, without getting any further."""
FIRST_ATTEMPTS = 3
"""As long as the service has not answered once: it may simply not be there."""
WAIT_SECONDS, LONGEST_WAIT = 0.5, 30.0
CHECK_SECONDS = 0.25
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another attempt may not meet."""
REDIRECTS = 5
CHUNK = 64 * 1024
"""Of a chunk in which a connection breaks off nothing is kept."""
JSON_BYTES = 32 * 1024**2
ERROR_BYTES = 64 * 1024
MOST_TEXT = 300

T = TypeVar("T")


class RefusedError(UpstreamError):
    """The service answered, and with another status than 200; `status` is the number."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class RetryableError(Exception):
    """An attempt that failed and may be made again.

    `wait` is the seconds that the service asks for; `further` says that the attempt was worth making.
    """

    def __init__(self, text: str, *, wait: float | None = None, further: bool = False) -> None:
        super().__init__(text)
        self.wait = wait
        self.further = further
        self.refusal: UpstreamError | None = None


class _Token:
    """Puts the token into the header; `requests` would take one from a .netrc file otherwise."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token is not None:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Answer:
    """An answer whose body is still to be read; errors of the connection come out as `RetryableError`."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers = response.headers

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        import requests
        import urllib3

        try:
            yield from self._response.iter_content(size)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise RetryableError(f"the connection broke off: {type(error).__name__}") from error

    def close(self) -> None:
        self._response.close()


class Client:
    """One service, for one pull; safe to use from several threads. Close it, or use it as a context manager.

    `url` and `token` are as `settings.service_url` and `service_token` give them; no token for what is public. `check`
    is called before every attempt, and often while one waits for the next, from any thread; what it raises ends the
    pull.
    """

    def __init__(self, url: str, token: str | None = None, check: Callable[[], None] | None = None) -> None:
        self.url = url
        self._token = token
        self._check = check or (lambda: None)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._answered = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        while self._sessions:
            self._sessions.pop().close()

    def json(self, path: str, query: Mapping[str, Any] | None = None, *, what: str, most: int = JSON_BYTES) -> Any:
        """What GET of `path` answers, of at most `most` bytes; messages call it `what`.

        Texts in the query go as they are, everything else as JSON (seen in the client); None is left out. RefusedError
        for a status other than 200; UpstreamError for a service that cannot be reached, or answers no JSON or too much
        of it.
        """
        data = self.body(path, query, what=what, most=most)
        try:
            return json.loads(data or b"")
        except (ValueError, RecursionError) as error:
            raise UpstreamError(
                f"{self.url} did not answer with JSON when asked for {what}; is it the address of a service, up to and "
                f"including /v3? It said: {self._said(data or b'')!r}"
            ) from error

    def body(self, path: str, query: Mapping[str, Any] | None = None, *, what: str, most: int) -> bytes | None:
        """The body that GET of `path` answers, of at most `most` bytes; None where there is none (status 204)."""

        def attempt() -> bytes | None:
            with contextlib.closing(self.open(path, query, what=what)) as answer:
                return None if answer.status == 204 else b"".join(self._bounded(answer, what, most))

        return self.persist(what, attempt)

    def _bounded(self, answer: Answer, what: str, most: int) -> Iterator[bytes]:
        count = 0
        for chunk in answer.chunks():
            count += len(chunk)
            if count > most:
                raise UpstreamError(f"{self.url} answered with more than {most:,} bytes when asked for {what}")
            yield chunk

    def open(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        what: str,
        headers: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
    ) -> Answer:
        """One attempt: the answer to GET of `path`, to be read and closed."""
        response = self._send(self.url + path, as_query(query), headers or {}, what)
        self._answered = True
        answer = Answer(response)
        if response.status_code in (200, 204, *also):
            return answer
        try:
            text = self._said(next(answer.chunks(ERROR_BYTES), b""))
        except RetryableError:
            text = ""
        finally:
            answer.close()
        error = refusal(self.url, what, response.status_code, text, token=self._token is not None)
        if response.status_code not in PASSING:
            raise error
        broken = RetryableError(str(error), wait=seconds(response.headers.get("Retry-After")))
        broken.refusal = error
        raise broken

    def _said(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError):
            # Some answers are the text itself, some JSON with it.
            found = json.loads(text)
            text = str(found["message"]) if isinstance(found, dict) and "message" in found else text
        return readable(text, self._token)

    def _send(
        self, url: str, query: Mapping[str, str] | None, headers: Mapping[str, str], what: str
    ) -> requests.Response:
        import requests

        home = origin(self.url)
        for _ in range(REDIRECTS + 1):
            try:
                response = self._getter(url)(
                    url,
                    params=query,
                    headers=dict(headers),
                    auth=_Token(self._token if origin(url) == home else None),
                    stream=True,
                    allow_redirects=False,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                )
            except requests.exceptions.SSLError as error:
                raise UpstreamError(
                    f"{self.url}: its TLS certificate is not trusted ({cause(error)}); where it is your own, name the "
                    "file of its issuer in REQUESTS_CA_BUNDLE"
                ) from error
            except (requests.ConnectionError, requests.Timeout) as error:
                raise RetryableError(f"cannot be reached ({cause(error)})") from error
            except requests.RequestException as error:
                raise UpstreamError(f"{self.url} cannot be asked for {what}: {cause(error)}") from error
            if not response.is_redirect:
                return response
            url, query = self._followed(url, response), None
        raise UpstreamError(f"{self.url} redirects more than {REDIRECTS} times when asked for {what}")

    def _followed(self, url: str, response: requests.Response) -> str:
        """Where a redirect leads; UpstreamError where it leaves TLS."""
        response.close()
        target = urljoin(url, response.headers["location"])
        if urlsplit(target).scheme != "https" and origin(target) != origin(self.url):
            raise UpstreamError(
                f"{self.url} redirects to {readable(target.partition('?')[0], self._token)}, which is not followed: "
                "only https is"
            )
        return target

    def _getter(self, url: str) -> Callable[..., requests.Response]:
        # What a test has put in the place of `requests` is for other servers than our own.
        if direct_requests.is_served(url):
            return partial(direct_requests.send, "GET", verify=certificates())
        return self._session().get

    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._local, "session", None)
        if found is None:
            from http.cookiejar import DefaultCookiePolicy

            import requests

            found = requests.Session()
            found.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            found.headers["User-Agent"] = "ellipsis_local"
            if is_loopback(urlsplit(self.url).hostname or ""):
                # No proxy reaches this machine's own addresses; the certificates are named by the environment as ever.
                found.trust_env = False
                found.verify = certificates()
            self._local.session = found
            self._sessions.append(found)
        return found

    def persist(self, what: str, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, made again after each `RetryableError`, until several in a row got no further."""
        failures = 0
        while True:
            self._check()
            try:
                return attempt()
            except RetryableError as error:
                failures = 1 if error.further else failures + 1
                if failures >= (ATTEMPTS if self._answered else FIRST_ATTEMPTS):
                    if error.refusal is not None:
                        raise error.refusal from error
                    raise UpstreamError(
                        f"{self.url}: {error} after {failures} attempts at {what}; check the address and the network. "
                        "What has been fetched is kept, and a pull continues it"
                    ) from error
                # Spread out, so that several clients do not come back at the same moment.
                wait = WAIT_SECONDS * 2 ** (failures - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
                self._sleep(min(LONGEST_WAIT, max(wait, error.wait or 0.0)))

    def _sleep(self, seconds: float) -> None:
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            self._check()
            time.sleep(min(left, CHECK_SECONDS))


def certificates() -> str | bool:
    """What TLS is verified with on this machine's own addresses."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or True


def as_query(query: Mapping[str, Any] | None) -> dict[str, str] | None:
    if query is None:
        return None
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in query.items()
        if value is not None
    }


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; None where it is absent or a date."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def cause(error: BaseException) -> str:
    """The innermost reason, in the words of the system where it has any."""
    seen: set[int] = set()
    current: Any = error
    while id(current) not in seen:
        seen.add(id(current))
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((argument for argument in current.args if isinstance(argument, BaseException)), None)
        if inner is None:
            break
        current = inner
    text = getattr(current, "strerror", None) or str(current) or type(current).__name__
    # urllib3 begins with the object that it failed on.
    return str(text).rpartition(">: ")[2].rpartition("): ")[2][:200]


def readable(text: str, secret: str | None) -> str:
    """A foreign text on one line, of bearable length, without the token."""
    if secret:
        text = text.replace(secret, "…")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_TEXT else f"{line[: MOST_TEXT - 1]}…"


def refusal(url: str, what: str, status: int, text: str, *, token: bool) -> RefusedError:
    """The error for a status other than 200."""
    said = f"({status}{': ' + text if text else ''})"
    if status == 401:
        way = (
            "it may have expired: log in there again with account.logIn, and give the new one as token=… or the "
            "setting upstream_token"
            if token
            else "give one as token=…, the variable ELLIPSIS_LOCAL_UPSTREAM_TOKEN or the setting upstream_token"
        )
        message = f"{url} {'does not accept the token' if token else 'asks for a token'} {said}; {way}"
    elif status == 403:
        who = "the account of the token has" if token else "without a token there is"
        way = "ask its owner for an invite, or give another account's token"
        message = f"{url}: {who} no access to {what} {said}; {way}"
    elif status in (404, 410):
        way = "check the id, and that the address ends with the service's base path, usually /v3"
        message = f"{url} knows no {what} {said}; {way}"
    elif status == 501:
        message = f"{url} does not offer {what} {said}"
    elif status == 429 or status >= 500:
        way = "try again later: what has been fetched is kept, and a pull continues it"
        message = f"{url} fails at {what} {said}; {way}"
    else:
        message = f"{url} refuses {what} {said}"
    return RefusedError(message, status=status)
