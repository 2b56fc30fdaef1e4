"""The process of the command ``conv3d``, which is ``python -m conv3d_cli`` too, from its first line on."""

from __future__ import annotations

import gc

#: New objects between two searches for garbage.
OBJECTS = 100_000


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    # The modules and plans of a run stay to its end: to look through them every 700 objects finds no garbage, from the
    # import below on.
    gc.set_threshold(OBJECTS)
    from conv3d_cli.cli.main import main

    main()


if __name__ == "__main__":
    main()
