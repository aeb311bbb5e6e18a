"""Which modules come with Python, and which with a package, where nothing is installed that could be asked."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache

from packaging.utils import canonicalize_name

LEFT = {
    (3, 10): "formatter parser symbol",
    (3, 11): "binhex",
    (3, 12): "asynchat asyncore distutils imp smtpd",
    (3, 13): (
        "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd "
        "sunau telnetlib uu xdrlib"
    ),
}
"""Modules by the version of Python that no longer has them."""
CAME = {(3, 11): "tomllib", (3, 14): "annotationlib compression"}
"""Modules by the first version of Python that has them."""
BUILTINS_CAME = {
    "aiter": (3, 10), "anext": (3, 10), "EncodingWarning": (3, 10), "BaseExceptionGroup": (3, 11),
    "ExceptionGroup": (3, 11), "PythonFinalizationError": (3, 13),
}  # fmt: skip

SERVICE_HAS = ("numpy", "geopandas", "rasterio", "shapely")
"""What the service must have whatever is asked for, because the values of `params` are made of it (our conclusion)."""
NODES_OWN = {one.replace("-", "_"): one for one in ("pyarrow", "cloudpickle", "dill", "multiprocessing-logging")}
"""Modules that the nodes here have for their own use, and their packages."""

MODULES = {
    "absl-py": "absl",
    "attrs": "attr attrs",
    "beautifulsoup4": "bs4",
    "earthengine-api": "ee",
    "fonttools": "fontTools",
    "gdal": "osgeo osgeo_utils",
    "google-cloud-storage": "google",
    "matplotlib": "matplotlib mpl_toolkits pylab",
    "netcdf4": "netCDF4 cftime",
    "opencv-contrib-python": "cv2",
    "opencv-contrib-python-headless": "cv2",
    "opencv-python": "cv2",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "protobuf": "google",
    "psycopg2-binary": "psycopg2",
    "pycryptodome": "Crypto",
    "pyshp": "shapefile",
    "python-dateutil": "dateutil",
    "python-dotenv": "dotenv",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "segment-geospatial": "samgeo",
    "setuptools": "setuptools pkg_resources distutils _distutils_hack",
    "tensorflow-cpu": "tensorflow",
    "torch": "torch torchgen functorch",
    # former modules of the standard library
    "audioop-lts": "audioop",
    "legacy-cgi": "cgi cgitb",
}
"""Packages whose modules are not called as they are, by canonical name."""

BRINGS = {
    "contourpy": "numpy",
    "ellipsis": (
        "fiona pillow shapely dill geopandas geopy imagecodecs imageio matplotlib numpy pandas pygltflib pyproj "
        "rasterio requests requests-toolbelt scikit-image tifffile"
    ),
    "fiona": "attrs certifi click click-plugins cligj",
    "geopandas": "numpy pandas pyogrio pyproj shapely packaging",
    "geopy": "geographiclib",
    "imageio": "numpy pillow",
    "keras": "absl-py numpy rich namex h5py optree ml-dtypes packaging",
    "matplotlib": "contourpy cycler fonttools kiwisolver numpy packaging pillow pyparsing python-dateutil",
    "numba": "llvmlite numpy",
    "pandas": "numpy python-dateutil pytz tzdata",
    "pyogrio": "certifi numpy packaging",
    "pyproj": "certifi",
    "python-dateutil": "six",
    "rasterio": "affine attrs certifi click cligj click-plugins numpy pyparsing",
    "rasterstats": "affine click cligj fiona numpy rasterio shapely simplejson",
    "requests": "charset-normalizer idna urllib3 certifi",
    "requests-toolbelt": "requests",
    "rioxarray": "rasterio xarray pyproj packaging numpy",
    "scikit-image": "imageio lazy-loader networkx numpy packaging pillow scipy tifffile",
    "scikit-learn": "joblib numpy scipy threadpoolctl",
    "scipy": "numpy",
    "seaborn": "matplotlib numpy pandas",
    "shapely": "numpy",
    "statsmodels": "numpy scipy pandas patsy packaging",
    "tensorflow": "absl-py flatbuffers gast h5py keras numpy protobuf requests six tensorboard termcolor wrapt",
    "tensorflow-cpu": "absl-py flatbuffers gast h5py keras numpy protobuf requests six tensorboard termcolor wrapt",
    "tifffile": "numpy",
    "torch": "filelock fsspec jinja2 networkx sympy typing-extensions",
    "torchvision": "torch numpy pillow",
    "xarray": "numpy pandas packaging",
    "xgboost": "numpy scipy",
    "lightgbm": "numpy scipy",
}
"""What well-known packages install besides themselves, by canonical name; only what is sure to come."""

NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")


def _versions(table: dict[tuple[int, int], str]) -> dict[str, tuple[int, int]]:
    return {module: version for version, names in table.items() for module in names.split()}


_left, _came = _versions(LEFT), _versions(CAME)
_ever = frozenset(sys.stdlib_module_names) | _left.keys() | _came.keys()


@lru_cache(maxsize=8)
def standard_library(python: tuple[int, ...]) -> frozenset[str]:
    """The top-level modules of a Python's standard library."""
    version = tuple(python[:2])
    return frozenset(m for m in _ever if _came.get(m, (3, 0)) <= version < _left.get(m, (4, 0)))


def change_of(module: str, python: tuple[int, ...]) -> str | None:
    """Why a module of the standard library is not in this one's; None for what never was one."""
    version = tuple(python[:2])
    if module in _left and _left[module] <= version:
        return f"which the standard library has no longer, since Python {_text(_left[module])}"
    if module in _came and version < _came[module]:
        return f"which the standard library has only since Python {_text(_came[module])}"
    return None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version[:2]))


@lru_cache(maxsize=8)
def builtin_names(python: tuple[int, ...]) -> frozenset[str]:
    """The builtins of a Python; where it is newer than the running one, those that are known."""
    version = tuple(python[:2])
    found = (frozenset(dir(builtins)) - BUILTINS_CAME.keys()) | {"__name__", "__builtins__", "__class__"}
    return found | {name for name, came in BUILTINS_CAME.items() if came <= version}


def requirement_name(requirement: str) -> str:
    """The canonical name of a PEP 508 requirement's package; '' for what is none."""
    match = NAME.match(requirement)
    return canonicalize_name(match[1]) if match else ""


def come_with(requirements: Iterable[str], needs: Callable[[str], Iterable[str]]) -> frozenset[str]:
    """The canonical names of packages, and of all that they need."""
    pending, seen = [requirement_name(requirement) for requirement in requirements], set()
    while pending:
        name = pending.pop()
        if name and name not in seen:
            seen.add(name)
            pending += needs(name)
    return frozenset(seen)


@lru_cache(maxsize=64)
def modules_of(requirements: tuple[str, ...]) -> frozenset[str]:
    """The top-level modules that come with packages and with what they are known to bring."""
    names = come_with(requirements, lambda name: BRINGS.get(name, "").split())
    own = [module for name in names for module in MODULES.get(name, name.replace("-", "_")).split()]
    # a common habit: python-x, py-x and x-python have the module x
    habit = [re.sub(r"^(python|py)_|_(python|py)$", "", name.replace("-", "_")) for name in names - MODULES.keys()]
    return frozenset(own + habit)


def distribution_of(module: str) -> str:
    """The package that a module comes with."""
    names = [name for name, modules in MODULES.items() if module in modules.split()]
    return NODES_OWN.get(module) or (min(names, key=len) if names else module.replace("_", "-"))
