"""`ellipsis.account`: log in, and what is known of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local import arguments
from ellipsis_local.api_functions import attach
from ellipsis_local.emulator import current_emulator

__all__ = ["getInfo", "logIn"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def logIn(username: str, password: str, validFor: int | None = None) -> str:
    """Log in and get a token.

    A user is made at the first login, and later ones need the same password (our choice: there is no sign-up here). A
    token of the service needs no login: every token that was not given out here stands for a user of its own.

    Parameters
    ----------
    username, password : str
    validFor : int, optional
        Seconds until the token expires, at most 5,184,000 (60 days, as on the service); never where None.

    Returns
    -------
    str
        The token.

    Raises
    ------
    AccountError
        For another password than at the first login.
    ArgumentError
        For a name, a password or a time that no login may have.

    Examples
    --------
    >>> token = el.account.logIn('demo_user', 'demo_user')
    >>> el.account.getInfo(token)['username']
    'demo_user'
    """
    name = arguments.string("username", username)
    secret = arguments.string("password", password)
    return current_emulator().accounts.log_in(name, secret, arguments.integer("validFor", validFor))


def getInfo(token: str) -> dict[str, Any]:
    """What is known of the token's account: `id`, `username` and `plan` with `maxComputeNodes` (seen in the client).

    Examples
    --------
    >>> el.account.getInfo(token)['plan']
    {'maxComputeNodes': 64}
    """
    emulator = current_emulator()
    return emulator.account(emulator.user(arguments.token(token)))


attach("account")
