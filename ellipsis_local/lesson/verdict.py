"""What is wrong with a student's function, in plain words: does it run, is it right, does that depend on the cut?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import EllipsisLocalError, NodeError
from ellipsis_local.lesson.lesson_file import Exercise
from ellipsis_local.testing import seams
from ellipsis_local.testing.explaining import CLOSE, CutDependenceError, Disagreement
from ellipsis_local.testing.frames import is_number
from ellipsis_local.testing.invariance import CUTS, EXACT_CUTS, check_partition_invariance
from ellipsis_local.testing.values import compare, joined, short

REDUCES: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "min": min, "max": max, "join": joined}
TOLERANCES = 1e-6, 1e-9
MOST_PIECES = 6
MOST_SHARE = 0.5
"""Of the pixels; where more differ, borders are not the reason."""
FRAME = re.compile(r'^  File "(.+)", line (\d+), in (.+)\n    (.+)$', re.MULTILINE)
HOW = {
    "balanced": "of about the same size", "rows": "one above the other", "columns": "side by side",
    "blocks": "along the blocks of the file", "medians": "with as many features each", "random": "at random places",
}  # fmt: skip
TIPS = {
    "KeyError": "params has one entry per layer, under the id of its timestamp; a raster is a dictionary with "
    "'raster', 'transform', 'extent', 'crs' and 'nodata', a vector is a GeoDataFrame with its own columns.",
    "NameError": "A function is sent as its text alone: import and define inside its body all that it uses.",
    "ModuleNotFoundError": "The environment of the nodes lacks this package: name it in requirements.",
}


@dataclass(frozen=True)
class Verdict:
    """What `check` found; true where the function is right. Printed, it is its words."""

    exercise: str
    passed: bool
    words: str
    details: str = field(default="", repr=False)
    """What `check_partition_invariance` says of it, or the traceback: for those who want to know all."""

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"{self.exercise}: {'right' if self.passed else 'not right yet'}.\n{self.words}"

    __repr__ = __str__


def judge(
    exercise: Exercise, f: Callable[..., Any], reduce: Callable[[list[Any]], Any] | None, inline: bool | None
) -> Verdict:
    """See `ellipsis_local.lesson.check`."""
    if reduce is None and exercise.reduce is None:
        text = f"is needed: {exercise.name} leaves it to you how the list of the pieces' results becomes one answer"
        raise invalid("reduce", None, text)
    chosen = reduce or REDUCES[str(exercise.reduce)]

    def wrong(words: str, details: str) -> Verdict:
        return Verdict(exercise.name, False, words, details)

    try:
        found = check_partition_invariance(
            f, chosen, exercise.layers, nodes=exercise.nodes, cuts=CUTS if exercise.shards else EXACT_CUTS,
            features=exercise.features, requirements=exercise.requirements, interpreter=exercise.interpreter,
            picture=False, inline=inline,
        )  # fmt: skip
    except NodeError as error:
        return wrong("\n".join(_stops(error)), error.details or str(error))
    except CutDependenceError as error:
        if amiss := _amiss(error.reference, exercise.expected):
            text = f"Your function runs. But its answer on the whole layers, {short(error.reference)}, is {amiss}."
            text += "\nIt depends on how the layers are cut as well; mend the first thing first."
            return wrong(text, str(error))
        return wrong("\n".join(_depends(error)), str(error))
    except EllipsisLocalError:
        raise
    except Exception as error:  # noqa: BLE001 - of the student's own reduce
        text = "Your function runs on the whole layers. But your reduce stops at the list with that one result:"
        return wrong(f"{text}\n    {type(error).__name__}: {error}", repr(error))
    if amiss := _amiss(found.reference, exercise.expected):
        text = "Your function runs, and its answer does not depend on how the layers are cut."
        return wrong(f"{text}\nBut the answer, {short(found.reference)}, is {amiss}.", "")
    return Verdict(exercise.name, True, _right(found.reference, len(found.tried)), "\n".join(found.tried))


def _right(answer: Any, ways: int) -> str:
    same = "the same in the one way" if ways == 1 else f"the same in all {ways} ways"
    return f"On the whole layers your function gives {short(answer)}, and {same} of cutting them that were tried."


def _amiss(answer: Any, expected: Any) -> str:
    """What an answer is, where it is not the one of the exercise; that one is not given away."""
    if expected is None or not any(compare(answer, expected, *TOLERANCES)):
        return ""
    if not (is_number(answer) and is_number(expected)):
        return "not the one that is asked for"
    return "no number" if np.isnan(answer) else "too large" if answer > expected else "too small"


def _stops(error: NodeError) -> Iterator[str]:
    yield "Your function stops on the whole layers already, before anything is cut:"
    yield from _where(error)


def _where(error: NodeError) -> Iterator[str]:
    """The line of the student's function, and what usually leads to such an error."""
    details = (error.details or str(error)).strip()
    last = details.splitlines()[-1]
    yield f"    {last}"
    if frames := FRAME.findall(details):
        # The first frame is the function itself; libraries that it calls come after it.
        _, line, name, code = frames[0]
        yield f"    in line {line}, in {name}: {code.strip()}"
    if tip := TIPS.get(last.partition(":")[0]):
        yield tip


