"""The rules of the preflight, one function at a time: what is told, where, and what is left alone."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import symtable
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ellipsis_local.errors import FidelityWarning
from ellipsis_local.nodes import describe_function
from ellipsis_local.preflight import (
    RULES,
    Finding,
    Installed,
    Origin,
    Surroundings,
    check_function,
    installed_in,
    outer_names,
    read_source,
)
from ellipsis_local.preflight.modules import builtin_names, distribution_of, modules_of, standard_library
from ellipsis_local.preflight.names import read_names
from ellipsis_local.preflight.results import check_results
from ellipsis_local.preflight.source import service_text

PATH, TIME, FILE = "1791d90c-86ee-417e", "32fc7fae-cbfe-4a76", "c208c8ab-1086-45fb"
AROUND = Surroundings((3, 12), ((PATH, TIME),), (FILE,), ())


def nothing(_: str) -> Origin | None:
    return None


def told(
    text: str, around: Surroundings = AROUND, module: tuple[str, ...] = (), closure: tuple[str, ...] = ()
) -> list[Finding]:
    """The findings of a def, with some names around it."""

    def look(name: str) -> Origin | None:
        if name in closure:
            return Origin("closure", "…")
        return Origin("global", "…") if name in module else None

    return check_function(read_source(textwrap.dedent(text).strip("\n") + "\n"), look, around)


def rules(text: str, **given: object) -> list[str]:
    return [finding.rule for finding in told(text, **given)]


def body(*lines: str) -> str:
    return "def f(params):\n" + "".join(f"    {line}\n" for line in lines)


# --- places ---------------------------------------------------------------------------------------------------------


def test_places_are_those_of_the_file() -> None:
    source = read_source("def f(params):\n    é = 'ü'; return é, nowhere\n", "job.py", 100)
    (finding,) = check_function(source, nothing, AROUND)
    assert (finding.line, finding.column) == (101, 24)
    assert source.lines[1][finding.column - 1 :] == "nowhere"


def test_places_of_an_indented_def_with_text_at_the_margin() -> None:
    text = '    def f(params):\n        """Doc\nat the margin."""\n        return nowhere\n'
    found = check_function(read_source(text, "job.py", 7), nothing, AROUND)
    assert [(one.rule, one.line, one.column) for one in found] == [("indentation", 7, 5), ("undefined", 10, 16)]


def test_the_text_of_a_finding() -> None:
    finding = Finding("key", "it is", "do that", 3, 5, function="f", file="job.py")
    assert str(finding) == "f (job.py:3:5): it is: do that [key]"
    assert finding.to_dict() == {
        "rule": "key", "severity": "error", "message": "it is", "wayOut": "do that", "function": "f", "file": "job.py",
        "line": 3, "column": 5,
    }  # fmt: skip
    assert str(Finding("lambda", "it is", "do that", None, None)) == "it is: do that [lambda]"


def test_every_finding_has_a_known_rule() -> None:
    folder = Path(inspect.getfile(check_function)).parent
    used = {
        node.args[0].value
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Finding"
        and isinstance(node.args[0], ast.Constant)
    }
    # These are the kinds of names and of their places.
    assert used | {"closure", "default", "annotation"} == set(RULES)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (body("return math.pi"), ["global"]),
        (body("return outer"), ["closure"]),
        (body("return nowhere"), ["undefined"]),
        (body("return nowhere + nowhere"), ["undefined"]),
        ("def f(params, a=math):\n    return 1\n", ["default"]),
        ("def f(params, *, a=math):\n    return 1\n", ["default"]),
        ("def f(params: math):\n    return 1\n", ["annotation"]),
        ("def f(params) -> math:\n    return 1\n", ["annotation"]),
        ("def f(params: 'math') -> 'nowhere':\n    return 1\n", []),
        # Python's own names, the function itself, the wrapper's argument
        (body("return len(params), __name__, f, print, ValueError"), []),
        ("def f(p):\n    return params\n", []),
        # what the body defines
        (body("import math as m, os.path", "from io import BytesIO as B", "return m, os, B"), []),
        (body("for i, (a, *b) in []:", "    pass", "return i, a, b"), []),
        (body("with open('x') as (a, b): pass", "return a, b"), []),
        (body("try: pass", "except ValueError as e: print(e)"), []),
        (body("if (n := len(params)) > 1: return n"), []),
        (body("return [n for x in params if (n := x)], n"), []),
        (body("return [x for x in params], {x: y for x, y in []}, {z for z in []}, (w for w in [])"), []),
        (body("[x for x in params]", "return x"), ["undefined"]),
        (body("return [y for x in y]"), ["undefined"]),
        (body("return [math for x in params for y in x]"), ["global"]),
        (body("return lambda a, *b, c=1, **d: (a, b, c, d)"), []),
        (body("return lambda a: e"), ["undefined"]),
        (body("def g(a, *b, **c): return a, b, c, g, h", "def h(): return g", "return h"), []),
        (body("def g():", "    nonlocal n", "    n = 2", "n = 1", "g()", "return n"), []),
        (body("class A(Exception):", "    size = 1", "    def m(self): return __class__, A", "return A"), []),
        (body("class A:", "    size = 1", "    def m(self): return size"), ["undefined"]),
        (body("class A:", "    FACTOR = FACTOR"), ["global"]),
        (body("class A:", "    size: FACTOR = 1"), ["annotation"]),
        (body("size: nowhere = 1", "return size"), []),
        (body("match params:", "    case {'a': a, **rest}: return a, rest", "    case [b, *c] as d: return b, c, d"), []),
        (body("del params", "x = 1", "del x"), []),
        (body("return f'{nowhere!r:>{math}}'"), ["undefined", "global"]),
        (body("async def g():", "    async with a as b: return b", "    async for c in b: pass", "return g"), ["undefined"]),
        # globals of its own
        (body("global cache", "cache = {}", "def g(): return cache", "return g()"), []),
        (body("global total", "total += 1"), ["global"]),
        (body("global FACTOR", "FACTOR = 1", "return FACTOR"), ["global-write"]),
        # guarded, or beyond what a text shows
        (body("try: nowhere", "except NameError: pass"), []),
        (body("try: math", "except NameError: pass"), ["global"]),
        (body("exec('x = 1', globals())", "return x"), []),
        # names that are others there
        (body("return sum([])"), ["shadowed"]),
        (body("return __file__"), ["global"]),
        (body("sum = max", "return sum([])"), []),
    ],
)  # fmt: skip
def test_names(text: str, found: list[str]) -> None:
    assert rules(text, module=("math", "FACTOR", "total", "sum"), closure=("outer",)) == found


def test_the_wrappers_argument_hides_the_modules() -> None:
    (finding,) = told("def f(p):\n    return params\n", module=("params",))
    assert finding.rule == "shadowed" and "on the service that is the layers" in finding.message
    assert rules(body("return params"), module=("params",)) == []


def test_annotations_are_not_evaluated_from_python_3_14_on() -> None:
    text = "def f(params: math) -> nowhere:\n    return 1\n"
    assert rules(text, around=Surroundings((3, 13)), module=("math",)) == ["annotation", "undefined"]
    assert rules(text, around=Surroundings((3, 14)), module=("math",)) == []


def test_builtins_are_those_of_the_environment() -> None:
    text = body("return ExceptionGroup")
    assert rules(text, around=Surroundings((3, 11))) == []
    assert rules(text, around=Surroundings((3, 10))) == ["undefined"]
    assert set(dir(builtins)) - builtin_names(sys.version_info[:2]) <= {"_", "_IncompleteInputError"}


def test_names_that_the_text_cannot_run_without() -> None:
    source = read_source(body("return math, nowhere, sum, params, f, math, __file__, outer"))
    known = {"math": "global", "sum": "global", "params": "global", "outer": "closure"}
    look = lambda name: Origin(known[name], "…") if name in known else None  # noqa: E731
    assert outer_names(source, look, (3, 12)) == ["math", "outer"]


MODULES = (
    "argparse asyncio.base_events collections contextlib dataclasses enum functools inspect json.encoder shutil pathlib"
)


def of_the_library() -> Iterator[tuple[str, str]]:
    for name in MODULES.split():
        text = inspect.getsource(importlib.import_module(name))
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                node.decorator_list = []
                yield f"{name}.{node.name}", "def f():\n" + textwrap.indent(ast.unparse(node), "    ")


def globals_of(table: symtable.SymbolTable) -> Iterator[str]:
    # The module symtable takes whatever is called "top" for the module.
    if table.get_name() != "top":
        yield from (one.get_name() for one in table.get_symbols() if one.is_global() and one.is_referenced())
    for inner in table.get_children():
        yield from globals_of(inner)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="annotations have a scope of their own there")
def test_scopes_are_pythons_own() -> None:
    """Against Python's symbol tables, on some hundred functions and classes of its library."""
    compared = 0
    for name, text in of_the_library():
        (function,) = ast.parse(text).body
        found = read_names(function, annotations=True)
        own = {function.name, "__class__", *found.written}
        wanted = set(globals_of(symtable.symtable(text, name, "exec").get_children()[0]))
        # A class reads what it has not bound yet from around it, which the tables do not show.
        rebound = {one.id for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        assert wanted - own <= {use.name for use in found.uses}, name
        assert {use.name for use in found.uses} - own - wanted <= rebound, name
        compared += 1
    assert compared > 150


# --- the def itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@cache\ndef f(params):\n    return 1\n", ["decorator"]),
        ("async def f(params):\n    return 1\n", ["async"]),
        (body("yield 1"), ["generator"]),
        (body("return [(yield)]"), ["generator"]),
        (body("def g(): yield 1", "return list(g())"), []),
        (body("return list(x for x in params)"), []),
        ("def f():\n    return 1\n", ["signature"]),
        ("def f(params, more):\n    return 1\n", ["signature"]),
        ("def f(params, *, more):\n    return 1\n", ["signature"]),
        ("def f(*params):\n    return 1\n", []),
        ("def f(params, /, more=1, *rest, last=2, **named):\n    return 1\n", []),
        ("def default(params):\n    return 1\n", ["name"]),
        ("def undefined_areas(params):\n    return 1\n", ["name"]),
        ("def f(  # the first\n    params,\n):\n    return 1\n", []),
        ("def\tf (params): return 1\n", []),
        ("    def f(params):\n        return 1\n", ["indentation"]),
        ("def f(params):\n\treturn 1\n", []),
    ],
)
def test_the_def_itself(text: str, found: list[str]) -> None:
    assert [one.rule for one in check_function(read_source(text), nothing, AROUND)] == found


