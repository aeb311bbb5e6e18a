"""Whole scripts, read and never run: which functions are executed, for which computes, and the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.preflight import Report, check_script, layers_and_files

ROOT = Path(__file__).parents[2]
PATH, TIME = "1791d90c-86ee-417e-aa04-0e22447f6fd9", "32fc7fae-cbfe-4a76-8267-83b692ece730"
OTHER, FILE = "c208c8ab-1086-45fb-a827-f6bcaedab3ae", "f676af8b-f41f-41bd-b5c8-b13d62de7911"
F = "def f(params):\n    return nowhere\n\n\n"
"""A function with a finding, by which it is seen that it was looked at."""
CREATE = f"made = el.compute.createCompute([{{'pathId': '{PATH}', 'timestampId': '{TIME}'}}], token)\n"


def names(report: Report) -> list[str]:
    return [one.name for one in report.functions]


def rules(report: Report) -> list[str]:
    return [one.rule for one in report.findings]


# --- calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "import ellipsis as el\nel.compute.execute(c, f, t)\n",
        "import ellipsis_local as el\nel.compute.execute(c, f, t)\n",
        "import ellipsis\nellipsis.compute.execute(c, f=f, token=t)\n",
        "import ellipsis.compute\nellipsis.compute.execute(c, f, t)\n",
        "import ellipsis.compute as ec\nec.execute(c, f, t)\n",
        "from ellipsis import compute\ncompute.execute(c, f, t)\n",
        "from ellipsis import compute as c\nc.execute(c, f, t)\n",
        "from ellipsis.compute import execute\nexecute(c, f, t)\n",
        "from ellipsis.compute import execute as run\nresult = run(token=t, f=f, computeId=c)\n",
        "from ellipsis_local.compute import execute\nprint(len(execute(c, f, t)))\n",
        "def main(el):\n    return [el.compute.execute(c, f, t) for c in computes]\n",
        "class Job:\n    def run(self):\n        import ellipsis as el\n        el.compute.execute(self.id, f, t)\n",
        "g = f\nimport ellipsis as el\nel.compute.execute(c, g, t)\n",
        "import ellipsis as el\nfor g in [f]:\n    el.compute.execute(c, g, t)\n",
        "import ellipsis as el\ndef run(g, wait=True):\n    return el.compute.execute(c, g, t, wait)\nrun(f)\n",
        "import ellipsis as el\ndef run(c, g):\n    return el.compute.execute(c, g, t)\nrun(g=f, c=1)\n",
        "import ellipsis as el\nel.compute.execute(c, f if fast else f, t)\n",
    ],
)
def test_ways_to_execute(script: str) -> None:
    report = check_script(F + script)
    assert (names(report), rules(report), report.unseen) == (["f"], ["undefined"], ())


@pytest.mark.parametrize(
    "script",
    [
        "cursor.execute('select 1', f)\n",
        "def execute(c, f, t): pass\nexecute(c, f, t)\n",
        "from sqlalchemy import execute\nexecute(c, f, t)\n",
        "import ellipsis as el\nel.compute.execute\nf({})\n",
        "import ellipsis as el\nel.compute.terminateCompute(c, f)\n",
    ],
)
def test_what_is_no_call_of_ours(script: str) -> None:
    assert check_script(F + script) == Report("", (), (), ())


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("el.compute.execute(c, lambda params: 1, t)\n", ["lambda"]),
        ("g = lambda params: 1\nel.compute.execute(c, g, t)\n", ["lambda"]),
        ("class A:\n    def m(self, p): return 1\nel.compute.execute(c, A.m, t)\n", ["method"]),
        ("class A: pass\nel.compute.execute(c, A, t)\n", ["not-a-function"]),
        ("from functools import partial\nel.compute.execute(c, partial(f, 1), t)\n", ["not-a-function"]),
        ("el.compute.execute(c, len, t)\n", ["not-a-function"]),
        ("el.compute.execute(c, 'f', t)\n", ["not-a-function"]),
        ("def make(n):\n    def g(params):\n        return n\n    return g\nel.compute.execute(c, make(1), t)\n",
         ["indentation", "closure"]),
        ("def make():\n    return lambda params: 1\nel.compute.execute(c, make(), t)\n", ["lambda"]),
        ("try:\n    def g(params): return 1\nexcept ValueError: pass\nel.compute.execute(c, g, t)\n", ["indentation"]),
        ("def g(): return 1\ndef g(params): return h\nel.compute.execute(c, g, t)\n", ["undefined"]),
        ("def main():\n    n = 1\n    def g(params): return n\n    el.compute.execute(c, g, t)\n",
         ["indentation", "closure"]),
    ],
)  # fmt: skip
def test_what_else_may_be_passed(script: str, found: list[str]) -> None:
    report = check_script("import ellipsis as el\n" + script, "job.py")
    assert rules(report) == found
    assert all(one.line and one.file == "job.py" for one in report.findings)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("el.compute.execute(c, self.f, t)\n", "self.f"),
        ("from tools import g\nel.compute.execute(c, g, t)\n", "g"),
        ("el.compute.execute(c, functions['g'], t)\n", "functions['g']"),
        ("def run(g): el.compute.execute(c, g, t)\n", "g"),
        ("el.compute.execute(c, g, t)\n", "g"),
        ("f = g = f\nel.compute.execute(c, f, t)\n", "f"),
        ("a, b = make()\nel.compute.execute(c, b, t)\n", "b"),
        ("def a(): return a()\nel.compute.execute(c, a(), t)\n", "a()"),
    ],
)
def test_what_cannot_be_told_is_named(script: str, what: str) -> None:
    report = check_script("import ellipsis as el\n" + script, "job.py")
    assert (rules(report), {one.what for one in report.unseen}) == ([], {what})


def test_a_script_that_is_no_python() -> None:
    (finding,) = check_script("def f(:\n", "job.py").findings
    assert (finding.rule, finding.place) == ("syntax", "job.py:1:7")


def test_a_script_that_is_nested_too_deeply() -> None:
    script = "import ellipsis as el\n" + F + "x = " + " + ".join(["1"] * 1500) + "\nel.compute.execute(c, f, t)\n"
    try:
        compile(script, "<text>", "exec")
    except RecursionError:
        pytest.skip("nor can this Python read it")
    assert [one.why for one in check_script(script, "job.py").unseen] == ["it is nested too deeply to be read"]


def test_the_names_around_a_function_tell_the_way_out() -> None:
    script = (
        "import numpy as np, os\nfrom rasterio.io import MemoryFile as M\nN = 3\nLIST = [N]\n\n\ndef helper(): pass\n\n\n"
        "def f(params):\n    return np, os, M, N, LIST, helper\n\n\nimport ellipsis as el\nel.compute.execute(c, f, t)\n"
    )
    assert [one.way_out for one in check_script(script).findings] == [
        "write 'import numpy as np' in its body",
        "write 'import os' in its body",
        "write 'from rasterio.io import MemoryFile as M' in its body",
        "write its value in the body",
        "import or define it inside the function",
        "move its definition into the body",
    ]


def test_what_a_star_brings_is_not_sent_either() -> None:
    script = "from numpy import *\nimport ellipsis as el\ndef f(params): return sin(max(params))\nel.compute.execute(c, f, t)\n"
    (finding,) = check_script(script).findings
    assert finding.rule == "global" and "sin" in finding.message and "import *" in finding.way_out


# --- computes -------------------------------------------------------------------------------------------------------

G = "def f(params):\n    import skimage\n    return params['scene']\n\n\nimport ellipsis as el\n"


@pytest.mark.parametrize(
    "script",
    [
        CREATE + "el.compute.execute(made['id'], f, t)\n",
        CREATE.replace("token)", "token)['id']") + "el.compute.execute(made, f, t)\n",
        CREATE + "computeId = made['id']\nel.compute.execute(computeId, f, t)\n",
        f"el.compute.execute(el.compute.createCompute([{{'pathId': '', 'timestampId': '{TIME}'}}], t)['id'], f, t)\n",
        (
            f"LAYER = {{'pathId': '{PATH}', 'timestampId': '{TIME}'}}\nLAYERS = [LAYER]\n"
            "made = el.compute.createCompute(layers=LAYERS, token=t)\nel.compute.execute(made['id'], f, t)\n"
        ),
        (
            f"T = '{TIME}'\nmade = el.compute.createCompute([dict(pathId='x', timestampId=T)], t)\n"
            "el.compute.execute(made['id'], f, t)\n"
        ),
        (
            f"scene = el.layers.add('scene.tif', pathId='{PATH}', timestampId='{TIME}')\n"
            "made = el.compute.createCompute([scene], t)\nel.compute.execute(made['id'], f, t)\n"
        ),
        (
            f"def start():\n    return el.compute.createCompute([{{'pathId': 'x', 'timestampId': '{TIME}'}}], t)['id']\n"
            "el.compute.execute(start(), f, t)\n"
        ),
        f"def main(c):\n    el.compute.execute(c, f, t)\n{CREATE}main(made['id'])\n",
        "with x:\n    if y:\n        " + CREATE + "        el.compute.execute(made['id'], f, t)\n",
    ],
)
def test_the_compute_of_a_call(script: str) -> None:
    report = check_script(G + script)
    assert rules(report) == ["import", "key"]
    assert TIME in report.findings[1].way_out


@pytest.mark.parametrize(
    "script",
    [
        "el.compute.execute(c, f, t)\n",
        CREATE + "el.compute.execute(find()['id'], f, t)\n",
        "made = el.compute.createCompute(layers, t, requirements=requirements)\nel.compute.execute(made['id'], f, t)\n",
        "made = el.compute.createCompute(**arguments)\nel.compute.execute(made['id'], f, t)\n",
        "made = el.compute.createCompute(*arguments)\nel.compute.execute(made['id'], f, t)\n",
    ],
)
def test_rules_are_silent_on_what_is_not_known(script: str) -> None:
    assert rules(check_script(G + script)) == []


@pytest.mark.parametrize(
    "layers",
    [
        "layers",
        "[{'pathId': 'x', 'timestampId': find()}]",
        "[{'pathId': 'x', 'timestampId': 'y'}] + more",
        "[{'pathId': 'x', 'timestampId': t} for t in times]",
        "[*more]",
        "changed",
        "either",
    ],
)
def test_layers_that_are_not_written_out(layers: str) -> None:
    script = (
        "changed = [{'pathId': 'x', 'timestampId': 'y'}]\nchanged.append(z)\n"
        "either = [{'pathId': 'x', 'timestampId': 'y'}]\nif z: either = []\n"
        f"made = el.compute.createCompute({layers}, t)\nel.compute.execute(made['id'], f, t)\n"
    )
    assert rules(check_script(G + script)) == ["import"]


A, B, C = (f"c6b60f5c-3a3c-4ba2-9c3c-1d9a4fbbbf3{number}" for number in range(3))


@pytest.mark.parametrize(
    ("script", "layers", "files"),
    [
        ("createCompute(layers=[{'pathId': 'A', 'timestampId': 'B'}], token=t, files=['C'])", [(A, B)], [C]),
        ("L = {'pathId': 'A', 'timestampId': 'B'}\nF = 'C'\ncreateCompute([L], t, [F])", [(A, B)], [C]),
        ("for t in 'ab':\n    createCompute([{'pathId': 'A', 'timestampId': 'B'}], t)", [(A, B)], []),
        ("createCompute([{'pathId': i, 'timestampId': i} for i in ids], t, ['C'])", [], [C]),
        ("createCompute([{'pathId': 'scene', 'timestampId': 'summer'}], t)", [], []),
        ("createCompute(", [], []),
    ],
)
def test_the_ids_that_a_script_names(script: str, layers: list, files: list) -> None:
    text = "from ellipsis.compute import createCompute\n" + script
    for letter, known in zip("ABC", (A, B, C), strict=True):
        text = text.replace(f"'{letter}'", f"'{known}'")
    assert layers_and_files(text.encode(), "") == (layers, files)


def test_of_several_computes_all_keys_count() -> None:
    one = CREATE + "el.compute.execute(made['id'], f, token)\n"
    two = one.replace(TIME, "scene").replace("token)", "token, requirements=['scikit-image'])", 1)
    script = "import ellipsis as el\ndef f(params):\n    import skimage\n    return params['scene']\n\n\n"
    assert rules(check_script(script + one)) == ["import", "key"]
    assert rules(check_script(script + two)) == []
    assert rules(check_script(script + two + one)) == ["import", "key"], "each call has its own"
    assert rules(check_script(script + one.replace("made", "other") + two)) == ["import", "key"]
    both = CREATE + "if larger:\n    " + CREATE.replace(TIME, "scene") + "el.compute.execute(made['id'], f, token)\n"
    assert rules(check_script(script + both)) == ["import"], "it may be either"
    inside = f"{CREATE}{CREATE.replace(TIME, 'scene')}def main():\n    el.compute.execute(made['id'], f, token)\n"
    assert rules(check_script(script + inside)) == ["import"], "it may be either"


def test_files_interpreter_requirements_and_large_results() -> None:
    script = (
        "import ellipsis as el\n\n\ndef f(params):\n    import tomllib, skimage\n"
        f"    return [params['{TIME}'], params['{FILE}'], 1]\n\n\n"
        f"FILES = ('{FILE}',)\nNEEDS = ['scikit-image']\nPYTHON = 'python3.' + '10'\n"
        f"made = el.compute.createCompute([{{'pathId': '{PATH}', 'timestampId': '{TIME}'}}], 't', FILES, 2, PYTHON,\n"
        "    NEEDS, True, True)\nel.compute.execute(made['id'], f, 't')\n"
    )
    report = check_script(script)
    assert [one.message.split(",")[0] for one in report.findings] == ["it imports tomllib", "it returns no memory file"]
    small = script.replace("True, True)", "largeResult=False)").replace("+ '10'", "+ '11'")
    assert rules(check_script(small)) == []
    written = small.replace("f, 't')", "f, 't', writeToLayer={'pathId': 'x', 'timestampId': 'y'})")
    assert rules(check_script(written)) == ["result"]
    assert rules(check_script(written.replace("{'pathId': 'x', 'timestampId': 'y'}", "None"))) == []
    assert rules(check_script(written.replace("{'pathId': 'x', 'timestampId': 'y'}", "target"))) == []


# --- other files ----------------------------------------------------------------------------------------------------


def test_functions_of_files_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("from .deep import g\n")
    (tmp_path / "tools" / "deep.py").write_text("import math\n\n\ndef g(params):\n    return math.pi\n")
    (tmp_path / "helpers.py").write_text(F)
    for lines in (
        "from helpers import f\nel.compute.execute(c, f, t)\n",
        "from helpers import f as g\nel.compute.execute(c, g, t)\n",
        "import helpers\nel.compute.execute(c, helpers.f, t)\n",
        "import helpers as h\nel.compute.execute(c, h.f, t)\n",
    ):
        report = check_script("import ellipsis as el\n" + lines, str(tmp_path / "job.py"))
        (finding,) = report.findings
        assert (finding.rule, finding.place) == ("undefined", f"{tmp_path / 'helpers.py'}:2:12")
    for lines in (
        "from tools import g\nel.compute.execute(c, g, t)\n",
        "from tools.deep import g\nel.compute.execute(c, g, t)\n",
        "import tools.deep\nel.compute.execute(c, tools.deep.g, t)\n",
        "from tools import deep\nel.compute.execute(c, deep.g, t)\n",
    ):
        report = check_script("import ellipsis as el\n" + lines, str(tmp_path / "job.py"))
        assert [(one.rule, one.file) for one in report.findings] == [("global", str(tmp_path / "tools" / "deep.py"))], (
            lines
        )
    report = check_script(
        "import ellipsis as el\nfrom helpers import h\nel.compute.execute(c, h, t)\n", str(tmp_path / "j.py")
    )
    assert "does not define it" in report.unseen[0].why


# --- no false alarm -------------------------------------------------------------------------------------------------

DOCUMENTED = f'''
import ellipsis as el
import numpy
import pandas as pd

token = el.account.logIn('user', 'password')


def largest(params):
    import numpy

    r = params['{TIME}']['raster']
    if type(r) != numpy.ndarray:
        raise ValueError('no array')
    return numpy.max(r)


def shape(params):
    r = params['{TIME}']['raster']
    return r.shape


def rasterise(params):
    """Lines on a risk raster."""
    import numpy as np
    from rasterio.features import rasterize

    risk = params['{TIME}']
    lines = params['{OTHER}']['vector']
    r, transform, extent = risk['raster'], risk['transform'], risk['extent']
    extent['xMin'] = extent['xMin'] - 1
    burnt = rasterize(((g, 1) for g in lines['geometry']), out_shape=r.shape[1:], transform=transform)
    r[0][burnt == 0] = 0
    lines['risk'] = [float(r[0].max()) for _ in range(len(lines))]
    return [{{'id': i, 'risk': float(np.max(r))}} for i in range(3)]


def sample(params):
    import geopandas as gpd
    from shapely.geometry import Point

    points = params['{OTHER}']
    raster = params['{TIME}']
    inverse = ~raster['transform']
    values = []
    for p in points['geometry']:
        column, row = inverse * (p.x, p.y)
        values.append(raster['raster'][0, int(row), int(column)])
    points['value'] = values
    points = points.to_crs('EPSG:4326')
    return gpd.sjoin(points, points.buffer(1).to_frame('geometry')).drop_duplicates() if len(points) else points


def geotiff(params):
    from io import BytesIO
    import numpy
    import rasterio
    from rasterio.io import MemoryFile

    value = params['{TIME}']
    r = value['raster']
    file = BytesIO()
    with MemoryFile() as memory:
        with memory.open(driver='GTiff', width=r.shape[2], height=r.shape[1], count=r.shape[0], dtype=str(r.dtype),
                         crs='EPSG:3857', transform=value['transform']) as dataset:
            dataset.write(r)
        file.write(memory.read())
    return file


def saved(params):
    from io import BytesIO
    import ellipsis as el

    value = params['{TIME}']
    file = BytesIO()
    el.util.saveRaster(r=value['raster'], epsg=3857, targetFile=file, transform=value['transform'])
    return file


def saved_vector(params):
    from io import BytesIO
    import ellipsis

    file = BytesIO()
    ellipsis.util.saveVector(targetFile=file, features=params['{OTHER}'])
    return file


def model(params):
    from io import BytesIO
    import keras
    import skimage
    from skimage import measure

    weights = params['{FILE}']
    assert type(weights) == BytesIO
    labels, n = measure.label(params['{TIME}']['raster'][0] > 1, return_num=True)
    return n


layers = [{{'pathId': '{PATH}', 'timestampId': '{TIME}'}}, {{'pathId': '{PATH}', 'timestampId': '{OTHER}'}}]
small = el.compute.createCompute(layers=layers, token=token, files=['{FILE}'], nodes=5,
                                 requirements=['scikit-image', 'keras', 'ellipsis'])['id']
r = el.compute.execute(small, largest, token)
print(numpy.max(r))
for f in [shape, rasterise, model]:
    el.compute.execute(small, f, token)
print(pd.concat(el.compute.execute(small, sample, token)))
large = el.compute.createCompute(layers=layers, token=token, requirements=['ellipsis'], largeResult=True)['id']
for f in [geotiff, saved, saved_vector]:
    res = el.compute.execute(large, f, token)
el.compute.execute(small, geotiff, token, writeToLayer={{'pathId': '{PATH}', 'timestampId': '{TIME}'}})
el.compute.terminateAll(token)
'''


def test_no_false_alarm_on_what_scripts_for_the_service_do() -> None:
    report = check_script(DOCUMENTED, "job.py")
    assert names(report) == [
        "largest", "shape", "rasterise", "model", "sample", "geotiff", "saved", "saved_vector",
    ]  # fmt: skip
    assert (report.findings, report.unseen) == ((), ())


def test_no_false_alarm_on_our_own() -> None:
    demo = ROOT / "ellipsis_local" / "cli" / "demo_functions.py"
    report = check_script(demo.read_text(encoding="utf-8"), str(demo), functions=["summary", "ndvi_picture"])
    assert (len(report.functions), report.findings) == (2, ())
    own = ROOT / "benchmarks" / "functions.py"
    listed = re.findall(r"^def (\w+)\(params\)", own.read_text(encoding="utf-8"), re.MULTILINE)
    report = check_script(own.read_text(encoding="utf-8"), str(own), functions=listed)
    assert (len(report.functions), report.findings) == (len(listed), ()) and listed


def test_no_false_alarm_on_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = [
        text for text in re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE) if "execute(" in text
    ]
    reports = [check_script(text) for text in examples]
    assert len(reports) >= 2 and all(report.functions for report in reports)
    assert [report.unseen for report in reports] == [()] * len(reports)
    # Sums over partitions are right by the default cut, and would not be on the service.
    assert [rules(report) for report in reports] == [[], ["counted-twice"]]


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ELLIPSIS_LOCAL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, text: str = ""):
        Path("job.py").write_text(text, encoding="utf-8")
        return CliRunner().invoke(app, ["--home", str(tmp_path / "home"), "check", *arguments])

    yield invoke
    monkeypatch.undo()
    assert not (tmp_path / "home").exists(), "nothing is made"


SCRIPT = "import ellipsis as el\n" + F + CREATE + "el.compute.execute(made['id'], f, token)\n"
MILD = (
    "import ellipsis as el\n\n\ndef f(params):\n    import cupy\n\n\n"
    + CREATE
    + "el.compute.execute(made['id'], f, token)\n"
)


def test_check_tells(run) -> None:
    answer = run("job.py", text=SCRIPT)
    assert answer.exit_code == 1
    assert "job.py:3:12: error: f: it uses nowhere, which nothing defines [undefined]" in answer.stdout
    assert "→ define or import it in the body" in answer.stdout
    assert "1 function looked at: 1 error, 0 warnings" in answer.stdout


def test_check_as_json(run) -> None:
    answer = run("job.py", "--json", text=SCRIPT + "el.compute.execute(made['id'], find(), token)\n")
    told = json.loads(answer.stdout)
    assert (answer.exit_code, told["ok"]) == (1, False)
    assert told["functions"] == [{"name": "f", "file": "job.py", "line": 2}]
    assert [(one["rule"], one["line"], one["column"]) for one in told["findings"]] == [("undefined", 3, 12)]
    assert [one["what"] for one in told["unchecked"]] == ["find()"]


def test_check_strict(run) -> None:
    answer = run("job.py", text=MILD)
    assert answer.exit_code == 0 and "warning: f: it imports cupy" in answer.stdout
    assert run("job.py", "--strict", text=MILD).exit_code == 1


def test_check_a_clean_script_and_one_without_functions(run) -> None:
    answer = run("job.py", "--strict", text=DOCUMENTED)
    assert answer.exit_code == 0 and "8 functions looked at: 0 errors" in answer.stdout
    answer = run("job.py", text="print(1)\n")
    assert answer.exit_code == 0 and "no function is passed to compute.execute" in answer.stderr


def test_check_functions_by_name(run) -> None:
    assert "2 functions looked at" in run("job.py", "--function", "g", text=SCRIPT + "def g(params): return 1\n").stdout
    answer = run("job.py", "--function", "nobody", text=SCRIPT)
    assert answer.exit_code == 1 and "defines no function nobody" in answer.stderr


def test_check_what_cannot_be_read(run, tmp_path: Path) -> None:
    answer = run("nowhere.py")
    assert answer.exit_code == 1 and "No such file" in answer.stderr
    (tmp_path / "bytes.py").write_bytes(b"x = '\xff'\n")
    answer = run("bytes.py")
    assert answer.exit_code == 1 and "bytes.py is no Python script" in answer.stderr
    answer = run("job.py", text="def f(:\n")
    assert answer.exit_code == 1 and "job.py:1:7: error: execute: Python cannot read the script" in answer.stdout
