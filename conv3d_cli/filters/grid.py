"""How voxels lie: their spacing, its unit, the angles between their axes; and lengths in voxels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError
from conv3d_cli.frozen import frozen
from conv3d_cli.lengths import MICROMETRES, VOXELS, Length

Triple: TypeAlias = tuple[float, float, float]
Matrix: TypeAlias = NDArray[np.float64]

#: A cosine below this is that of a right angle: files store affines in float32.
RIGHT_ANGLE = 1e-4
#: Spacings that differ by less than this are the same.
SAME = 1e-5


@frozen
class Loaded:
    """A kernel from a file: its values, the letter of each of its axes, its spacing along them and that one's unit."""

    values: NDArray[Any]
    axes: str
    spacing: Triple | None = None
    unit: str = "mm"


def _no_files(name: str) -> Loaded:
    raise LayerError(f"custom: file: cannot be read from here: got {name!r}, expected a run over volumes")


@frozen(eq=False)
class Grid:
    """The voxels of a volume, axis by axis in a layer's order: its dimensions 1, 2 and 3.

    ``axes`` names them; ``spacing`` is None where nothing is known of it. ``cosines`` are those of the angles between
    the axes, the unit matrix unless the affine is sheared. ``load`` reads the file of a custom kernel, and ``remedy``
    says how to give a spacing that is not known.

    >>> Grid("zyx", (3.0, 1.0, 1.0)).words
    '1x1x3 mm'
    """

    axes: str = "zyx"
    spacing: Triple | None = None
    unit: str = "mm"
    cosines: Matrix | None = None
    load: Callable[[str], Loaded] = _no_files
    remedy: str = ""

    @classmethod
    def of(
        cls,
        affine: Matrix,
        unit: str,
        axes: str,
        load: Callable[[str], Loaded] = _no_files,
    ) -> Grid:
        """Return the grid of an affine, whose columns are the steps along x, y and z, for axes in another order."""
        steps = np.asarray(affine, dtype=np.float64)[:3, ["xyz".index(axis) for axis in axes]]
        spacing = np.sqrt((steps**2).sum(axis=0))
        cosines = (steps.T @ steps) / np.outer(spacing, spacing)
        sheared = np.abs(cosines - np.eye(3)).max() > RIGHT_ANGLE
        a, b, c = spacing.tolist()
        return cls(axes, (a, b, c), unit, cosines if sheared else None, load)

    @property
    def anisotropic(self) -> bool:
        """Whether voxels are longer along one axis than along another, or not at right angles."""
        return self.spacing is not None and (
            self.cosines is not None or max(self.spacing) > min(self.spacing) * (1 + SAME)
        )

    @property
    def words(self) -> str:
        """The spacing along x, y and z as people write it."""
        if self.spacing is None:
            return "not known"
        unit = "mm" if self.unit == "unknown" else self.unit
        return "x".join(f"{self.spacing[self.axes.index(axis)]:.4g}" for axis in "xyz") + f" {unit}"

    def along(self, values: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """Return three values that are for x, y and z in the order of the layer's dimensions."""
        first, second, third = (values["xyz".index(axis)] for axis in self.axes)
        return first, second, third

    def spacing_in(self, unit: str, subject: str, got: object) -> Triple:
        """Return the spacing in a unit of the world; LayerError if the volume has none."""
        if self.spacing is None:
            raise LayerError(
                f"{subject}: the volume has no spacing: got {got}, expected a length in voxels, such as 2{VOXELS}"
                f"{self.remedy}"
            )
        scale = MICROMETRES[self.unit] / MICROMETRES[unit]
        a, b, c = (value * scale for value in self.spacing)
        return a, b, c

    def voxels(self, length: Length, subject: str) -> Triple:
        """Return a length in voxels along each dimension.

        A bare number is taken where it means the same in voxels and in the unit of the world: with a spacing of 1, or
        with none. LayerError shows both spellings where it does not, and a length of the world without a spacing.

        >>> Grid("zyx", (3.0, 1.0, 1.0)).voxels(Length.parse("6mm"), "gaussian: fwhm")
        (2.0, 6.0, 6.0)
        >>> Grid("zyx", (3.0, 1.0, 1.0)).voxels(Length.parse("6"), "gaussian: fwhm")
        Traceback (most recent call last):
        conv3d_cli.errors.LayerError: gaussian: fwhm: has no unit: got 6, expected 6mm or 6vox, for voxels of 1x1x3 mm
        """
        if length.bare:
            self._check_bare(length, subject)
        values, units = self.along(length.values), self.along(length.units)
        made = []
        for i, (value, unit) in enumerate(zip(values, units, strict=True)):
            physical = unit not in (None, VOXELS)
            made.append(value / self.spacing_in(unit, subject, length)[i] if physical else value)
        a, b, c = made
        return a, b, c

    def _check_bare(self, length: Length, subject: str) -> None:
        if self.spacing is None or all(abs(value - 1) <= SAME for value in self.spacing):
            return
        unit = "mm" if self.unit == "unknown" else self.unit
        raise LayerError(
            f"{subject}: has no unit: got {length}, expected {length}{unit} or {length}{VOXELS}, for voxels of "
            f"{self.words}"
        )

    def angles(self, physical: object) -> Matrix:
        """Return the cosines for lengths of the world, and for lengths in voxels those of right angles."""
        return self.cosines if physical and self.cosines is not None else np.eye(3)
