"""The report as one HTML page: well-formed, without scripts and without anything from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ellipsis_local import html_parts
from ellipsis_local.html_parts import escaped
from ellipsis_local.reports.facts import NodeFacts
from ellipsis_local.reports.texts import cells, columns, crs_name

if TYPE_CHECKING:
    from ellipsis_local.reports.summary import Report

MOST_TEXT = 4000
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""A browser would load nothing, even if something got in."""
STYLE = """
.ellipsis-local.report { font-size: 15px; padding: 1.5rem; max-width: 60rem; margin: 0 auto; }
.report h1 { font-size: 1.3rem; margin: 0; } .report h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
.report pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--head); color: var(--text);
  padding: .6rem; }
.report figure { margin: 1rem 0; } .report svg { max-width: 46rem; width: 100%; height: auto; }
.report svg text { font: 12px system-ui, sans-serif; } .report svg .plain { fill: var(--text); }
.report svg .cell { stroke: var(--back); stroke-width: 1.5; }
.report svg .bar { stroke: var(--text); fill: none; stroke-width: 1.5; }
"""
SIZE = (720.0, 460.0)
"""Largest width and height of the map, in CSS pixels."""
MARGIN = 8.0
LEGEND = 44.0
RAMP = ((253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (68, 1, 84))
"""Viridis, from short to long: even steps for the eye, also for one that does not tell red from green."""
FAILED = (200, 30, 45)
UNKNOWN = (150, 150, 150)
EVEN = 0.179
"""The luminance on which black and white have the same contrast, 4.6 : 1."""
LETTER = 7.2
"""Width of a letter at the font's size, so that labels stay in their cells."""
PAGE = """<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<title>{title}</title>
</head>
<body>
{body}
</body>
</html>
"""


def page(report: Report) -> str:
    title = escaped(f"Compute {report.facts.id}: fit report")
    return PAGE.format(policy=escaped(POLICY), title=title, body=fragment(report))


def fragment(report: Report) -> str:
    """The report for within a document, such as a notebook's."""
    facts = report.facts
    run = f"execution {facts.execution}" if facts.execution else "not executed yet"
    told = [facts.status, run, f"nodes={facts.asked}", f"largeResult={facts.large}", crs_name(facts.crs)]
    parts = [
        f'<div class="ellipsis-local report"><style>{html_parts.STYLE}{STYLE}</style>',
        f"<h1>Compute {escaped(facts.id)}</h1>",
        f'<p class="soft">{escaped(", ".join(told))}</p>',
    ]
    if facts.message:
        parts.append(f"<pre>{escaped(facts.message[:MOST_TEXT])}</pre>")
    parts += [_findings(report), _map(report), _table(report), _failures(report)]
    return "\n".join([*(part for part in parts if part), "</div>"])


def _findings(report: Report) -> str:
    items = "".join(
        f"<li><strong>{escaped(finding.level)}</strong>: {escaped(finding.text)}</li>" for finding in report.findings
    )
    totals, advice = (f"<p>{escaped(line)}</p>" if line else "" for line in (report.totals(), report.advice()))
    return f"{totals}<h2>Findings</h2><ul>{items}</ul>{advice}"


def _map(report: Report) -> str:
    drawn = partition_map(report.facts.nodes, report.facts.crs)
    if not drawn:
        return ""
    caption = "The partitions to scale, north up; the darker, the longer it took. Failed ones are red."
    return f'<h2>Partitions</h2><figure>{drawn}<figcaption class="soft">{caption}</figcaption></figure>'


def _table(report: Report) -> str:
    unit = report.facts.unit
    return f"<h2>{unit.capitalize()}s</h2>{html_parts.table(columns(unit), map(cells, report.facts.nodes))}"


def _failures(report: Report) -> str:
    failed = "".join(
        f"<details><summary>{report.facts.unit.capitalize()} {node.node}: {escaped(node.failure)}</summary>"
        f"<pre>{escaped(node.text[-MOST_TEXT:])}</pre></details>"
        for node in report.facts.failed
    )
    return f"<h2>Failures</h2>{failed}" if failed else ""


def partition_map(nodes: Sequence[NodeFacts], crs: str | None) -> str:
    """The map as one svg element; empty where no node has an extent."""
    drawn = [node for node in nodes if node.extent is not None and all(map(math.isfinite, node.extent.values()))]
    if not drawn:
        return ""
    extents = [node.extent for node in drawn if node.extent is not None]
    x_min, x_max = min(e["xMin"] for e in extents), max(e["xMax"] for e in extents)
    y_min, y_max = min(e["yMin"] for e in extents), max(e["yMax"] for e in extents)
    width, height = x_max - x_min, y_max - y_min
    # Points on one line, or a single one, have an extent without an area.
    scale = min(SIZE[0] / width if width > 0 else math.inf, SIZE[1] / height if height > 0 else math.inf)
    scale = scale if math.isfinite(scale) else 1.0
    wide, high = max(width * scale, 24.0), max(height * scale, 24.0)
    longest = max((node.seconds for node in drawn if node.seconds is not None), default=None)
    name = escaped(f"Map of {len(drawn)} partitions in {crs_name(crs)}, coloured by seconds")
    box = f"0 0 {max(wide, 320) + 2 * MARGIN:.1f} {high + 2 * MARGIN + LEGEND:.1f}"
    told = "; ".join(f"node {node.node}: {_told(node)}" for node in drawn[:200])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{name}" viewBox="{box}">',
        f"<title>{name}</title>",
        f"<desc>{escaped(told)}</desc>",
    ]
    for node, e in zip(drawn, extents, strict=True):
        x, y = MARGIN + (e["xMin"] - x_min) * scale, MARGIN + (y_max - e["yMax"]) * scale
        w, h = max((e["xMax"] - e["xMin"]) * scale, 1.0), max((e["yMax"] - e["yMin"]) * scale, 1.0)
        parts.append(_cell(node, x, y, w if width > 0 else wide, h if height > 0 else high, longest))
    parts.append(_legend(high + 2 * MARGIN, longest, scale, crs))
    return "\n".join([*parts, "</svg>"])


