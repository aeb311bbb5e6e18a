"""Where packages come from: the settings of uv, and those of pip where there are none for uv."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

UV_INDEX = ("DEFAULT_INDEX", "INDEX_URL", "INDEX", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX")
"""Variables of uv without UV_, and keys of its files: where one of them is set, nothing of pip's says where to look."""
MACHINE_FILES = (Path("/Library/Application Support/pip/pip.conf" if sys.platform == "darwin" else "/etc/pip.conf"),)
YES = ("1", "true", "yes", "on", "y", "t")


def uv_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with pip's index, certificates and proxy as variables of uv, which reads only its own (our choice)."""
    pip = _pip_settings(environ)
    given: dict[str, str] = {}
    if not any(environ.get(f"UV_{name}") for name in UV_INDEX) and not _uv_file(environ):
        extra = _words(pip.get("extra-index-url"))
        given["UV_DEFAULT_INDEX"] = pip.get("index-url", "")
        given["UV_INDEX"] = " ".join(extra)
        given["UV_FIND_LINKS"] = ",".join(_words(pip.get("find-links")))
        given["UV_NO_INDEX"] = "1" if pip.get("no-index", "").lower() in YES else ""
        # As pip looks at them: all as one.
        given["UV_INDEX_STRATEGY"] = "unsafe-best-match" if extra else ""
    given["UV_INSECURE_HOST"] = " ".join(_words(pip.get("trusted-host")))
    given["SSL_CERT_FILE"] = pip.get("cert", "")
    given["SSL_CLIENT_CERT"] = pip.get("client-cert", "")
    proxy = pip.get("proxy", "")
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        known = environ.get(name.lower()) or environ.get("ALL_PROXY") or environ.get("all_proxy")
        given[name] = "" if known or not proxy else proxy if "://" in proxy else f"http://{proxy}"
    return {**environ, **{name: value for name, value in given.items() if value and not environ.get(name)}}


def index_of(environ: Mapping[str, str], *, uv: bool) -> list[str]:
    """Where uv or pip is told to look for packages, without passwords."""
    if uv:
        there = uv_environ(environ)
        words = {name: re.split(r"[\s,]+", there.get(f"UV_{name}", "")) for name in UV_INDEX}
        default, links = words.pop("DEFAULT_INDEX") + words.pop("INDEX_URL"), words.pop("FIND_LINKS")
        no_index = words.pop("NO_INDEX")[0].lower() in YES
        extra = [word for found in words.values() for word in found]
        extra += [f"{name}={value!r}" for name, value in _uv_file(environ).items()]
    else:
        pip = _pip_settings(environ)
        default, extra, links = (_words(pip.get(name)) for name in ("index-url", "extra-index-url", "find-links"))
        no_index = pip.get("no-index", "").lower() in YES
    places = [f"index {one}" for one in default if one]
    places += [f"extra {one}" for one in extra if one] + [f"links {one}" for one in links if one]
    return [re.sub(r"://[^/@\s]+@", "://", one) for one in [*places, *["no index"] * no_index]]


def _words(text: str | None) -> list[str]:
    return (text or "").split()


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip would go by for `pip install`: [install] before [global], variables before both (documented by pip)."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for file in _pip_files(environ):
        parser = configparser.RawConfigParser()
        # What pip itself cannot read is told where pip reads it.
        with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
            parser.read_string(file.read_text("utf-8"), str(file))
            for name in sections.keys() & set(parser.sections()):
                sections[name] |= {_key(key): value for key, value in parser.items(name)}
    variables = {_key(name[4:]): value for name, value in environ.items() if name.startswith("PIP_") and value}
    return {**sections["global"], **sections["install"], **variables}


def _key(name: str) -> str:
    return name.lower().removeprefix("--").replace("_", "-")


def _pip_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Files of the machine, of the user, and PIP_CONFIG_FILE; the later wins (documented by pip)."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return
    home, mac = _home(environ), sys.platform == "darwin"
    if not mac:
        yield from (folder / "pip" / "pip.conf" for folder in reversed(_machine_folders(environ)))
    yield from MACHINE_FILES
    if not own or not Path(own).exists():
        yield home / ".pip" / "pip.conf"
        application = home / "Library" / "Application Support" / "pip"
        yield (application if mac and application.is_dir() else _user_folder(environ) / "pip") / "pip.conf"
    if own:
        yield Path(own)


def _uv_file(environ: Mapping[str, str]) -> dict[str, Any]:
    """What uv's own files say of the index: UV_CONFIG_FILE alone, else the machine's and the user's."""
    names = [*(folder / "uv" / "uv.toml" for folder in _machine_folders(environ)), Path("/etc/uv/uv.toml")]
    files = [next((name for name in names if name.exists()), names[-1]), _user_folder(environ) / "uv" / "uv.toml"]
    if environ.get("UV_CONFIG_FILE"):
        files = [Path(environ["UV_CONFIG_FILE"])]
    found: dict[str, Any] = {}
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            table = tomllib.loads(file.read_text("utf-8"))
            keys = {name.lower().replace("_", "-") for name in UV_INDEX}
            found |= {
                key: value for part in (table, table.get("pip", {})) for key, value in part.items() if key in keys
            }
    return found


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - which fails without a home


def _user_folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config")


def _machine_folders(environ: Mapping[str, str]) -> list[Path]:
    return [Path(folder) for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep) if folder]
