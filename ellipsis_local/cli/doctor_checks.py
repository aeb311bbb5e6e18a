"""What `doctor` looks at: each check finds out one thing, and says what would go wrong and how to mend it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from rich.filesize import decimal

from ellipsis_local import processes
from ellipsis_local.cli.printing import counted
from ellipsis_local.cli.session import Session
from ellipsis_local.environments import DEFAULT_INTERPRETER, find_interpreters
from ellipsis_local.environments.installer import Outcome, child_environ, explain, find_uv, is_offline
from ellipsis_local.environments.manifest import folder_size
from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.home import Home
from ellipsis_local.settings import PREFIX, SECRET, SETTINGS_FILE, Settings

State = Literal["ok", "warning", "problem", "skipped"]

LITTLE_DISK = 2 * 1024**3
"""An environment with the geographic packages takes half a gigabyte, a home with real layers several."""
NETWORK_SECONDS = 20
PACKAGES = (
    "numpy", "pandas", "geopandas", "shapely", "rasterio", "pyogrio", "pyproj", "pyarrow", "cloudpickle",
    "virtualenv", "uv", "rich", "typer",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    name: str
    state: State
    text: str
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def look(session: Session, *, offline: bool, scheduler: str | None = None) -> list[Check]:
    """All checks, the later ones with the settings that the first one read."""
    machine = [check_machine(), check_packages()]
    try:
        settings = session.settings(**({"scheduler": scheduler} if scheduler else {}))
    except EllipsisLocalError as error:
        remedy = f"correct it there; without {SETTINGS_FILE} and {PREFIX}* variables the defaults hold"
        return [Check("settings", "problem", str(error), remedy), *machine]
    home = Home(settings.home, settings.environments)
    rooms = [check_home(settings), check_disk(home, settings), check_interpreters(home), check_installer()]
    cluster = [] if settings.scheduler is None else [check_cluster(settings.scheduler)]
    return [check_settings(session, settings), *machine, *rooms, check_network(settings, offline=offline), *cluster]


def check_settings(session: Session, settings: Settings) -> Check:
    """Every setting in force, and where it was set."""
    path = settings.home / SETTINGS_FILE
    in_file = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    told = {}
    for name in (setting.name for setting in fields(Settings)):
        variable = f"{PREFIX}{name.upper()}"
        if name == "home" and session.home is not None:
            source = "--home"
        elif variable in os.environ:
            source = variable
        else:
            source = SETTINGS_FILE if name in in_file else "default"
        value = getattr(settings, name)
        told[name] = {"value": "(not shown)" if name in SECRET and value is not None else value, "source": source}
    changed = {name: fact for name, fact in told.items() if fact["source"] != "default"}
    text = "; ".join(f"{name} = {fact['value']} ({fact['source']})" for name, fact in changed.items())
    return Check("settings", "ok", text or "all as they are by default", details=told)


def check_machine() -> Check:
    import psutil

    from ellipsis_local import __version__

    cores = processes.available_cores()
    memory = psutil.virtual_memory()
    python = ".".join(map(str, sys.version_info[:3]))
    details = {
        "version": __version__, "python": python, "executable": sys.executable, "platform": sys.platform,
        "cores": cores, "memory": memory.total, "memoryAvailable": memory.available,
    }  # fmt: skip
    text = f"version {__version__}, Python {python}, {cores} cores, {decimal(memory.available)} memory free"
    if not hasattr(os, "fork"):
        remedy = "nodes are forked processes: use Linux, macOS or WSL"
        return Check("machine", "problem", f"{text}; no fork", remedy, details)
    return Check("machine", "ok", text, details=details)


def check_packages() -> Check:
    """The packages of the calling side: their versions, and that the compiled ones can be imported."""
    versions: dict[str, str | None] = {}
    broken = []
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            broken.append(f"{name} is not installed")
    for name in ("numpy", "pyarrow", "shapely", "pyproj", "pyogrio", "rasterio", "geopandas"):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a broken library raises anything
            broken.append(f"{name} cannot be imported ({error})")
    if broken:
        remedy = "install ellipsis-local again in a new environment"
        return Check("packages", "problem", "; ".join(broken), remedy, versions)
    text = ", ".join(f"{name} {versions[name]}" for name in PACKAGES[:7])
    return Check("packages", "ok", text, details=versions)


def check_home(settings: Settings) -> Check:
    """That the home can be opened and written, and what is in it."""
    from ellipsis_local.emulator import Emulator

    try:
        with Emulator(settings) as emulator:
            layers, environments = len(emulator.store.list()), len(emulator.environments.list())
            _, more = emulator.computes.records.page(None, None, 1)
    except (EllipsisLocalError, OSError) as error:
        return Check("home", "problem", str(error), "choose another home with --home or ELLIPSIS_LOCAL_HOME")
    details = {"folder": settings.home, "layers": layers, "environments": environments}
    text = f"{settings.home}: {counted(layers, 'layer')}, {counted(environments, 'environment')}"
    remedy = "`ellipsis-local demo` is a beginning" if not layers and more is None else ""
    return Check("home", "ok", text, remedy, details)


def check_disk(home: Home, settings: Settings) -> Check:
    parts = {"layers": home.layers, "computes": home.computes, "environments": home.environments, "cache": home.cache}
    sizes = {name: folder_size(folder) for name, folder in parts.items()}
    folder = next((folder for folder in (home.root, *home.root.parents) if folder.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    details = sizes | {"free": free, "cacheLimit": settings.cache_size}
    text = f"{decimal(free)} free; " + ", ".join(f"{name} {decimal(number)}" for name, number in sizes.items())
    if free < LITTLE_DISK:
        remedy = "`env prune`, `computes prune` and `cache prune` free some"
        return Check("disk", "warning", f"{text}: an environment takes half a gigabyte", remedy, details)
    return Check("disk", "ok", text, details=details)


def check_interpreters(home: Home) -> Check:
    found = find_interpreters(home)
    details = {
        "found": [{"name": i.name, "version": ".".join(map(str, i.version)), "executable": i.executable} for i in found]
    }
    newest = {i.name: i for i in reversed(found)}
    text = ", ".join(f"{name} ({newest[name].executable})" for name in sorted(newest, key=lambda n: newest[n].version))
    if not found:
        return Check("interpreters", "problem", "no Python 3.9 to 3.14 was found", "`uv python install 3.12`", details)
    if DEFAULT_INTERPRETER not in newest:
        text += f"; {DEFAULT_INTERPRETER}, the default, is not there; another is used"
        remedy = "`uv python install 3.12`, or pass interpreter= to createCompute"
        return Check("interpreters", "warning", text, remedy, details)
    return Check("interpreters", "ok", text, details=details)


def check_installer() -> Check:
    uv = find_uv(os.environ)
    if uv is None:
        return Check("installer", "warning", "uv is missing: pip does its work, slowly", "`pip install uv`")
    done = run([uv, "--version"])
    said = done.output.strip()
    if done.exit_code:
        return Check("installer", "problem", f"{uv} does not run: {said}", "`pip install --force-reinstall uv`")
    return Check("installer", "ok", f"{said} ({uv})", details={"uv": uv})


def check_network(settings: Settings, *, offline: bool) -> Check:
    """Whether uv gets an answer from the package index that it is set up for: a resolution, nothing is installed."""
    if offline or is_offline(settings.offline, os.environ):
        reason = "--offline" if offline else "the settings say offline"
        return Check("network", "skipped", f"not asked ({reason}); new environments come from uv's cache")
    uv = find_uv(os.environ)
    if uv is None:
        return Check("network", "skipped", "not asked, because uv is missing")
    command = [uv, "pip", "compile", "-", "--python", sys.executable, "--no-deps", "--no-header", "--no-annotate"]
    done = run([*command, "--refresh-package", "packaging", "--color", "never", "--no-progress"], "packaging\n")
    if done.exit_code == 0:
        return Check("network", "ok", "the package index answers")
    text = f"no new environments can be made from the package index: {explain(done)[1]}"
    remedy = "`env prefetch` while online makes environments for later; UV_DEFAULT_INDEX names another index"
    return Check("network", "warning", text, remedy, {"output": done.output[-2000:]})


def check_cluster(scheduler: str) -> Check:
    """That the machines of a Dask cluster can work with this one, and what each has."""
    try:
        from ellipsis_local.cluster import DaskEngine
    except ImportError:
        return Check("cluster", "problem", "Dask is not installed here", '`pip install "ellipsis-local[dask]"`')
    with contextlib.closing(DaskEngine(scheduler)) as engine:
        try:
            found = engine.look()
        except EllipsisLocalError as error:
            return Check("cluster", "problem", str(error))
    details = {
        "machines": [{"machine": str(one), "threads": one.threads, "gpus": one.gpus} | has for one, has in found]
    }
    if not found:
        return Check("cluster", "warning", "no worker is there", "start some, or let the cluster adapt", details)
    text = f"{counted(len(found), 'worker')} with {sum(one.threads for one, _ in found)} threads"
    lack = [str(one) for one, has in found if DEFAULT_INTERPRETER not in has["interpreters"]]
    few = [str(one) for one, has in found if has["free"] < LITTLE_DISK]
    if lack:
        text, remedy = (
            f"{text}; no {DEFAULT_INTERPRETER}, the default, on {', '.join(lack)}",
            "`uv python install 3.12` there",
        )
        return Check("cluster", "warning", text, remedy, details)
    if few:
        remedy = "set ELLIPSIS_LOCAL_HOME there to a folder with more room"
        return Check("cluster", "warning", f"{text}; little disk on {', '.join(few)}", remedy, details)
    return Check("cluster", "ok", text, details=details)


def run(command: list[str], text: str = "") -> Outcome:
    """A command of the installer, with the environment variables that it has in a build, and little patience."""
    own = {**child_environ(os.environ), "UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = processes.run(command, NETWORK_SECONDS, text, env=own, cwd="/", encoding="utf-8", **streams)
    except (OSError, subprocess.TimeoutExpired) as error:
        late = "timed out: " if isinstance(error, subprocess.TimeoutExpired) else ""
        return Outcome(tuple(command), -1, f"{late}{error}")
    return Outcome(tuple(command), done.returncode, done.stdout)