def _told(node: NodeFacts) -> str:
    if node.failure is not None:
        return f"failed ({node.failure})"
    return node.state if node.seconds is None else f"{node.seconds:.2f} s"


def _cell(node: NodeFacts, x: float, y: float, w: float, h: float, longest: float | None) -> str:
    colour = _colour(node, longest)
    text = "#000" if _luminance(colour) > EVEN else "#fff"
    labels = [f"{node.node}", _told(node)]
    label = ""
    if h >= 34 and w >= LETTER * max(map(len, labels)):
        middle = f'x="{x + w / 2:.1f}" text-anchor="middle" fill="{text}"'
        label = (
            f'<text {middle} y="{y + h / 2 - 3:.1f}" font-weight="bold">{labels[0]}</text>'
            f'<text {middle} y="{y + h / 2 + 13:.1f}">{escaped(labels[1])}</text>'
        )
    elif h >= 14 and w >= LETTER * len(labels[0]):
        middle = f'x="{x + w / 2:.1f}" y="{y + h / 2 + 4:.1f}" text-anchor="middle" fill="{text}"'
        label = f"<text {middle}>{labels[0]}</text>"
    dashed = ' stroke-dasharray="4 3"' if node.failure is not None else ""
    return (
        f'<g><title>node {node.node}: {escaped(_told(node))}</title><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" '
        f'height="{h:.1f}" fill="{_hex(colour)}" class="cell"{dashed}/>{label}</g>'
    )


def _legend(top: float, longest: float | None, scale: float, crs: str | None) -> str:
    """The ramp from no time to the longest, and a bar of a round length."""
    parts = []
    if longest is not None:
        parts = [
            f'<rect x="{MARGIN + i * 6:.1f}" y="{top:.1f}" width="6.5" height="10" fill="{_hex(_ramp(i / 19))}"/>'
            for i in range(20)
        ]
        parts += [
            f'<text x="{MARGIN}" y="{top + 24:.1f}" class="plain">0 s</text>',
            f'<text x="{MARGIN + 120}" y="{top + 24:.1f}" text-anchor="end" class="plain">{longest:.2f} s</text>',
        ]
    length = 10.0 ** math.floor(math.log10(120 / scale))
    length *= 5 if length * scale * 5 <= 120 else 2 if length * scale * 2 <= 120 else 1
    left, right = MARGIN + 150, MARGIN + 150 + length * scale
    parts.append(
        f'<path d="M{left:.1f} {top + 2:.1f}v8H{right:.1f}v-8" class="bar"/>'
        f'<text x="{left:.1f}" y="{top + 24:.1f}" class="plain">{length:,g} units of {escaped(crs_name(crs))}</text>'
    )
    return "".join(parts)


def _colour(node: NodeFacts, longest: float | None) -> tuple[int, int, int]:
    if node.failure is not None:
        return FAILED
    if node.seconds is None or longest is None:
        return UNKNOWN
    return _ramp(node.seconds / longest if longest > 0 else 0.0)


def _ramp(share: float) -> tuple[int, int, int]:
    place = min(max(share, 0.0), 1.0) * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    first, second, part = RAMP[low], RAMP[low + 1], place - low
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour)


def _luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance as WCAG has it, so that text on the colour can be read."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
