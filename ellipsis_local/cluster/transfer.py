"""What goes between the caller and machines in pieces: content there, large results back; and environments as pins."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from ellipsis_local.cluster.link import Link
from ellipsis_local.cluster.sites import Machine
from ellipsis_local.environments.installer import find_uv
from ellipsis_local.environments.requirements import local_path
from ellipsis_local.errors import EnvironmentBuildError
from ellipsis_local.home import Home
from ellipsis_local.nodes import NodeEnvironment
from ellipsis_local.processes import run

PIECE = 16 * 2**20
IN_FLIGHT = 2
"""Pieces on the way at one time: the scheduler holds them, where it relays."""


async def bring(link: Link, machine: Machine, files: Mapping[str, Path]) -> None:
    """Send what a machine lacks of these files."""
    if not files:
        return
    lacking = await link.ask(machine.address, "lacking", list(files))
    sender, gate = uuid.uuid4().hex[:12], asyncio.Semaphore(IN_FLIGHT)

    async def send(name: str, offset: int) -> None:
        async with gate:
            data = await asyncio.to_thread(_read, files[name], offset)
            await link.ask(machine.address, "write", name, offset, data, sender)

    async def send_all(name: str) -> None:
        size = (await asyncio.to_thread(files[name].stat)).st_size
        await asyncio.gather(*(send(name, offset) for offset in range(0, max(size, 1), PIECE)))
        await link.ask(machine.address, "settle", name, sender)

    await asyncio.gather(*map(send_all, lacking))


async def fetch(link: Link, machine: Machine, site: str, file: str, size: int, target: Path) -> None:
    """Bring a result into its place, whole."""
    gate = asyncio.Semaphore(IN_FLIGHT)
    with Home.publish_file(target) as draft, draft.open("wb") as opened:

        async def get(offset: int) -> None:
            async with gate:
                data = await link.ask(machine.address, "read", site, file, offset, PIECE)
                await asyncio.to_thread(os.pwrite, opened.fileno(), data, offset)

        await asyncio.gather(*(get(offset) for offset in range(0, size, PIECE)))


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE)


def pinned(environment: NodeEnvironment, folder: Path) -> tuple[NodeEnvironment, dict[str, Path]]:
    """The environment by exact versions, and the wheels of its local packages, by their names on every machine."""
    addressed, wheels, names = [], {}, {"pip"}
    for requirement in environment.requirements:
        found = local_path(requirement)
        if found is not None:
            wheel = _wheel(*found, folder)
            key = f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}/{wheel.name}"
            wheels[key] = wheel
            addressed.append(f"{found[0]} @ part:{key}")
            names.add(found[0])
        elif "@" in requirement:
            addressed.append(requirement)
            names.add(requirement.partition("@")[0].partition("[")[0].strip().lower().replace("_", "-"))
    pins = [f"{name}=={version}" for name, version in environment.packages.items() if name not in names]
    return NodeEnvironment(environment.interpreter, (*addressed, *pins)), wheels


def _wheel(name: str, path: Path, folder: Path) -> Path:
    """A local package as a wheel, built where it is none."""
    if path.suffix == ".whl":
        return path
    uv, target = find_uv(os.environ), Path(tempfile.mkdtemp(prefix="wheel-", dir=folder))
    if uv is None:
        raise EnvironmentBuildError(f"the package {name} in {path} cannot be sent to other machines without uv")
    command = [uv, "build", "--wheel", "--out-dir", str(target), str(path)]
    done = run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    found = list(target.glob("*.whl"))
    if done.returncode or not found:
        raise EnvironmentBuildError(
            f"the package {name} in {path} cannot be made a wheel for other machines:\n{done.stdout[-4000:]}",
            command=tuple(command), exit_code=done.returncode, output=done.stdout,
        )  # fmt: skip
    return found[0]
