"""How a function is sent, and what is said of one that the service would not run."""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import os
import subprocess
import sys
import textwrap
import types
import warnings
from collections.abc import Callable as Function
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from ellipsis_local.errors import ArgumentError, FidelityError, FidelityWarning
from ellipsis_local.nodes import describe_function
from ellipsis_local.nodes.function_source import find_source, is_edited
from ellipsis_local.nodes.serialize_function import service_text

HERE = sys.version_info[:3]
ELSEWHERE = (3, 9, 0)
FACTOR = 3


def plain(params):
    import numpy

    def inner(x):
        return inner(x - 1) if x else numpy.pi

    return [len(params), inner(2)]


def recursive(params, depth=0):
    return depth if depth > 3 else recursive(params, depth + 1)


def uses_module_name(params):
    return math.pi * FACTOR


def annotated(params: dict[str, FACTOR]) -> None:
    return None


def default_from_module(params, factor=FACTOR):
    return factor


def name_with_def_inside(params):
    return 1


@functools.cache
def decorated(params):
    return 1


def run(description: dict) -> object:
    """What the service does with the text."""
    scope: dict = {}
    exec(description.text, scope)
    return scope["userFunction"]({})


def test_text_is_the_clients() -> None:
    # Written out by hand after hosted-service.md: two spaces before every line but the first, one before that.
    source = "def f(params):\n    return 1\n"
    assert service_text(source) == (
        "def userFunction(params):\n def f(params):\n      return 1\n  \n return f(params)", "f"
    )  # fmt: skip


@pytest.mark.parametrize(("function", "result"), [(plain, [0, math.pi]), (recursive, 4)])
def test_self_contained_functions_go_as_source(function, result) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        description = describe_function(function, ELSEWHERE, strict=True)
    assert description.kind == "source"
    assert run(description) == result


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (uses_module_name, "it uses math from outside"),
        (uses_module_name, "it uses FACTOR from outside"),
        (annotated, "it uses FACTOR from outside"),
        (default_from_module, "it uses FACTOR from outside"),
        (lambda params: 1, "lambda"),
        (decorated.__wrapped__, "decorator"),
    ],
)
def test_what_the_service_would_not_run(function, problem) -> None:
    with pytest.warns(FidelityWarning, match=problem):
        assert describe_function(function, HERE, strict=False).kind == "pickle"
    with pytest.raises(FidelityError, match=problem):
        describe_function(function, HERE, strict=True)
    with pytest.raises(FidelityError, match="this Python's own version"):
        describe_function(function, ELSEWHERE, strict=False)


def test_a_closure_is_pickled() -> None:
    factor = 2

    def closure(params):
        return factor

    with pytest.warns(FidelityWarning, match="it uses factor from outside"):
        assert describe_function(closure, HERE, strict=False).kind == "pickle"


def test_a_function_inside_another_goes_as_source_with_a_warning() -> None:
    def nested(params):
        return len(params)

    with pytest.warns(FidelityWarning, match="indented wrongly"):
        description = describe_function(nested, ELSEWHERE, strict=False)
    assert run(description) == 0


def test_a_name_with_def_goes_as_source_with_a_warning() -> None:
    with pytest.warns(FidelityWarning, match="would call 'name_with__inside'"):
        description = describe_function(name_with_def_inside, ELSEWHERE, strict=False)
    assert run(description) == 1


def test_a_function_without_source_is_pickled() -> None:
    scope: dict = {}
    exec("def made(params):\n    return 7\n", scope)
    with pytest.warns(FidelityWarning, match="source is not available"):
        assert describe_function(scope["made"], HERE, strict=False).kind == "pickle"


async def coroutine(params):
    return 1


def generator(params):
    yield 1


def no_argument():
    return 1


def two_arguments(params, more):
    return 1


