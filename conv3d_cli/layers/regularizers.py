"""Regularizers: losses of weights or outputs, as ``tf.keras.regularizers`` 2.4 and ``keras.regularizers`` 3 give them.

``L1`` is ``l1 * sum |w|``, ``L2`` is ``l2 * sum w^2``, ``L1L2`` their sum. Both frameworks multiply by the factor as
float32 holds it, also where the weights are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError
from conv3d_cli.frozen import field, frozen
from conv3d_cli.kinds import NOT_NEGATIVE, NUMBER, Kind, RefusedError, one_of
from conv3d_cli.layers.given import Function, looked_up, written
from conv3d_cli.named import Parameter, Row, Table

Array: TypeAlias = NDArray[Any]

CHUNK = 1 << 16
"""Elements summed at a time, so that a large output needs no copy in float64."""

SMALLEST_NORM = 1e-7
"""A row of a smaller norm is divided by this one: Keras's epsilon."""

DEFAULT = 0.01
MODULE = "keras.regularizers"


def l1_loss(w: Array, l1: float) -> float:
    """Return ``l1 * sum |w|``."""
    return _float32(l1) * _total(w, np.abs)


def l2_loss(w: Array, l2: float) -> float:
    """Return ``l2 * sum w^2``."""
    return _float32(l2) * _total(w, np.square)


def l1_l2_loss(w: Array, l1: float, l2: float) -> float:
    """Return ``l1 * sum |w| + l2 * sum w^2``; a part whose factor is 0 is left out, so that 0 * inf is no NaN."""
    return (l1_loss(w, l1) if l1 else 0.0) + (l2_loss(w, l2) if l2 else 0.0)


def orthogonal_loss(w: Array, factor: float, mode: str) -> float:
    """Return ``factor`` times the mean |cosine| between each two rows (or columns) of a matrix."""
    rows = (w if mode == "rows" else w.T).astype(np.float64)
    norms = np.sqrt(np.sum(np.square(rows), axis=1, keepdims=True))
    rows = rows / np.maximum(norms, SMALLEST_NORM)
    cosines = np.abs(rows @ rows.T)
    np.fill_diagonal(cosines, 0)
    count = len(rows)
    with np.errstate(invalid="ignore"):
        return float(np.float64(_float32(factor)) * 0.5 * cosines.sum() / np.float64(count * (count - 1) / 2))


def _float32(factor: float) -> float:
    return float(np.float32(factor))


def _total(w: Array, term: Callable[..., Array]) -> float:
    """Return the sum of a function of each value, in float64."""
    if not w.size:
        return 0.0
    chunks = np.nditer(
        [w], ["external_loop", "buffered"], [["readonly"]], op_dtypes=["float64"], casting="safe", buffersize=CHUNK
    )
    with np.errstate(over="ignore"), chunks:
        return float(np.sum([term(chunk).sum() for chunk in chunks]))


def _factor(kind: Kind, default: float, rounded: bool) -> Parameter:
    """Return a factor that float32 holds; None stands for the default, as in Keras."""

    def parse(value: Any) -> float:
        number = float(kind.parse(default if value is None else value))
        if abs(number) > float(np.finfo(np.float32).max):
            raise RefusedError("too large for float32")
        return _float32(number) if rounded else number

    return Parameter(default, Kind(kind.expected, parse, {"anyOf": [kind.schema, {"type": "null"}]}))


def _keras_2(default: float) -> Parameter:
    return _factor(NUMBER, default, rounded=True)


def _keras_3(default: float, rounded: bool) -> Parameter:
    return _factor(NOT_NEGATIVE, default, rounded)


_OLD = {"l": Parameter(None, _keras_2(DEFAULT).kind.or_none("not given"))}
_L1, _L2, _BOTH = "l1 * sum |w|", "l2 * sum w^2", "l1 * sum |w| + l2 * sum w^2"

