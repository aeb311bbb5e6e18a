"""The structure of the code: imports go one way, rooms leave each other alone, functions fit a screen.

Everything is read from the source (ast), nothing is imported. Lazy imports inside functions count as well; imports
under `if TYPE_CHECKING` count for the direction, and not for cycles, because they never run.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2] / "ellipsis_local"
MOST_LINES = 60
"""Of a function, without its docstring: a screen."""

LEVELS = (
    {"clocks", "notebooks"},
    {"errors", "types"},
    {"progress", "tracebacks", "html_parts"},
    {"settings", "arguments", "client_requests", "notices", "preflight", "faults", "identity", "svg_map", "extras"},
    {
        "home",
        "database",
        "processes",
        "scopes",
        "crs",
        "gdal_errors",
        "ids",
        "direct_requests",
        "folium_maps",
        "service_columns",
        "log_lines",
    },
    {"node_program", "restore", "formats"},
    {"raster", "vector"},
    {"store", "accounts", "environments", "partitions", "nodes"},
    {"computes", "cluster", "sharing", "imagery", "features", "stand_ins", "upstream"},
    {"drive"},
    {"emulator"},
    {"answers", "reports"},
    {"layer_tables", "dashboard"},
    {"server"},
    {"api_functions"},
    {"account", "compute", "layers", "path", "state", "user", "util"},
    {"replay"},
    {"testing", "mocking"},
    {"lesson"},
    {"", "cli", "pytest_plugin", "__main__"},
)
"""From the ground up. A room may import those of lower levels; rooms of one level do not import each other. "" is the
package itself, whose public names are looked up lazily."""

SAME_LEVEL = {("cli", ""), ("__main__", "cli")}
"""The exceptions: the command line asks the package for its version, and `python -m` is the command line."""

SPEAKS_TO_NODES = {"nodes", "cluster", "computes", "replay", "mocking", "partitions"}
"""Who may import `node_program`: the engines for the messages on the pipe, partitions for the records of the parts that
they make, computes and replay for what they hand to nodes and the values that come back, and mocking for what keeps a
process from the service."""

AT_IMPORT = {"numpy", "affine"}
"""What `node_program` may import besides the standard library when it is imported."""
IN_FUNCTIONS = AT_IMPORT | {
    "cloudpickle", "dill", "geopandas", "multiprocessing_logging", "pandas", "pyarrow", "pyproj", "rasterio", "shapely",
}  # fmt: skip
"""What it may import later: what every environment holds, and what comes with that."""


class Import(NamedTuple):
    """One imported module, as it is written."""

    module: str
    line: int
    typing: bool
    """Under `if TYPE_CHECKING`."""
    lazy: bool
    """Inside a function."""


@cache
def tree(path: Path) -> ast.Module:
    """Of a module, for all tests of this file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.fixture(scope="module", autouse=True)
def trees_are_dropped() -> Iterator[None]:
    """The tests of other files would carry them through every garbage collection."""
    yield
    tree.cache_clear()


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in sorted(ROOT.rglob("*.py"))}
INSIDE = {name: path for name, path in MODULES.items() if f"{name}.".startswith("ellipsis_local.node_program.")}
OURS = {name: path for name, path in MODULES.items() if name not in INSIDE}
RUN_INSIDE = [*INSIDE.values(), ROOT / "environments" / "compile_program.py"]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def origin(node: ast.ImportFrom, package: str) -> str:
    """The module after `from`, with the dots of a relative import resolved."""
    if not node.level:
        return str(node.module)
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def walk(node: ast.AST, package: str, typing: bool = False, lazy: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, typing, lazy)
        elif isinstance(child, ast.ImportFrom):
            module = origin(child, package)
            for alias in child.names:
                full = f"{module}.{alias.name}"
                yield Import(full if full in MODULES else module, child.lineno, typing, lazy)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from walk(ast.Module(child.body, []), package, True, lazy)
            yield from walk(ast.Module(child.orelse, []), package, typing, lazy)
        else:
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, package, typing, lazy or inner)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(walk(tree(path), dotted(path.parent / "__init__.py")))


def ours(path: Path) -> Iterator[Import]:
    return (one for one in imports(path) if one.module.partition(".")[0] == "ellipsis_local")


def test_every_room_has_its_place() -> None:
    placed = [name for level in LEVELS for name in level]
    assert len(placed) == len(set(placed))
    assert {room(name) for name in MODULES} == set(placed), "add the new room to LEVELS, the removed one away"


def test_imports_go_one_way() -> None:
    level = {one: number for number, names in enumerate(LEVELS) for one in names}
    wrong = []
    for name, path in OURS.items():
        here = room(name)
        for one in ours(path):
            there = room(one.module)
            if not here:
                # The package itself names everything public, under TYPE_CHECKING, and imports it when it is asked for.
                allowed = one.typing
            else:
                allowed = there == here or level[there] < level[here] or (here, there) in SAME_LEVEL
            if not allowed:
                wrong.append(f"{path}:{one.line}: {name} imports {one.module}")
    assert wrong == []