class Callable:
    def __call__(self, params):
        return 1

    def method(self, params):
        return 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "must be a function, not NoneType"),
        ("f", "must be a function, not str"),
        (len, "must be a function, not builtin"),
        (Callable(), "must be a function, not Callable"),
        (Callable().method, "must be a function, not method"),
        (functools.partial(plain), "must be a function, not partial"),
        (no_argument, "must take one argument"),
        (two_arguments, "must take one argument"),
        (coroutine, "async function"),
        (generator, "generator"),
    ],
)
def test_what_is_no_function_of_one_argument(value, text) -> None:
    with pytest.raises(ArgumentError, match=text) as caught:
        describe_function(value, HERE, strict=False)
    assert caught.value.argument == "f"


def test_another_text_of_the_same_file_name_is_not_sent(monkeypatch) -> None:
    import linecache

    scope: dict = {}
    exec("def made(params):\n    return 7\n", scope)
    # As `python -c` leaves it from Python 3.13 on.
    other = "import sys;exec('def other(): pass')\n"
    monkeypatch.setitem(linecache.cache, "<string>", (len(other), None, [other], "<string>"))
    with pytest.warns(FidelityWarning, match="source is not available"):
        assert describe_function(scope["made"], HERE, strict=False).kind == "pickle"


# --- files that are edited after they were imported -----------------------------------------------------------------


@pytest.fixture
def edited(tmp_path: Path) -> Function[..., types.ModuleType]:
    """A module that was imported with one text, and whose file has another by now (None: it is gone)."""

    def load(before: str, after: str | None, loader: type = SourceFileLoader) -> types.ModuleType:
        path = tmp_path / "job.py"
        path.write_text(before)
        spec = importlib.util.spec_from_file_location("job", path, loader=loader("job", str(path)))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if after is None:
            path.unlink()
        else:
            path.write_text(after)
            # Files that follow each other within a tick of the clock are the same to linecache.
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))
        return module

    return load


ONE = "def f(params):\n    return 1\n"
USES = "def f(params):\n    import io, os\n    return io.StringIO(), os.getcwd(), params.keys()\n"
LONG = ONE + "\n\n" + "def g(params):\n    x = 1\n    y = 2\n    return x + y\n" * 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE, ONE.replace("1", "2")),
        (ONE, ONE.replace("1", "True")),
        (ONE.replace("1", "0.0"), ONE.replace("1", "-0.0")),
        (ONE.replace("1", "params in {1, 2}"), ONE.replace("1", "params in {1, 3}")),
        (ONE.replace("params", "params, k=1"), ONE.replace("params", "params, k=2")),
        (ONE.replace("params", "params, *, k=1"), ONE.replace("params", "params, *, k=True")),
        (ONE.replace("1", "(lambda x: x)(1)"), ONE.replace("1", "(lambda x: -x)(1)")),
        (ONE.replace("return 1", "return len(params)"), ONE.replace("return 1", "return sum(params)")),
        ("def g(params):\n    pass\n" + ONE, "x = 1\ny = 2\n" + ONE.replace("1", "2")),
    ],
)
def test_the_text_that_runs_is_not_the_function_that_was_imported(edited, before, after) -> None:
    module = edited(before, after)
    with pytest.warns(FidelityWarning, match=r"^f \(.*job\.py:\d\): its file was changed .* runs here") as caught:
        description = describe_function(module.f, ELSEWHERE, strict=False)
    assert len(caught) == 1
    assert "importlib.reload(job)" in str(caught[0].message)
    assert description.kind == "source"
    assert description.source in after
    with pytest.raises(FidelityError, match=r"changed since it was imported.*strict=True"):
        describe_function(module.f, ELSEWHERE, strict=True)
    module.__spec__.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        describe_function(module.f, ELSEWHERE, strict=True)


