"""One node of a compute again: what it received, and its function run on that in the foreground.

`given` finds out what the node received (`computes/kept`, else the cut, made again), `running` runs the function in the
compute's environment, by the program `inside/ellipsis_node/replay`, `here` in this process. `public` is what users
call.
"""

from ellipsis_local.replay.given import Partition, partition_of
from ellipsis_local.replay.public import inputs, replay
from ellipsis_local.replay.running import run_here, run_inside, value_of

__all__ = ["Partition", "inputs", "partition_of", "replay", "run_here", "run_inside", "value_of"]
