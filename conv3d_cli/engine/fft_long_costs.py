"""What the sweeps over long tiles of transforms cost, per instruction set: x86-64-v3 was fitted on two Zen 3 cores."""

from __future__ import annotations

from conv3d_cli.frozen import frozen


@frozen
class FftLongCosts:
    """Seconds on one core."""

    transform: float  # per complex number and doubling of the length
    pack: float  # per voxel of rows that are turned, on the way in or out
    product: float  # per frequency, channel and filter
    near: float  # per byte of a tile or of spectra that a sweep reads or writes, where they stay in the last cache
    far: float  # the same where they do not
    join: float  # for all threads to meet after a sweep


COSTS = {
    "x86-64-v4": FftLongCosts(0.042e-9, 0.15e-9, 0.04e-9, 0.1e-9, 0.15e-9, 5e-6),
    "x86-64-v3": FftLongCosts(0.07e-9, 0.25e-9, 0.05e-9, 0.15e-9, 0.19e-9, 5e-6),
    "x86-64-v2": FftLongCosts(0.2e-9, 0.4e-9, 0.12e-9, 0.15e-9, 0.19e-9, 5e-6),
    "generic": FftLongCosts(0.2e-9, 0.4e-9, 0.12e-9, 0.15e-9, 0.19e-9, 5e-6),
}

CALL_SECONDS = 1.5e-4  # looking at the values beforehand, from Python, and asking for memory
