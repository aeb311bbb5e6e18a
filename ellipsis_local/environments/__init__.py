"""Environments: which Pythons are here, what may be installed, and virtualenvs made once per specification."""

from ellipsis_local.environments.build import Environments
from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.current_environment import OwnEnvironments
from ellipsis_local.environments.interpreters import (
    DEFAULT_INTERPRETER,
    Interpreter,
    choose_interpreter,
    find_interpreters,
    parse_interpreter,
)
from ellipsis_local.environments.manifest import Environment, EnvironmentInfo
from ellipsis_local.environments.requirements import MOST_CHARACTERS, check_requirements
from ellipsis_local.environments.wheels import Packed, pack

__all__ = [
    "DEFAULT_INTERPRETER",
    "MOST_CHARACTERS",
    "Commands",
    "Environment",
    "EnvironmentInfo",
    "Environments",
    "Interpreter",
    "OwnEnvironments",
    "Packed",
    "check_requirements",
    "choose_interpreter",
    "find_interpreters",
    "pack",
    "parse_interpreter",
]
