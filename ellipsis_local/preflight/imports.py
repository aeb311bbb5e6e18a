"""Which modules a function imports, and whether the nodes have them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ellipsis_local.preflight.findings import Finding, Severity
from ellipsis_local.preflight.modules import (
    NODES_OWN,
    SERVICE_HAS,
    change_of,
    distribution_of,
    modules_of,
    standard_library,
)
from ellipsis_local.preflight.names import called, catches
from ellipsis_local.preflight.source import Source
from ellipsis_local.preflight.surroundings import Installed, Surroundings

IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
EMULATOR = "ellipsis_local"
BODY = "write what it needs into the body"


@dataclass(frozen=True)
class Imported:
    """A module that is imported, by its first name; '' for a relative import."""

    module: str
    node: ast.stmt


def imported(node: ast.AST) -> Iterator[Imported]:
    """The modules that are imported somewhere in a tree, those excepted whose absence is taken care of."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Imported(alias.name.partition(".")[0], node)
    elif isinstance(node, ast.ImportFrom):
        yield Imported("" if node.level else (node.module or "").partition(".")[0], node)
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


def check_imports(source: Source, found: tuple[Imported, ...], around: Surroundings) -> Iterator[Finding]:
    """Modules that the nodes lack, or may lack."""
    library = standard_library(around.python)
    told: set[str] = set()
    for module in found:
        if module.module in told or module.module in library:
            continue
        told.add(module.module)
        finding = _check(source, module, around)
        if finding is not None:
            yield finding


def _check(source: Source, one: Imported, around: Surroundings) -> Finding | None:
    module = one.module
    if not module:
        message = "it imports relative to its package, and on the node it belongs to none"
        return Finding("import", message, BODY, *source.place(one.node))
    if module == EMULATOR:
        message = f"it imports {EMULATOR}, which neither the service nor the nodes have"
        way_out = "import ellipsis, and put 'ellipsis' into the requirements of createCompute"
        return Finding("import", message, way_out, *source.place(one.node))
    if around.requirements is None or _comes(module, SERVICE_HAS):
        return None
    installed = around.installed()
    if module in NODES_OWN and (installed is None or module in installed.modules):
        return _nodes_own(source, one, around, installed)
    if installed is None and _comes(module, around.requirements):
        return None
    if installed is not None and (installed.has(module) or not installed.complete):
        return None
    changed = change_of(module, around.python)
    way_out = f"put {distribution_of(module)!r} into the requirements of createCompute"
    if _stands_beside(source.file, module):
        reason, sure = "which stands beside the script and is not sent", True
        way_out = BODY
    elif changed is not None:
        reason, sure = changed, True
        way_out = "use another module, or ask for another interpreter in createCompute"
    elif installed is not None:
        reason, sure = "which neither the standard library nor the environment's packages have", True
    else:
        reason, sure = "which may be missing, since neither Python nor the requirements are known to have it", False
    severity: Severity = "error" if sure else "warning"
    return Finding("import", f"it imports {module}, {reason}", way_out, *source.place(one.node), severity)


def _nodes_own(source: Source, one: Imported, around: Surroundings, installed: Installed | None) -> Finding | None:
    """A module that is here because the program of the nodes needs it, unless the requirements bring it, too."""
    package, asked = NODES_OWN[one.module], (*SERVICE_HAS, *(around.requirements or ()))
    if _comes(one.module, asked) or (installed is not None and package in installed.come_with(asked)):
        return None
    why = "which the nodes here have for their own use, and which the service may not have"
    way_out = f"put {package!r} into the requirements of createCompute"
    return Finding("import", f"it imports {one.module}, {why}", way_out, *source.place(one.node), "warning")


def _comes(module: str, requirements: tuple[str, ...]) -> bool:
    known = modules_of(requirements)
    return module in known or module.lower() in known


def _stands_beside(file: str, module: str) -> bool:
    try:
        folder = Path(file).parent
        return bool(file) and ((folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file())
    except OSError:
        return False
