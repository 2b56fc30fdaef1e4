"""Activations: one object for a function with all its parameters, read from every form in which Keras gives one.

``tables`` has the names of each dialect, ``smooth``, ``pieces`` and ``mixing`` compute them. They are imported for a
value that is given: of most layers the activation is linear, which is said by saying nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError
from conv3d_cli.frozen import field, frozen, replace
from conv3d_cli.layers.activations.shapes import Shape, check_axes, check_shared, halved, shared_shape
from conv3d_cli.layers.given import PACKAGES, Function, looked_up, written

if TYPE_CHECKING:
    from conv3d_cli.layers.activations.forms import ActivationTable
    from conv3d_cli.layers.constraints import Constraint
    from conv3d_cli.layers.initializers import Initializer
    from conv3d_cli.layers.regularizers import Regularizer

Array: TypeAlias = NDArray[Any]

LAYER = "Activation"
"""The layer of Keras that only holds another activation."""


@frozen
class Activation:
    """A function of the table with all its parameters, or one of the caller's.

    ``config`` also holds the name, the type and the like that a layer of Keras was given: they are written again, and
    have no effect here, where the values are of the type of x.

    >>> relu6 = Activation.of({"class_name": "relu", "config": {"max_value": 6}})
    >>> relu6(np.array([-1.0, 3.0, 9.0]))
    array([0., 3., 6.])
    """

    name: str = "linear"
    config: Mapping[str, Any] = field(default_factory=dict)
    keras: int = 2
    function: Function | None = None

    @classmethod
    def of(cls, value: Any, argument: str = "activation", keras: int = 2) -> Activation:
        """Return the activation that a value means; None is linear.

        A value is a name, a mapping, an Activation, or a Python function, which is called with a whole array and
        returns one of the same shape. Raises LayerError or UnknownArgument, naming ``argument``.

        >>> Activation.of("swish", keras=3).name
        'silu'
        """
        if isinstance(value, cls):
            return value._in(keras, argument)
        if value is None:
            return cls(keras=keras)
        table = _table(keras)
        own = isinstance(value, FunctionType) and value.__module__.split(".")[0] in PACKAGES
        value = value.__name__ if own and value.__name__ in table.rows else value
        name, config, function = looked_up(table, argument, value)
        return cls(name, config, keras, function)

    @property
    def core(self) -> Activation:
        """The activation that computes: this one, or the one that Keras's layer Activation holds."""
        inner = self.config.get("activation") if self.name == LAYER else None
        return inner.core if isinstance(inner, Activation) else self

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which values are mixed, as they were given; none if each value is treated by itself."""
        given = self.core.config.get("axis", ())
        return given if isinstance(given, tuple) else (given,)

    @property
    def axis(self) -> int | None:
        """The first axis along which values are mixed, or None; ``mixed`` tells them all."""
        return self.axes[0] if self.axes else None

    def mixed(self, rank: int) -> tuple[int, ...]:
        """Return the axes of an array of a rank along which it must not be cut: all of them for a function of Python.

        >>> Activation.of("softmax").mixed(5), Activation.of("relu").mixed(5)
        ((4,), ())
        """
        self.check_rank(rank)
        return tuple(range(rank)) if self.core.function else tuple(sorted(axis % rank for axis in self.axes))

    @property
    def keeps_shape(self) -> bool:
        """Whether the output has the shape of the input."""
        return self.core.function is not None or self.core.name != "glu"

    @property
    def initializers(self) -> dict[str, Initializer]:
        """What makes each weight, by name; empty except for PReLU."""
        return self._of_weights("initializer")

    @property
    def regularizers(self) -> dict[str, Regularizer | None]:
        """What each weight is charged by, by name; empty except for PReLU."""
        return self._of_weights("regularizer")

    @property
    def constraints(self) -> dict[str, Constraint | None]:
        """What each weight should satisfy, by name; empty except for PReLU."""
        return self._of_weights("constraint")

    def _of_weights(self, what: str) -> dict[str, Any]:
        core = self.core
        return {"alpha": core.config[f"alpha_{what}"]} if core._learned else {}

    @property
    def _learned(self) -> bool:
        return self.name == "PReLU" and self.function is None

    def weight_shapes(self, shape: Sequence[int | None]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight for an input of a shape: that of PReLU's alpha, 1 along shared axes.

        Raises ShapeError for a size that is not known and not shared, and for a shared axis that is not there.

        >>> prelu = Activation.of({"class_name": "PReLU", "config": {"shared_axes": [1, 2, 3]}})
        >>> prelu.weight_shapes((None, 9, 9, 9, 4))
        {'alpha': (1, 1, 1, 4)}
        """
        core = self.core
        if not core._learned:
            return {}
        self.check_rank(len(shape))
        return {"alpha": shared_shape(core.name, shape, core.config["shared_axes"] or ())}

    def output_shape(self, shape: Sequence[int | None]) -> Shape:
        """Return the shape of the output for that of an input: for glu, half as long along its axis.

        Raises ShapeError for an odd size there, or an axis that the input does not have.

        >>> Activation.of("glu", keras=3).output_shape((None, 5, 5, 5, 8))
        (None, 5, 5, 5, 4)
        """
        self.check_rank(len(shape))
        return tuple(shape) if self.keeps_shape else halved(self.core.name, shape, self.axes[0])

    def check_rank(self, rank: int) -> None:
        """Raise ShapeError if an array of so many axes lacks one that the function mixes or shares."""
        core = self.core
        check_axes(core.name, self.axes, rank)
        if core._learned:
            check_shared(core.name, core.config["shared_axes"] or (), rank)

    def written(self, keras: int | None = None) -> Any:
        """Return what a configuration of a dialect says, by default of its own: the bare name where that is enough.

        >>> Activation.of("silu", keras=3).written(2)
        'swish'
        """
        if self.function is None and self.name == "linear" and not self.config:
            return self.name  # in any dialect, and without a look at its table
        if keras not in (None, self.keras):
            return self._in(keras, "activation").written()
        rows = _table(self.keras).rows
        if self.function is not None:
            # Keras writes a function by its name alone, also one that has the name of another.
            bare = isinstance(self.function, FunctionType) and self.name in rows
            return self.name if bare else written(self.name, {}, self.function, self.keras, "")
        row = rows[self.name]
        if row.alone and all(self.config[key] == parameter.default for key, parameter in row.parameters.items()):
            return self.name
        config = {key: as_written(value, self.keras) for key, value in self.config.items()}
        from conv3d_cli.layers.activations.forms import is_layer, whole_config

        if is_layer(self.name):
            return written(self.name, whole_config(self.name, config, self.keras), None, self.keras, "keras.layers")
        return written(self.name, config, None, self.keras, "keras.activations")

    def _in(self, keras: int, argument: str) -> Activation:
        """Return the same function in a dialect; raises LayerError if that has none."""
        if keras == self.keras or self.function is not None:
            return replace(self, keras=keras)
        from conv3d_cli.layers.activations.tables import CHANGED, RENAMED

        if self.name in CHANGED:
            raise LayerError(
                f"{argument}: {self.name} is another function with keras: {keras}: got that of keras: {self.keras}, "
                f"expected one that both have",
                argument,
            )
        renamed = RENAMED[keras]
        # The type is written in another way, and no shape with Keras 3; neither has an effect.
        kept = {key: value for key, value in self.config.items() if key not in ("batch_input_shape", "dtype")}
        config = {renamed.get((self.name, key), key): value for key, value in kept.items()}
        value = {"class_name": renamed.get((self.name, ""), self.name), "config": config}
        return Activation(*_table(keras).read(argument, value), keras)

    def __call__(self, x: Array, out: Array | None = None, weights: Mapping[str, Array] | None = None) -> Array:
        """Return the activation of x, a float32 or float64 array in the layer's own data format.

        The result is written to ``out`` if given, which has x's dtype and ``output_shape``, and may be x if that is
        its shape; else it is a new array. ``weights`` has the array of each of ``weight_shapes``, which is broadcast
        to x. Raises ShapeError for an axis that x does not have, an odd size to halve, or another shape of a
        function's result; LayerError without weights that it needs.
        """
        from conv3d_cli.layers.activations.calls import broadcast, called, in_chunks

        core = self.core
        shape: tuple[Any, ...] = self.output_shape(x.shape)
        result = np.empty(shape, x.dtype) if out is None else out
        if core.function is not None:
            np.copyto(result, called(core.function, core.name, x), casting="same_kind")
            return result
        learned = [broadcast(core.name, name, weights, x) for name in core.initializers]
        if not result.size or (core.name == "linear" and result is x):
            return result
        row = _table(core.keras).rows[core.name]
        parameters = {} if learned else {key: core.config[key] for key in row.parameters}
        with np.errstate(all="ignore"):
            if self.axes:
                row.compute(x, result, **parameters)
            else:
                in_chunks(row.compute, x, result, learned, parameters)
        return result


def _table(keras: int) -> ActivationTable:
    from conv3d_cli.layers.activations.tables import TABLES

    return TABLES[keras]


def as_written(value: Any, keras: int) -> Any:
    """Return a parameter as a configuration has it."""
    if isinstance(value, tuple):
        return list(value)
    return value.written(keras) if hasattr(value, "written") else value
