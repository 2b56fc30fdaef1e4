"""What a filter makes: kernels of one size, what of them was cut off, and the unit of what they measure."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError
from conv3d_cli.frozen import frozen

Array: TypeAlias = NDArray[np.float64]

MOST_WEIGHTS = 1 << 26
"""Most weights of a kernel, half a GiB of them."""


@frozen(eq=False)
class Kernel:
    """Kernels ``(parts, d1, d2, d3)`` in float64, of odd sizes, each around its middle voxel.

    ``parts`` names them where there are several, as x, y and z. ``lost`` is the share of the weights' magnitude that
    lies outside, as far as it is known. ``per`` is the unit that a result is per: "1", "mm", "mm^2", "vox".
    """

    values: Array
    parts: tuple[str, ...] = ("",)
    lost: float = 0.0
    per: str = "1"

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along the layer's dimensions."""
        a, b, c = self.values.shape[1:]
        return a, b, c


def check_size(name: str, radii: Sequence[float]) -> None:
    """Raise LayerError for a kernel of more weights than anybody means."""
    if any(not r < MOST_WEIGHTS for r in radii) or prod(2 * int(r) + 1 for r in radii) > MOST_WEIGHTS:
        size = "x".join(f"{2 * r + 1:.6g}" for r in radii)
        raise LayerError(f"{name}: the kernel is too large: got {size} voxels, expected at most {MOST_WEIGHTS} in all")


def outer(profiles: Sequence[Array]) -> Array:
    """Return the outer product of three vectors.

    >>> outer([np.ones(1), np.ones(3), np.arange(5.0)]).shape
    (1, 3, 5)
    """
    first, second, third = profiles
    product: Array = np.einsum("i,j,k->ijk", first, second, third)
    return product


def offsets(radii: Sequence[int]) -> Array:
    """Return the position of every voxel of a kernel, ``(d1, d2, d3, 3)``, counted from its middle."""
    grids = np.meshgrid(*(np.arange(-r, r + 1, dtype=np.float64) for r in radii), indexing="ij")
    return np.stack(grids, axis=-1)


def centred(values: Array, radii: Sequence[int]) -> Array:
    """Return a kernel of odd sizes with zeros around it, so that it has these radii."""
    return np.pad(values, [(r - n // 2, r - n // 2) for r, n in zip(radii, values.shape, strict=True)])


def in_frame(kernels: Sequence[Array], steps: Sequence[float], cosines: Array) -> list[Array]:
    """Return derivatives along three orthogonal directions of the world from those along the voxels' axes.

    ``kernels`` are differences per voxel, ``steps`` the lengths of a voxel. The directions are the voxels' own where
    these are at right angles, else the nearest ones that are: with G = S C S, of the steps S and the cosines C, the
    gradient of the world has the length g^T G^-1 g, hence the components C^-1/2 S^-1 g.
    """
    values, vectors = np.linalg.eigh(cosines)
    turn = vectors @ np.diag(values**-0.5) @ vectors.T
    if np.array_equal(cosines, np.eye(3)):
        turn = np.eye(3)
    return [sum((turn[a, b] / steps[b] * kernels[b] for b in range(3)), np.zeros_like(kernels[0])) for a in range(3)]


def by_letter(kernels: Sequence[Array], axes: str) -> list[Array]:
    """Return kernels for the layer's dimensions in the order x, y, z."""
    return [kernels[axes.index(letter)] for letter in "xyz"]