def test_what_would_be_called() -> None:
    (finding,) = told("def undefined_areas(params):\n    return 1\n")
    assert "the service would call 'uninedareas'" in finding.message or "'unined_areas'" in finding.message
    assert service_text("def undefined_areas(params): pass")[1] in finding.message


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no type parameters there")
def test_type_parameters() -> None:
    assert rules("def f[T](params: T) -> T:\n    return params\n") == ["name"]
    assert rules(body("def g[T: int](x: T) -> list[T]: return [x]", "type L[K] = list[K]", "return g(1), L")) == []


def test_a_method_by_its_class() -> None:
    source = read_source("    def f(self, extra):\n        return 1\n")
    assert [one.rule for one in check_function(source, nothing, AROUND, method=True)] == ["method"]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="needs the newer grammar")
def test_grammar_of_an_older_environment() -> None:
    text = body("match params:", "    case _: return 1")
    assert rules(text, around=Surroundings((3, 10))) == []
    (finding,) = told(text, around=Surroundings((3, 9)))
    assert (finding.rule, finding.line) == ("syntax", 2)
    assert "Python 3.9 of the environment cannot read it" in finding.message


# --- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('def f(params):\n    return """a\n    b"""\n', [2]),
        ('def f(params):\n    return b"""a\n    b"""\n', [2]),
        ('def f(params):\n    return f"""a\n    {len(params)}"""\n', [2]),
        ("def f(params):\n    return 'a\\\nb'\n", [2]),
        ('def f(params):\n    return g(1, """a\n""", """b""", x="""c\n""") + g\n', None),
        ('def f(params):\n    """Text\n\n    of the def.\n    """\n    return 1\n', []),
        ('def f(params):\n    def g():\n        """Text\n        """\n    class A:\n        """Text\n        """\n', []),
        ('def f(params):\n    return """a\\\n    b""", "c"\n', [2]),
        ('@g("""a\nb""", "c")\ndef f(params):\n    return """a\nb"""\n', [4]),
        ("def f(params):\n    return ('a\\n'\n            'b')\n", []),
        ('def f(params):\n    from textwrap import dedent\n    return dedent("""\\\n        a\n        b\n    """)\n', []),
        ('def f(params):\n    from textwrap import dedent\n    return dedent("""a\n        b""")\n', [3]),
        ('def f(params):\n    import inspect\n    return inspect.cleandoc("""a\n        b""")\n', []),
        ('def f(params):\n    return """\n    a b\n    c""".split()\n', []),
        ('def f(params):\n    return """\n    a b\n    c""".split(" ")\n', [2]),
        ('def f(params):\n    import textwrap\n    return textwrap.dedent(f"""\\\n        {len(params)}\n        """)\n', []),
    ],
)  # fmt: skip
def test_texts_over_several_lines(text: str, lines: list[int] | None) -> None:
    source = read_source(text)
    found = [one.line for one in check_function(source, nothing, AROUND) if one.rule == "text"]
    if lines is None:
        # Two of the three texts of one call; names are another matter.
        assert len(found) == 2
    else:
        assert found == lines


