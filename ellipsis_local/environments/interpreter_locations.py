"""Where Pythons are kept: candidates only, none of them has been run; an absent or closed folder is no error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

SUPPORTED_MINORS = range(9, 15)
VERSIONED = re.compile(r"python(\d)\.(\d+)\w*")
NAMES = (*(f"python3.{minor}" for minor in reversed(SUPPORTED_MINORS)), "python3", "python")

SYSTEM_FOLDERS = ("/usr/bin", "/usr/local/bin", "/bin", "/opt/local/bin")
SYSTEM_PATTERNS = (
    ("/opt/python", "*/bin"),
    ("/opt/hostedtoolcache/Python", "*/*/bin"),
    ("/Library/Frameworks/Python.framework/Versions", "3.*/bin"),
)
HOMEBREW_PREFIXES = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
CONDA_NAMES = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba")
CONDA_PREFIXES = ("/opt/conda", "/opt/miniconda3", "/opt/anaconda3", "/opt/miniforge3")


def running() -> list[Path]:
    """The running interpreter: the one a virtual environment was made from first, then the environment's own."""
    # `_base_executable` has no public name; every CPython since 3.8 has it.
    known = (getattr(sys, "_base_executable", None), sys.executable)
    return [Path(path) for path in known if path]


def candidates(environ: Mapping[str, str], minors: Collection[int]) -> list[str]:
    """Real paths of existing files that may be Pythons 3 of these minor versions, by their names.

    Each once, in the order in which equals are preferred.
    """
    user = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home() fails where none is known
    places = [*_on_path(environ), *_managed(environ, user), *_conda(environ, user), *_system(environ)]
    # the same folder comes by many names, such as /bin and /usr/bin
    folders = dict.fromkeys(map(os.path.realpath, places))
    found = dict.fromkeys(map(os.path.realpath, running()))
    for folder in folders:
        found.update(dict.fromkeys(_pythons(folder)))
    return [path for path in found if _may_be(os.path.basename(path), minors)]  # noqa: PTH119 - a hundred of these


def _may_be(name: str, minors: Collection[int]) -> bool:
    """Whether a file's name does not tell of another version: to run a Python takes 50 ms."""
    told = VERSIONED.fullmatch(name)
    return told is None or (told[1] == "3" and int(told[2]) in minors)


def _pythons(folder: str) -> Iterator[str]:
    for name in NAMES:
        path = f"{folder}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK) and not _is_macos_stub(path):  # noqa: PTH113
            yield _real(folder, path)


def _real(folder: str, path: str) -> str:
    """The real path of a file in a real folder; most are links to a neighbour, which costs less than realpath."""
    if not os.path.islink(path):  # noqa: PTH114
        return path
    target = os.readlink(path)  # noqa: PTH115
    return _real(folder, f"{folder}/{target}") if "/" not in target else os.path.realpath(path)


def _is_macos_stub(path: str) -> bool:
    # Without the developer tools this file is no Python: running it opens a dialog that offers to install them.
    tools = ("/Library/Developer/CommandLineTools", "/Applications/Xcode.app")
    return sys.platform == "darwin" and path == "/usr/bin/python3" and not any(Path(tool).exists() for tool in tools)


def _on_path(environ: Mapping[str, str]) -> Iterator[Path]:
    for entry in environ.get("PATH", "").split(os.pathsep):
        folder = Path(entry)
        # A relative entry names another folder in every working directory.
        if not folder.is_absolute():
            continue
        # A shim's answer depends on the working directory; what it stands for lies beside it.
        shims = folder.name == "shims"
        beside = list(_below(folder.parent, ("versions/*/bin", "installs/python/*/bin"))) if shims else []
        yield from beside or [folder]


def _managed(environ: Mapping[str, str], user: Path) -> Iterator[Path]:
    data = _folder(environ, "XDG_DATA_HOME") or user / ".local/share"
    yield from _below(_folder(environ, "PYENV_ROOT") or user / ".pyenv", ("versions/*/bin",))
    uv = _folder(environ, "UV_PYTHON_INSTALL_DIR")
    for root in [uv] if uv else [data / "uv/python", user / "Library/Application Support/uv/python"]:
        yield from _below(root, ("*/bin",))
    for root in (
        _folder(environ, "ASDF_DATA_DIR") or user / ".asdf",
        _folder(environ, "MISE_DATA_DIR") or data / "mise",
    ):
        yield from _below(root, ("installs/python/*/bin",))


def _conda(environ: Mapping[str, str], user: Path) -> Iterator[Path]:
    active = _folder(environ, "CONDA_PREFIX")
    if active:
        yield active / "bin"
    named = [_folder(environ, name) for name in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX")]
    usual = [*(user / name for name in CONDA_NAMES), *map(Path, CONDA_PREFIXES)]
    for root in [*(root for root in named if root), *usual]:
        yield root / "bin"
        yield from _below(root, ("envs/*/bin",))


def _system(environ: Mapping[str, str]) -> Iterator[Path]:
    brewed = _folder(environ, "HOMEBREW_PREFIX")
    for prefix in [*([brewed] if brewed else []), *map(Path, HOMEBREW_PREFIXES)]:
        yield prefix / "bin"
        yield from _below(prefix, ("opt/python@3.*/bin",))
    yield from map(Path, SYSTEM_FOLDERS)
    for root, pattern in SYSTEM_PATTERNS:
        yield from _below(Path(root), (pattern,))


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "")
    return Path(value).expanduser() if value else None


def _below(root: Path, patterns: Iterable[str]) -> Iterator[Path]:
    # glob does not fail on absent or closed folders, and Path.is_dir() does on closed ones
    if os.path.isdir(root):  # noqa: PTH112
        for pattern in patterns:
            yield from sorted(root.glob(pattern), reverse=True)
