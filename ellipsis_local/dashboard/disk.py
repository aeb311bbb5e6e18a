"""Disk and environments: what eats the disk, what may go, and the command for it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from rich.filesize import decimal
from starlette.requests import Request
from starlette.responses import Response

from ellipsis_local.dashboard.pages import counted, done, emulator_of, is_fragment, render
from ellipsis_local.dashboard.read_model import STARTING
from ellipsis_local.emulator import Emulator
from ellipsis_local.environments.manifest import folder_size
from ellipsis_local.errors import NotFoundError
from ellipsis_local.settings import typed_command


def page(request: Request) -> Response:
    """The page at once; sizes, which take a look at every file, when a script of it asks."""
    emulator = emulator_of(request)
    root = emulator.home.root
    if not is_fragment(request):
        return render("disk.html", request, {"home": root})
    usage = shutil.disk_usage(root)
    values = {"folders": folders(emulator), "free": usage.free, "total": usage.total, "users": users(emulator)}
    return render("disk_rows.html", request, values | environments(emulator))


def builds(request: Request) -> Response:
    """What installers at work say, in any process, and the computes that wait for them."""
    emulator = emulator_of(request)
    found = emulator.computes.records.page(None, None, 200)[0]
    starting = [one for one in found if one.status in STARTING]
    values = {"building": emulator.environments.building(), "starting": starting}
    return render("builds.html", request, values)


def folders(emulator: Emulator) -> list[dict[str, Any]]:
    """What takes room in the home, with the command that makes some."""
    home, most = emulator.home, decimal(emulator.settings.cache_size)
    shared = "" if home.building is home else ", shared with other homes"
    made = emulator.computes.records.count_by_owner().total()
    told: list[tuple[str, Path, str, str, str]] = [
        ("Layers", home.layers, "the files as they were given", "layers remove LAYER", ""),
        ("Computes", home.computes, f"logs and results of {counted(made, 'compute')}", "computes prune", "computes"),
        (
            "Environments",
            home.environments,
            f"virtualenvs{shared}, made again when missed",
            "env prune",
            "environments",
        ),
        ("Cache", home.cache, f"cuts and copies; beyond {most} (cache_size) they are dropped", "cache prune", ""),
        ("Catalogue", home.database, "what is known of layers, users and computes", "", ""),
    ]
    return [
        {
            "name": name,
            "folder": place,
            "told": text,
            "bytes": place.stat().st_size if place.is_file() else folder_size(place),
            "command": typed_command(home.root, command) if command else "",
            "act": f"/ui/{act}/prune" if act else "",
        }
        for name, place, text, command, act in told
    ]


def users(emulator: Emulator) -> list[dict[str, Any]]:
    """Who has made what."""
    counts = emulator.computes.records.count_by_owner()
    paths = Counter(path.owner for path in emulator.store.list() if path.owner is not None)
    names = emulator.accounts.names({*counts, *paths})
    found = [{"name": names.get(one, one), "computes": counts[one], "paths": paths[one]} for one in {*counts, *paths}]
    return sorted(found, key=lambda user: str(user["name"]))


def environments(emulator: Emulator) -> dict[str, Any]:
    """Those that are ready."""
    records = emulator.computes.records
    uses = Counter(spec.environment for spec in records.living_specs())
    made = []
    for info in emulator.environments.list():
        ready = emulator.environments.get(info.key)
        made.append({"info": info, "uses": uses[info.key], "packages": {} if ready is None else ready.packages})
    return {"environments": made}


def prune(request: Request) -> Response:
    """Remove one environment, or all, but those of computes that are not over."""
    emulator, key = emulator_of(request), request.path_params.get("key")
    used = emulator.computes.records.used_environments()
    if key is not None and key not in {info.key for info in emulator.environments.list()}:
        raise NotFoundError(f"there is no environment {key[:200]} in this home", argument="key", value=key)
    removed = emulator.environments.prune(None if key is None else [key], in_use=used)
    if key is not None and not removed:
        return done(f"environment {key} stays: a compute that is not over uses it, or a process is at it")
    return done(f"removed {counted(len(removed), 'environment')}, {decimal(sum(info.bytes for info in removed))}")
