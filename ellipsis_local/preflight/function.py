"""All rules for one function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from weakref import WeakKeyDictionary

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.form import check_form, check_texts
from ellipsis_local.preflight.imports import Imported, check_imports, imported
from ellipsis_local.preflight.keys import Key, check_keys, read_keys
from ellipsis_local.preflight.modules import builtin_names
from ellipsis_local.preflight.names import Names, Use, read_names
from ellipsis_local.preflight.source import Source
from ellipsis_local.preflight.surroundings import Look, Origin, Surroundings

WRAPPER = "params"
"""What the client's own def calls its argument."""
OF_THE_FILE = frozenset({"__file__", "__doc__", "__spec__", "__package__", "__loader__", "__path__", "__annotations__"})
"""Names of every module, which on a node are another's, or nobody's."""
LAZY_ANNOTATIONS = (3, 14)


class _Facts:
    """What the rules need to know of a def; read once, because the same one is executed again and again."""

    def __init__(self, source: Source) -> None:
        node = source.node
        self.texts: list[Finding] = []
        self.imports: tuple[Imported, ...] = ()
        self.keys: tuple[Key, ...] = ()
        self._lazy = self._eager = Names()
        # What is nested more deeply than Python calls itself is left to the node.
        with suppress(RecursionError):
            self._lazy = self._eager = read_names(node, annotations=True)
            if self._lazy.annotated:
                self._lazy = read_names(node, annotations=False)
            self.texts = list(check_texts(source))
            self.imports = tuple(imported(node))
            self.keys = read_keys(node)

    def names(self, python: tuple[int, ...]) -> Names:
        return self._eager if tuple(python[:2]) < LAZY_ANNOTATIONS else self._lazy


_known: WeakKeyDictionary[Source, _Facts] = WeakKeyDictionary()


def _facts(source: Source) -> _Facts:
    return _known.get(source) or _known.setdefault(source, _Facts(source))


def check_function(
    source: Source, look: Look, around: Surroundings, *, method: bool = False, returns: tuple[Finding, ...] = ()
) -> list[Finding]:
    """What the service would do to a function, in the order of its text."""
    facts = _facts(source)
    found = [
        *check_form(source, around.python, method=method),
        *_names(source, facts.names(around.python), look, around.python),
        *facts.texts,
        *check_imports(source, facts.imports, around),
        *check_keys(source, facts.keys, around),
        *returns,
    ]
    return sorted(found, key=lambda one: (one.line or 0, one.column or 0))


def outer_names(source: Source, look: Look, python: tuple[int, ...]) -> list[str]:
    """Names without which the text cannot run, and that are defined outside of it; in the order of the text."""
    other = {source.name, WRAPPER} | OF_THE_FILE | builtin_names(python)
    found = dict.fromkeys(use.name for use in _facts(source).names(python).uses)
    return [name for name in found if name not in other and look(name) is not None]


def _names(source: Source, names: Names, look: Look, python: tuple[int, ...]) -> Iterator[Finding]:
    builtin = builtin_names(python)
    told: set[str] = set()
    for use in names.uses:
        if use.name in told or use.name == source.name:
            continue
        told.add(use.name)
        finding = _name(source, use, look(use.name), names, builtin)
        if finding is not None:
            yield finding
    for name, node in names.written.items():
        if name not in told and look(name) is not None:
            message = f"it assigns the module's {name}, which stays on the node"
            yield Finding("global-write", message, "return the value instead", *source.place(node), "warning")


def _name(source: Source, use: Use, origin: Origin | None, names: Names, builtin: frozenset[str]) -> Finding | None:
    outside = f"it uses {use.name} from outside its body"
    if use.name in OF_THE_FILE:
        message = f"{outside}, and on the node that is another or none"
        return Finding("global", message, "write what it needs into the body", *source.place(use.node))
    if use.name == WRAPPER or use.name in builtin:
        if origin is None or use.name.startswith("__"):
            return None
        there = "the layers" if use.name == WRAPPER else "Python's own"
        return Finding(
            "shadowed", f"{outside}, and on the service that is {there}", origin.way_out, *source.place(use.node)
        )
    if origin is None:
        if use.guarded or names.dynamic:
            return None
        message = f"it uses {use.name}, which nothing defines"
        return Finding("undefined", message, "define or import it in the body", *source.place(use.node))
    where = {
        "default": "for a default, which the service evaluates again",
        "annotation": "for an annotation, which the service evaluates again",
        "body": "which is not sent",
    }[use.part]
    rule = use.part if use.part != "body" else origin.kind
    return Finding(rule, f"{outside}, {where}", origin.way_out, *source.place(use.node))
