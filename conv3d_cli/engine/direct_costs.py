"""What the steps of a direct convolution cost, per instruction set.

Measured once: x86-64-v3 on two Zen 3 cores, the others on two Zen 4 cores.
"""

from __future__ import annotations

from conv3d_cli.frozen import frozen, replace


@frozen
class Costs:
    """Seconds on one core: per multiply-add of a vector by kind of tile, and per unit of the other steps."""

    fma: dict[str, float]
    store: float  # per vector of sums begun and stored
    pack: float  # per float32 of the slab
    look: float  # per float32 of a slab that is looked through for values that are not finite
    unpack: float  # per output that is not written in place
    item: float  # per block
    byte: float  # per byte of input and output, read from or written to memory
    threads: float  # per thread started

    def of_portion(self, portion: float) -> Costs:
        """Return the costs where so much of the multiply-adds is left of a kernel, which is looked for in each slab."""
        if portion == 1:
            return self
        fma = {kind: portion * seconds for kind, seconds in self.fma.items()}
        return replace(self, fma=fma, pack=self.pack + self.look)


def _fma(column: float, one: float, two: float, four: float, eight: float) -> dict[str, float]:
    return {"column": column, "1": one, "2": two, "4": four, "8": eight}


COSTS = {
    "x86-64-v4": Costs(
        _fma(0.28e-9, 0.6e-9, 0.33e-9, 0.32e-9, 0.295e-9), 4e-9, 0.2e-9, 0.05e-9, 0.25e-9, 2e-6, 0.04e-9, 5e-5
    ),
    "x86-64-v3": Costs(
        _fma(0.165e-9, 0.3e-9, 0.26e-9, 0.175e-9, 0.175e-9), 0.9e-9, 0.3e-9, 0.05e-9, 0.25e-9, 2e-6, 0.04e-9, 5e-5
    ),
    "x86-64-v2": Costs(
        _fma(0.2e-9, 0.3e-9, 0.3e-9, 0.28e-9, 0.28e-9), 2e-9, 0.2e-9, 0.1e-9, 0.25e-9, 2e-6, 4e-11, 5e-5
    ),
    "generic": Costs(_fma(0.2e-9, 0.3e-9, 0.3e-9, 0.28e-9, 0.28e-9), 2e-9, 0.2e-9, 0.1e-9, 0.25e-9, 2e-6, 4e-11, 5e-5),
}
MEMORY_THREADS = 1.3  # how much faster than one thread two or more read and write memory
