"""Warnings that an execution gives: what the service would do to the function, and to its results."""

from __future__ import annotations

from collections.abc import Iterable

from ellipsis_local.computes.compute_json import NotJsonError, json_value
from ellipsis_local.computes.specification import Specification
from ellipsis_local.environments import Environments
from ellipsis_local.errors import FidelityError, FidelityWarning
from ellipsis_local.notices import warn
from ellipsis_local.preflight import Surroundings

MOST_BYTES = 2_000_000
"""How much of the results is looked at."""


def surroundings(spec: Specification, environments: Environments, *, large: bool) -> Surroundings:
    """What a compute's record tells the rules of the preflight."""
    return Surroundings(
        python=spec.python,
        layers=spec.request.layers,
        files=spec.request.files,
        requirements=spec.request.requirements,
        large=large,
        installed=lambda: environments.installed(spec.environment, spec.request.requirements),
    )


def warn_of_results(name: str, payloads: Iterable[bytes], *, strict: bool) -> None:
    """Warn of the first result of a function that cannot travel to a client as JSON, or arrives as something else."""
    # What cannot travel at all comes before what this server alone lets travel, and that before what arrives changed.
    found: dict[int, str] = {}
    looked = 0
    for node, payload in enumerate(payloads):
        looked += len(payload)
        if looked > MOST_BYTES and node:
            break

        def tell(text: str, changed: bool, node: int = node) -> None:
            found.setdefault(1 + changed, f"{node}, {text}")

        try:
            json_value(payload, tell)
        except NotJsonError as error:
            found[0] = f"{node}, {error}"
            break
    if not found:
        return
    text = f"{name}: on node {found[min(found)]} [result]"
    if strict:
        raise FidelityError(f"the service would not return what it returns here: {text} (strict=True)")
    warn(text, FidelityWarning)
