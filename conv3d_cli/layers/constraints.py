"""Constraints: projections of weights, as ``tf.keras.constraints`` 2.4 and ``keras.constraints`` 3 define them.

Keras applies them after each step of training, never when a layer is built or called. With the norm
``n = sqrt(sum w^2)`` over ``axis`` and Keras's epsilon of 1e-7, each of the norms is ``w * wanted(n) / (epsilon + n)``;
``axis`` is 0 by default, which for the kernel of Conv3D is its depth axis; [0, 1, 2, 3] makes a norm of each filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.frozen import field, frozen
from conv3d_cli.kinds import AXIS, NUMBER, Kind, RefusedError
from conv3d_cli.layers.given import Function, exact, looked_up, written
from conv3d_cli.named import Parameter, Row, Table

Array: TypeAlias = NDArray[Any]
Axis: TypeAlias = int | list[int] | tuple[int, ...] | None

EPSILON = 1e-7
SLACK = 1e-5
"""Part of a bound by which a norm may miss it and still count as right: what epsilon and float32 leave."""

MODULE = "keras.constraints"


def norms(w: Array, axis: Axis) -> Array:
    """Return the norms over axes, which are kept with size 1."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    n: Array = np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True))
    return n


def max_norm(w: Array, max_value: float, axis: Axis) -> Array:
    """Return weights whose norms are at most ``max_value``."""
    n = norms(w, axis)
    return w * (_clipped(n, 0.0, max_value) / (EPSILON + n))


def non_neg(w: Array) -> Array:
    """Return weights with 0 in place of what is below it."""
    return np.maximum(w, 0)


def unit_norm(w: Array, axis: Axis) -> Array:
    """Return weights whose norms are 1."""
    return w / (EPSILON + norms(w, axis))


def min_max_norm(w: Array, min_value: float, max_value: float, rate: float, axis: Axis) -> Array:
    """Return weights whose norms have moved by ``rate`` of the way to the interval."""
    n = norms(w, axis)
    return w * ((rate * _clipped(n, min_value, max_value) + (1 - rate) * n) / (EPSILON + n))


def radial(w: Array) -> Array:
    """Return kernels of Conv2D that have one value on each square ring, that of the diagonal below the centre."""
    size = w.shape[0]
    if size != w.shape[1] or size < 2:
        raise ShapeError(f"RadialConstraint: not square kernels: got {w.shape[:2]}, expected two equal sizes above 1")
    distance = np.abs(np.arange(size) - (size - 1) / 2)
    ring = np.floor(np.maximum.outer(distance, distance)).astype(int)
    # Keras reads the innermost ring off the voxel before the centre's index, the others off those after it.
    start = size // 2
    odd = size % 2
    source = np.where(ring == 0, start - 1, start + ring - odd)
    rings: Array = w[source, source]
    return rings


def unchanged(w: Array) -> Array:
    """Return a copy."""
    return w.copy()


def _clipped(n: Array, low: float, high: float) -> Array:
    """Return norms within an interval; an interval upside down is its lower end, as in Keras."""
    return np.clip(n, low, max(low, high))


