"""The report as one HTML page: well-formed, without scripts and without anything from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ellipsis_local.reports.findings import Finding
from ellipsis_local.reports.map import partition_map
from ellipsis_local.reports.texts import COLUMNS, cells, crs_name, escaped

if TYPE_CHECKING:
    from ellipsis_local.reports.summary import Report

__all__ = ["fragment", "page"]

MOST_TEXT = 4000
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""A browser would load nothing, even if something got in."""
STYLE = """
.ellipsis-report { --text: #1a1a1a; --back: #ffffff; --line: #c8c8c8; --soft: #5a5a5a; --head: #f2f2f2;
  color: var(--text); background: var(--back); font: 15px/1.5 system-ui, sans-serif; padding: 1.5rem;
  max-width: 60rem; margin: 0 auto; }
@media (prefers-color-scheme: dark) { .ellipsis-report { --text: #e8e8e8; --back: #161616; --line: #4a4a4a;
  --soft: #b0b0b0; --head: #242424; } }
.ellipsis-report h1 { font-size: 1.3rem; margin: 0; }
.ellipsis-report h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
.ellipsis-report .soft { color: var(--soft); }
.ellipsis-report .wide { overflow-x: auto; }
.ellipsis-report table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.ellipsis-report th, .ellipsis-report td { border-bottom: 1px solid var(--line); padding: .25rem .6rem;
  text-align: left; white-space: nowrap; vertical-align: top; }
.ellipsis-report th { background: var(--head); } .ellipsis-report .number { text-align: right; }
.ellipsis-report pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--head); padding: .6rem; }
.ellipsis-report figure { margin: 1rem 0; } .ellipsis-report svg { max-width: 46rem; width: 100%; height: auto; }
.ellipsis-report svg text { font: 12px system-ui, sans-serif; } .ellipsis-report svg .plain { fill: var(--text); }
.ellipsis-report svg .cell { stroke: var(--back); stroke-width: 1.5; }
.ellipsis-report svg .bar { stroke: var(--text); fill: none; stroke-width: 1.5; }
"""
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
    """The whole document."""
    title = escaped(f"Compute {report.facts.id}: fit report")
    return PAGE.format(policy=escaped(POLICY), title=title, body=fragment(report))


def fragment(report: Report) -> str:
    """The report for within a document, such as a notebook's."""
    facts = report.facts
    run = f"execution {facts.execution}" if facts.execution else "not executed yet"
    told = [facts.status, run, f"nodes={len(facts.nodes)}", f"largeResult={facts.large}", crs_name(facts.crs)]
    parts = [
        f'<div class="ellipsis-report"><style>{STYLE}</style>',
        f"<h1>Compute {escaped(facts.id)}</h1>",
        f'<p class="soft">{escaped(", ".join(told))}</p>',
    ]
    if facts.message:
        parts.append(f"<pre>{escaped(facts.message[:MOST_TEXT])}</pre>")
    parts += [_findings(report), _map(report), _table(report), _failures(report)]
    return "\n".join([*(part for part in parts if part), "</div>"])


def _findings(report: Report) -> str:
    items = "".join(_finding(finding) for finding in report.findings)
    totals, advice = (f"<p>{escaped(line)}</p>" if line else "" for line in (report.totals(), report.advice()))
    return f"{totals}<h2>Findings</h2><ul>{items}</ul>{advice}"


def _finding(finding: Finding) -> str:
    return f"<li><strong>{escaped(finding.level)}</strong>: {escaped(finding.text)}</li>"


def _map(report: Report) -> str:
    drawn = partition_map(report.facts.nodes, report.facts.crs)
    if not drawn:
        return ""
    caption = "The partitions to scale, north up; the darker, the longer it took. Failed ones are red."
    return f'<h2>Partitions</h2><figure>{drawn}<figcaption class="soft">{caption}</figcaption></figure>'


def _table(report: Report) -> str:
    head = "".join(f'<th scope="col"{_class(right)}>{name}</th>' for name, right in COLUMNS)
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_class(right)}>{escaped(cell)}</td>" for cell, (_, right) in zip(cells(node), COLUMNS, strict=True)
        )
        + "</tr>"
        for node in report.facts.nodes
    )
    return f'<h2>Nodes</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _class(right: bool) -> str:
    return ' class="number"' if right else ""


def _failures(report: Report) -> str:
    failed = "".join(
        f"<details><summary>Node {node.node}: {escaped(node.failure)}</summary>"
        f"<pre>{escaped(node.text[-MOST_TEXT:])}</pre></details>"
        for node in report.facts.failed
    )
    return f"<h2>Failures</h2>{failed}" if failed else ""
