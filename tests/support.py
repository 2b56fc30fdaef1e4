"""What tests share: where the project's files are, and what a build without kernels adds to a run."""

from __future__ import annotations

from pathlib import Path

from conv3d_cli.engine import isa

ROOT = Path(__file__).parent.parent


def beside_the_kernels(err: str) -> str:
    """Return what a command told, less the one warning that every run gives where no kernels were built."""
    promised = f"Warning: the slow NumPy path runs: {isa.why_missing()}\n"
    return err if isa.native() else err.replace(promised, "", 1)
