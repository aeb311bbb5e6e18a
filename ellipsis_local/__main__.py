"""``python -m ellipsis_local`` is the command line."""

from ellipsis_local.cli import main

if __name__ == "__main__":
    main()
