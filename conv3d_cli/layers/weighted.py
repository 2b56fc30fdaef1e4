"""The weights of a layer by name: how they are made, set, charged and constrained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv3d_cli.errors import LayerError, OverLimit, ShapeError
from conv3d_cli.filters import Grid
from conv3d_cli.kinds import SEED, cast_to, real_array, shown
from conv3d_cli.layers.initializers import Initializer, stream_seed
from conv3d_cli.limits import Limits

if TYPE_CHECKING:
    from conv3d_cli.layers.constraints import Constraint
    from conv3d_cli.layers.regularizers import Regularizer

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int | None, ...]
Sizes: TypeAlias = tuple[int, ...]

COMPUTED_IN: Mapping[str, str] = {"float16": "float32", "float32": "float32", "float64": "float64"}
"""Type in which a layer of a type computes; results are rounded once, at the end."""


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Give the errors of what is done inside a subject, unless they have it."""
    try:
        yield
    except LayerError as error:
        if str(error).startswith(subject.partition(":")[0]):
            raise
        raise type(error)(f"{subject}: {error}", error.argument) from None


class Weighted:
    """What holds weights in ``variables``, by name and in Keras's order, once it is built.

    ``grid`` says how the voxels of its input lie, which a kernel in millimetres has to know.
    """

    name: str
    dtype: str
    activity_regularizer: Regularizer | None

    def __init__(self) -> None:
        self.variables: dict[str, Array] = {}
        self.grid = Grid()
        self._built = False
        self._activity: float | None = None

    def weight_shapes(self, input_shape: Sequence[int | None]) -> dict[str, Sizes]:
        """Return the shape of each weight for an input of a shape; raises ShapeError if it cannot be."""
        raise NotImplementedError

    def shape_to_build(self, given: int | Sequence[int | None] | None) -> Shape:
        """Return the input shape to make weights for: given as such or by its channels, else the declared one."""
        raise NotImplementedError

    @property
    def built(self) -> bool:
        """Whether the layer has its weights, if it has any."""
        return self._built

    @property
    def weights(self) -> list[Array]:
        """The weights in Keras's order; nothing before the layer is built."""
        return list(self.variables.values())

    @property
    def initializers(self) -> dict[str, Initializer]:
        """What makes each weight that no file gives."""
        return {}

    @property
    def regularizers(self) -> dict[str, Regularizer | None]:
        """What each weight is charged by."""
        return {}

    @property
    def constraints(self) -> dict[str, Constraint | None]:
        """What each weight should satisfy."""
        return {}

    @property
    def losses(self) -> list[float]:
        """The losses as Keras lists them: that of the last call's output over its batch, then those of the weights.

        >>> import numpy as np
        >>> from conv3d_cli.layers import Conv3D
        >>> layer = Conv3D(1, 1, kernel_initializer="ones", kernel_regularizer="l1", activity_regularizer="l2")
        >>> layer(np.full((2, 1, 1, 1, 1), 2.0)).shape
        (2, 1, 1, 1, 1)
        >>> [round(loss, 4) for loss in layer.losses]
        [0.04, 0.01]
        """
        activity = [] if self._activity is None else [self._activity]
        return activity + list(self.weight_losses().values())

    def weight_losses(self) -> dict[str, float]:
        """Return the loss of every weight that is charged, by its name; nothing before the layer is built."""
        charged = {name: rule for name, rule in self.regularizers.items() if rule is not None}
        losses = {}
        for name in charged.keys() & self.variables.keys():
            with about(f"layer {self.name!r}: {name}"):
                losses[name] = float(charged[name](self.variables[name]))
        return {name: losses[name] for name in charged if name in losses}

    def activity_loss(self, outputs: Array, batch: int) -> float | None:
        """Return the loss of outputs, divided by the length of the batch axis, or None without a regularizer."""
        if self.activity_regularizer is None or not batch:
            return None
        return float(self.activity_regularizer(outputs)) / batch

    def violations(self) -> dict[str, tuple[Constraint, float]]:
        """Return the constraint of every weight that has one, and by how much it fails it; 0 where it does not."""
        held = {name: rule for name, rule in self.constraints.items() if rule is not None and name in self.variables}
        return {name: (rule, rule.violation(self.variables[name])) for name, rule in held.items()}

    def build(self, input_shape: int | Sequence[int | None] | None = None, seed: int = 0) -> None:
        """Make the weights for an input of a shape, or for a number of channels.

        Without ``input_shape``, ``batch_input_shape`` is taken. Initializers without a seed draw from one
        that is derived from ``seed``, the layer's name and the weight's. Raises ShapeError if the layer
        cannot take such an input, OverLimit for weights that memory does not hold.

        >>> from conv3d_cli.layers import Conv3D
        >>> layer = Conv3D(8, 3)
        >>> layer.build((None, 64, 64, 64, 2), seed=1)
        >>> layer.kernel.shape
        (3, 3, 3, 2, 8)
        """
        seed = SEED.read("seed", seed)
        shapes = self.weight_shapes(self.shape_to_build(input_shape))
        initializers = self.initializers
        self._check_memory({name: (initializers[name], shape) for name, shape in shapes.items()})
        made = {}
        for name, shape in shapes.items():
            with about(f"layer {self.name!r}: {name}"):
                initializer = initializers[name].on(self.grid)
                if initializer.random:
                    initializer = initializer.seeded(stream_seed(seed, self.name, name))
                made[name] = initializer(shape, self.dtype)
        self.assign(made)

    def assign(self, variables: Mapping[str, Array]) -> None:
        """Take weights that are right in name, shape and type; the layer is built then."""
        self.variables, self._built = dict(variables), True

    def get_weights(self) -> list[Array]:
        """Return copies of the weights, in Keras's order: for Conv3D the kernel, and the bias if there is one."""
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set the weights, in Keras's order, from copies cast to the layer's dtype.

        Raises LayerError before the layer is built, and ShapeError for another number of arrays or other
        shapes.

        >>> import numpy as np
        >>> from conv3d_cli.layers import Conv3D
        >>> layer = Conv3D(2, 1)
        >>> layer.build(1)
        >>> layer.set_weights([np.ones((1, 1, 1, 1, 2)), [1]])
        Traceback (most recent call last):
        conv3d_cli.errors.ShapeError: layer 'conv3d': bias: wrong shape: got (1,), expected (2,)
        """
        if not self.built:
            raise LayerError(
                f"layer {self.name!r}: has no weights yet: got {len(weights)} arrays, expected build first"
            )
        if not isinstance(weights, (Sequence, np.ndarray)):
            raise LayerError(f"layer {self.name!r}: weights: not a list: got {shown(weights)}, expected arrays")
        if len(weights) != len(self.variables):
            expected = " and ".join(self.variables) or "none"
            raise ShapeError(f"layer {self.name!r}: wrong number of weights: got {len(weights)}, expected {expected}")
        given = {}
        for (name, old), value in zip(self.variables.items(), weights, strict=True):
            array = real_array(value, f"layer {self.name!r}: {name}")
            if array.shape != old.shape:
                raise ShapeError(f"layer {self.name!r}: {name}: wrong shape: got {array.shape}, expected {old.shape}")
            given[name] = cast_to(array, self.dtype, copy=True)
        self.assign(given)

    def count_params(self) -> int:
        """Return the number of weights; raises LayerError before the layer is built.

        >>> from conv3d_cli.layers import Conv3D
        >>> layer = Conv3D(8, 3)
        >>> layer.build(2)
        >>> layer.count_params()
        440
        """
        if not self.built:
            raise LayerError(f"layer {self.name!r}: has no weights yet: got no input shape, expected build first")
        return sum(w.size for w in self.weights)

    def project(self) -> None:
        """Replace every weight that has a constraint by its projection, as an optimizer does after a step.

        Raises LayerError before the layer is built.

        >>> import numpy as np
        >>> from conv3d_cli.layers import Conv3D
        >>> layer = Conv3D(1, 1, kernel_initializer="ones", kernel_constraint="unit_norm")
        >>> layer.build(4)
        >>> layer.project()
        >>> float(np.square(layer.kernel).sum().round(3))
        4.0
        """
        if not self.built:
            raise LayerError(f"layer {self.name!r}: has no weights yet: got no input shape, expected build first")
        for name, constraint in self.constraints.items():
            if constraint is not None and name in self.variables:
                self.variables[name] = constraint(self.variables[name])

    @property
    def computing(self) -> dict[str, Array]:
        """The weights by name in the type that the layer computes in."""
        dtype = COMPUTED_IN[self.dtype]
        return {name: weight.astype(dtype, copy=False) for name, weight in self.variables.items()}

    def _check_memory(self, wanted: Mapping[str, tuple[Initializer, tuple[int, ...]]]) -> None:
        limits = Limits.detect()
        for name, (initializer, shape) in wanted.items():
            needed = initializer.making_bytes(shape, self.dtype)
            if needed > limits.memory:
                raise OverLimit(
                    f"layer {self.name!r}: not enough memory to make the {name}: got {limits.memory} bytes "
                    f"({limits.memory_source}), expected at least {needed} for shape {shape}",
                    needed,
                )