def test_few_speak_the_language_of_the_nodes() -> None:
    found = {room(name) for name, path in OURS.items() for one in ours(path) if room(one.module) == "node_program"}
    assert found <= SPEAKS_TO_NODES


def test_no_cycles() -> None:
    graph = {
        name: {one.module for one in imports(path) if not one.typing and one.module in MODULES} - {name}
        for name, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' → '.join(error.args[1])}")


def test_inside_stands_alone() -> None:
    standard = set(sys.stdlib_module_names) | {"ellipsis_node"}
    wrong = []
    for path in INSIDE.values():
        for one in imports(path):
            libraries = standard | (IN_FUNCTIONS if one.lazy or one.typing else AT_IMPORT)
            if one.module.partition(".")[0] not in libraries and one.module not in INSIDE:
                wrong.append(f"{path}:{one.line}: {one.module}")
    assert wrong == []


@pytest.mark.parametrize("path", RUN_INSIDE, ids=lambda path: path.name)
def test_what_runs_in_environments_is_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_the_program_that_compiles_bytecode_needs_no_package() -> None:
    path = ROOT / "environments" / "compile_program.py"
    assert {one.module.partition(".")[0] for one in imports(path)} <= set(sys.stdlib_module_names)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines without the docstring, and without functions inside, which count for themselves."""
    inner = [one for one in function.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
    whole = (function.body[-1].end_lineno or 0) - first.lineno + 1
    return whole - sum((one.end_lineno or 0) - one.lineno + 1 for one in inner)


def test_functions_fit_a_screen() -> None:
    long = {}
    for path in MODULES.values():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MOST_LINES:
                long[f"{path}:{node.lineno} {node.name}"] = body_lines(node)
    assert long == {}


OPENS_FILES = {
    "rasterio": ("raster", r"rasterio\b"),
    "pyogrio": ("vector", r"pyogrio\b"),
    "pyarrow.parquet": ("vector", r"pyarrow\.parquet\b"),
    "geopandas I/O": ("vector", r"\.(read_parquet|read_file|to_parquet|to_file|to_arrow|from_arrow)\("),
}
"""What opens, reads and writes layers, and the one room that may."""

AS_USERS_DO = {"node_program", "util", "ellipsis_local.cli.demo_functions", "ellipsis_local.cli.demo_picture"}
"""The node program has no package of ours; the others do what a script of a user does, or are sent to nodes."""


@pytest.mark.parametrize("library", OPENS_FILES)
def test_one_room_opens_rasters_and_one_vectors(library: str) -> None:
    only, pattern = OPENS_FILES[library]
    wrong = []
    for name, path in MODULES.items():
        if {room(name), name} & {only, *AS_USERS_DO}:
            continue
        if library == "geopandas I/O":
            text = "\n".join(ast.unparse(node) for node in tree(path).body)
            wrong += [f"{path}: {found[0]}" for found in re.finditer(pattern, text)]
        else:
            wrong += [f"{path}:{one.line}" for one in imports(path) if re.match(pattern, one.module)]
    assert wrong == []


DOORS = ("store", "partitions", "vector", "formats")
"""Not `raster`: who wants its arithmetic must not import numpy with the rest of it, as a door would."""


@pytest.mark.parametrize("asked", DOORS)
def test_rooms_are_asked_at_their_door(asked: str) -> None:
    """Others import from the room itself, what its `__all__` names, and nothing of its modules."""
    door = f"ellipsis_local.{asked}"
    offered = next(
        ast.literal_eval(node.value)
        for node in tree(MODULES[door]).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    wrong = []
    for path in (path for name, path in OURS.items() if room(name) != asked):
        for node in import_statements(path):
            if isinstance(node, ast.ImportFrom) and origin(node, dotted(path.parent / "__init__.py")) == door:
                wrong += [f"{path}:{node.lineno}: {alias.name}" for alias in node.names if alias.name not in offered]
            else:
                modules = [str(getattr(node, "module", "")), *(alias.name for alias in node.names)]
                wrong += [f"{path}:{node.lineno}: {one}" for one in modules if one.startswith(f"{door}.")]
    assert wrong == []


def test_modules_say_what_they_are() -> None:
    silent = [path for path in MODULES.values() if not ast.get_docstring(tree(path))]
    assert [str(path) for path in silent if path.name != "__main__.py"] == []


STOPPED = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
"""What freezegun stops, besides the calendar."""
GO_BY_THEM = {"run", "communicate", "call", "check_output", "check_call", "FileLock"}
"""What takes a timeout of seconds of these clocks."""


def test_waits_go_by_a_clock_that_tests_cannot_stop() -> None:
    wrong = []
    for path in OURS.values():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {f"time.{one}" for one in STOPPED}:
                wrong.append(f"{path}:{node.lineno}: {ast.unparse(node)}; there is ellipsis_local.clocks.monotonic")
            limited = isinstance(node, ast.Call) and any(keyword.arg == "timeout" for keyword in node.keywords)
            if limited and ast.unparse(node.func).rpartition(".")[2] in GO_BY_THEM:
                wrong.append(f"{path}:{node.lineno}: {ast.unparse(node)}; there is ellipsis_local.processes.run")
    assert wrong == []
