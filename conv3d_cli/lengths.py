"""Lengths with their units, ``6mm`` or ``1x1x2vox``: one for each spatial axis, or one for all."""

from __future__ import annotations

import re
from math import isfinite

from conv3d_cli.frozen import frozen

#: Micrometres in each unit. Files that name no unit are in millimetres by custom.
MICROMETRES = {"mm": 1e3, "um": 1.0, "m": 1e6, "unknown": 1e3}

VOXELS = "vox"
UNITS = ("mm", "um", "m", VOXELS)

_NUMBER = r"[0-9]+\.?[0-9]*(?:e[-+]?[0-9]+)?|\.[0-9]+(?:e[-+]?[0-9]+)?"
_PART = re.compile(rf"({_NUMBER})\s*({'|'.join(UNITS)})?(?:x|$)")


def digits(value: float) -> str:
    """Return the shortest text that means exactly this number.

    >>> digits(6.0), digits(0.1), digits(1e-07)
    ('6', '0.1', '1e-07')
    """
    return repr(float(value)).removesuffix(".0")


@frozen
class Length:
    """Three lengths along x, y and z, each with its unit: "mm", "um", "m", "vox", or None for a bare number.

    >>> Length.parse("1x1x2mm")
    Length(values=(1.0, 1.0, 2.0), units=('mm', 'mm', 'mm'))
    >>> str(Length.parse("6mmx6mmx3vox")), str(Length.parse("2.50"))
    ('6mmx6mmx3vox', '2.5')
    """

    values: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]

    @classmethod
    def parse(cls, text: str) -> Length:
        """Return the length that a text means; ValueError says what is wrong with it.

        A unit at the end is that of every number which has none.
        """
        parts: list[tuple[float, str | None]] = []
        at = 0
        while at < len(text) or not parts:
            found = _PART.match(text, at)
            if found is None or (found.end() == len(text) and text.endswith("x") and not found[0].endswith(VOXELS)):
                raise ValueError("not a length")
            parts.append((float(found[1]), found[2]))
            at = found.end()
        if len(parts) not in (1, 3):
            raise ValueError(f"has {len(parts)} values")
        parts = parts * 3 if len(parts) == 1 else parts
        (a, u), (b, v), (c, w) = ((value, unit or parts[-1][1]) for value, unit in parts)
        return cls.of((a, b, c), (u, v, w))

    @classmethod
    def of(cls, values: tuple[float, float, float], units: tuple[str | None, str | None, str | None]) -> Length:
        """Return a length of three numbers; ValueError if one is not finite, or if only some have units."""
        if not all(isfinite(value) for value in values):
            raise ValueError("not finite")
        if None in units and set(units) != {None}:
            raise ValueError("has units for some of its values only")
        return cls(values, units)

    @property
    def bare(self) -> bool:
        """Whether no unit is given."""
        return self.units[0] is None

    @property
    def physical(self) -> str | None:
        """The unit of the world that all three are in, or None if some are voxels or bare."""
        unit = self.units[0]
        return unit if unit not in (None, VOXELS) and VOXELS not in self.units else None

    def scaled(self, factor: float) -> Length:
        """Return the length times a number."""
        a, b, c = (value * factor for value in self.values)
        return Length((a, b, c), self.units)

    def __str__(self) -> str:
        """Return the text that means the length."""
        same = len(set(zip(self.values, self.units, strict=True))) == 1
        pairs = list(zip(self.values, self.units, strict=True))[: 1 if same else 3]
        if len(set(self.units)) == 1:
            return "x".join(digits(value) for value, _ in pairs) + (self.units[0] or "")
        return "x".join(f"{digits(value)}{unit}" for value, unit in pairs)
