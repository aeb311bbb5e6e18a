"""Running a function on nodes: how it is sent, the engine's interface, and the local engine."""

from ellipsis_local.node_program.ellipsis_node.records import SMALL_RESULT_BYTES, NodeOutcome
from ellipsis_local.nodes.engine import (
    Capabilities,
    Engine,
    NodeEnvironment,
    Parts,
    Place,
    Pool,
    Program,
    node_error,
    node_value,
)
from ellipsis_local.nodes.faulty import FaultyEngine
from ellipsis_local.nodes.inline import InlineEngine
from ellipsis_local.nodes.local import LocalEngine, LocalPool
from ellipsis_local.nodes.serialize_function import describe_function
from ellipsis_local.nodes.wire_function import Sent, describe_sent

__all__ = [
    "SMALL_RESULT_BYTES",
    "Capabilities",
    "Engine",
    "FaultyEngine",
    "InlineEngine",
    "LocalEngine",
    "LocalPool",
    "NodeEnvironment",
    "NodeOutcome",
    "Parts",
    "Place",
    "Pool",
    "Program",
    "Sent",
    "describe_function",
    "describe_sent",
    "node_error",
    "node_value",
]