@pytest.mark.parametrize("shape", ['"""a\n  b\n"""', 'f"""{1}\n{2} \\\n x"""', "'a\\\n b'", '"x" """\n""" "y"'])
def test_a_text_is_told_where_it_really_changes(shape: str) -> None:
    text = f"def f(params):\n    return {shape}\n"
    values = []
    for sent in (text + "\nr = f({})", service_text(text)[0] + "\nr = userFunction({})"):
        scope: dict[str, object] = {}
        exec(sent, scope)
        values.append(scope["r"])
    assert values[0] != values[1]
    assert rules(text) == ["text"]


# --- imports --------------------------------------------------------------------------------------------------------


def needing(*requirements: str, python: tuple[int, int] = (3, 12), installed: Installed | None = None) -> Surroundings:
    return Surroundings(python, (), (), requirements, installed=lambda: installed)


@pytest.mark.parametrize(
    ("lines", "requirements", "found"),
    [
        (["import numpy, os, json"], [], []),
        (["import rasterio.features", "from rasterio.io import MemoryFile"], [], []),
        (["import geopandas, shapely.geometry, pandas, pyproj, affine"], [], []),
        (["import skimage.measure"], [], ["warning"]),
        (["import skimage, scipy, PIL"], ["scikit-image"], []),
        (["from sklearn.cluster import KMeans", "import joblib"], ["Scikit_Learn>=1.0"], []),
        (["import cv2"], ["opencv-python-headless==4.9.*"], []),
        (["import keras, tensorflow"], ["tensorflow"], []),
        (["import yaml, dateutil, Cython, netCDF4"], ["PyYAML", "cython", "netCDF4"], []),
        (["import ellipsis", "from ellipsis.util import saveRaster"], ["ellipsis"], []),
        (["import ellipsis"], [], ["warning"]),
        (["import ellipsis_local"], ["ellipsis"], ["error"]),
        (["import pyarrow"], [], ["warning"]),
        (["import pyarrow"], ["pyarrow"], []),
        (["import dill"], ["ellipsis"], []),
        (["from . import helpers"], [], ["error"]),
        (["import my_tool"], ["my-tool @ file:///tools/my_tool.whl"], []),
        # taken care of
        (["try: import cupy as np", "except ImportError: import numpy as np"], [], []),
        (["try: import cupy", "except Exception: pass"], [], []),
        (["from contextlib import suppress", "with suppress(ImportError): import cupy"], [], []),
        (["try: pass", "except ImportError: import cupy"], [], ["warning"]),
        (["try: import cupy", "except ValueError: pass"], [], ["warning"]),
        # one by one, each once
        (["import cupy", "import cupy.linalg", "import jax"], [], ["warning", "warning"]),
    ],
)
def test_imports(lines: list[str], requirements: list[str], found: list[str]) -> None:
    findings = told(body(*lines), around=needing(*requirements))
    assert [one.severity for one in findings if one.rule == "import"] == found
    assert {one.rule for one in findings} <= {"import"}


