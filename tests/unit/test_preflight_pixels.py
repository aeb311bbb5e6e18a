"""Unsigned bands that are subtracted: what is told is wrong on real arrays, the line that mends it makes it right, and
what is right is left alone."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.errors import PixelWarning
from ellipsis_local.preflight import Surroundings, check_pixels, read_source

ID = "32fc7fae-cbfe-4a76-8267-83b692ece730"
OTHER = "f676af8b-f41f-41bd-b5c8-b13d62de7911"
LAYERS = (("1791d90c-86ee-417e-aa04-0e22447f6fd9", ID), ("c208c8ab-1086-45fb-a827-f6bcaedab3ae", OTHER))
GET = f"raster = params[{ID!r}]['raster']\n"


def told(body: str, dtypes: dict[str, str] | None = None) -> list[Any]:
    text = f"def f(params):\n{textwrap.indent(body, '    ')}"
    return list(check_pixels(read_source(text, "job.py"), Surroundings(layers=LAYERS, dtypes=dtypes)))


def run(body: str, dtype: str = "uint16") -> Any:
    """What it makes of four bands, in which 40 is subtracted from 30 wherever it is told of."""
    scope: dict[str, Any] = {}
    exec(f"def f(params):\n{textwrap.indent('import numpy as np' + chr(10) + body, '    ')}", scope)
    pixels = np.stack([np.full((4, 5), value, dtype) for value in (40, 35, 33, 30)])
    return scope["f"]({ID: {"raster": pixels}, OTHER: {"raster": pixels + np.asarray(5, dtype)}})


WRONG = {
    # the vendor's own
    "ndvi": GET + "ndvi = (raster[3] - raster[0]) / (raster[3] + raster[0])\nreturn ndvi",
    "names": GET + "red = raster[0]\nnir = raster[3]\nreturn (nir - red) / (nir + red)",
    "tuple": GET + "red, nir = raster[0], raster[3]\nreturn nir - red",
    "unpacked": f"red, _, _, nir = params[{ID!r}]['raster']\nreturn nir - red",
    "list": GET + "red, nir = [raster[i] for i in (0, 3)]\nreturn nir - red",
    "slices": GET + "return raster[3, :, :] - raster[0, :, :]",
    "last": GET + "return raster[-1] - raster[0]",
    "constants": GET + "RED, NIR = 0, 3\nreturn raster[NIR] - raster[RED]",
    "no name": f"return params[{ID!r}]['raster'][3] - params[{ID!r}]['raster'][0]",
    "layer": f"layer = params[{ID!r}]\nreturn layer['raster'][3] - layer['raster'][0]",
    "key in a name": f"key = {ID!r}\nreturn params[key]['raster'][3] - params[key]['raster'][0]",
    "values": "for layer in params.values():\n    r = layer['raster']\n    return r[3] - r[0]",
    "keys": "for key in params:\n    r = params[key]['raster']\n    return r[3] - r[0]",
    "items": "for key, layer in params.items():\n    r = layer['raster']\n    return r[3] - r[0]",
    "first": "r = next(iter(params.values()))['raster']\nreturn r[3] - r[0]",
    "listed": "r = list(params.values())[0]['raster']\nreturn r[3] - r[0]",
    "two layers": f"return params[{ID!r}]['raster'] - params[{OTHER!r}]['raster']",
    "copies": GET + "red, nir = raster[0].copy(), np.squeeze(raster[3])\nreturn nir - red",
    "sums": GET + "return raster[3] + raster[2] - (raster[0] + raster[1])",
    "steps": GET + "return [raster[i + 1] - raster[i] for i in range(2)][0]",
    "loop": GET + "for i in range(3):\n    d = raster[i + 1] - raster[i]\nreturn d",
    "subtract": GET + "return np.subtract(raster[3], raster[0])",
    "diff": GET + "return np.diff(raster, axis=0)[0]",
    "in place": GET + "nir = raster[3]\nnir -= raster[0]\nreturn nir",
    "helper": GET + "def index(a, b):\n    return (a - b) / (a + b)\nreturn index(raster[3], raster[0])",
    "helper by name": GET + "def less(a, b):\n    return a - b\nreturn less(b=raster[0], a=raster[3])",
    "band by helper": f"def band(n):\n    return params[{ID!r}]['raster'][n]\nreturn band(3) - band(0)",
    "where": GET + "nir, red = raster[3], raster[0]\nreturn np.where(nir + red > 0, (nir - red) / (nir + red), 0)",
    "absolute": GET + "return np.abs(raster[3] - raster[0])",
    "cast too late": GET + "return (raster[3] - raster[0]).astype('float32')",
    "cast one way": GET + "if raster.max() > 10000:\n    raster = raster / 10000\n    return raster\nreturn raster[3] - raster[0]",
    "cast of another": GET + "other = raster.astype('float32')\nreturn raster[3] - raster[0]",
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_is_told_wraps_around_and_the_way_out_mends_it(name: str, dtype: str) -> None:
    body = WRONG[name]
    (finding,) = told(body, {ID: dtype, OTHER: dtype})
    assert (finding.rule, finding.severity) == ("unsigned", "warning")
    assert f"unsigned here ({dtype})" in finding.message
    with np.errstate(all="ignore"):
        assert (np.asarray(run(body, dtype)) > 0).all(), "it does not wrap around: no reason to tell of it"
    lines = body.split("\n")
    at = finding.line - 2
    written = re.search(r"`(.*?)`, which", finding.message)
    mended = re.fullmatch(r"write `(.*?)`( before it)?", finding.way_out)
    assert written is not None
    assert mended is not None
    if mended[2]:
        indent = re.match(" *", lines[at])
        assert indent is not None
        lines.insert(at, f"{indent[0]}{mended[1]}")
    else:
        assert written[1] in lines[at]
        lines[at] = lines[at].replace(written[1], mended[1])
    result = np.asarray(run("\n".join(lines), dtype))
    assert told("\n".join(lines), {ID: dtype, OTHER: dtype}) == []
    assert (result > 0).all() if name == "absolute" else (result < 0).all()
    assert (np.abs(result) <= 50).all()


RIGHT = [
    GET + "raster = raster.astype('float32')\nreturn raster[3] - raster[0]",
    GET + "raster = raster.astype(float)\nred, nir = raster[0], raster[3]\nreturn (nir - red) / (nir + red)",
    GET + "red, nir = raster[[0, 3]].astype('f4')\nreturn nir - red",
    GET + "red, nir = (band.astype('int32') for band in (raster[0], raster[3]))\nreturn nir - red",
    GET + "red, nir = [raster[i].astype('int32') for i in (0, 3)]\nreturn nir - red",
    GET + "return raster[3].astype('int32') - raster[0]",
    GET + "return raster[3] - raster[0].astype('int32')",
    GET + "return np.float32(raster[3]) - np.float32(raster[0])",
    GET + "raster = np.array(raster, dtype='float32')\nreturn raster[3] - raster[0]",
    GET + "raster = np.asarray(raster, 'float32')\nreturn raster[3] - raster[0]",
    GET + "scaled = raster / 10000\nreturn scaled[3] - scaled[0]",
    GET + "scaled = raster * 0.0001\nreturn scaled[3] - scaled[0]",
    GET + "return 1.0 * raster[3] - raster[0]",
    GET + "return np.subtract(raster[3], raster[0], dtype='int32')",
    GET + "return np.diff(raster.astype('int32'), axis=0)",
    # within the pixels' range
    GET + "return raster - raster.min()",
    GET + "return raster.max() - raster",
    GET + "return 255 - raster[0]",
    GET + "return raster[0] - 1000",
    GET + "return raster[0] - raster[0].mean()",
    GET + "a, b = raster[0], raster[3]\nreturn np.maximum(a, b) - np.minimum(a, b)",
    GET + "a, b = raster[0], raster[3]\nreturn np.where(a > b, a - b, b - a)",
    GET + "a, b = raster[0], raster[3]\nhigher = a > b\nreturn np.where(higher, a - b, b - a)",
    GET + "a, b = raster[0], raster[3]\nreturn np.where(a >= b, a - b, 0)",
    GET + "a, b = raster[0], raster[3]\nm = a > b\nreturn a[m] - b[m]",
    GET + "return raster[0].sum() - raster[3].sum()",
    # who asks for the dtype knows it
    GET + "if raster.dtype.kind == 'u':\n    raster = raster.astype('int32')\nreturn raster[3] - raster[0]",
    GET + "assert raster.dtype == 'float32'\nreturn raster[3] - raster[0]",
    GET + "if raster.dtype == np.float32:\n    return raster[3] - raster[0]\nreturn None",
    # something else by the name
    GET + "raster = load(raster)\nreturn raster[3] - raster[0]",
    GET + "for raster in tiles(raster):\n    print(raster[3] - raster[0])",
    GET + "with open_(raster) as raster:\n    return raster[3] - raster[0]",
    GET + "import raster\nreturn raster[3] - raster[0]",
    GET + "def index(raster):\n    return raster[3] - raster[0]\nreturn index(raster.astype('float32'))",
    GET + "return (lambda raster: raster[3] - raster[0])(raster * 1.0)",
    GET + "while raster.min() < 0:\n    raster = raster * 0.5\nreturn raster[3] - raster[0]",
    GET + "try:\n    raster = raster.astype('float32')\nexcept MemoryError:\n    raise\nreturn raster[3] - raster[0]",
    # other things of a layer, and of the body
    f"extent = params[{ID!r}]['extent']\nreturn extent['xMax'] - extent['xMin']",
    f"frame = params[{ID!r}]['vector']\nreturn frame['a'] - frame['b']",
    f"m = params[{ID!r}]['mask']\nreturn m[0] - m[1]",
    "a, b = {1, 2}, {2}\nreturn list(a - b)",
    "n = 5\nreturn n - 3",
    GET + "return raster.shape[1] - raster.shape[2]",
    GET + "bands, height, width = raster.shape\nreturn height - width",
]


@pytest.mark.parametrize("body", RIGHT)
def test_what_is_right_is_left_alone(body: str) -> None:
    assert told(body, {ID: "uint8", OTHER: "<u2"}) == []
    assert told(body) == []


@pytest.mark.parametrize(
    ("dtypes", "text"),
    [
        (None, "and where these are unsigned (uint8, uint16)"),
        ({OTHER: "float32"}, "and where these are unsigned (uint8, uint16)"),
        ({ID: "uint8"}, "which are unsigned here (uint8)"),
        ({ID: "<u2", OTHER: "<f4"}, "which are unsigned here (<u2)"),
        ({ID: "float32"}, None),
        ({ID: "int16", OTHER: "uint8"}, None),
    ],
)
def test_it_depends_on_what_is_known_of_the_layer(dtypes: dict[str, str] | None, text: str | None) -> None:
    found = told(WRONG["ndvi"], dtypes)
    assert [text in one.message for one in found] == ([] if text is None else [True])


def test_of_an_unnamed_layer_all_have_to_be_unsigned() -> None:
    assert told(WRONG["values"], {ID: "uint8", OTHER: "float32"}) == []
    assert told(WRONG["values"], {ID: "float32"}) == []
    assert "unsigned here (uint8):" in told(WRONG["values"], {ID: "uint8", OTHER: ""})[0].message
    assert "unsigned here (uint16, uint8)" in told(WRONG["values"], {ID: "uint8", OTHER: "uint16"})[0].message
    assert "where these are unsigned" in told(WRONG["values"], {ID: "uint8"})[0].message


def test_large_integers_are_cast_to_what_holds_them() -> None:
    assert told(WRONG["ndvi"], {ID: "uint32"})[0].way_out == "write `raster = raster.astype('float64')` before it"
    assert told(WRONG["names"], {ID: "uint16"})[0].way_out == (
        "write `nir, red = nir.astype('float32'), red.astype('float32')` before it"
    )


def test_a_body_that_calls_itself_ends() -> None:
    assert (
        len(told(GET + "def f(a, b):\n    return f(a, b) if a.any() else a - b\nreturn f(raster[3], raster[0])")) == 1
    )


# --- where it is told -----------------------------------------------------------------------------------------------


def add(el: ModuleType, dtype: str) -> dict[str, str]:
    array = np.stack([np.full((4, 5), value, dtype) for value in (40, 30)])
    return el.layers.add({"raster": array, "transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"})


def difference(params):
    layer = next(iter(params.values()))
    red, nir = layer["raster"]
    return float((nir - red).max())


def careful(params):
    layer = next(iter(params.values()))
    red, nir = layer["raster"].astype("float32")
    return float((nir - red).max())


def test_execute_warns_where_the_layer_is_unsigned(el: ModuleType, token: str, home: Path) -> None:
    el.configure(home=home, progress=False, inline=True, strict=True)

    def execute(dtype: str, function: Callable[[Any], float]) -> float:
        made = el.compute.createCompute([add(el, dtype)], token, nodes=1)
        (value,) = el.compute.execute(made["id"], function, token)
        return value

    with pytest.warns(PixelWarning) as told:
        # The service gives the same: strict refuses nothing.
        assert execute("uint16", difference) == 65526
    (warning,) = told
    line = difference.__code__.co_firstlineno + 3
    assert str(warning.message) == (
        f"difference ({__file__}:{line}:19): it subtracts bands as they come, `nir - red`, which are unsigned here "
        "(uint16): what is below 0 becomes a huge number: "
        "write `nir, red = nir.astype('float32'), red.astype('float32')` before it [unsigned]"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert execute("uint16", careful) == execute("int16", difference) == execute("float32", difference) == -10


def test_check_looks_the_layer_up_in_the_home(el: ModuleType, home: Path, tmp_path: Path) -> None:
    def check(layer: dict[str, str]) -> str:
        (tmp_path / "job.py").write_text(
            "import ellipsis as el\n\n\ndef f(params):\n    red, nir = params[TIME]['raster']\n    return nir - red\n\n\n"
            f"made = el.compute.createCompute([{layer!r}], 'token')\nel.compute.execute(made['id'], f, 'token')\n"
            .replace("TIME", repr(layer["timestampId"]))
        )  # fmt: skip
        return CliRunner().invoke(app, ["--home", str(home), "check", str(tmp_path / "job.py")]).stdout

    answer = check(add(el, "uint8"))
    assert "job.py:6:12: warning: f: it subtracts bands as they come, `nir - red`, which are unsigned here" in answer
    assert "→ write `nir, red = nir.astype('float32'), red.astype('float32')` before it" in answer
    assert "0 errors, 0 warnings" in check(add(el, "float32"))
    assert "and where these are unsigned" in check({"pathId": LAYERS[0][0], "timestampId": ID})