def _depends(error: CutDependenceError) -> Iterator[str]:
    """Where the pieces make the difference, and why."""
    first = error.wrong[0]
    cut = _pieces(first)
    share = f"{len(error.wrong)} of {len(error.wrong) + len(error.tried)}"
    if isinstance(first.error, NodeError):
        yield f"Your function runs on the whole layers. But {cut} it stops on piece {first.error.node}:"
        yield from _where(first.error)
    elif first.error is not None:
        yield f"Your function runs. But {cut} your reduce stops at the list of the pieces' results:"
        yield f"    {type(first.error).__name__}: {first.error}"
    else:
        yield from _answers(first, error.reference, cut)
    yield from _reasons(first)
    yield f"So it was in {share} ways of cutting; print(verdict.details) tells all."


def _answers(first: Disagreement, reference: Any, cut: str) -> Iterator[str]:
    """What the whole gives, and what the pieces do."""
    if any(one.raster is not None or one.rows is not None for one in first.findings):
        yield f"On the whole layers your function gives {short(reference)}. But {cut} another one comes out:"
        yield from (f"    {line.strip()}" for one in first.findings for line in one.lines[1:2])
        return
    yield f"On the whole layers your function gives {short(reference)}. But {cut} it gives {short(first.value)}."
    results = first.run.results
    yield from (f"    piece {piece} gives {short(result)}" for piece, result in enumerate(results[:MOST_PIECES]))
    if len(results) > MOST_PIECES:
        yield f"    and {len(results) - MOST_PIECES} pieces more"


def _pieces(first: Disagreement) -> str:
    count = len(first.run.extents)
    if first.planning.shards is not None:
        return f"cut as the service does, into {count} squares that overlap,"
    return f"cut into {count} pieces {HOW[first.planning.cut]}"


def _reasons(first: Disagreement) -> Iterator[str]:
    """Why the cut makes a difference, as far as it can be told."""
    empty = seams.empty_nodes(first.run)
    if empty:
        pieces = f"piece {empty[0]} holds" if len(empty) == 1 else f"pieces {', '.join(map(str, empty))} hold"
        yield f"Of one layer {pieces} nothing: decide what your function gives there, and leave it out in reduce."
    if first.error is not None:
        return
    features = set(seams.features_of(first.reference))
    if first.planning.shards is not None:
        yield (
            "These squares have a margin in common with their neighbours, and what lies there comes twice: take each "
            "pixel by its place, and each feature by its id, once. At the edge of the layers they go on with "
            "nodata or 0."
        )
    elif any(one.raster is not None for one in first.findings):
        yield _of_pixels(first)
    elif first.planning.features == "intersecting" and features:
        yield "A feature that touches two pieces is in both of them: count each once, by its id."
    elif reason := _of_numbers(first.value, first.run.results):
        yield reason
    elif features and (on := _on_border(first)):
        yield f"{on} lie on the border: each is whole in one piece, and its neighbours may be in the other."
    else:
        yield (
            "What pieces give must be such that the whole can be made of it: sums and counts, the smallest and the "
            "largest, and not means, medians, ranks or numbers of rows."
        )


def _of_pixels(first: Disagreement) -> str:
    lines = seams.lines_of(first.run.extents)
    rasters = [one.raster for one in first.findings if one.raster is not None]
    near = [seams.near(raster, lines) for raster in rasters]
    far = max((np.inf if one is None else one[1] for one in near), default=np.inf)
    # Of small pieces all pixels are close to a border.
    if far <= CLOSE and all(raster.pixels.mean() < MOST_SHARE for raster in rasters):
        return (
            f"All pixels that differ lie within {far:.0f} pixels of the border between two pieces: your function looks "
            "at neighbours, and beyond the border of its piece there are none. Let pieces overlap "
            "(el.configure(overlap=…)), and cut the margin off again."
        )
    return (
        "Pixels differ far from any border, too: your function uses a number of its whole piece, such as its mean or "
        "its highest value, and each piece has its own. Find that number for the whole first, in a job of its own."
    )


def _of_numbers(value: Any, results: Sequence[Any]) -> str | None:
    if not is_number(value) or not all(map(is_number, results)):
        return None
    if np.isclose(value, np.mean(results)):
        return (
            "It is the mean of what the pieces give, in which a small piece counts as much as a large one. Let each "
            "piece give its sum and how many it has; add up both, and divide once, at the end."
        )
    if np.isclose(value, np.sum(results)):
        return (
            "It is the sum of what the pieces give, and that cannot be added: a mean, a share, or how many different "
            "ones there are, is not the sum of its parts."
        )
    return None


def _on_border(first: Disagreement) -> str:
    lines = seams.lines_of(first.run.extents)[:MOST_PIECES]
    crossing = seams.crossings(seams.features_of(first.reference), lines)
    count = sum(len(one.rows) for one in crossing)
    return f"{count} features" if count else ""
