"""Memory that a convolution takes beside its input and output, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from conv3d_cli.bench.cases import Case, parse_case
from conv3d_cli.engine import Limits, choose, execute, settle
from conv3d_cli.errors import Conv3dError
from conv3d_cli.frozen import replace
from conv3d_cli.limits import peak_bytes

CHILD = "from conv3d_cli.bench.memory import child; child()"
SMALL = 12
"""Voxels along an axis of a volume that only loads what is needed."""


def peak_beside(case: str, threads: int) -> int:
    """Return by how many bytes the peak of a process grows while it computes a case; input and output were there.

    Raises Conv3dError if the process fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHILD, case, str(threads)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Conv3dError(f"memory: {case!r} could not be measured: {last}")
    return int(done.stdout)


def child() -> None:
    """Print the bytes; the case and the threads are the arguments of this process."""
    case, limits = parse_case(sys.argv[1]), Limits.detect(int(sys.argv[2]))
    x, kernel = case.arrays()
    out = case.output()
    out[...] = 0  # its pages are taken now
    plan = settle(choose(case.problem, limits), x, kernel)
    _load(case, plan.method, limits)
    before = peak_bytes() or 0
    execute(plan, x, kernel, None, out, settled=True)
    print((peak_bytes() or 0) - before)


def _load(case: Case, method: str, limits: Limits) -> None:
    """Have a small convolution load what the method needs, and start its threads."""
    d, h, w = (min(n, SMALL) for n in case.size)
    small = replace(case, size=(d, h, w))
    x, kernel = small.arrays()
    execute(choose(small.problem, limits, method, kernel=kernel), x, kernel, None)
