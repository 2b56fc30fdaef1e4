"""What a run takes is what its plan says, in arrays counted by tracemalloc; and what a process holds beside them."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from conv3d_cli.engine import Limits, isa
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.pipeline import Options, plan_run, run
from conv3d_cli.volumes import Volume, save_volume

SLACK = 1 << 18


class Header:
    """A header without a file, of a volume of many channels."""

    def __init__(self, shape, order):
        self.shape, self.order, self.format = shape, order, "npy"

    def geometry_for(self, axes):
        return None

    def extra_bytes(self, dtype):
        return 0


@pytest.mark.parametrize("method", ["direct", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_large_weights_take_what_the_plan_says(method, dtype, order):
    if method == "direct" and isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    network = Network([Conv3D(192, 3, padding="same", kernel_initializer="ones")])
    network.build(192)
    held = sum(array.nbytes for layer in network for array in layer.weights)
    array = np.ones((4, 4, 4, 192), dtype, order)
    plan = plan_run(Header(array.shape, order), network, Options(Limits(2, 1 << 33), None, method, compute_dtype=dtype))
    tracemalloc.start()
    run(plan, lambda: array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + held + array.nbytes <= plan.peak_bytes + SLACK


def held(folder, shape):
    """Return the most bytes that were in memory at once while a filter ran over a volume, as a process of its own."""
    save_volume(Volume(np.ones(shape, np.float32), "xyz"), str(folder / "in.nii"), overwrite=True)
    code = (
        "import sys; from conv3d_cli.cli.main import run; code = run(sys.argv[1:]);"
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))); sys.exit(code)"
    )
    words = ["apply", "in.nii", "out.nii", "--filter", "gaussian:sigma=2vox", "--overwrite", "-q", "--threads", "2"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=True)
    return int(done.stdout) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process holds is read from /proc")
def test_a_filter_holds_its_input_and_its_output_and_little_more(tmp_path):
    if isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    shape = (190, 200, 210)
    volume = 4 * int(np.prod(shape))
    assert held(tmp_path, shape) - held(tmp_path, (8, 8, 8)) < 2.2 * volume
