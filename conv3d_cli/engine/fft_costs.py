"""What the stages of compiled tiles of transforms cost, per instruction set.

Those of x86-64-v3 were fitted on two Zen 3 cores, the others on two Zen 4 cores.
"""

from __future__ import annotations

from conv3d_cli.frozen import frozen


@frozen
class FftCosts:
    """Seconds on one core, for as many tiles at once as a vector has lanes."""

    transform: float  # per complex number and doubling of the length
    pack: float  # per voxel moved into lanes or out of them
    apart: float  # the same on top, where the voxels of a row do not lie side by side
    product: float  # per frequency, channel and filter
    byte: float  # per byte of spectra written or read beyond the second-level cache
    spread: float  # per frequency of a kernel's spectrum, put where the product reads it


COSTS = {
    "x86-64-v4": FftCosts(1.65e-9, 1.8e-9, 16e-9, 1.75e-9, 0.02e-9, 4.0e-9),
    "x86-64-v3": FftCosts(0.82e-9, 4.5e-9, 9e-9, 0.85e-9, 0.012e-9, 5.5e-9),
    "x86-64-v2": FftCosts(0.53e-9, 4.7e-9, 4e-9, 1.16e-9, 0.01e-9, 7.5e-9),
    "generic": FftCosts(0.53e-9, 4.7e-9, 4e-9, 1.16e-9, 0.01e-9, 7.5e-9),
}
