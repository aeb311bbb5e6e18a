"""The rules: what a report says of an execution, and what would fit; the numbers are our choice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ellipsis_local.nodes import SMALL_RESULT_BYTES
from ellipsis_local.reports.facts import Facts, NodeFacts, imbalance
from ellipsis_local.reports.texts import bytes_text

NEAR_LIMIT = 0.5
"""Share of the limit of small results: half the nodes, or twice the data, would go beyond."""
TINY = SMALL_RESULT_BYTES // 20
POLL_SECONDS = 1.0
"""The client asks for the status once a second (seen in the client): below that more nodes gain nothing."""
UNEVEN = 1.5
"""The longest node over the mean: beyond it a third of the nodes' time is waiting."""
UNEVEN_DATA = 1.25
MEMORY_SHARE = 0.8
"""Of the machine's memory, for all nodes that run at the same time; the rest is for the system and its file cache."""
MOST_SEAMS = 4
LONG_SECONDS = 10.0
"""From here on starting another node (a second or two here) is little against its work."""


@dataclass(frozen=True)
class Finding:
    code: str
    level: Literal["good", "note", "advice", "problem"]
    text: str
    nodes: int | None = None
    """A number of nodes that would fit, where the finding leads to one."""
    large_result: bool | None = None


@dataclass(frozen=True)
class Fit:
    """What would fit; None where the execution does not tell."""

    nodes: int | None
    large_result: bool | None


def fitting(facts: Facts, findings: tuple[Finding, ...]) -> Fit:
    """What the findings come to: the first number of nodes, as problems come first; else what there is."""
    nodes = next((finding.nodes for finding in findings if finding.nodes is not None), None)
    large = next((finding.large_result for finding in findings if finding.large_result is not None), None)
    if len(facts.completed) == len(facts.nodes) > 0:
        nodes = facts.asked if nodes is None else nodes
        # What writeToLayer added tells nothing of it.
        if large is None and not any(node.upload for node in facts.completed):
            large = facts.large
    return Fit(nodes, large)


