"""Started by path: ``python …/inside/ellipsis_node``; commands on stdin, answers on stdout (see `host`)."""

import os
import sys

# The interpreter put this very folder first, where `frames` would shadow a user's module of that name.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from ellipsis_node.host import main  # type: ignore[import-not-found] # noqa: E402

if __name__ == "__main__":
    main()
