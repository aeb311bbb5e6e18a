"""The public surface: which names there are, how they are called, and that each says what it does.

The signatures are written out by hand after client 3.3.12, so that a change here is a decision and not an accident.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ellipsis_local
from ellipsis_local import errors
from ellipsis_local.api_functions import attached
from ellipsis_local.tracebacks import short_traceback

MODULES = (
    "account",
    "compute",
    "errors",
    "layers",
    "path",
    "path.file",
    "path.folder",
    "path.raster",
    "path.raster.timestamp",
    "path.raster.timestamp.file",
    "path.vector",
    "path.vector.timestamp",
    "path.vector.timestamp.file",
    "user",
    "util",
)

SIGNATURES = {
    "compute.createCompute": (
        "layers, token, files=None, nodes=None, interpreter='python3.12', requirements=(), awaitTillStarted=True, "
        "largeResult=False, enableGpu=False"
    ),
    "compute.execute": "computeId, f, token, awaitTillCompleted=True, writeToLayer=None",
    "compute.terminateCompute": "computeId, token, awaitTillTerminated=True, *, awaitTillCompleted=None",
    "compute.terminateAll": "token, awaitTillTerminated=True, *, awaitTillCompleted=None",
    "compute.getComputeInfo": "computeId, token",
    "compute.listComputes": "token, pageStart=None, listAll=True",
    "compute.addLayer": "response, pathId, timestampId, token",
    "compute.addToLayer": "response, pathId, timestampId, token",
    "compute.downloadFile": "url, token, filePath=None, memfile=None",
    "account.logIn": "username, password, validFor=None",
    "account.getInfo": "token",
    "util.saveRaster": "r, epsg, targetFile, extent=None, transform=None",
    "util.saveVector": "targetFile, features",
    "path.get": "pathId, token=None",
    "path.folder.add": "name, token, parentId=None, publicAccess=None, metadata=None",
    "path.file.add": "token, filePath=None, memFile=None, parentId=None, publicAccess=None, metadata=None, name=None",
    "path.file.download": "pathId, filePath, token=None",
    "path.file.addCsv": "df, name, token, parentId=None, publicAccess=None, metadata=None",
    "path.file.getCsv": "pathId, token=None",
    "path.file.addJson": "d, name, token, parentId=None, publicAccess=None, metadata=None",
    "path.file.getJson": "pathId, token=None",
    "path.file.addPickle": "x, name, token, parentId=None, publicAccess=None, metadata=None",
    "path.file.getPickle": "pathId, token=None",
    "path.raster.add": "name, token, parentId=None, publicAccess=None, metadata=None",
    "path.raster.timestamp.add": "pathId, token, description=None, date=None, remote=False",
    "path.raster.timestamp.activate": "pathId, timestampId, token",
    "path.raster.timestamp.deactivate": "pathId, timestampId, token",
    "path.raster.timestamp.getBounds": "pathId, timestampId, token=None",
    "path.raster.timestamp.file.add": (
        "pathId, timestampId, token, fileFormat, filePath=None, memFile=None, epsg=None, noDataValue=None, "
        "mosaicPriority=None, name=None, remoteInfo=None"
    ),
    "path.raster.timestamp.file.get": "pathId, timestampId, token, pageStart=None, listAll=True",
    "path.raster.timestamp.file.download": "pathId, timestampId, fileId, filePath, token",
    "path.vector.add": "name, token, parentId=None, publicAccess=None, metadata=None",
    "path.vector.timestamp.add": "pathId, token, properties=None, description=None, date=None",
    "path.vector.timestamp.activate": "pathId, timestampId, token",
    "path.vector.timestamp.deactivate": "pathId, timestampId, token",
    "path.vector.timestamp.getBounds": "pathId, timestampId, token=None",
    "path.vector.timestamp.file.add": (
        "pathId, timestampId, token, fileFormat, filePath=None, memFile=None, name=None, epsg=None, dateColumns=None, "
        "datePatterns=None, method='simplify', fastUpload=True"
    ),
    "path.vector.timestamp.file.get": "pathId, timestampId, token, pageStart=None, listAll=True",
    "path.vector.timestamp.file.download": "pathId, timestampId, fileId, filePath, token",
}
"""As the client has them, with three differences that no caller can notice: `requirements` is an empty tuple (a list
there), `date` is None (there: the moment of import), and `awaitTillCompleted` may be given as well, because the
documentation names it so."""

DOCUMENTED = {
    "createCompute": "layers token nodes interpreter requirements awaitTillStarted largeResult",
    "execute": "computeId token f awaitTillCompleted",
    "terminateCompute": "computeId token awaitTillCompleted",
    "terminateAll": "token awaitTillCompleted",
    "getComputeInfo": "computeId token",
    "listComputes": "token listAll pageStart",
    "addLayer": "response pathId timestampId token",
}
"""Every function and argument of the documentation of compute."""


def module_of(name: str):
    return importlib.import_module(f"ellipsis_local.{name}")


def function_of(name: str):
    module, _, function = name.rpartition(".")
    return getattr(module_of(module), function)


def defined(module) -> set[str]:
    """The public names that a module defines; of a package also the modules of it that it imports."""
    names: set[str] = set()
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and node.module == module.__name__:
            names |= {alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_package() -> None:
    assert sorted(ellipsis_local.__all__) == ellipsis_local.__all__
    assert set(dir(ellipsis_local)) == {*ellipsis_local.__all__, "__version__"}
    for name in ellipsis_local.__all__:
        assert getattr(ellipsis_local, name) is not None
    assert re.match(r"\d+[.+]", ellipsis_local.__version__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ellipsis_local.nothing


def test_importing_the_package_is_light() -> None:
    code = (
        "import ellipsis_local, sys; print(*sorted({'numpy', 'rasterio', 'geopandas', 'sqlite3'} & set(sys.modules)))"
    )
    folder = str(Path(ellipsis_local.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", MODULES)
def test_names_equal_all(name: str) -> None:
    module = module_of(name)
    below = {one.removeprefix(f"{name}.").partition(".")[0] for one in attached if one.startswith(f"{name}.")}
    assert set(module.__all__) == defined(module) | below - {"root", "setDomains", "listPath", "computeAllVectorTiles"}
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, public) for public in module.__all__)


def test_every_function_is_in_the_table() -> None:
    found = {
        f"{name}.{public}"
        for name in MODULES
        for public in module_of(name).__all__
        if inspect.isfunction(getattr(module_of(name), public))
    }
    # `layers` is our own: the service has a web site for it.
    found = {name for name in found if not name.startswith("layers.")}
    assert found - set(attached) == set(SIGNATURES)


def test_the_functions_that_are_requests_are_found_like_the_others() -> None:
    """Their signatures are held against the client's in tests/client/test_in_process.py."""
    import ellipsis_local.path.pointCloud.timestamp.file
    from ellipsis_local.path.hashtag import add

    assert add is ellipsis_local.path.hashtag.add is attached["path.hashtag.add"]
    assert str(inspect.signature(add)) == "(pathId, hashtag, token)"
    assert (add.__name__, add.__module__) == ("add", "ellipsis_local.path.hashtag")
    assert pickle.loads(pickle.dumps(add)) is add
    assert "POST /path/{pathId}/hashtag" in inspect.getdoc(add)
    assert {"search", "hashtag", "raster"} <= set(dir(ellipsis_local.path)) & set(ellipsis_local.path.__all__)
    assert ellipsis_local.path.root.listPath and importlib.import_module("ellipsis_local.compute.root").execute
    with pytest.raises(TypeError, match="path.hashtag.add: missing a required argument: 'token'"):
        add("a", "b")


