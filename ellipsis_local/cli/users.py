"""`ellipsis-local users`: who may log in to the home, and their tokens."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ellipsis_local.cli.completion import complete_users
from ellipsis_local.cli.printing import Json, Yes, confirm, console, counted, moment, print_answer, print_list
from ellipsis_local.cli.session import session_of
from ellipsis_local.errors import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from ellipsis_local.accounts import TokenRecord

app = typer.Typer(
    help="The users of the home. Whoever logs in first under a name makes that user; make them here beforehand, or let "
    "a token that scripts have written in them be known to `serve`.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="The user's name.", show_default=False, autocompletion=complete_users)]
Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="TEXT",
        help="Asked for where left out, or read as a line from a pipe; other programs can see what stands here.",
        show_default=False,
    ),
]


def ask_password(given: str | None) -> str:
    """The password: as it was given, asked for on a terminal, or the first line of a pipe."""
    if given is not None:
        return given
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise ArgumentError("there is no password: give --password, or a line on standard input", argument="password")
    return line


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    password: Password = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="A token that scripts have written in them, which becomes this user's. Without a password nobody can "
            "log in under the name until `users password` sets one.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a user; with --token alone, also add a token to a user who is there."""
    with session_of(ctx).emulator() as emulator:
        accounts = emulator.accounts
        there = accounts.find_user(name)
        if there is not None and token is not None and password is None:
            accounts.register_token(name, token)
            user, made = there, False
        elif there is not None:
            raise ArgumentError(f"there is a user {name!r} in this home already", argument="username", value=name)
        else:
            secret = secrets.token_urlsafe(32) if token is not None and password is None else ask_password(password)
            user, made = accounts.add_user(name, secret, token=token), True
    done = "added user" if made else "added the token to user"
    answer = {"id": user.id, "username": user.name, "made": made}
    print_answer(answer, f"{done} {user.name}  {user.id}", as_json=as_json)


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the users."""
    with session_of(ctx).emulator() as emulator:
        found = emulator.accounts.users()
        home = emulator.home.root
    print_list(
        [{"id": u.id, "username": u.name, "created": u.created, "tokens": u.tokens} for u in found],
        "name", "tokens", "created", "id", right=("tokens",), fold=("name",),
        rows=[(escape(u.name), u.tokens, moment(u.created), u.id) for u in found],
        empty=f"no users in {home}; the first login makes one, and so does `users add`",
        as_json=as_json,
    )  # fmt: skip


@app.command()
def password(ctx: typer.Context, name: Name, password: Password = None) -> None:
    """Set a user's password; tokens stay valid."""
    with session_of(ctx).emulator() as emulator:
        emulator.accounts.named(name)
        emulator.accounts.set_password(name, ask_password(password))
    console().print(f"set the password of user {name}", markup=False)


@app.command()
def remove(ctx: typer.Context, name: Name, yes: Yes = False) -> None:
    """Remove a user with all tokens, memberships and invites. Asks first on a terminal.

    Layers and computes stay; whoever is next made or logs in under the same name owns them again.
    """
    with session_of(ctx).emulator() as emulator:
        user = emulator.accounts.named(name)
        number = len(emulator.accounts.tokens(user.id))
        confirm(f"Remove user {name} with {counted(number, 'token')} from {emulator.home.root}?", yes=yes)
        emulator.accounts.remove_user(name)
    console().print(f"removed user {name}", markup=False)


def token_answer(token: TokenRecord) -> dict[str, Any]:
    names = ("id", "description", "scope", "created", "expires")
    return {name: getattr(token, name) for name in names} | {"accessList": token.access_list}


def token_row(token: TokenRecord) -> tuple[Any, ...]:
    expires = "never" if token.expires is None else moment(token.expires)
    paths = None if token.access_list is None else len(token.access_list)
    return token.id, token.scope, moment(token.created), expires, paths, escape(token.description)


@app.command()
def tokens(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """List the valid tokens of a user; what they are is not known here, only hashes are kept."""
    with session_of(ctx).emulator() as emulator:
        found = emulator.accounts.tokens(emulator.accounts.named(name).id)
    print_list(
        [token_answer(token) for token in found],
        "id", "scope", "created", "expires", "paths", "description", right=("paths",), fold=("description",),
        rows=map(token_row, found),
        empty="no tokens",
        as_json=as_json,
    )  # fmt: skip


@app.command()
def revoke(
    ctx: typer.Context,
    name: Name,
    token_id: Annotated[
        str,
        typer.Argument(
            help="The id that `users tokens` shows, or so much of its beginning that only one fits.", show_default=False
        ),
    ],
) -> None:
    """Let a token be valid no longer."""
    with session_of(ctx).emulator() as emulator:
        user = emulator.accounts.named(name)
        text = token_id.lower()
        fitting = [token.id for token in emulator.accounts.tokens(user.id) if text and token.id.startswith(text)]
        if len(fitting) != 1:
            found = f"{len(fitting)} tokens" if fitting else "no valid token"
            text = f"user {name!r} has {found} whose id begins with {token_id!r}; `users tokens` shows what there is"
            raise NotFoundError(text, argument="accessTokenId", value=token_id)
        emulator.accounts.revoke(user.id, fitting[0])
    console().print(f"revoked token {fitting[0]}", markup=False)