def _parse_axes(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return None if value is None else AXIS.parse(value)
    axes = [AXIS.parse(item) for item in value]
    if len(set(axes)) < len(axes):
        raise RefusedError("has an axis twice")
    return tuple(axes) if isinstance(value, tuple) else axes


_WHOLE = {"type": "integer"}
AXES = Kind(
    "an axis, a list of axes, or None for all",
    _parse_axes,
    {"anyOf": [_WHOLE, {"type": "array", "items": _WHOLE, "uniqueItems": True}, {"type": "null"}]},
)

_AXIS = {"axis": Parameter(0, AXES)}
_NUMBER = exact(NUMBER)
_ROWS = {
    "MaxNorm": Row(max_norm, "norms of at most max_value", {"max_value": Parameter(2, _NUMBER), **_AXIS}),
    "NonNeg": Row(non_neg, "no weight below 0"),
    "UnitNorm": Row(unit_norm, "norms of 1", _AXIS),
    "MinMaxNorm": Row(
        min_max_norm,
        "norms from min_value to max_value",
        {
            "min_value": Parameter(0.0, _NUMBER),
            "max_value": Parameter(1.0, _NUMBER),
            "rate": Parameter(1.0, _NUMBER),
            **_AXIS,
        },
    ),
    "Constraint": Row(unchanged, "nothing"),
}
_SNAKE = {"max_norm": "MaxNorm", "non_neg": "NonNeg", "unit_norm": "UnitNorm", "min_max_norm": "MinMaxNorm"}
_RADIAL = {"RadialConstraint": Row(radial, "one weight on each square ring of a kernel of Conv2D")}

CONSTRAINTS = Table(
    "a constraint",
    {**_ROWS, **_RADIAL},
    {
        **_SNAKE,
        "radial_constraint": "RadialConstraint",
        "maxnorm": "MaxNorm",
        "nonneg": "NonNeg",
        "unitnorm": "UnitNorm",
    },
    (*_SNAKE, "radial_constraint"),
)
"""The constraints of Keras 2."""

TABLES: Mapping[int, Table] = {
    2: CONSTRAINTS,
    3: Table("a constraint", _ROWS, {**_SNAKE, "constraint": "Constraint"}, tuple(_SNAKE)),
}
"""The constraints of each dialect of Keras."""


@frozen
class Constraint:
    """A projection of the table with its parameters, or a function of the caller's.

    >>> Constraint.of("non_neg")(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    function: Function | None = None

    @classmethod
    def of(cls, value: Any, argument: str = "kernel_constraint", keras: int = 2) -> Constraint | None:
        """Return the constraint that a value means; None is none.

        A value is a name, a mapping, a function of an array, or a Constraint. Raises LayerError or
        UnknownArgument, naming ``argument``.
        """
        if value is None or isinstance(value, cls):
            return value
        return cls(*looked_up(TABLES[keras], argument, value))

    @property
    def meaning(self) -> str:
        """What the weights are to be, in a few words."""
        return CONSTRAINTS.rows[self.name].meaning if self.function is None else f"what {self.name} returns"

    def refuses(self, rank: int) -> str | None:
        """Return why weights of so many axes cannot be constrained so, or None if they can."""
        if self.function is not None:
            return None
        if self.name == "RadialConstraint" and rank != 4:
            return f"RadialConstraint cannot take this array: got {rank} axes, expected the 4 of a kernel of Conv2D"
        given = self.config.get("axis")
        axes = [given] if isinstance(given, int) else given or ()
        if all(-rank <= axis < rank for axis in axes) and len({axis % rank for axis in axes}) == len(axes):
            return None
        return (
            f"{self.name}: axis: not axes of this array: got {given}, expected different ones of {-rank} to {rank - 1}"
        )

    def written(self, keras: int = 2) -> Any:
        """Return what a configuration of Keras says for this constraint.

        >>> Constraint.of("max_norm").written()
        {'class_name': 'MaxNorm', 'config': {'max_value': 2, 'axis': 0}}
        """
        return written(self.name, self.config, self.function, keras, MODULE)

    def __call__(self, w: Array) -> Array:
        """Return the projected weights: a new array of w's shape and dtype.

        Raises LayerError for weights that the constraint cannot take, ShapeError if a function returns
        another shape.
        """
        self._check(w)
        with np.errstate(all="ignore"):
            if self.function is not None:
                projected = np.array(self.function(w))
            else:
                # The squares of float16 weights, and epsilon itself, do not fit into float16.
                working = w.astype(np.promote_types(w.dtype, np.float32))
                projected = CONSTRAINTS.rows[self.name].compute(working, **self.config)
            if projected.shape != w.shape:
                raise ShapeError(f"{self.name}: wrong shape: got {projected.shape}, expected {w.shape}")
            return projected.astype(w.dtype, copy=False)

    def violation(self, w: Array) -> float:
        """Return how far weights are from what the constraint wants: 0 if they satisfy it, NaN if one is NaN.

        For the norms it is the largest distance of a norm n, computed in float64, from the allowed interval
        [low, high]: ``max(n - high, low - n, 0)``, where [low, high] is [0, max_value], [1, 1] or
        [min_value, max_value]. A distance of up to 1e-5 of the bound (4 roundings for float16) counts as 0: Keras's
        epsilon leaves a norm n short by 1e-7 / n. For NonNeg it is the largest ``-w``, for others the largest
        ``|w - projected|``.

        >>> Constraint.of({"class_name": "MaxNorm", "config": {"max_value": 2}}).violation(np.full((4, 1), 1.5))
        1.0
        """
        self._check(w)
        if not w.size:
            return 0.0
        with np.errstate(all="ignore"):
            bounds = INTERVALS.get(self.name) if self.function is None else None
            if bounds is not None:
                low, high = bounds(self.config)
                n = norms(w.astype(np.float64), self.config["axis"])
                off = np.abs(n - _clipped(n, low, high))
                slack = max(SLACK, 4 * float(np.finfo(w.dtype).eps))
                return float(np.where(off <= slack * max(abs(low), abs(high)), 0.0, off).max())
            return float(np.abs(w.astype(np.float64) - self(w)).max())

    def _check(self, w: Array) -> None:
        if refusal := self.refuses(w.ndim):
            raise LayerError(refusal)


INTERVALS: Mapping[str, Callable[[Mapping[str, Any]], tuple[float, float]]] = {
    "MaxNorm": lambda config: (0.0, config["max_value"]),
    "UnitNorm": lambda config: (1.0, 1.0),
    "MinMaxNorm": lambda config: (config["min_value"], config["max_value"]),
}
"""The interval in which the norms are to lie, from the parameters."""