def test_errors_of_all_functions_end_at_them() -> None:
    modules = [ellipsis_local, ellipsis_local.state, ellipsis_local.testing, *map(module_of, MODULES)]
    functions = {getattr(module, name) for module in modules for name in module.__all__}
    public = {one for one in [*functions, *attached.values()] if inspect.isfunction(one)}
    short = short_traceback(lambda: None).__code__
    # Errors of these come later, or are AssertionErrors.
    later = {"mock", "faults", "assert_raster_equal", "assert_frame_equal"}
    assert {function.__name__ for function in public if function.__code__ is not short} == later
    assert ellipsis_local.compute.addToLayer is ellipsis_local.compute.addLayer


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), SIGNATURES.items())
def test_signatures(name: str, expected: str) -> None:
    signature = inspect.signature(function_of(name))
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    assert str(inspect.Signature(plain)) == f"({expected})"


@pytest.mark.parametrize(("name", "expected"), DOCUMENTED.items())
def test_documented_arguments(name: str, expected: str) -> None:
    assert set(expected.split()) <= set(inspect.signature(function_of(f"compute.{name}")).parameters)


def test_both_names_are_one_function() -> None:
    assert ellipsis_local.compute.addToLayer is ellipsis_local.compute.addLayer


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name: str) -> None:
    module = module_of(name)
    assert module.__doc__
    for public in module.__all__:
        assert inspect.getdoc(getattr(module, public)), f"{name}.{public}"