NESTED = '''
import io
from __future__ import annotations


class Outer:
    @staticmethod
    def make(factor, __hidden=1):
        def f(params: Later = {}, annotations=()):
            """It has
              a text."""
            class Inner:
                __slots__ = ("a", "b")

                def __init__(self):
                    super().__init__()
                    self.a, self.b = io.StringIO(), {1, "a", None}

            assert isinstance(params, dict) and annotations.index(1)
            return [x * factor for x in range(3) if x in {1, 2, 3}], Inner, lambda: __hidden, io.BytesIO()

        return f


f = Outer.make(2)
'''.replace("\nimport io\nfrom __future__ import annotations\n", "from __future__ import annotations\nimport io\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE, ONE),
        (ONE, ONE + "\n\nx = 1\n"),
        (ONE, ONE.replace(":\n", ":\n    # a word\n\n")),
        (ONE, ONE + "def g(:\n"),
        (USES, USES + "\n\nimport io\n"),
        (USES + "\n\nimport io\n", USES),
        (LONG, LONG.replace("x = 1", "x = 3")),
        (NESTED, NESTED),
        (NESTED, NESTED + "\nimport os\n"),
        (ONE.replace("1", "{1, 2}, 'a' 'b', -1, 2 ** 3, ..."), ONE.replace("1", "{1, 2}, 'ab', -1, 8, ...")),
    ],
)
def test_a_file_that_was_written_and_in_which_the_function_is_the_same(edited, before, after) -> None:
    module = edited(before, after)
    assert find_source(module.f) is not None
    assert not is_edited(module.f, find_source(module.f))


@pytest.mark.parametrize(
    "after",
    ["x = 1\n" * 2 + LONG, "", None, "x = 1\n", '"""\n' + ONE, "x = [\n" + LONG, "def other():\n    return 1\n"],
)
def test_the_lines_of_the_function_hold_something_else(edited, after) -> None:
    module = edited(LONG, after)
    with pytest.warns(FidelityWarning, match=r"job\.py:1\): its file was changed .* no longer at these lines.*reload"):
        description = describe_function(module.f, HERE, strict=False)
    assert description.kind == "pickle"
    with pytest.raises(FidelityError, match="its file was changed since it was imported"):
        describe_function(module.f, ELSEWHERE, strict=False)


def test_a_function_that_is_pickled_runs_as_it_was_imported(edited) -> None:
    module = edited("k = 1\n\n\n" + ONE.replace("1", "k"), "k = 1\n\n\n" + ONE.replace("1", "2 * k"))
    with pytest.warns(FidelityWarning) as caught:
        assert describe_function(module.f, HERE, strict=False).kind == "pickle"
    assert [str(one.message).rpartition(" ")[2] for one in caught] == ["[changed]", "[global]"]
    assert "while here the function runs that was imported" in str(caught[0].message)


class Rewriting(SourceFileLoader):
    """As those of pytest, typeguard and beartype."""

    def source_to_code(self, data, path, *, _optimize=-1):
        return compile(data.replace(b"return 1", b"return [1][0]"), path, "exec", dont_inherit=True)


def test_nothing_is_said_of_code_that_others_rewrote(edited) -> None:
    module = edited(ONE, ONE, Rewriting)
    assert not is_edited(module.f, find_source(module.f))
    text = f"def d(f):\n    f.__code__ = (lambda params: 2).__code__\n    return f\n\n\n@d\n{ONE}"
    decorated = edited(text, text)
    assert not is_edited(decorated.f, find_source(decorated.f))
    text = "f = lambda params: 2\nf.__name__ = 'f'\n"
    named = edited(text, text)
    assert find_source(named.f) is None
    assert not is_edited(named.f, None)
    # Here it is the file that nobody wrote to.
    other = types.FunctionType(textwrap.dedent.__code__.replace(co_consts=(None,) * 30), vars(textwrap))
    assert not is_edited(other, find_source(other))


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment(), capture_output=True, text=True)


