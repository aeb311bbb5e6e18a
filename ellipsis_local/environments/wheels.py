"""An environment's packages as wheels in one archive, for machines without a network.

environment.json      interpreter, platform, requirements, and per wheel its hash
wheels/NAME.whl       made of what is installed: packages that were compiled, or came from a folder, are there, too
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath
from typing import Any

from ellipsis_local.arguments import invalid
from ellipsis_local.environments.manifest import Environment, distributions
from ellipsis_local.environments.requirements import WORKER_REQUIREMENTS
from ellipsis_local.errors import ArgumentError, EnvironmentBuildError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.progress import OnProgress, Progress

FORMAT = 1
KIND = "ellipsis_local environment"
MANIFEST = "environment.json"
WHEEL = re.compile(r"[\w.+!-]+\.whl", re.ASCII)
MOST_MANIFEST = 4 * 1024**2
NOT_PACKED = {"RECORD", "RECORD.jws", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
"""What installers write of an installation itself."""
MOMENT = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packed:
    """What an archive says of the environment in it."""

    interpreter: str
    platform: str
    requirements: tuple[str, ...]
    """The user's, as given."""
    packages: dict[str, str]
    """Canonical name to version."""
    wheels: dict[str, str]
    """Name of the file to its SHA-256."""


@dataclass(frozen=True)
class Wheels:
    """Wheels in a folder, and the versions to install of them."""

    folder: Path
    pins: tuple[str, ...]


def this_platform() -> str:
    """Of which wheels are here, in words: 'Linux x86_64', 'Darwin arm64'."""
    return f"{platform.system()} {platform.machine()}"


def pack(environment: Environment, target: Path, report: OnProgress, *, overwrite: bool) -> Packed:
    """Write the archive of an environment, whole or not at all."""
    if target.is_dir() or (target.exists() and not overwrite):
        raise _refused(target, "is there already; choose another name, or --overwrite")
    wheels: dict[str, str] = {}
    try:
        with (
            Home.publish_file(target) as draft,
            tempfile.TemporaryDirectory(prefix="ellipsis_local-") as folder,
            zipfile.ZipFile(draft, "w") as archive,
        ):
            for distribution in distributions(environment.folder):
                wheel = write_wheel(distribution, environment, Path(folder))
                report(Progress(f"packed {wheel.name}"))
                with wheel.open("rb") as file:
                    wheels[wheel.name] = hashlib.file_digest(file, "sha256").hexdigest()
                archive.write(wheel, f"wheels/{wheel.name}")
                wheel.unlink()
            packed = Packed(
                environment.interpreter.name, this_platform(), environment.requirements, environment.packages, wheels
            )
            manifest = json.dumps({"kind": KIND, "format": FORMAT, **asdict(packed)}, indent=1)
            _write(archive, MANIFEST, manifest.encode(), 0o644)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error}") from error
    return packed


def write_wheel(distribution: Distribution, environment: Environment, folder: Path) -> Path:
    """What is installed of one distribution, as the wheel that an installer makes the same of."""
    # `distribution.files` leaves out what is missing, from Python 3.12 on.
    files = [PurePosixPath(row[0]) for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()) if row]
    [info] = {file.parts[0] for file in files if file.parent.name.endswith(".dist-info") and file.name == "RECORD"}
    stem = info.removesuffix(".dist-info")
    site = Path(os.path.abspath(str(distribution.locate_file(""))))  # noqa: PTH100 - as the files are told, unresolved
    scripts = {point.name for point in distribution.entry_points if point.group in ("console_scripts", "gui_scripts")}
    wheel = folder / f"{stem}-{_tags(distribution)}.whl"
    rows = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            path = Path(os.path.abspath(site / file))  # noqa: PTH100
            if (
                file.suffix == ".pyc"
                or "__pycache__" in file.parts
                or (file.parts[0] == info and file.name in NOT_PACKED)
            ):
                continue
            name = _name_in_wheel(path, site, environment.folder.resolve(), stem)
            if name is None or (name.startswith(f"{stem}.data/scripts/") and path.name in scripts):
                continue
            try:
                data, mode = path.read_bytes(), path.stat().st_mode
            except FileNotFoundError as error:
                way_out = f"`ellipsis-local env prune {environment.key}` removes it, so that it is made again"
                raise EnvironmentBuildError(f"{path} is missing in environment {environment.key}; {way_out}") from error
            data = re.sub(rb"\A#!%b\S*" % re.escape(os.fsencode(environment.folder)), b"#!python", data)
            _write(archive, name, data, mode)
            rows.append((name, f"sha256={_digest(data)}", len(data)))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
        _write(archive, f"{info}/RECORD", record.getvalue().encode(), 0o644)
    return wheel


