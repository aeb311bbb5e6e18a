"""All rules for one function; those for names from outside of it and for modules that it imports are here."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from ellipsis_local.preflight.findings import Finding, Severity
from ellipsis_local.preflight.form import check_form, check_texts
from ellipsis_local.preflight.keys import Keys, check_keys, read_keys
from ellipsis_local.preflight.modules import (
    NODES_OWN,
    SERVICE_HAS,
    builtin_names,
    change_of,
    distribution_of,
    modules_of,
    standard_library,
)
from ellipsis_local.preflight.names import Names, Use, called, catches, read_names
from ellipsis_local.preflight.source import Source
from ellipsis_local.preflight.surroundings import Installed, Look, Origin, Surroundings

WRAPPER = "params"
"""What the client's own def calls its argument."""
OF_THE_FILE = frozenset({"__file__", "__doc__", "__spec__", "__package__", "__loader__", "__path__", "__annotations__"})
"""Names of every module, which on a node are another's, or nobody's."""
LAZY_ANNOTATIONS = (3, 14)
IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
EMULATOR = "ellipsis_local"
BODY = "write what it needs into the body"


class _Facts:
    """What the rules need to know of a def; read once, because the same one is executed again and again."""

    def __init__(self, source: Source) -> None:
        node = source.node
        self.texts: list[Finding] = []
        self.imports: dict[str, ast.stmt] = {}
        self.keys: Keys = {}
        self._lazy = self._eager = Names()
        # What is nested more deeply than Python calls itself is left to the node.
        with suppress(RecursionError):
            self._lazy = self._eager = read_names(node, annotations=True)
            if self._lazy.annotated:
                self._lazy = read_names(node, annotations=False)
            self.texts = list(check_texts(source))
            for module, statement in list(imported(node)):
                self.imports.setdefault(module, statement)
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
    outside, place = f"it uses {use.name} from outside its body", source.place(use.node)
    if use.name in OF_THE_FILE:
        message = f"{outside}, and on the node that is another or none"
        return Finding("global", message, BODY, *place)
    if use.name == WRAPPER or use.name in builtin:
        if origin is None or use.name.startswith("__"):
            return None
        there = "the layers" if use.name == WRAPPER else "Python's own"
        return Finding("shadowed", f"{outside}, and on the service that is {there}", origin.way_out, *place)
    if origin is None:
        if use.guarded or names.dynamic:
            return None
        message = f"it uses {use.name}, which nothing defines"
        return Finding("undefined", message, "define or import it in the body", *place)
    if use.part == "body":
        return Finding(origin.kind, f"{outside}, which is not sent", origin.way_out, *place)
    part = f"{outside}, for {'a' if use.part == 'default' else 'an'} {use.part}, which the service evaluates again"
    return Finding(use.part, part, origin.way_out, *place)


def imported(node: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """The modules, by their first names, whose import somewhere in a tree has to succeed; '' for a relative import."""
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield "" if node.level else (node.module or "").partition(".")[0], node
    else:
        for child in _unguarded(node):
            yield from imported(child)


def _unguarded(node: ast.AST) -> Iterable[ast.AST]:
    """The parts of a node in which an import has to succeed."""
    if isinstance(node, ast.Try) and any(catches(handler, IMPORT_ERRORS, bare=True) for handler in node.handlers):
        return [*node.handlers, *node.orelse, *node.finalbody]
    if isinstance(node, ast.If) and "TYPE_CHECKING" in (getattr(node.test, "id", ""), getattr(node.test, "attr", "")):
        return node.orelse
    if isinstance(node, ast.With) and any(_suppresses(item.context_expr) for item in node.items):
        return ()
    return ast.iter_child_nodes(node)


def _suppresses(node: ast.expr) -> bool:
    """Whether it is contextlib's suppress(ImportError)."""
    if not isinstance(node, ast.Call) or called(node) != "suppress":
        return False
    return any(isinstance(error, ast.Name) and error.id in IMPORT_ERRORS for error in node.args)


def check_imports(source: Source, found: Mapping[str, ast.stmt], around: Surroundings) -> Iterator[Finding]:
    """Modules that the nodes lack, or may lack."""
    library = standard_library(around.python)
    for module, node in found.items():
        if module not in library and (lack := _lack(source.file, module, around)):
            what, way_out, severity = lack
            yield Finding("import", f"it imports {what}", way_out, *source.place(node), severity)


def _lack(file: str, module: str, around: Surroundings) -> tuple[str, str, Severity] | None:
    """What is imported and why it may be missing, the way out, and whether that is sure."""
    if not module:
        return "relative to its package, and on the node it belongs to none", BODY, "error"
    if module == EMULATOR:
        way_out = "import ellipsis, and put 'ellipsis' into the requirements of createCompute"
        return f"{EMULATOR}, which neither the service nor the nodes have", way_out, "error"
    if around.requirements is None or _comes(module, SERVICE_HAS):
        return None
    installed = around.installed()
    if module in NODES_OWN and (installed is None or module in installed.modules):
        return _nodes_own(module, around.requirements, installed)
    if installed is None and _comes(module, around.requirements):
        return None
    if installed is not None and (installed.has(module) or not installed.complete):
        return None
    if _stands_beside(file, module):
        return f"{module}, which stands beside the script and is not sent", BODY, "error"
    changed = change_of(module, around.python)
    if changed is not None:
        return f"{module}, {changed}", "use another module, or ask for another interpreter in createCompute", "error"
    way_out = f"put {distribution_of(module)!r} into the requirements of createCompute"
    if installed is not None:
        return f"{module}, which neither the standard library nor the environment's packages have", way_out, "error"
    why = "which may be missing, since neither Python nor the requirements are known to have it"
    return f"{module}, {why}", way_out, "warning"


def _nodes_own(
    module: str, requirements: tuple[str, ...], installed: Installed | None
) -> tuple[str, str, Severity] | None:
    """A module that is here because the program of the nodes needs it, unless the requirements bring it, too."""
    package, asked = NODES_OWN[module], (*SERVICE_HAS, *requirements)
    if _comes(module, asked) or (installed is not None and package in installed.come_with(asked)):
        return None
    why = "which the nodes here have for their own use, and which the service may not have"
    return f"{module}, {why}", f"put {package!r} into the requirements of createCompute", "warning"


def _comes(module: str, requirements: tuple[str, ...]) -> bool:
    known = modules_of(requirements)
    return module in known or module.lower() in known


def _stands_beside(file: str, module: str) -> bool:
    try:
        folder = Path(file).parent
        return bool(file) and ((folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file())
    except OSError:
        return False
