"""Lessons: layers, environment, notebook and exercises as one file, and what is wrong with a function in plain words.

A lesson is a folder with a ``lesson.toml``. `pack` makes one archive of it, `open` makes a folder of that on another
machine, with a home of its own, and `check` looks at what a student wrote for an exercise. All of it is our own: the
service has no lessons.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid

if TYPE_CHECKING:
    from ellipsis_local.lesson.lesson_file import Exercise, Lesson
    from ellipsis_local.lesson.verdict import Verdict

__all__ = ["Exercise", "Lesson", "Verdict", "check", "open", "pack"]

HOMES = {
    "Exercise": "ellipsis_local.lesson.lesson_file",
    "Lesson": "ellipsis_local.lesson.lesson_file",
    "Verdict": "ellipsis_local.lesson.verdict",
}


def check(
    f: Callable[[dict[str, Any]], Any],
    exercise: Exercise | str,
    reduce: Callable[[list[Any]], Any] | None = None,
    *,
    inline: bool | None = None,
) -> Verdict:
    """Say in plain words whether a function solves an exercise, and if not, where it breaks and why.

    The function is run on the whole layers first, then on pieces of them, cut in several ways. It is right where it
    runs, where its answer is that of the exercise (if that says one), and where the answer never depends on the cut.

    Parameters
    ----------
    f : function
        What `compute.execute` would run on every node.
    exercise : Exercise or str
        The name of one of the lesson that was opened, or an exercise of one's own.
    reduce : function, optional
        Makes one answer of the list of the pieces' results, where the exercise leaves that to the student.
    inline : bool, optional
        Whether nodes run in this process, which is much faster; as the setting `inline` says where None.

    Returns
    -------
    Verdict
        Printed, it is the words; it is true where the function is right.

    Raises
    ------
    ArgumentError
        An exercise that is not known, or one without a way to make one answer, where `reduce` is None.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> exercise = el.lesson.Exercise('highest', layers=[dem], reduce='max', expected=80.03125)
    >>> def width(params):
    ...     return 5.0
    >>> el.lesson.check(width, exercise)
    highest: not right yet.
    Your function runs, and its answer does not depend on how the layers are cut.
    But the answer, 5.0, is too small.
    """
    from ellipsis_local.lesson.lesson_file import Exercise, current_exercise
    from ellipsis_local.lesson.verdict import judge

    if not callable(f):
        raise invalid("f", f, f"must be a function, not {type(f).__name__}")
    if reduce is not None and not callable(reduce):
        raise invalid("reduce", reduce, f"must be a function, not {type(reduce).__name__}")
    if not isinstance(exercise, Exercise):
        exercise = current_exercise(arguments.string("exercise", exercise))
    return judge(exercise, f, reduce, inline)


def open(  # noqa: A001 - the archive is opened, as in `ellipsis-local lesson open`
    lesson: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, *, environment: bool = True
) -> Lesson:
    """Open a lesson: unpack the archive where it is not unpacked yet, and let everything here work on its home.

    A folder that holds the lesson already is taken as it is, so that a notebook may begin with this call.

    Parameters
    ----------
    lesson : path
        The archive, or the folder that it was unpacked to.
    folder : path, optional
        Where to unpack an archive; a folder beside it with its name where None.
    environment : bool
        Make the environment that came along, where one did; no index is asked. Its packages are code that nodes will
        run: take a lesson from somebody whom you trust.

    Returns
    -------
    Lesson
        Its `layers` by name, its `exercises`, and the `requirements` and `interpreter` for createCompute.

    Raises
    ------
    ArgumentError
        For what is no lesson, is damaged, or does not fit the folder.
    InterpreterError
        Where the Python of the environment that came along is not here.
    StoreError
        Where the folder cannot be written.

    Examples
    --------
    >>> Path('valley').mkdir()
    >>> exercise = '{name = "highest", layers = ["dem"], reduce = "max"}'
    >>> _ = Path('valley', 'lesson.toml').write_text(f'exercise = [{exercise}]')
    >>> lesson = el.lesson.pack('valley', 'valley.zip')
    >>> lesson = el.lesson.open('valley.zip', 'student')
    >>> lesson.exercises['highest'].reduce
    'max'
    """
    from ellipsis_local.emulator import configure, working
    from ellipsis_local.lesson.archive import make_environment, unpacked
    from ellipsis_local.lesson.lesson_file import read_lesson

    environment = arguments.boolean("environment", environment)
    opened = read_lesson(unpacked(_path("lesson", lesson), None if folder is None else _path("folder", folder)))
    configure(home=opened.home, inline=opened.inline)
    if environment:
        with working("making an environment"):
            make_environment(opened)
    return opened


def pack(
    folder: str | os.PathLike[str], file: str | os.PathLike[str], *, overwrite: bool = False, environment: bool = False
) -> Lesson:
    """Make one archive of a lesson's folder.

    The folder holds ``lesson.toml`` and what that names: the notebook and other files, and a folder of layers with a
    ``catalog.toml``. The archive holds the layers as a home of their own, without users, passwords or tokens.

    Parameters
    ----------
    folder : path
    file : path
        A zip. It appears whole or not at all.
    overwrite : bool
        Replace a file that is there.
    environment : bool
        Put the packages of the lesson's environment into it, for machines without a network: of the same system and
        processor, with the same Python. For a lesson with ``inline = false``; the environment is made where it is not
        there.

    Raises
    ------
    ArgumentError
        For a ``lesson.toml`` that is missing or wrong, with its place; a file that is there already.
    LayerError
        For a layer that cannot be used.

    Examples
    --------
    >>> Path('valley').mkdir()
    >>> exercise = '{name = "highest", layers = ["dem"], reduce = "max"}'
    >>> _ = Path('valley', 'lesson.toml').write_text(f'exercise = [{exercise}]')
    >>> lesson = el.lesson.pack('valley', 'valley.zip')
    >>> sorted(lesson.exercises)
    ['highest']
    """
    from ellipsis_local.emulator import working
    from ellipsis_local.lesson.archive import write_lesson

    given = {"overwrite": overwrite, "environment": environment}
    checked = {name: arguments.boolean(name, value) for name, value in given.items()}
    with working("packing a lesson"):
        return write_lesson(_path("folder", folder), _path("file", file), **checked)


def _path(name: str, value: Any) -> Path:
    text = arguments.path_text(name, value)
    if not text:
        raise invalid(name, value, f"must be a path, not {value!r}")
    return Path(text).expanduser().absolute()


def __getattr__(name: str) -> Any:
    """Import the classes at their first use: numpy and shapely come with them."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