def findings_of(facts: Facts) -> tuple[Finding, ...]:
    if not facts.execution:
        return (Finding("not-executed", "advice", "Nothing was executed yet: execute a function, then look again."),)
    open_nodes = [node for node in facts.nodes if node.state not in ("completed", "failed")]
    if open_nodes:
        done = f"{_count(len(open_nodes), facts.unit)} of {len(facts.nodes)} not done yet"
        text = f"{done}: this is what is known so far."
        return (Finding("not-done", "advice", text),)
    found = [*_failures(facts), *_result_size(facts)]
    if not facts.failed:
        found += [*_memory(facts), *_balance(facts), *_number(facts)]
        if not found:
            found.append(Finding("fits", "good", "Nothing stands out: nodes and largeResult fit this work."))
        found += _shards(facts)
    order = ("problem", "advice", "good", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def _most(facts: Facts) -> int:
    """More nodes than the plan has, or than there are pixels and features, fit nobody."""
    things = [number for node in facts.nodes for number in (node.pixels, node.features) if number is not None]
    return min(facts.most_nodes, sum(things)) if things else facts.most_nodes


def _more(facts: Facts, wanted: int) -> int | None:
    """So many nodes, or as many as fit; None where that is no more than there are."""
    most = min(_most(facts), wanted)
    # Shards are as large as they are, whatever the number of nodes.
    return most if facts.layers and most > len(facts.nodes) and facts.unit == "node" else None


def _failures(facts: Facts) -> Iterator[Finding]:
    count = len(facts.nodes)
    fit = _more(facts, 2 * count)
    instead = f"({fit} instead of {count})"
    for kind, number in Counter(node.failure for node in facts.failed).items():
        which = ", ".join(str(node.node) for node in facts.failed if node.failure == kind)
        which = f"{facts.unit} {which}" if number == 1 else f"{facts.unit}s {which}"
        if kind == "memory":
            way_out = "Raise node_memory, or load less at a time."
            way_out = f"More nodes hold less each {instead}, or raise node_memory." if fit else way_out
            yield Finding("memory-limit", "problem", f"Beyond node_memory: {which}. {way_out}", nodes=fit)
        elif kind == "timeout":
            way_out = f"More nodes have less to do each {instead}, or raise node_timeout." if fit else "Raise it."
            yield Finding("timeout", "problem", f"Longer than node_timeout: {which}. {way_out}", nodes=fit)
        elif kind == "died":
            text = f"Ended before an answer: {which}. Killed for want of memory, or a crash in a library; see the logs."
            yield Finding("died", "problem", text)
        elif kind == "result":
            over = not facts.large and any("largeResult=True" in node.text for node in facts.failed)
            text = f"Returned what cannot be taken: {which}."
            text += " largeResult=True takes files of any size." if over else ""
            yield Finding("result", "problem", text, large_result=True if over else None)
        else:
            yield Finding("failed", "problem", f"Failed: {which}; the text is with the node.")


def _result_size(facts: Facts) -> Iterator[Finding]:
    sizes = {node.node: node.result_size for node in facts.completed if node.result_size is not None}
    if not sizes or any(node.upload for node in facts.completed):
        return
    node, largest = max(sizes.items(), key=lambda pair: pair[1])
    if not facts.large and largest >= NEAR_LIMIT * SMALL_RESULT_BYTES:
        yield Finding(
            "near-limit", "advice",
            f"{facts.unit.capitalize()} {node} returned {bytes_text(largest)}; "
            f"a small result may take {bytes_text(SMALL_RESULT_BYTES)}. "
            "Larger layers or fewer nodes would go beyond: largeResult=True and a memory file have no such limit.",
            large_result=True,
        )  # fmt: skip
    elif facts.large and largest < TINY and not facts.failed:
        yield Finding(
            "tiny-files", "advice",
            f"No {facts.unit} returned more than {bytes_text(largest)}. If these are values and no files to keep, "
            f"largeResult=False returns them directly, without a download per {facts.unit}.",
            large_result=False,
        )  # fmt: skip


def _memory(facts: Facts) -> Iterator[Finding]:
    peaks = [node.peak_memory for node in facts.completed if node.peak_memory is not None]
    if not peaks:
        return
    together = min(len(facts.nodes), facts.asked, facts.cores)
    needed, there = max(peaks) * together, facts.memory
    if needed > MEMORY_SHARE * there:
        fit = _more(facts, math.ceil(len(facts.nodes) * needed / (MEMORY_SHARE * there)))
        yield Finding(
            "memory", "problem",
            f"A node held up to {bytes_text(max(peaks))}, and {_count(together, 'node')} at a time may need "
            f"{bytes_text(needed)} of this machine's {bytes_text(there)}. "
            + (f"{fit} nodes would hold less each, or fewer at a time" if fit else "Let fewer run at a time")
            + " (setting cores).",
            nodes=fit,
        )  # fmt: skip


def _balance(facts: Facts) -> Iterator[Finding]:
    uneven = imbalance([node.seconds for node in facts.nodes])
    slowest = max(facts.completed, key=lambda node: node.seconds or 0.0, default=None)
    if uneven is None or slowest is None or slowest.seconds is None or slowest.seconds < POLL_SECONDS:
        return
    if uneven < UNEVEN:
        return
    mean = slowest.seconds / uneven
    text = f"{facts.unit.capitalize()} {slowest.node} took {slowest.seconds:.1f} s, "
    text += f"the mean is {mean:.1f} s: the others wait for it. "
    text += _why_uneven(facts, slowest)
    fit = _more(facts, math.ceil(len(facts.nodes) * uneven))
    yield Finding("imbalance", "advice", text + (f" {fit} nodes would divide it." if fit else ""), nodes=fit)


def _why_uneven(facts: Facts, slowest: NodeFacts) -> str:
    for name in ("pixels", "features"):
        values: list[int | None] = [getattr(node, name) for node in facts.nodes]
        own, share = getattr(slowest, name), imbalance(values)
        if share is not None and own == max(value or 0 for value in values) and share >= UNEVEN_DATA:
            return f"It has the most {name}, {share:.1f} times the mean."
    return "Its partition is not larger than the others': the work depends on what is in it."


def _number(facts: Facts) -> Iterator[Finding]:
    if facts.unit != "node":
        return
    seconds, count = facts.seconds, len(facts.nodes)
    empty = [node.node for node in facts.nodes if _empty(node)]
    if empty and len(empty) < count:
        fewer = count - len(empty)
        text = f"{_count(len(empty), 'node')} had neither pixels nor features: {', '.join(map(str, empty))}."
        yield Finding("empty", "advice", text + f" {fewer} nodes would have had something to do.", nodes=fewer)
    if len(seconds) < count or not facts.layers:
        return
    if max(seconds) < POLL_SECONDS and (fewer := max(1, math.ceil(sum(seconds) / POLL_SECONDS))) < count:
        yield Finding(
            "short", "advice",
            f"No node took longer than {_duration(max(seconds))}, all together {_duration(sum(seconds))}. The client "
            f"asks once a second whether a compute is done: {_count(fewer, 'node')} would be as fast.",
            nodes=fewer,
        )  # fmt: skip
    cores = min(facts.cores, _most(facts))
    if max(seconds) >= LONG_SECONDS and count < cores:
        yield Finding(
            "cores", "advice",
            f"{_count(count, 'node')} on {facts.cores} cores, the longest {max(seconds):.0f} s: {cores} nodes "
            "would use them all.",
            nodes=cores,
        )  # fmt: skip


def _shards(facts: Facts) -> Iterator[Finding]:
    """How the service would cut, and what comes twice then."""
    found = facts.shards
    if found is None:
        return
    cut = f"As the service cuts, these layers are {_count(found.count, 'shard')} of {found.size} × {found.size} pixels"
    if found.count == 1:
        yield Finding("shards", "note", f"{cut}: execute returns one result there, whatever the number of nodes.")
        return
    seams = " and ".join(
        f"{axis} = {', '.join(f'{one:.0f}' for one in where[:MOST_SEAMS])}{' …' if len(where) > MOST_SEAMS else ''}"
        for axis, where in zip("xy", found.seams, strict=True)
        if where
    )
    text = (
        f"{cut}: execute returns {found.count} results there. What lies within {found.overlap:.0f} m of {seams} comes "
    )
    yield Finding("shards", "note", text + "to both sides; cut='shards' shows what a function makes of it.")


def _empty(node: NodeFacts) -> bool:
    known = [number for number in (node.pixels, node.features) if number is not None]
    return bool(known) and not any(known)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    return f"{max(1, math.ceil(seconds * 1000))} ms" if seconds < 1 else f"{seconds:.1f} s"
