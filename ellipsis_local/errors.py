"""Every error of ellipsis_local.

The root is a ``ValueError``, because that is what the client of the hosted service raises (seen in the client).

    EllipsisLocalError (ValueError)
    ├── ArgumentError            a bad argument: `argument`, `value`
    │   └── NotFoundError        an id that is well formed and unknown here
    ├── SettingsError            an unknown setting or an impossible value
    ├── AccountError             a login or a token that is not accepted
    │   └── TooManyLoginsError   too many wrong passwords came over HTTP: `seconds` to wait
    ├── AccessError              a path that this user may not use so: `needed`
    ├── LimitError               more than is taken: bytes, pixels, entries of an archive
    ├── NotEmulatedError         a part of the service that is not emulated
    ├── MockError                `ellipsis_local.mock`, or what it gave out, used where it cannot be
    ├── RealServiceError         something was about to leave for the hosted service while a mock is active: `call`
    ├── UpstreamError            another service, from which layers are pulled, refuses or cannot be reached
    ├── StoreError               the home folder cannot be read or written
    ├── LayerError               a file or object that is no usable layer: `source`
    ├── PartitionError           layers that cannot be cut as asked
    ├── InterpreterError         a Python that is not on this machine: `found`
    ├── EnvironmentBuildError    requirements that cannot be installed: `command`, `exit_code`, `output`
    ├── EngineError              the program inside the environment could not start or stopped talking
    ├── ComputeStateError        a compute in the wrong state: `compute_id`, `status`
    ├── MissingExtraError        a library that only an extra of this package brings: `extra`
    ├── FidelityError            what the hosted service would not run (`strict`, or not possible here either)
    └── NodeError                one node failed: `compute_id`, `node`, `details`
        ├── NodeDiedError        its process ended before it answered
        ├── NodeTimeoutError     longer than `node_timeout`
        ├── NodeMemoryError      more than `node_memory`
        └── ResultError          it returned what cannot be carried

    FidelityWarning (UserWarning)       runs here, would not on the service
    LayerWarning (UserWarning)          part of a layer was left out, with how much
    OutputWarning (UserWarning)         what nodes return does not make one layer, with which node
    PixelWarning (UserWarning)          arithmetic that the pixels' dtype does not hold, here as on the service
    EnvironmentWarning (UserWarning)    something was substituted, with what
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessError",
    "AccountError",
    "ArgumentError",
    "ComputeStateError",
    "EllipsisLocalError",
    "EngineError",
    "EnvironmentBuildError",
    "EnvironmentWarning",
    "FidelityError",
    "FidelityWarning",
    "InterpreterError",
    "LayerError",
    "LayerWarning",
    "LimitError",
    "MissingExtraError",
    "MockError",
    "NodeDiedError",
    "NodeError",
    "NodeMemoryError",
    "NodeTimeoutError",
    "NotEmulatedError",
    "NotFoundError",
    "OutputWarning",
    "PartitionError",
    "PixelWarning",
    "RealServiceError",
    "ResultError",
    "SettingsError",
    "StoreError",
    "TooManyLoginsError",
    "UpstreamError",
]


class EllipsisLocalError(ValueError):
    """The root of all errors raised here."""

    def _render_traceback_(self) -> list[str]:
        from ellipsis_local.notebooks import render_traceback

        return render_traceback(self)


class ArgumentError(EllipsisLocalError):
    """An argument that cannot be used; the text names it, its value and the way out."""

    def __init__(self, message: str, *, argument: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.argument = argument
        self.value = value


class NotFoundError(ArgumentError):
    """An id that is well formed and that this home does not hold (or not for this user)."""


class SettingsError(EllipsisLocalError):
    """An unknown setting or an impossible value, with where it was set."""


class AccountError(EllipsisLocalError):
    """A login or a token that is not accepted."""


class TooManyLoginsError(AccountError):
    """Too many wrong passwords came from an address; `seconds` from now it may try again."""

    def __init__(self, message: str, *, seconds: int = 1) -> None:
        super().__init__(message)
        self.seconds = seconds


class AccessError(EllipsisLocalError):
    """A path that this user may see, but not use as asked; `needed` is the access level for that."""

    def __init__(self, message: str, *, needed: int | None = None) -> None:
        super().__init__(message)
        self.needed = needed


class LimitError(EllipsisLocalError):
    """More than is taken: bytes, pixels, features, entries of an archive."""


class NotEmulatedError(EllipsisLocalError):
    """A part of the service that is not emulated; the text names it."""


class MissingExtraError(EllipsisLocalError):
    """A library is missing that an extra of this package brings; `extra` is its name."""

    def __init__(self, message: str, *, extra: str = "") -> None:
        super().__init__(message)
        self.extra = extra


class MockError(EllipsisLocalError):
    """`ellipsis_local.mock`, or a function that it gave out, used where it cannot be."""


class RealServiceError(EllipsisLocalError):
    """Something was about to leave for the hosted service while a mock is active; `call` names it."""

    def __init__(self, message: str, *, call: str | None = None) -> None:
        super().__init__(message)
        self.call = call


class UpstreamError(EllipsisLocalError):
    """The service from which layers are pulled refuses, cannot be reached, or answers what cannot be understood."""


class StoreError(EllipsisLocalError):
    """The home folder cannot be read or written."""


class LayerError(EllipsisLocalError):
    """A file or object that is no usable layer."""

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message)
        self.source = source

    @classmethod
    def of(cls, source: object, text: str) -> LayerError:
        """The error for what is called `source`; its text begins with that."""
        return cls(f"{source} {text}", source=str(source))


class PartitionError(EllipsisLocalError):
    """Layers that cannot be cut as asked."""


class InterpreterError(EllipsisLocalError):
    """A Python that is not on this machine."""

    def __init__(self, message: str, *, found: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.found = found


class EnvironmentBuildError(EllipsisLocalError):
    """An environment that could not be built; a failed command keeps its evidence."""

    def __init__(
        self, message: str, *, command: tuple[str, ...] = (), exit_code: int | None = None, output: str = ""
    ) -> None:
        super().__init__(message)
        self.command = command
        self.exit_code = exit_code
        self.output = output


class EngineError(EllipsisLocalError):
    """The program inside the environment could not start or stopped talking."""


class ComputeStateError(EllipsisLocalError):
    """A compute that is in the wrong state for what was asked."""

    def __init__(self, message: str, *, compute_id: str | None = None, status: str | None = None) -> None:
        super().__init__(message)
        self.compute_id = compute_id
        self.status = status


class FidelityError(EllipsisLocalError):
    """What the hosted service would not run: raised where it cannot run here either, or with `strict`."""


class NodeError(EllipsisLocalError):
    """One node failed; `details` is its traceback, or what is known of its end."""

    def __init__(
        self, message: str, *, compute_id: str | None = None, node: int | None = None, details: str = ""
    ) -> None:
        super().__init__(message)
        self.compute_id = compute_id
        self.node = node
        self.details = details


class NodeDiedError(NodeError):
    """The node's process ended before it answered."""


class NodeTimeoutError(NodeError):
    """The node ran longer than `node_timeout` seconds."""


class NodeMemoryError(NodeError):
    """The node asked for more memory than `node_memory`."""


class ResultError(NodeError):
    """The function returned what cannot be carried back."""


class FidelityWarning(UserWarning):
    """It runs here and would not on the hosted service."""


class LayerWarning(UserWarning):
    """Part of a layer was left out; the text says how much and why."""


class OutputWarning(UserWarning):
    """What nodes return does not make one layer; the text says which node's, and what to do."""


class PixelWarning(UserWarning):
    """Arithmetic whose result the pixels' dtype does not hold, here as on the service; the text says what to write."""


class EnvironmentWarning(UserWarning):
    """Something asked for was substituted; the text says by what."""
