"""Pieces of HTML for notebooks and pages: text, tables, and a style that is dark where what is around it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
STYLE = """
.ellipsis-local { --l-text: #1a1a1a; --l-back: #ffffff; --l-line: #c8c8c8; --l-soft: #5a5a5a; --l-head: #f2f2f2; }
@media (prefers-color-scheme: dark) { .ellipsis-local { --l-text: #e8e8e8; --l-back: #161616; --l-line: #4a4a4a;
  --l-soft: #b0b0b0; --l-head: #242424; } }
/* A notebook's own theme, JupyterLab's or VS Code's, need not be the system's. */
.ellipsis-local { --text: var(--jp-content-font-color0, var(--vscode-editor-foreground, var(--l-text)));
  --back: var(--jp-layout-color0, var(--vscode-editor-background, var(--l-back)));
  --line: var(--jp-border-color1, var(--vscode-widget-border, var(--l-line)));
  --soft: var(--jp-content-font-color1, var(--vscode-descriptionForeground, var(--l-soft)));
  --head: var(--jp-layout-color2, var(--vscode-editorWidget-background, var(--l-head)));
  color: var(--text); background: var(--back); font: 13px/1.5 system-ui, sans-serif; }
.ellipsis-local .soft { color: var(--soft); } .ellipsis-local .wide { overflow-x: auto; }
.ellipsis-local table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0; }
.ellipsis-local th, .ellipsis-local td { border-bottom: 1px solid var(--line); padding: .25rem .6rem;
  text-align: left; white-space: nowrap; vertical-align: top; background: var(--back); color: var(--text); }
.ellipsis-local th { background: var(--head); }
.ellipsis-local th.number, .ellipsis-local td.number { text-align: right; }
"""


def escaped(text: object) -> str:
    """Text that can stand in HTML, as content and in quotes; characters that no document may hold become �."""
    return html.escape(IMPOSSIBLE.sub("\ufffd", str(text)), quote=True)


def table(columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[object]]) -> str:
    """A table; each column has a name, and says whether it holds numbers."""
    classes = [' class="number"' if right else "" for _, right in columns]
    head = "".join(f'<th scope="col"{kind}>{name}</th>' for kind, (name, _) in zip(classes, columns, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escaped(cell)}</td>' for kind, cell in zip(classes, row, strict=True))}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
