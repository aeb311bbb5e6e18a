"""One node of a compute again: what it received, and its function run on that in the foreground.

`rerun` finds out what the node received (`computes/replay_inputs`, else the cut, made again) and runs the function, in
the compute's environment by the program `node_program/ellipsis_node/replay`, or in this process. `public` is what users
call.
"""

from ellipsis_local.replay.public import inputs, replay
from ellipsis_local.replay.rerun import Partition, partition_of, run_here, run_inside, value_of

__all__ = ["Partition", "inputs", "partition_of", "replay", "run_here", "run_inside", "value_of"]