def test_imports_of_other_pythons() -> None:
    text = body("import distutils, tomllib")
    assert rules(text, around=needing(python=(3, 11))) == []
    (finding,) = told(text, around=needing(python=(3, 12)))
    assert "distutils, which the standard library has no longer, since Python 3.12" in finding.message
    (finding,) = told(text, around=needing(python=(3, 10)))
    assert "tomllib, which the standard library has only since Python 3.11" in finding.message
    assert rules(text, around=needing("setuptools")) == []
    assert sys.stdlib_module_names >= standard_library(sys.version_info[:2])


def test_imports_where_nothing_is_known_of_the_compute() -> None:
    assert rules(body("import cupy"), around=Surroundings((3, 12))) == []
    assert rules(body("import ellipsis_local"), around=Surroundings((3, 12))) == ["import"]


def test_the_way_out_names_the_package() -> None:
    (finding,) = told(body("import skimage"), around=needing())
    assert finding.way_out == "put 'scikit-image' into the requirements of createCompute"
    names = {"cv2": "opencv-python", "PIL": "pillow", "sklearn": "scikit-learn", "my_tool": "my-tool", "dill": "dill"}
    assert {module: distribution_of(module) for module in names} == names
    assert modules_of(("", "???", "-r x")) <= {"r"}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The files that tell what an environment holds."""
    site = tmp_path / "lib" / "python3.12" / "site-packages"
    for package in ("scipy", "skimage", "__pycache__", "numpy.libs", "pyarrow", "dill"):
        (site / package).mkdir(parents=True)
    for file in ("six.py", "_cffi_backend.cpython-312-x86_64-linux-gnu.so", "_virtualenv.pth", "_virtualenv.py"):
        (site / file).touch()
    for name, needs in (
        ("scikit-image", "scipy>=1.0"),
        ("scipy", ""),
        ("dask", "pyarrow>=14; extra == 'all'"),
        ("dill", ""),
    ):
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            "Version: 1.0",
            *([f"Requires-Dist: {needs}"] if needs else []),
        ]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_what_an_environment_holds(environment: Path) -> None:
    installed = installed_in(environment)
    assert installed is not None and installed.complete
    assert installed.modules == {"scipy", "skimage", "pyarrow", "dill", "six", "_cffi_backend", "_virtualenv"}
    assert installed.come_with(["Scikit_Image>=0.2"]) == {"scikit-image", "scipy"}
    assert installed_in(environment / "nowhere") is None


def test_imports_against_a_real_environment(environment: Path) -> None:
    installed = installed_in(environment)
    text = body("import scipy, six, numpy, keras, pyarrow, dill")
    found = told(text, around=needing("keras", "dask[all]", installed=installed))
    # keras is asked for and not there after all; what dask brings may be used, what only the nodes need may not be
    assert [(one.severity, "keras" in one.message, "dill" in one.message) for one in found] == [
        ("error", True, False),
        ("warning", False, True),
    ]
    assert rules(text, around=needing(installed=Installed((), frozenset({"pyarrow"}), complete=False))) == ["import"]


def test_an_editable_package_may_bring_anything(environment: Path) -> None:
    (environment / "lib" / "python3.12" / "site-packages" / "__editable__.mine.pth").write_text("/somewhere\n")
    installed = installed_in(environment)
    assert installed is not None
    assert not installed.complete or rules(body("import mine"), around=needing(installed=installed)) == []


def test_a_module_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").touch()
    source = read_source(body("import helpers"), str(tmp_path / "job.py"))
    (finding,) = check_function(source, nothing, needing())
    assert finding.severity == "error" and "stands beside the script and is not sent" in finding.message


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (body(f"return params['{TIME}']['raster'], params['{FILE}'].read()"), []),
        (body("return params['scene']"), ["error"]),
        (body("return params[0]"), ["error"]),
        ("def f(layers):\n    return layers['scene'], params['scene']\n", ["error"]),
        ("def f(layers):\n    return layers['scene']['raster']['x']\n", ["error"]),
        (body("return params.get('scene')"), ["warning"]),
        (body("return params.get('scene', 1), params.pop('scene', 1)"), []),
        (body("return params.pop('scene')"), ["error"]),
        (body("ID = 'scene'", "return params[ID]"), ["error"]),
        (body(f"ID = '{TIME}'", "return params[ID]"), []),
        (body("ID = 'scene'", f"ID = '{TIME}'", "return params[ID]"), []),
        (body("for ID in ('scene', 'other'): params[ID]"), ["error", "error"]),
        (body("return [params[ID] for ID in ['scene']]"), ["error"]),
        (body("def g(ID='scene'): return params[ID]", "return g()"), []),
        (body("for ID in params: params[ID]"), []),
        (body("if 'scene' in params: return params['scene']"), []),
        (body("try: return params['scene']", "except KeyError: return None"), []),
        (body("try: return params['scene']", "except ValueError: return None"), ["error"]),
        (body("params['own'] = 1", "return params['own']"), []),
        (body("params.update(own=1)", "return params['own']"), []),
        (body("params = {'own': 1}", "return params['own']"), []),
        (body("def g(): return params['scene']", "return g()"), ["error"]),
        (body("def g(params): return params['scene']", "return g({'scene': 1})"), []),
        (body("return (lambda params: params['scene'])({})"), []),
        (body("other = {'scene': 1}", "return other['scene']"), []),
        ("def f(p, params={}):\n    return params['scene']\n", []),
    ],
)
def test_keys(text: str, found: list[str]) -> None:
    assert [one.severity for one in told(text) if one.rule == "key"] == found
    assert [one for one in told(text, around=Surroundings((3, 12), None, ())) if one.rule == "key"] == []


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (PATH, f"that is a pathId, and params is keyed by timestampId: '{TIME}'"),
        (TIME.upper(), f"createCompute was given it as '{TIME}': spell it in the same way"),
        ("scene", f"the timestampIds of layers and the pathIds of files: '{TIME}', '{FILE}'"),
    ],
)
def test_hints_on_keys(key: str, hint: str) -> None:
    (finding,) = told(body(f"return params['{key}']"))
    assert hint in finding.way_out


def test_many_keys_are_cut_short() -> None:
    layers = tuple((f"p{i}", f"t{i}") for i in range(9))
    (finding,) = told(body("return params['x']"), around=Surroundings((3, 12), layers, ()))
    assert finding.way_out.endswith("'t0', 't1', 't2', 't3' and 5 more")
    (finding,) = told(body("return params['x']"), around=Surroundings((3, 12), (), ()))
    assert finding.way_out == "the compute has neither layers nor files"


# --- results --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["return 1, [2.0, None], {'a': (True, 'x')}"], None),
        (["return sum(x for x in params)"], None),
        (["return params"], None),
        (["return {1, 2}"], "a set"),
        (["return [1, {'a': {x for x in params}}]"], "a set"),
        (["return (x for x in params)"], "a generator"),
        (["return map(str, params)"], "map(…)"),
        (["return b'x'"], "bytes"),
        (["return 1j"], "a complex number"),
        (["return lambda: 1"], "a function"),
        (["def g(): return {1}", "return g"], "a function"),
        (["import numpy as np", "return np.zeros(3)"], "a numpy array"),
        (["from numpy import zeros as z", "r = z(3)", "return {'r': r}"], "a numpy array"),
        (["import numpy as np", "r = np.zeros(3)", "r = 1", "return r"], None),
        (["import numpy as np", "return np.zeros(3).tolist(), float(np.max(1))"], None),
        (["import geopandas", "return geopandas.GeoDataFrame()"], "a GeoDataFrame"),
        (["import pandas as pd", "return pd.DataFrame() if params else 1"], "a pandas DataFrame"),
        (["import io", "return io.BytesIO()"], "a memory file"),
        (["np = params", "return np.zeros(3)"], None),
        (["def g(): return {1}", "return len(g())"], None),
    ],
)
def test_small_results(lines: list[str], found: str | None) -> None:
    findings = list(check_results(read_source(body(*lines)), large=False))
    assert [found in one.message for one in findings] == ([] if found is None else [True])
    assert list(check_results(read_source(body(*lines)), large=None)) == []


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["from io import BytesIO", "file = BytesIO()", "return file"], 0),
        (["return b'x'"], 0),
        (["return make()"], 0),
        (["return 1"], 1),
        (["return"], 1),
        (["return {'a': 1}"], 1),
        (["if params: return None", "return [1]"], 2),
    ],
)
def test_large_results(lines: list[str], found: int) -> None:
    findings = list(check_results(read_source(body(*lines)), large=True))
    assert [one.rule for one in findings] == ["result"] * found


# --- what execute tells ---------------------------------------------------------------------------------------------


def test_what_is_nested_too_deeply_is_left_to_the_node() -> None:
    text = body("return " + " + ".join(["1"] * 1500))
    try:
        compile(text, "<text>", "exec")
    except RecursionError:
        pytest.skip("nor can this Python read it")
    assert rules(text) == []


OUTSIDE = 3


def several(params):
    import skimage

    return skimage.x, OUTSIDE, params["scene"], nowhere  # noqa: F821


def test_each_finding_is_a_warning_with_its_place() -> None:
    first = inspect.getsourcelines(several)[1]
    with pytest.warns(FidelityWarning) as caught:
        describe_function(several, sys.version_info[:3], strict=False, around=AROUND)
    places = [str(one.message).partition("): ")[0] for one in caught]
    assert places == [
        f"several ({__file__}:{line}:{column}" for line, column in
        ((first + 1, 5), (first + 3, 23), (first + 3, 39), (first + 3, 49))
    ]  # fmt: skip
    assert [str(one.message).rpartition(" ")[2] for one in caught] == ["[import]", "[global]", "[key]", "[undefined]"]


def uses_another_python(params):
    return ExceptionGroup


def test_the_same_function_for_another_environment() -> None:
    with pytest.warns(FidelityWarning, match="ExceptionGroup, which nothing defines"):
        describe_function(uses_another_python, (3, 9, 0), strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        describe_function(uses_another_python, (3, 12, 0), strict=True)
