"""``python -m conv3d_cli`` is the command ``conv3d``."""

from conv3d_cli.cli.main import main

if __name__ == "__main__":
    main()
