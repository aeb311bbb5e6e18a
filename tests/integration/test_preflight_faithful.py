"""Every rule of the preflight has a pair: what it tells of fails, or gives another result, where it runs as on the service,
and the mended twin gives the same there and has no finding.

As on the service is: the client's own text, in a namespace that holds nothing else, and the result as JSON.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from ellipsis_local.emulator import current_emulator
from ellipsis_local.environments import find_interpreters
from ellipsis_local.errors import ArgumentError, FidelityError, FidelityWarning, NodeError
from ellipsis_local.home import Home
from ellipsis_local.nodes import describe_function
from ellipsis_local.preflight import RULES, Surroundings, check_script, service_text
from ellipsis_local.preflight.modules import LEFT

HERE = sys.version_info[:3]
PATH = "1791d90c-86ee-417e-aa04-0e22447f6fd9"
TIME = "32fc7fae-cbfe-4a76-8267-83b692ece730"
PARAMS = {TIME: [1, 2, 3]}
AROUND = Surroundings(HERE, ((PATH, TIME),), (), ())
GONE = next(names.split()[-1] for version, names in sorted(LEFT.items(), reverse=True) if version <= HERE)


class Pair(NamedTuple):
    """Two modules that define f, and who refuses the wrong one in this process already."""

    wrong: str
    right: str
    refused: bool = False


PAIRS = {
    "closure": Pair(
        "def make():\n    factor = 2\n\n    def f(params):\n        return factor\n\n    return f\n\n\nf = make()\n",
        "def f(params):\n    factor = 2\n    return factor\n",
    ),
    "global": Pair(
        "import math\n\n\ndef f(params):\n    return math.floor(2.5)\n",
        "def f(params):\n    import math\n\n    return math.floor(2.5)\n",
    ),
    "default": Pair(
        "FACTOR = 3\n\n\ndef f(params, factor=FACTOR):\n    return factor\n",
        "def f(params, factor=3):\n    return factor\n",
    ),
    "annotation": Pair(
        "from __future__ import annotations\n\nimport typing\n\n\ndef f(params: typing.Any):\n    return 1\n",
        "def f(params: 'typing.Any'):\n    return 1\n",
    ),
    "undefined": Pair("def f(params):\n    return nowhere\n", "def f(params):\n    nowhere = 1\n    return nowhere\n"),
    "shadowed": Pair(
        f"def sum(values):\n    return 0\n\n\ndef f(params):\n    return sum(params[{TIME!r}])\n",
        f"def f(params):\n    return sum(params[{TIME!r}])\n",
    ),
    "global-write": Pair(
        "total = 0\n\n\ndef f(params):\n    global total\n    total = 5\n    return 1\n",
        "total = 0\n\n\ndef f(params):\n    total = 5\n    return [1, total]\n",
    ),
    "lambda": Pair("f = lambda params: 1\n", "def f(params):\n    return 1\n"),
    "decorator": Pair(
        "import functools\n\n\n@functools.cache\ndef inner():\n    return 1\n\n\n"
        "def twice(g):\n    @functools.wraps(g)\n    def call(params):\n        return 2 * g(params)\n    return call\n\n\n"
        "@twice\ndef f(params):\n    return 1\n",
        "def f(params):\n    return 2 * 1\n",
    ),
    "async": Pair("async def f(params):\n    return 1\n", "def f(params):\n    return 1\n", refused=True),
    "generator": Pair("def f(params):\n    yield 1\n", "def f(params):\n    return [1]\n", refused=True),
    "method": Pair(
        "class Job:\n    def f(self, extra=0):\n        return 1\n\n\nf = Job.f\n", "def f(params):\n    return 1\n"
    ),
    "signature": Pair("def f(params, more):\n    return 1\n", "def f(params, more=2):\n    return 1\n", refused=True),
    "not-a-function": Pair(
        "import functools\n\n\ndef g(more, params):\n    return more\n\n\nf = functools.partial(g, 1)\n",
        "def f(params):\n    def g(more, params):\n        return more\n\n    return g(1, params)\n",
        refused=True,
    ),
    "name": Pair("def f_default(params):\n    return 1\n\n\nf = f_default\n", "def f(params):\n    return 1\n"),
    "indentation": Pair("if True:\n    def f(params):\n        return 1\n", "def f(params):\n    return 1\n"),
    "text": Pair(
        'def f(params):\n    return """a\nb"""\n',
        'def f(params):\n    from textwrap import dedent\n\n    return dedent("""\\\n        a\n        b\n        """)\n',
    ),
    "import": Pair(
        "def f(params):\n    from helpers import answer\n\n    return answer\n",
        "def f(params):\n    try:\n        from helpers import answer\n    except ImportError:\n        pass\n    return 7\n",
    ),
    "key": Pair(
        f"def f(params):\n    return len(params[{PATH!r}])\n", f"def f(params):\n    return len(params[{TIME!r}])\n"
    ),
    "result": Pair("def f(params):\n    return {1, 2}\n", "def f(params):\n    return list({1, 2})\n"),
}  # fmt: skip
IN_PROCESS = {"no-source", "wrapped", "changed"}
"""Rules on what no text shows; their tests are below, and in unit/test_serialize_function.py."""
BY_VERSION = {"syntax"}
NOT_OF_ONE_CALL = {"one-per-node", "counted-twice", "unsigned"}
"""What a script makes of the response, and what is the same here: unit/test_preflight_responses.py, _pixels.py."""


FAILS_ANYWHERE = {"generator", "signature", "method", "key", "undefined"}
"""Their wrong ones have no result of their own to compare with; there they must raise."""


def test_every_rule_has_a_pair() -> None:
    assert set(PAIRS) | IN_PROCESS | BY_VERSION | NOT_OF_ONE_CALL == set(RULES)


def load(folder: Path, text: str) -> ModuleType:
    """The script as a user's module: what it does without the service."""
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("script", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locally(f: Callable[..., Any]) -> Any:
    """What the user sees of it without the service: the value itself."""
    value = f(dict(PARAMS))
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def on_the_service(f: Callable[..., Any]) -> Any:
    """What the client sends, run on its own; the result as JSON."""
    if type(f) is not types.FunctionType:
        raise ValueError("parameter f must be a function")  # the client's words
    scope: dict[str, Any] = {"__name__": "userFunction"}
    exec(compile(service_text(inspect.getsource(f))[0], "<sent>", "exec", dont_inherit=True), scope)
    value = scope["userFunction"](dict(PARAMS))
    try:
        return json.loads(json.dumps(value))
    finally:
        if inspect.iscoroutine(value):
            value.close()


def script_of(text: str) -> str:
    return (
        f"{text}\nimport ellipsis as el\n\n"
        f"made = el.compute.createCompute([{{'pathId': {PATH!r}, 'timestampId': {TIME!r}}}], 'token', nodes=2,\n"
        f"                                interpreter='python3.{HERE[1]}')\n"
        "el.compute.execute(made['id'], f, 'token')\n"
    )


def rules_in_script(text: str, folder: Path) -> set[str]:
    return {finding.rule for finding in check_script(script_of(text), str(folder / "script.py")).findings}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a script and a module beside it stand."""
    (tmp_path / "helpers.py").write_text("answer = 42\n")
    return tmp_path


def beside(folder: Path, run: Callable[[], Any]) -> Any:
    """With the script's folder on the path, as Python has it for the user, and the service not."""
    sys.path.insert(0, str(folder))
    try:
        return run()
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("helpers", None)


@pytest.mark.parametrize("rule", PAIRS)
def test_the_wrong_one_fails_or_differs_and_is_told(rule: str, folder: Path) -> None:
    if rule == "annotation" and HERE >= (3, 14):
        pytest.skip("annotations are not evaluated any more")
    pair = PAIRS[rule]
    module = load(folder, pair.wrong)
    expected: object = None
    if rule not in FAILS_ANYWHERE:
        expected = beside(folder, lambda: locally(module.f))
    before = dict(vars(module))
    try:
        there = on_the_service(module.f)
    except Exception as error:  # noqa: BLE001 - any failure will do
        there = error
    if rule == "global-write":
        # The caller's module is another after a call in it, and is not after one on the service.
        assert module.total == 5
        module.total = 0
        on_the_service(module.f)
        assert module.total == 0
    else:
        differs = there != expected and rule not in FAILS_ANYWHERE
        assert isinstance(there, Exception) or differs, f"{rule}: it is the same on the service"
        assert vars(module).keys() == before.keys()
    assert rule in rules_in_script(pair.wrong, folder)
    if pair.refused:
        with pytest.raises(ArgumentError):
            describe_function(module.f, HERE, strict=False)
    elif rule != "result":
        # Of results it is told when they are there.
        with pytest.raises(FidelityError, match=rf"\[{rule}\]"):
            describe_function(module.f, HERE, strict=True, around=AROUND)


@pytest.mark.parametrize("rule", PAIRS)
def test_the_mended_one_is_the_same_and_is_silent(rule: str, folder: Path) -> None:
    module = load(folder, PAIRS[rule].right)
    assert on_the_service(module.f) == locally(module.f)
    assert rules_in_script(PAIRS[rule].right, folder) == set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert describe_function(module.f, HERE, strict=True, around=AROUND).kind == "source"


# --- pairs that no script shows -------------------------------------------------------------------------------------


def test_no_source() -> None:
    scope: dict[str, Any] = {}
    exec("def f(params):\n    return 1\n", scope)
    with pytest.raises(OSError, match="source"):
        on_the_service(scope["f"])
    with pytest.raises(FidelityError, match=r"\[no-source\]"):
        describe_function(scope["f"], HERE, strict=True)


def test_wrapped(folder: Path) -> None:
    wrong = (
        "import functools\n\n\ndef f(params):\n    return 1\n\n\n"
        "def twice(g):\n    @functools.wraps(g)\n    def call(params):\n        return 2 * g(params)\n\n    return call\n\n\n"
        "g = twice(f)\n"
    )
    module = load(folder, wrong)
    assert (module.g({}), on_the_service(module.g)) == (2, 1)
    with pytest.raises(FidelityError, match=r"\[wrapped\]"):
        describe_function(module.g, HERE, strict=True)
    assert on_the_service(module.f) == module.f({})
    assert describe_function(module.f, HERE, strict=True).kind == "source"


def test_syntax_of_a_newer_python(folder: Path, tmp_path: Path) -> None:
    wrong = "def f(params):\n    match len(params):\n        case 1:\n            return 1\n"
    module = load(folder, wrong)
    old = next((i for i in find_interpreters(Home(tmp_path / "looked")) if i.version < (3, 10)), None)
    if old is None:
        pytest.skip("no Python 3.9 here")

    def there(function: Callable[..., Any]) -> subprocess.CompletedProcess[str]:
        text = service_text(inspect.getsource(function))[0] + "\nprint(userFunction({'a': 1}))\n"
        return subprocess.run([old.executable, "-I", "-c", text], capture_output=True, text=True, check=False)

    assert "SyntaxError" in there(module.f).stderr
    with pytest.raises(FidelityError, match=r"Python 3\.9 .*\[syntax\]"):
        describe_function(module.f, old.version, strict=True)
    right = load(folder, "def f(params):\n    if len(params) == 1:\n        return 1\n")
    assert there(right.f).stdout == "1\n"
    assert describe_function(right.f, old.version, strict=True).kind == "source"


def test_a_module_that_left_the_standard_library(folder: Path) -> None:
    module = load(folder, f"def f(params):\n    import {GONE}\n\n    return {GONE}.__name__\n")
    with pytest.raises(ModuleNotFoundError):
        on_the_service(module.f)
    with pytest.raises(FidelityError, match=rf"{GONE}, which the standard library has no longer.*\[import\]"):
        describe_function(module.f, HERE, strict=True, around=AROUND)


# --- real nodes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def file_id(el: ModuleType, token: str, tmp_path: Path) -> str:
    (tmp_path / "weights").write_bytes(b"weights")
    return str(el.path.file.add(token, filePath=str(tmp_path / "weights"))["id"])


@pytest.fixture
def compute_id(create: Callable[..., str], file_id: str) -> str:
    return create([], files=[file_id], nodes=2)


def asks_for_another(params):
    return len(params["scene"])


def imports_what_is_not_there(params):
    import skimage

    return skimage.__version__


def imports_what_the_nodes_need(params):
    import cloudpickle

    return cloudpickle.__name__


def asks_for_its_file(params):
    import json
    import os.path

    import numpy
    import pandas
    import shapely

    (file,) = params.values()
    return [len(file.read()), float(numpy.pi), shapely.__name__, pandas.__name__, json.dumps(os.path.sep)]


def test_nodes_fail_as_was_told(el: ModuleType, token: str, compute_id: str, file_id: str) -> None:
    with (
        pytest.warns(FidelityWarning, match=rf"'scene', which params does not hold: .*{file_id}") as told,
        pytest.raises(NodeError, match="KeyError: 'scene'"),
    ):
        el.compute.execute(compute_id, asks_for_another, token)
    assert [Path(str(one.filename)).name for one in told] == [Path(__file__).name]
    line = inspect.getsourcelines(asks_for_another)[1] + 1
    assert f"asks_for_another ({__file__}:{line}:23): it asks for 'scene'" in str(told[0].message)
    with (
        pytest.warns(FidelityWarning, match="skimage, which neither the standard library nor the environment's"),
        pytest.raises(NodeError, match="No module named 'skimage'"),
    ):
        el.compute.execute(compute_id, imports_what_is_not_there, token)
    with pytest.warns(FidelityWarning, match="cloudpickle, which the nodes here have for their own use"):
        assert el.compute.execute(compute_id, imports_what_the_nodes_need, token) == ["cloudpickle"] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(el.compute.execute(compute_id, asks_for_its_file, token)) == 2


def gives_frame(params):
    import geopandas

    return {"parts": [geopandas.GeoDataFrame({"a": [1]}, geometry=[None])]}


def gives_scalar(params):
    import numpy

    return [1, numpy.float32(1.5)]


def gives_double(params):
    import numpy

    return (numpy.float64(1.5), [True, None, "text"], {"a": 2**60})


def gives_numbers_as_keys(params):
    return {1: "one"}


def test_results_that_the_wire_does_not_carry(el: ModuleType, token: str, compute_id: str) -> None:
    for function, text in (
        (
            gives_frame,
            r"gives_frame \(.*test_preflight_faithful.py:\d+\): on node 0, result\['parts'\]\[0\] is a GeoDataFrame; .*`.to_json\(\)`",
        ),
        (gives_scalar, r"gives_scalar \(.*\): on node 0, result\[1\] is a numpy scalar \(float32\), .*`float\(…\)`"),
        (gives_numbers_as_keys, "result has the key 1, which arrives at the client as '1'"),
    ):
        with pytest.warns(FidelityWarning, match=text) as told:
            values = el.compute.execute(compute_id, function, token)
        assert len(told) == 1
        with pytest.raises(TypeError) if function is not gives_numbers_as_keys else warnings.catch_warnings():
            assert json.loads(json.dumps(values[0])) != values[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        el.compute.execute(compute_id, gives_double, token)


def test_strict_makes_them_errors(el: ModuleType, token: str, compute_id: str, home: Path) -> None:
    el.configure(home=home, progress=False, cores=2, strict=True)
    with pytest.raises(FidelityError, match=r"\[key\] \(strict=True\)"):
        el.compute.execute(compute_id, asks_for_another, token)
    assert el.compute.getComputeInfo(compute_id, token)["executions"] == 0
    with pytest.raises(FidelityError, match="returned what cannot be taken: result.*GeoDataFrame"):
        el.compute.execute(compute_id, gives_frame, token)
    info = el.compute.getComputeInfo(compute_id, token)
    assert (info["status"], len(info["result"])) == ("completed", 2)
    assert el.compute.execute(compute_id, gives_double, token)[0][2] == {"a": 2**60}


def test_large_results_are_not_looked_at(el: ModuleType, token: str, create: Callable[..., str], file_id: str) -> None:
    made = create([], files=[file_id], nodes=1, largeResult=True)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (url,) = el.compute.execute(made, gives_bytes, token)
    assert url.startswith("/compute/")


def gives_bytes(params):
    return b"anything"


def test_check_knows_the_environments_of_the_home(compute_id: str, home: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from ellipsis_local.cli.app import app

    script = tmp_path / "job.py"
    script.write_text(
        "def f(params):\n    import skimage\n    import pandas\n\n    return 1\n\n\nimport ellipsis as el\n"
        f"made = el.compute.createCompute([], 't', files=['a'], nodes=1, interpreter='python3.{HERE[1]}')\n"
        "el.compute.execute(made['id'], f, 't')\n"
    )
    answer = CliRunner().invoke(app, ["--home", str(home), "check", str(script), "--json"])
    (finding,) = json.loads(answer.stdout)["findings"]
    assert finding["severity"] == "error" and "neither the standard library nor the environment's" in finding["message"]
    assert answer.exit_code == 1
    emulator = current_emulator()
    assert [info.key for info in emulator.environments.list()], "nothing was made for it"
