"""What the service's refusals mean for the person who pulls, in words that name what to do."""

from __future__ import annotations

from ellipsis_local.errors import UpstreamError

MOST_TEXT = 300


class RefusedError(UpstreamError):
    """The service answered, and with another status than 200; `status` is the number."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


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
        message = (
            f"{url}: {who} no access to {what} {said}; ask its owner for an invite, or give another account's token"
        )
    elif status in (404, 410):
        message = (
            f"{url} knows no {what} {said}; check the id, and that the address ends with the service's base path, "
            "usually /v3"
        )
    elif status == 501:
        message = f"{url} does not offer {what} {said}"
    elif status == 429 or status >= 500:
        message = (
            f"{url} fails at {what} {said}; try again later: what has been fetched is kept, and a pull continues it"
        )
    else:
        message = f"{url} refuses {what} {said}"
    return RefusedError(message, status=status)