@pytest.mark.parametrize("name", [name for name in ellipsis_local.__all__ if name[0].isupper() or name == "configure"])
def test_the_objects_of_the_package_have_docstrings(name: str) -> None:
    found = getattr(ellipsis_local, name)
    # `__doc__` of the class's own: a warning or a dataclass would inherit one, or be given its signature.
    assert found.__doc__
    assert not found.__doc__.startswith(f"{name}(")


def test_configure_names_every_setting() -> None:
    from dataclasses import fields

    for field in fields(ellipsis_local.Settings):
        assert field.name in (ellipsis_local.configure.__doc__ or "")


# --- errors -----------------------------------------------------------------------------------------------------------


def drawn() -> dict[str, str]:
    """The tree in the docstring of `errors`: name → name of what it derives from."""
    tree: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r" {4}([│ ]*)(?:[├└]── )?([A-Z]\w+(?:Error|Warning))(?: \((\w+)\))?", line):
            depth = (match.start(2) - 4) // 4
            tree[match[2]] = match[3] or above[depth - 1]
            above[depth] = match[2]
    return tree


def test_the_tree_of_errors_is_drawn() -> None:
    assert drawn() == {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_errors_are_value_errors(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.EllipsisLocalError)
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_a_way_between_processes(name: str) -> None:
    kind = getattr(errors, name)
    needed = {
        key: "x"
        for key, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty
    }
    error = kind("the text", **needed)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "the text"
    assert vars(copy) == vars(error)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_what_util_writes(tmp_path: Path) -> None:
    import io

    import geopandas as gpd
    import numpy as np
    import rasterio
    from affine import Affine
    from shapely.geometry import Point

    array, file = np.arange(6, dtype="uint8").reshape(1, 2, 3), io.BytesIO()
    assert ellipsis_local.util.saveRaster(array, 3857, file, {"xMin": 0, "xMax": 6, "yMin": 0, "yMax": 4}) is file
    with rasterio.open(io.BytesIO(file.getvalue())) as found:
        assert (found.read() == array).all()
        assert (found.crs.to_epsg(), found.transform) == (3857, Affine(2, 0, 0, 0, -2, 4))
        assert found.compression.value == "LZW"
    target = tmp_path / "out.gpkg"
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[Point(1, 2)], crs=28992)
    assert ellipsis_local.util.saveVector(str(target), frame) is None
    assert gpd.read_file(target).equals(frame)
    for wrong in (
        lambda: ellipsis_local.util.saveRaster(array, 3857, file),
        lambda: ellipsis_local.util.saveVector(file, 1),
    ):
        with pytest.raises(errors.ArgumentError):
            wrong()


def test_what_account_and_path_answer(el, fixtures: Path, tmp_path: Path) -> None:
    token = el.account.logIn("bob", "secret", validFor=60)
    info = el.account.getInfo(token)
    assert (info["username"], info["plan"]) == ("bob", {"maxComputeNodes": 64})
    folder = el.path.folder.add("folder", token)["id"]
    layer = el.path.raster.add("scene", token, parentId=folder, metadata={"a": 1})["id"]
    when = el.path.raster.timestamp.add(layer, token, description="summer")["id"]
    file = el.path.raster.timestamp.file.add(layer, when, token, "tif", filePath=str(fixtures / "scene_2024.tif"))["id"]
    (listed,) = el.path.raster.timestamp.file.get(layer, when, token)["result"]
    assert (listed["id"], listed["name"]) == (file, "scene_2024.tif")
    answer = el.path.get(layer, token)
    assert (answer["parentId"], answer["yourAccess"]["accessLevel"] > 100) == (folder, True)
    assert (answer["raster"]["format"], len(answer["raster"]["bands"])) == ("uint16", 5)
    (timestamp,) = answer["raster"]["timestamps"]
    assert (timestamp["id"], timestamp["status"], timestamp["date"]["from"].tzinfo) == (when, "created", None)
    assert el.path.raster.timestamp.getBounds(layer, when, token).equals(listed["info"]["bounds"])
    for change, status in (
        (el.path.raster.timestamp.activate, "active"),
        (el.path.raster.timestamp.deactivate, "passive"),
    ):
        change(layer, when, token)
        assert el.path.get(layer, token)["raster"]["timestamps"][0]["status"] == status
    # On the service nobody sees a layer that was not published, either.
    with pytest.raises(errors.AccessError, match="insufficient access"):
        el.path.get(layer)
    el.path.raster.timestamp.file.download(layer, when, file, str(tmp_path / "copy.tif"), token)
    assert (tmp_path / "copy.tif").read_bytes() == (fixtures / "scene_2024.tif").read_bytes()
