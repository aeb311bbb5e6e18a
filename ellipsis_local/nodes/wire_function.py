"""A function as it comes over the wire: text from clients 3.3 and later, a dill pickle in base64 from those before."""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import re
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import Any

from ellipsis_local.arguments import invalid
from ellipsis_local.node_program.ellipsis_node.records import NodeFunction

MOST_CHARACTERS = 16_000_000
CHECKED_CHARACTERS = 250_000
"""Of a longer text the node alone tells what is wrong: compiling takes up to half a second and 400 MB per megabyte."""
FILENAME = "<function>"
"""What tracebacks call the file of a function that came as text."""

# Seen in the client: between them stands the function's source, its lines after the first indented by two spaces.
HEAD = "def userFunction(params):\n "
TAIL = re.compile(r"\n return [^\n]*\(params\)\Z")

_filters = threading.Lock()


@dataclass(frozen=True)
class Sent:
    """The field `file` of a request to execute."""

    file: Any


def describe_sent(file: Any, python: tuple[int, ...]) -> NodeFunction:
    """The record of a text or a pickle in base64 (seen in clients 3.3.12 and 3.2.9); it is neither run nor loaded."""
    if not isinstance(file, str):
        raise invalid("file", file, f"must be of type string, not {type(file).__name__}")
    if not file.strip():
        raise invalid("file", file, "is empty; send the text of a function")
    if len(file) > MOST_CHARACTERS:
        most = f"a function may have {MOST_CHARACTERS:,}; give what is large to createCompute as files"
        raise invalid("file", file, f"has {len(file):,} characters, and {most}")
    if "\0" in file:
        raise invalid("file", file, "holds a null character, which no Python source may")
    if _is_pickle(file):
        return NodeFunction("dill", _key(file), pickle=file)
    if "\n" not in file and "userFunction" not in file:
        raise invalid("file", file, "is neither the text of a function nor a dill pickle in base64")
    source = _source(file)
    _check(file, source, python)
    if source is not None:
        return NodeFunction("source", _key(file), text=file, source=source, filename=FILENAME)
    # The node takes one line off, the client's own.
    return NodeFunction("source", _key(file), text="\n" + file, source=file, filename=FILENAME, wrapped=False)


def _key(file: str) -> str:
    return hashlib.sha256(file.encode()).hexdigest()


def _is_pickle(file: str) -> bool:
    try:
        data = base64.b64decode(file, validate=True)
    except (binascii.Error, ValueError):
        return False
    # PROTO 2 to 5 … STOP
    return len(data) > 3 and data[0] == 0x80 and 2 <= data[1] <= 5 and data[-1:] == b"."


def _source(file: str) -> str | None:
    """The function's own source out of the client's text; None for a text that was made in another way."""
    tail = TAIL.search(file)
    if tail is None or not file.startswith(HEAD):
        return None
    first, *lines = file[len(HEAD) : tail.start()].split("\n")
    if any(not line.startswith("  ") for line in lines):
        return None
    return "\n".join([first, *(line[2:] for line in lines)])


def _check(file: str, source: str | None, python: tuple[int, ...]) -> None:
    """Refuse what the node's Python cannot read either; where that is not sure, the node tells."""
    defines = "userFunction" in file
    if len(file) <= CHECKED_CHARACTERS:
        here, there = sys.version_info[:2], python[:2]
        try:
            # What Python warns of would be printed here; the node does that. Filters belong to all threads.
            with _filters, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file, FILENAME)
                defines = any(_binds(node) for node in ast.walk(tree))
                if here == there:
                    compile(tree, FILENAME, "exec", dont_inherit=True)
        except SyntaxError as error:
            # Grammars grow; only the f-strings of 3.12 are another grammar.
            grown = here > there and not (there < (3, 12) <= here and "f-string" in str(error.msg))
            if here == there or grown:
                raise invalid("file", file, _syntax(error, file, source)) from None
        except ValueError as error:
            raise invalid("file", file, f"holds what no Python source may: {error}") from None
        except (RecursionError, MemoryError):
            # Nested too deeply for this Python; the node tells of its own.
            pass
    if not defines:
        raise invalid("file", file, "does not define userFunction, as the text that the client sends does")


def _binds(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == "userFunction"
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "userFunction"


def _syntax(error: SyntaxError, file: str, source: str | None) -> str:
    """What is wrong, with the line of the user's own source, and where the client's way to send is the reason, that."""
    lines = file.split("\n")
    number = error.lineno or 1
    line = lines[number - 1].strip() if number <= len(lines) else ""
    # The client's text begins with a line of its own.
    own = number - 1 if file.startswith(HEAD) else number
    inside = own >= 1 and (source is None or own <= len(source.split("\n")))
    place = f"line {own} of the function" if inside else "the client's own line around the function"
    text = f"has a syntax error in {place}: {error.msg}" + (f": {line[:200]}" if line else "")
    start = file.removeprefix(HEAD)
    if start.startswith("@"):
        text += "; a decorator cannot be sent, only the text of a def: leave it out"
    elif start[:1].isspace():
        text += "; a def inside another block is sent with wrong indentation: move it to the top level of the script"
    elif "lambda" in start.partition("\n")[0] and not start.startswith(("def", "async")):
        text += "; a lambda cannot be sent, only the text of a def: write one"
    return text
