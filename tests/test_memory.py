"""What a run takes is what its plan says: arrays that NumPy allocates, counted by tracemalloc."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from conv3d_cli.engine import Limits, isa
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.pipeline import Options, plan_run, run

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
