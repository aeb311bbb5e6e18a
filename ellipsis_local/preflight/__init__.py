"""Preflight: what the service does to a function, told before it runs there.

`source` is a function's text, `form`, `names`, `keys` and `results` say what cannot be sent, found or carried,
`surroundings` what a compute has; `function` is all of it, `script` the same for what a script executes.
Everything is read from text (ast); nothing of the user is imported or run.
"""

from ellipsis_local.preflight.findings import RULES, Finding
from ellipsis_local.preflight.form import changed_finding, lambda_finding, no_source_finding, wrapped_finding
from ellipsis_local.preflight.function import check_function, outer_names
from ellipsis_local.preflight.pixels import check_pixels, is_unsigned
from ellipsis_local.preflight.script import Report, check_script, layers_and_files
from ellipsis_local.preflight.source import Source, compile_tree, parse, read_source, service_text
from ellipsis_local.preflight.surroundings import Installed, Origin, Surroundings, installed_in, installed_with

__all__ = [
    "RULES",
    "Finding",
    "Installed",
    "Origin",
    "Report",
    "Source",
    "Surroundings",
    "changed_finding",
    "check_function",
    "check_pixels",
    "check_script",
    "compile_tree",
    "installed_in",
    "installed_with",
    "is_unsigned",
    "lambda_finding",
    "layers_and_files",
    "no_source_finding",
    "outer_names",
    "parse",
    "read_source",
    "service_text",
    "wrapped_finding",
]