REGULARIZERS = Table(
    "a regularizer",
    {
        "L1": Row(l1_loss, _L1, {"l1": _keras_2(DEFAULT), **_OLD}),
        "L2": Row(l2_loss, _L2, {"l2": _keras_2(DEFAULT), **_OLD}),
        "L1L2": Row(l1_l2_loss, _BOTH, {"l1": _keras_2(0.0), "l2": _keras_2(0.0)}),
        "l1_l2": Row(l1_l2_loss, _BOTH, {"l1": _keras_2(DEFAULT), "l2": _keras_2(DEFAULT)}),
    },
    {"l1": "L1", "l2": "L2"},
    ("l1", "l2", "l1_l2"),
)
"""The regularizers of Keras 2: ``l1_l2`` is L1L2 with other defaults."""

# Keras 3 writes the factors of L1 and of OrthogonalRegularizer as float32 holds them, those of the others as given.
KERAS_3 = Table(
    "a regularizer",
    {
        "L1": Row(l1_loss, _L1, {"l1": _keras_3(DEFAULT, rounded=True)}),
        "L2": Row(l2_loss, _L2, {"l2": _keras_3(DEFAULT, rounded=False)}),
        "L1L2": Row(l1_l2_loss, _BOTH, {"l1": _keras_3(0.0, rounded=False), "l2": _keras_3(0.0, rounded=False)}),
        "OrthogonalRegularizer": Row(
            orthogonal_loss,
            "factor * mean |cosine| between the rows of a matrix",
            {
                "factor": _keras_3(DEFAULT, rounded=True),
                "mode": Parameter("rows", one_of("rows", "columns", any_case=False)),
            },
        ),
    },
    {"l1": "L1", "l2": "L2", "l1l2": "L1L2", "orthogonal_regularizer": "OrthogonalRegularizer"},
    ("l1", "l2", "l1l2", "orthogonal_regularizer"),
)

TABLES: Mapping[int, Table] = {2: REGULARIZERS, 3: KERAS_3}
"""The regularizers of each dialect of Keras."""

RANKS = {"OrthogonalRegularizer": (2, "a matrix (2 axes)")}


@frozen
class Regularizer:
    """A loss of the table with its factors, or a function of the caller's; called with an array it returns a number.

    >>> Regularizer.of("l2").config
    {'l2': 0.009999999776482582}
    >>> Regularizer.of({"class_name": "L1", "config": {"l1": 0.5}})(np.array([1.0, -3.0]))
    2.0
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    function: Function | None = None

    @classmethod
    def of(cls, value: Any, argument: str = "kernel_regularizer", keras: int = 2) -> Regularizer | None:
        """Return the regularizer that a value means; None is none.

        A value is a name, a mapping, a function of an array, or a Regularizer. Raises LayerError or
        UnknownArgument, naming ``argument``.
        """
        if value is None or isinstance(value, cls):
            return value
        name, config, function = looked_up(TABLES[keras], argument, value)
        old = config.pop("l", None)
        if old is not None:
            config[name.lower()] = old
        return cls("L1L2" if name == "l1_l2" and function is None else name, config, function)

    def refuses(self, rank: int) -> str | None:
        """Return why arrays of so many axes have no such loss, or None if they have."""
        axes, allowed = RANKS.get(self.name, (rank, ""))
        if self.function is not None or rank == axes:
            return None
        return f"{self.name} cannot take this array: got {rank} axes, expected {allowed}"

    def written(self, keras: int = 2) -> Any:
        """Return what a configuration of Keras says for this regularizer.

        >>> Regularizer.of("l2", keras=3).written(3)["config"]
        {'l2': 0.01}
        """
        return written(self.name, self.config, self.function, keras, MODULE)

    def __call__(self, w: Array) -> float:
        """Return the loss of an array, summed in float64 and rounded to the array's dtype.

        Raises LayerError for an array that the regularizer cannot take.
        """
        if refusal := self.refuses(w.ndim):
            raise LayerError(refusal)
        if self.function is not None:
            return float(self.function(w))
        rows = {**TABLES[3].rows, **TABLES[2].rows}
        with np.errstate(over="ignore"):
            return float(w.dtype.type(rows[self.name].compute(w, **self.config)))
