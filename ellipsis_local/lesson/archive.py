"""A lesson as one file: a zip with `lesson.toml`, what that names, an archive of a home with its layers, and maybe
one of an environment."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ellipsis_local.arguments import invalid
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.environments import pack
from ellipsis_local.errors import ArgumentError, InterpreterError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.lesson.lesson_file import (
    ARCHIVE,
    ENVIRONMENT,
    HOME,
    LAYERS,
    LESSON,
    PLAIN_NAME,
    Lesson,
    named_layers,
    parse_lesson,
    parse_table,
    read_text,
)
from ellipsis_local.settings import Settings
from ellipsis_local.state import export_home, import_home

ZIPS = (ARCHIVE, ENVIRONMENT)
MOST_BYTES = 64 * 1024**2
"""Of one file beside the layers: a notebook, a picture, a model."""


def write_lesson(folder: Path, file: Path, *, overwrite: bool, environment: bool) -> Lesson:
    """Make the archive; see `ellipsis_local.lesson.pack`."""
    if file.exists() and not overwrite:
        raise invalid("file", str(file), f"{file} is there already; choose another name, or overwrite=True")
    text = read_text(folder / LESSON)
    table = parse_table(folder, text)
    with tempfile.TemporaryDirectory() as made:
        with Emulator(Settings(home=Path(made) / "home")) as emulator:
            if "layers" in table:
                loaded = emulator.store.load(folder / table["layers"])
            else:
                loaded = emulator.store.load(names=named_layers(table))
        lesson = parse_lesson(folder, text, loaded)
        packed = Path(made) / ARCHIVE
        export_home(packed, home=Path(made) / "home")
        (Path(made) / LAYERS).write_text(json.dumps(loaded, indent=1), encoding="utf-8")
        entries = {LESSON: folder / LESSON, LAYERS: Path(made) / LAYERS, ARCHIVE: packed}
        entries |= {name: folder / name for name in lesson.files}
        if environment:
            entries[ENVIRONMENT] = _write_environment(lesson, Path(made) / ENVIRONMENT)
        if missing := [str(path) for path in entries.values() if not path.is_file()]:
            raise ArgumentError(
                f"{folder / LESSON}: files: {missing[0]} is missing", argument="folder", value=str(folder)
            )
        try:
            with Home.publish_file(file) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, path in entries.items():
                    archive.write(path, name, zipfile.ZIP_STORED if name in ZIPS else None)
        except OSError as error:
            raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error
    return lesson


def _write_environment(lesson: Lesson, file: Path) -> Path:
    if lesson.inline:
        raise invalid("environment", True, f"is for a lesson whose {LESSON} says inline = false: this one needs none")
    emulator = current_emulator()
    interpreter = emulator.environments.choose(lesson.interpreter)
    made = emulator.environments.prefetch(interpreter, lesson.requirements, emulator.report)
    pack(made, file, emulator.report, overwrite=False)
    return file


def make_environment(lesson: Lesson) -> None:
    """The environment that came with a lesson, in its home, once; no index is asked."""
    file = lesson.folder / ENVIRONMENT
    if not lesson.inline and file.is_file():
        emulator = current_emulator()
        try:
            emulator.environments.unpack(file, emulator.report)
        except (ArgumentError, InterpreterError) as error:
            error.add_note("environment=False (--no-environment) opens the lesson without it")
            raise
        file.unlink()


def unpacked(lesson: Path, folder: Path | None) -> Path:
    """The lesson's folder; that of an archive, which is unpacked there where it is not yet."""
    if lesson.is_dir():
        return lesson
    folder = lesson.with_suffix("") if folder is None else folder
    try:
        with zipfile.ZipFile(lesson) as archive:
            entries = _entries(lesson, archive)
            if (folder / LESSON).is_file():
                if (folder / LESSON).read_bytes() != archive.read(LESSON):
                    raise invalid("folder", str(folder), f"{folder} holds another lesson; give another folder")
                return folder
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise invalid("folder", str(folder), f"{folder} holds something else; give another folder")
            _unpack(archive, entries, folder)
    except FileNotFoundError as error:
        raise invalid("lesson", str(lesson), f"{error.filename}: there is no such file") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise invalid("lesson", str(lesson), f"{lesson} is no whole archive of `lesson pack` ({error})") from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder


def _entries(lesson: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive, none of which can lie outside of its folder or surprise by its size."""
    entries = {one.filename: one for one in archive.infolist()}
    if missing := [name for name in (LESSON, LAYERS, ARCHIVE) if name not in entries]:
        raise invalid("lesson", str(lesson), f"{lesson} is none: it holds no {missing[0]}; `lesson pack` makes one")
    for name, entry in entries.items():
        if not PLAIN_NAME.fullmatch(name) or entry.flag_bits & 0x1 or len(entries) < len(archive.infolist()):
            raise invalid("lesson", str(lesson), f"{lesson} is no lesson: it holds {name!r} in a way that it may not")
        if name not in ZIPS and entry.file_size > MOST_BYTES:
            raise invalid(
                "lesson", str(lesson), f"{lesson}: {name} has {entry.file_size:,} bytes, more than {MOST_BYTES:,}"
            )
    return entries


def _unpack(archive: zipfile.ZipFile, entries: Iterable[str], folder: Path) -> None:
    """Make the folder, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Home.temporary(folder.parent)
    try:
        for name in entries:
            with archive.open(name) as source, (draft / name).open("xb") as target:
                shutil.copyfileobj(source, target)
        import_home(draft / ARCHIVE, home=draft / HOME)
        (draft / ARCHIVE).unlink()
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
