"""What tests share: where the project's files are, and what a build without kernels lacks and adds to a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from conv3d_cli.engine import isa

ROOT = Path(__file__).parent.parent

compiled = pytest.mark.skipif(isa.native() is None, reason="no compiled kernels in this install")
"""Marks what only a build with kernels can do."""

SLOW = [] if isa.native() else [f"the slow NumPy path runs: {isa.why_missing()}"]
"""The warnings that every run gives: one where no kernels were built."""


def beside_the_kernels(err: str) -> str:
    """Return what a command told, less the warnings that every run gives, once."""
    for warning in SLOW:
        err = err.replace(f"Warning: {warning}\n", "", 1)
    return err
