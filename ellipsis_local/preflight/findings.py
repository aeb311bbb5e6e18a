"""One thing to tell of a function, and the list of the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]

RULES = {
    "not-a-function": "execute takes a function, nothing else (seen in the client)",
    "lambda": "only the text of a def can be sent",
    "no-source": "only what has a source file can be sent",
    "changed": "what is sent is the text of the file as it is now, not as it was imported",
    "decorator": "the text that is sent cannot apply a decorator",
    "async": "the call of an async function returns before it has run",
    "generator": "the call of a generator returns before it has run",
    "method": "the text of a method is indented, and nobody passes self",
    "signature": "the service calls the function with one argument",
    "name": "the service takes for the name what stands before the first bracket, without every 'def'",
    "indentation": "a def inside another block is sent with lines that are indented wrongly",
    "wrapped": "the text that is sent is that of the wrapped function, without the wrapper",
    "syntax": "the environment's Python cannot read the text",
    "closure": "what an enclosing function defines does not travel",
    "global": "what the module defines does not travel",
    "default": "defaults are evaluated on the service, where the module's names are not",
    "annotation": "annotations are evaluated on the service up to Python 3.13, where the module's names are not",
    "undefined": "nothing defines the name",
    "shadowed": "the name is the module's here, and a builtin or the layers on the service",
    "global-write": "an assignment to a global of the module stays on the node",
    "text": "every line of a text but the first gains two spaces",
    "import": "the nodes have the standard library and the environment's packages",
    "key": "params has the layers' timestampIds and the files' pathIds as keys",
    "unsigned": "numpy subtracts unsigned pixels modulo the size of their dtype, on the service as here",
    "one-per-node": "the list that execute returns has one entry per shard, and a node runs several (seen in scripts)",
    "counted-twice": "shards of the service overlap their neighbours by a buffer (seen in scripts)",
    "result": "small results travel as JSON, large ones as a memory file",
}
"""Each rule, and why: what the service does (seen in the client, where nothing else is said)."""


@dataclass(frozen=True)
class Finding:
    """Something that the service does to a function and that its author may not expect."""

    rule: str
    """A key of `RULES`."""
    message: str
    """What is wrong; the function is "it"."""
    way_out: str
    line: int | None
    """In the user's file, from 1; None where there is no place."""
    column: int | None
    """In characters, from 1."""
    severity: Severity = "error"
    """'error': it fails or gives another result on the service; 'warning': it may."""
    function: str = ""
    file: str = ""

    @property
    def place(self) -> str:
        """As compilers write it: file:line:column."""
        parts = (self.file, self.line, self.column)
        return ":".join(str(part) for part in parts if part not in (None, ""))

    @property
    def text(self) -> str:
        """What is wrong, the way out, and the rule."""
        return f"{self.message}: {self.way_out} [{self.rule}]"

    def __str__(self) -> str:
        where = " ".join(part for part in (self.function, f"({self.place})" if self.place else "") if part)
        return f"{where}: {self.text}" if where else self.text

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "wayOut": self.way_out,
            "function": self.function,
            "file": self.file,
            "line": self.line,
            "column": self.column,
        }
