"""Started by path: ``python …/node_program/ellipsis_node``; commands on stdin, answers on stdout (see `host`).

With ``--replay FILE`` it runs one node in the foreground instead (see `replay`).
"""

import os
import sys

# The interpreter put this very folder first, where `records` would shadow a user's module of that name.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

if __name__ == "__main__":
    if sys.argv[1:2] == ["--replay"]:
        from ellipsis_node.replay import main as replay  # type: ignore[import-not-found]

        replay(sys.argv[2])
    else:
        # Whatever a library prints when it is imported must not end up between the answers.
        commands, answers = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        from ellipsis_node.host import main  # type: ignore[import-not-found]

        main(commands, answers)
