"""Cook-Toom matrices of exact fractions: ``m`` outputs of a kernel of ``r`` taps from ``m + r - 1`` products.

Multiplying two polynomials by their values at n points and interpolating costs n products; read backwards, the same
identity yields a correlation (A. L. Toom 1963, S. A. Cook 1966; transposed as in S. Winograd, Arithmetic Complexity of
Computations, 1980). With M(x) the product of x - a over the finite points a, and L(x) = M(x) / (x - a):

    y = A [(G g) * (B x)],   B: the coefficients of L, and of M for infinity,
                             G: powers of a, over L(a),   A: powers of a, a column for each point.

The points are 0, pairs of opposite numbers, infinity: then half of B vanishes, and the rows of a pair differ in signs
alone, which halves the work of a transform.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

from conv3d_cli.frozen import frozen

Row: TypeAlias = tuple[Fraction, ...]

PAIRS: dict[int, Row] = {
    1: (),
    4: (Fraction(1),),
    6: (Fraction(2, 3), Fraction(3, 2)),
    8: (Fraction(5, 9), Fraction(1), Fraction(9, 5)),
}
"""The positive points of a tile of so many inputs: with these, weights spread over the taps lose least digits.

What they lose (winograd_error.py) was searched over fractions: small numbers around 1, apart from each other. With 6
inputs an axis, 1/2 and 2 would lose a third more in each.
"""


@frozen
class CookToom:
    """The matrices of F(m, r), by rows: ``inputs`` is B, ``kernel`` is G, ``outputs`` is A."""

    inputs: tuple[Row, ...]
    kernel: tuple[Row, ...]
    outputs: tuple[Row, ...]

    @property
    def input_factors(self) -> list[float]:
        """B without zeros, leading ones and what repeats: of M(x) / x, then of each pair M(x) / x(x^2 - a^2), and a.

        Both are even polynomials, of which every other coefficient is kept, from the constant on.
        """
        factors = list(self.inputs[0][:-2:2])
        for row in self.inputs[1:-1:2]:
            factors += [*row[2:-2:2], row[-3]]
        return [float(f) for f in factors]

    @property
    def kernel_factors(self) -> list[float]:
        """G, row by row."""
        return [float(value) for row in self.kernel for value in row]

    @property
    def output_factors(self) -> list[float]:
        """The columns of A that belong to the positive points, row by row."""
        return [float(value) for row in self.outputs for value in row[1:-1:2]]


@lru_cache(maxsize=64)
def cook_toom(outputs: int, taps: int) -> CookToom:
    """Return the matrices of F(outputs, taps), which has 4, 6 or 8 inputs, or 1 where nothing is to be done.

    >>> two = cook_toom(2, 3)
    >>> [[int(value) for value in row] for row in two.inputs]
    [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    >>> [[str(value) for value in row] for row in two.kernel]
    [['-1', '0', '0'], ['1/2', '1/2', '1/2'], ['1/2', '-1/2', '1/2'], ['0', '0', '1']]
    >>> [[int(value) for value in row] for row in two.outputs]
    [[1, 1, 1, 0], [0, 1, -1, 1]]
    """
    one, none = Fraction(1), Fraction(0)
    inputs = outputs + taps - 1
    if inputs == 1:
        return CookToom(((one,),), ((one,),), ((one,),))
    points = (none, *(sign * a for a in PAIRS[inputs] for sign in (1, -1)))
    rows: list[Row] = []
    kernel: list[Row] = []
    for a in points:
        row = _polynomial(b for b in points if b != a)
        at_a = sum((c * a**k for k, c in enumerate(row)), none)
        rows.append((*row, none))
        kernel.append(tuple(a**k / at_a for k in range(taps)))
    rows.append(_polynomial(points))
    kernel.append((*[none] * (taps - 1), one))
    last = outputs - 1
    return CookToom(
        tuple(rows),
        tuple(kernel),
        tuple((*(a**j for a in points), one if j == last else none) for j in range(outputs)),
    )


def _polynomial(roots: Iterable[Fraction]) -> Row:
    """Return the coefficients of the product of x - root, the constant first."""
    made: Row = (Fraction(1),)
    for root in roots:
        made = tuple(up - root * c for up, c in zip((Fraction(0), *made), (*made, Fraction(0)), strict=True))
    return made
