"""Shape arithmetic of convolutions: sizes, padding, receptive field. Integers only.

Lengths are in voxels along one axis. ``effective`` is the extent that a kernel spans once its taps are
``dilation`` voxels apart. The formulas are those of TensorFlow's ``SAME`` and ``VALID`` padding.
"""

from __future__ import annotations

from math import prod
from typing import TypeAlias

from conv3d_cli.frozen import frozen

Triple: TypeAlias = tuple[int, int, int]
Pads: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

NO_PADS: Pads = ((0, 0), (0, 0), (0, 0))


def effective(kernel: int, dilation: int) -> int:
    """Return the extent of a kernel whose taps are ``dilation`` voxels apart.

    >>> effective(3, 2)
    5
    """
    return (kernel - 1) * dilation + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the zeros before and after an axis that give it ``ceil(size / stride)`` outputs; the odd one goes after.

    >>> same_padding(6, 4, 1, 1)
    (1, 2)
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + effective(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def output_size(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int] = (0, 0)) -> int:
    """Return the number of outputs along an axis; negative or zero where the kernel does not fit.

    >>> output_size(28, 3, 1, 1)
    26
    """
    return (size + sum(pads) - effective(kernel, dilation)) // stride + 1


def centre_shift(kernel: int, dilation: int, before: int) -> float:
    """Return the input position, in voxels, of the centre of the window that makes output voxel 0.

    Half a voxel for an even window: the mean of voxels 0 and 1 lies between them.

    >>> centre_shift(3, 1, 0), centre_shift(3, 1, 1), centre_shift(2, 1, 0)
    (1.0, 0.0, 0.5)
    """
    return (effective(kernel, dilation) - 1) / 2 - before


def window(start: int, stop: int, kernel: int, stride: int, dilation: int, before: int) -> tuple[int, int]:
    """Return the half-open range of input positions that outputs ``start`` to ``stop`` read; it may leave the volume.

    >>> window(0, 4, 3, 2, 1, 1)
    (-1, 8)
    """
    return start * stride - before, (stop - 1) * stride - before + effective(kernel, dilation)


@frozen
class ReceptiveField:
    """What one voxel of the present output sees of the network's input, per axis, in input voxels.

    ``size`` is the extent seen, ``jump`` the distance between neighbouring outputs.
    """

    size: Triple = (1, 1, 1)
    jump: Triple = (1, 1, 1)

    def through(self, kernel: Triple, strides: Triple, dilation: Triple) -> ReceptiveField:
        """Return the field after one more layer.

        >>> ReceptiveField().through((3, 3, 3), (2, 2, 2), (1, 1, 1)).through((3, 3, 3), (1, 1, 1), (1, 1, 1)).size
        (7, 7, 7)
        """
        grown = tuple(
            r + (effective(k, d) - 1) * j for r, j, k, d in zip(self.size, self.jump, kernel, dilation, strict=True)
        )
        jumps = tuple(j * s for j, s in zip(self.jump, strides, strict=True))
        return ReceptiveField((grown[0], grown[1], grown[2]), (jumps[0], jumps[1], jumps[2]))


def voxels(size: tuple[int, ...]) -> int:
    """Return the number of voxels of a block.

    >>> voxels((2, 3, 4))
    24
    """
    return prod(size)
