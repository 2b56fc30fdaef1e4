"""Make the weights of the specs in this folder again.

    python configs/make_weights.py [FOLDER]

Kernels are in Keras's layout (kd, kh, kw, channels / groups, filters) and are applied as cross-correlation:
they are not flipped. The axes of a kernel are the index axes of the file: x, y, z for NIfTI, usually z, y, x
for .npy and HDF5.
"""

from __future__ import annotations

import sys
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conv3d_cli.outfile import replacing
from conv3d_cli.weights.npz import write_npz

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SLOPE = np.array([-1.0, 0.0, 1.0]) / 2
BUMP = np.array([1.0, 2.0, 1.0]) / 4


def gaussian(size: int, sigma: float) -> Array:
    """Return a normalised Gaussian along one axis; sigma in voxels."""
    x = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def outer(*axes: Array) -> Array:
    """Return the separable kernel with these profiles along axes 1, 2, 3."""
    return reduce(np.multiply.outer, axes)


def bank(*kernels: Array) -> Array:
    """Return kernels of one input channel as the filters of one layer."""
    return np.stack(kernels, axis=-1)[:, :, :, None, :]


def sobel() -> list[Array]:
    """Return the derivatives along axes 1, 2, 3, per voxel, each smoothed across."""
    return [outer(SLOPE, BUMP, BUMP), outer(BUMP, SLOPE, BUMP), outer(BUMP, BUMP, SLOPE)]


def laplacian() -> Array:
    """Return the sum of the second differences along the three axes."""
    kernel = np.zeros((3, 3, 3))
    for axis in range(3):
        np.moveaxis(kernel, axis, 0)[:, 1, 1] += (1, -2, 1)
    return kernel


def ball(size: int) -> Array:
    """Return the mean over a ball whose diameter is the kernel's width."""
    x = np.arange(size) - (size - 1) / 2
    inside = x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 <= (size / 2) ** 2
    return inside / inside.sum()


def features() -> dict[str, Array]:
    """Return a first layer of rectified slopes, up and down each axis, and a second that pools them.

    The second layer's filters: all slopes (any boundary), axis 3 without axes 1 and 2 (plates), and axes 1
    and 2 without axis 3 (walls); a small negative bias keeps noise out.
    """
    pool = outer(BUMP, BUMP, BUMP)
    mix = np.array([[1, 1, 1, 1, 1, 1], [-1, -1, -1, -1, 2, 2], [1, 1, 1, 1, -2, -2]])
    return {
        "slopes/kernel": bank(*(sign * kernel for kernel in sobel() for sign in (1, -1))),
        "slopes/bias": np.full(6, -0.5),
        "boundaries/kernel": pool[..., None, None] * mix.T,
        "boundaries/bias": np.full(3, -0.5),
    }


def weights() -> dict[str, dict[str, Array]]:
    """Return every file of weights with its arrays."""
    halve = np.array([1.0, 3.0, 3.0, 1.0]) / 8
    blur = outer(np.ones(1), gaussian(5, 1.0), gaussian(5, 1.0))
    return {
        "edges.npz": {"kernel": bank(*sobel(), laplacian())},
        "smooth.npz": {"kernel": bank(outer(*[gaussian(5, 1.0)] * 3))},
        "downsample.npz": {
            "half/kernel": bank(outer(halve, halve, halve)),
            "quarter/kernel": bank(outer(halve, halve, halve)),
        },
        "features.npz": features(),
        "background.npz": {"kernel": bank(ball(21))},
        "channels.npz": {"kernel": bank(blur, blur)},
    }


def main(folder: Path) -> None:
    """Write all weights as float32 into a folder."""
    for name, arrays in weights().items():
        with replacing(folder / name, overwrite=True) as file:
            write_npz(file, {key: array.astype(np.float32) for key, array in arrays.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
