"""What a compute may ask to be installed: a list of PEP 508 requirements, and nothing else.

Documented: `requirements` is a list of package names as for pip. Refusing options, paths and shell text is our
choice: every entry is one package, so that an entry can be named in an error and nothing can redirect the install.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ellipsis_local.arguments import invalid, shown
from ellipsis_local.errors import ArgumentError
from ellipsis_local.preflight.modules import BRINGS, distribution_of, standard_library

WORKER_REQUIREMENTS = (
    "numpy",
    "geopandas",
    "rasterio",
    "shapely",
    "pyarrow",
    "cloudpickle",
    "dill",
    "multiprocessing-logging",
)
"""What the program inside the environment imports; unpinned, so that every pin of the user wins."""

MOST_CHARACTERS = 100_000
"""Of all requirements together, a line each (our choice)."""
SCHEMES = ("https", "http", "file", "git+https", "git+http", "git+ssh", "git+file")

REFUSED = (
    (r"^$", "is empty; leave it out"),
    (r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029\0]", "holds more than one line; give one requirement per entry"),
    (r"^-", "is an option; only packages can be listed (an index is set by UV_DEFAULT_INDEX or PIP_INDEX_URL)"),
    (r"^#|\s#", "holds a comment; leave it out"),
    (r"^[A-Za-z+]+://", "is an address without a name; write it as 'name @ {}'"),
    (
        r"^(\.{0,2}|~[^/]*)/|^[A-Za-z]:[\\/]|^\.{1,2}$|^[^@]*\.(whl|zip|tar\.gz|tgz|tar\.bz2|txt|toml)(\[.*\])?$",
        "is a path; write it as 'name @ file:///absolute/path'",
    ),
    # What a shell, or the reader of a requirements file, would act on.
    (r"[`$\\|{}]", "holds characters that no requirement needs; write it as 'numpy>=1.26'"),
)
"""What is found in the text of an entry, and what is said of it."""


def check_requirements(value: Any) -> tuple[str, ...]:
    """The requirements in the order given, without surrounding blanks and repetitions; () for None."""
    if value is None:
        return ()
    if isinstance(value, str):
        text = f"must be a list of strings, not one string; write requirements={shown(value.split())}"
        raise invalid("requirements", value, text)
    if not isinstance(value, Iterable):
        raise invalid("requirements", value, "must be an iterable")
    items = list(value)
    if not all(isinstance(item, str) for item in items):
        raise invalid("requirements", value, "must be a list of strings")
    if (characters := sum(map(len, items)) + len(items)) > MOST_CHARACTERS:
        text = f"must take at most {MOST_CHARACTERS:,} characters, all lines together, not {characters:,}"
        raise invalid("requirements", value, text)
    checked: dict[str, str] = {}
    for item in items:
        checked.setdefault(_canonical(_parse(item)), item.strip())
    return tuple(checked.values())


def normalise(requirements: Iterable[str]) -> tuple[str, ...]:
    """The canonical, sorted form of checked requirements: equal for lists that ask for the same."""
    return tuple(sorted({_canonical(_parse(item)) for item in requirements}))


def misnamed(requirements: Iterable[str], python: tuple[int, ...]) -> list[str]:
    """What is to be said of requirements that are called as a module is, and not as its distribution."""
    told = []
    for name in (Requirement(item).name for item in requirements):
        module, own = name.replace("-", "_"), canonicalize_name(name)
        distribution = canonicalize_name(distribution_of(module))
        if module in standard_library(python):
            told.append(f"{name!r} is a module of Python's standard library, which needs no requirement: leave it out")
        elif distribution != own and own not in BRINGS:
            told.append(f"the module {name!r} comes with the distribution {distribution!r}: ask for that")
    return told


def local_path(requirement: str) -> tuple[str, Path] | None:
    """Name and path of what a `name @ file:…` requirement stands for; None for any other requirement."""
    parsed = Requirement(requirement)
    parts = urlsplit((parsed.url or "").removeprefix("git+"))
    return (canonicalize_name(parsed.name), Path(unquote(parts.path))) if parts.scheme == "file" else None


def _refuse(item: str, reason: str) -> ArgumentError:
    return ArgumentError(f"requirements: {shown(item)} {reason}", argument="requirements", value=item)


def _parse(item: str) -> Requirement:
    text = item.strip()
    for pattern, reason in REFUSED:
        if re.search(pattern, text):
            raise _refuse(item, reason.format(text))
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise _refuse(item, f"is not a requirement such as 'numpy>=1.26' ({reason})") from None
    if requirement.url is not None:
        _check_url(item, requirement.url)
    return requirement


def _check_url(item: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refuse(item, f"has an address that cannot be read ({error})") from None
    if parts.scheme not in SCHEMES:
        raise _refuse(item, f"has an address of an unknown kind; use one of {', '.join(SCHEMES)}")
    if parts.scheme in ("file", "git+file"):
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise _refuse(item, "must have an absolute path, as in 'name @ file:///absolute/path'")
    elif not parts.netloc:
        raise _refuse(item, "has an address without a host")


def _canonical(requirement: Requirement) -> str:
    text: str = canonicalize_name(requirement.name)
    if requirement.extras:
        text += f"[{','.join(sorted(canonicalize_name(extra) for extra in requirement.extras))}]"
    if requirement.url is not None:
        text += f" @ {requirement.url}"
    else:
        text += ",".join(sorted(str(specifier) for specifier in requirement.specifier))
    return f"{text} ; {requirement.marker}" if requirement.marker else text
