"""What the steps of a convolution by Cook-Toom tiles cost: measured once, x86-64-v3 on Zen 3, v4 on Zen 4."""

from __future__ import annotations

from conv3d_cli.frozen import frozen


@frozen
class Costs:
    """Seconds on one core: per vector of each kind of step, and per float32 of the others."""

    fma: float  # a multiply-add of the products, with many filters
    operation: float  # an operation, a load or a store of a transform
    call: float  # a row or plane given to a transform
    element: float  # an input packed, or an output written
    weight: float  # a transformed weight, read from the last-level cache
    far: float  # an element of the slots written and read where they exceed the second-level cache
    begin: float  # getting threads' memory, which is cleared, and filling the caches with code and weights
    item: float  # a block
    threads: float  # starting threads
    prepare: float  # a transformed weight, made


COSTS = {
    "x86-64-v4": Costs(0.31e-9, 0.37e-9, 17e-9, 0.15e-9, 0.2e-9, 0.09e-9, 2e-4, 2e-6, 5e-5, 1.2e-9),
    "x86-64-v3": Costs(0.18e-9, 0.25e-9, 17e-9, 0.15e-9, 0.2e-9, 0.09e-9, 2e-4, 2e-6, 5e-5, 1.2e-9),
    "x86-64-v2": Costs(0.32e-9, 0.25e-9, 17e-9, 0.15e-9, 0.2e-9, 0.09e-9, 2e-4, 2e-6, 5e-5, 1.2e-9),
    "generic": Costs(0.32e-9, 0.25e-9, 17e-9, 0.15e-9, 0.2e-9, 0.09e-9, 2e-4, 2e-6, 5e-5, 1.2e-9),
}