@contextlib.contextmanager
def unpacked(source: Path) -> Iterator[tuple[Packed, Wheels]]:
    """An archive's wheels in a folder of their own; ArgumentError for what is no archive of ours, or not for here."""
    if not source.is_file():
        raise _refused(source, "is no file; `ellipsis-local env pack` makes one")
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory(prefix="ellipsis_local-") as folder:
            packed = _read_manifest(source, archive)
            _check_machine(source, packed)
            for name, digest in packed.wheels.items():
                data = archive.read(f"wheels/{name}")
                if hashlib.sha256(data).hexdigest() != digest:
                    raise _refused(source, f"is damaged: {name} is not what was packed; copy it again")
                (Path(folder) / name).write_bytes(data)
            pins = tuple(f"{name}=={version}" for name, version in packed.packages.items())
            yield packed, Wheels(Path(folder), pins)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _refused(source, f"is damaged, or no archive of an environment ({error})") from error


def _check_machine(source: Path, packed: Packed) -> None:
    if packed.platform != this_platform():
        way_out = f"pack it on a machine that is {this_platform()}, too"
        raise _refused(source, f"was packed on {packed.platform}, and this machine is {this_platform()}: {way_out}")
    if missing := sorted(set(WORKER_REQUIREMENTS) - set(packed.packages)):
        text = f"was packed by another ellipsis_local: it lacks {', '.join(missing)}; pack it with this one"
        raise _refused(source, text)


def _read_manifest(source: Path, archive: zipfile.ZipFile) -> Packed:
    if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST:
        raise _refused(source, f"is no archive of an environment: its {MANIFEST} is too large")
    try:
        data: Any = json.loads(archive.read(MANIFEST))
        kind, version = data["kind"], data["format"]
        if kind != KIND or not isinstance(version, int):
            raise ValueError("another kind of archive")
        if version > FORMAT:
            raise _refused(source, "was packed by a newer ellipsis_local; update this one")
        packed = Packed(
            str(data["interpreter"]), str(data["platform"]), tuple(map(str, data["requirements"])),
            dict(data["packages"]), dict(data["wheels"]),
        )  # fmt: skip
        if any(not WHEEL.fullmatch(name) for name in packed.wheels):
            raise ValueError("a name that is none of a wheel")
    except ArgumentError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refused(source, f"is no archive of an environment: {MANIFEST}: {error}") from error
    return packed


def _refused(path: Path, why: str) -> ArgumentError:
    return invalid("file", str(path), f"{path} {why}")


def _tags(distribution: Distribution) -> str:
    """The last part of a wheel's name: for which Pythons, binary interfaces and platforms it is."""
    tags = re.findall(r"^Tag: *(\S+)-(\S+)-(\S+)\s*$", distribution.read_text("WHEEL") or "", re.MULTILINE)
    return "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True)) or "py3-none-any"


def _name_in_wheel(path: Path, site: Path, prefix: Path, stem: str) -> str | None:
    """Where a wheel keeps a file of `site`, or of elsewhere in the environment; None for what lies outside of it."""
    if path.is_relative_to(site):
        return path.relative_to(site).as_posix()
    if path.is_relative_to(prefix / "bin"):
        return f"{stem}.data/scripts/{path.relative_to(prefix / 'bin').as_posix()}"
    return f"{stem}.data/data/{path.relative_to(prefix).as_posix()}" if path.is_relative_to(prefix) else None


def _write(archive: zipfile.ZipFile, name: str, data: bytes, mode: int) -> None:
    info = zipfile.ZipInfo(name, MOMENT)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, (0o100000 | mode & 0o777) << 16
    archive.writestr(info, data, compresslevel=1)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