def environment() -> dict[str, str]:
    """Without the plugins that happen to be installed, which take a pytest seconds to import."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def test_the_functions_of_a_test_module_are_not_taken_for_edited_ones(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, sys\nfrom ellipsis_local.nodes import describe_function\n\n\n"
        "def f(params):\n    assert len(params) == 0, 'none'\n    return 1\n\n\n"
        "def test():\n    os.utime(__file__)\n    description = describe_function(f, (3, 9), strict=True)\n"
        "    assert description.kind == 'source'\n    assert '@py_assert' in repr(f.__code__.co_varnames)\n"
    )
    done = run_python(
        tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error::UserWarning", "test_it.py"
    )
    assert done.returncode == 0, done.stdout


def test_a_script_that_is_edited_while_it_runs(tmp_path: Path) -> None:
    text = (
        "import pathlib\nfrom ellipsis_local.nodes import describe_function\n\n\ndef f(params):\n    return 'old'\n\n\n"
        "path = pathlib.Path(__file__)\npath.write_text(path.read_text().replace('old', 'newer'))\n"
        "print(describe_function(f, (3, 9), strict=False).source)\n"
    )
    (tmp_path / "job.py").write_text(text)
    done = run_python(tmp_path, "job.py")
    assert "return 'newer'" in done.stdout
    assert "start the script again" in done.stderr


# --- functions of notebooks -----------------------------------------------------------------------------------------


class Shell:
    """What IPython keeps of the cells that it ran."""

    def __init__(self, *cells: str) -> None:
        self.history_manager = types.SimpleNamespace(input_hist_raw=["", *cells])

    def transform_cell(self, cell: str) -> str:
        return cell.replace("!ls", "get_ipython().system('ls')")


TIMED = "import io\nk = 2\ndef f(params):\n    io.StringIO()\n    return params, k, lambda: {1, 2}\n"


@pytest.mark.parametrize(
    ("cells", "message", "way_out"),
    [
        ([f"%%time\n{TIMED}"], "%%time runs its cell as a text", "define it in a cell without %%time"),
        ([f"\n  %%time -q\n\n{TIMED}!ls\n", "f({})"], "%%time runs its cell as a text", "without %%time"),
        ([f"%%prun -l 3\n{TIMED}", f"%%time\n{TIMED.replace('k,', '3,')}"], "%%prun runs", "without %%prun"),
        ([f"%%capture out\n%%time\n{TIMED}"], "%%time runs", "without %%time"),
        ([f"%time x = 1\n{TIMED}", "%%time\nx = 1 2\n"], "exec or a magic", "in a file, or in a notebook's cell"),
        ([], "exec or a magic", "in a file, or in a notebook's cell"),
    ],
)
def test_the_magic_of_a_cell_is_named(monkeypatch, cells, message, way_out) -> None:
    # The real IPython runs what stands below these magics by exec.
    scope: dict = {"__name__": "__main__"}
    exec(compile(TIMED, "<timed exec>", "exec"), scope)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: Shell(*cells)))
    with pytest.warns(FidelityWarning, match=f"source is not available .*{message}.*{way_out}.*no-source"):
        assert describe_function(scope["f"], HERE, strict=False).kind == "pickle"
    with pytest.raises(FidelityError, match=way_out):
        describe_function(scope["f"], HERE, strict=True)


IN_CELLS = """
import json, sys, warnings
from IPython.core.interactiveshell import InteractiveShell
from ellipsis_local.nodes import describe_function

shell, told = InteractiveShell.instance(), []
for cell in json.load(sys.stdin):
    with warnings.catch_warnings(record=True) as caught:
        shell.run_cell(cell, store_history=True)
        warnings.simplefilter("always")
        describe_function(shell.user_ns["f"], sys.version_info[:3], strict=False)
    told.append([str(one.message) for one in caught])
print(json.dumps(told), file=sys.stderr)
"""


def test_the_cells_of_the_real_ipython() -> None:
    pytest.importorskip("IPython")
    magics = {
        "": None, "%%time": "%%time", "%%capture out": None, "%%capture out\n%%time": "%%time",
        "%%time\n%%capture out": None, "%%prun -q": "%%prun",
    }  # fmt: skip
    # Each is another function: what is kept of one that was seen must not answer for the next.
    cells = [f"{magic}\ndef f(params):\n    return {number}".lstrip() for number, magic in enumerate(magics)]
    done = subprocess.run(
        [sys.executable, "-c", IN_CELLS], env=environment(), input=json.dumps(cells), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for told, named in zip(json.loads(done.stderr.splitlines()[-1]), magics.values(), strict=True):
        assert (f"(%{named[1:]} runs its cell" in "".join(told)) if named else told == []
