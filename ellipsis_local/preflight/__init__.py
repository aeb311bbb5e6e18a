"""Preflight: what the service does to a function, told before it runs there.

findings       one thing to tell, with its place, and the list of the rules
source         a function's text, as it is written and as it is sent
names          which names the text takes from outside of it
form           lambdas, decorators, generators, methods, names, texts: what of the def itself cannot be sent
surroundings   the compute, what its environment holds, and what a name outside is
imports        which modules the nodes have; modules: of which library, of which package
keys           which layers and files the text asks for
results        what cannot travel back as JSON
function       all of it for one function
values, script the same for every function that a script passes to execute, without running it

Everything is read from text (ast); nothing of the user is imported or run.
"""

from ellipsis_local.preflight.findings import RULES, Finding
from ellipsis_local.preflight.form import lambda_finding, no_source_finding, wrapped_finding
from ellipsis_local.preflight.function import check_function, outer_names
from ellipsis_local.preflight.script import Report, check_script
from ellipsis_local.preflight.source import Source, parse, read_source, service_text
from ellipsis_local.preflight.surroundings import Installed, Origin, Surroundings, installed_in, installed_with

__all__ = [
    "RULES",
    "Finding",
    "Installed",
    "Origin",
    "Report",
    "Source",
    "Surroundings",
    "check_function",
    "check_script",
    "installed_in",
    "installed_with",
    "lambda_finding",
    "no_source_finding",
    "outer_names",
    "parse",
    "read_source",
    "service_text",
    "wrapped_finding",
]
