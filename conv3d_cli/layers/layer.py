"""What all layers have in common: a name, a type, weights, shapes, a call, a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.kinds import COUNT, SIZES, cast_to, real_array, shown
from conv3d_cli.layers.notes import note
from conv3d_cli.layers.signature import COMMON, Signature
from conv3d_cli.layers.weighted import COMPUTED_IN, Array, Shape, Sizes, Weighted
from conv3d_cli.named import default_name, wrapped
from conv3d_cli.shapes import NO_PADS, Pads

if TYPE_CHECKING:
    from conv3d_cli.layers.activations import Activation

__all__ = ["COMPUTED_IN", "Array", "Layer", "Shape", "Sizes", "dialect_of", "mapping_of", "shape_of"]

LEAST_AXES = 5


class Layer(Weighted):
    """A layer of a network: arrays ``batch_shape + (d1, d2, d3, C)`` in, such arrays out.

    ``variables`` holds the weights by name once the layer is built. ``keras`` is the dialect of Keras whose
    formulas and configurations it follows.
    """

    class_name: ClassVar[str]
    signature: ClassVar[Signature]
    data_format: str | None = None
    """Where the channels are, or None for a layer that takes either."""
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = {}
    """Keys of a dialect's configuration in their order, where Keras leaves some out or turns them around."""
    lists_activity: ClassVar[bool] = False
    """Whether the activity's regularizer is an argument of the class itself, and not only one that all layers have."""
    activation: Activation | None = None
    """The function that the layer applies to its values, or None."""

    def __init__(self, *args: Any, keras: int = 2, **config: Any) -> None:
        given = self._named_arguments(args, config)
        values = self.signature.read(given, keras)
        self.keras = keras
        self.named: bool = given.get("name") is not None
        self.name: str = values.pop("name") or default_name(self.class_name)
        self.dtype: str = values.pop("dtype")
        self.trainable: bool = values.pop("trainable")
        self.activity_regularizer = values.get("activity_regularizer")
        if not self.lists_activity:
            values.pop("activity_regularizer", None)
        one, batch = values.pop("input_shape"), values.pop("batch_input_shape")
        self.batch_input_shape: Shape | None = batch or (one and (None, *one))
        super().__init__()
        for name, value in values.items():
            setattr(self, name, value)
        self.own = tuple(values)

    def arguments(self) -> dict[str, Any]:
        """Return the canonical values of the arguments that the layer's class has of its own.

        >>> from conv3d_cli.layers import make_layer
        >>> make_layer("Dropout", {"rate": 0.5}).arguments()
        {'rate': 0.5, 'noise_shape': None, 'seed': None}
        """
        return {name: getattr(self, name) for name in self.own}

    def _named_arguments(self, args: Sequence[Any], config: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name; those without one are the first of the signature."""
        names = [name for name in self.signature.arguments if name not in COMMON]
        if len(args) > len(names) or set(names[: len(args)]) & config.keys():
            raise LayerError(
                f"{self.class_name}: too many arguments: got {len(args)} without a name, expected at most "
                f"{len(names)}, each once"
            )
        return dict(zip(names, args, strict=False)) | config

    def __repr__(self) -> str:
        """Return what identifies the layer."""
        return f"{self.class_name}(name={self.name!r})"

    @property
    def needed_format(self) -> str | None:
        """Where the channels must be for the layer's values, or None if that makes no difference to them."""
        return self.data_format

    @property
    def margins(self) -> Pads:
        """Zeros that the layer puts before and after each axis; negative where it cuts voxels off."""
        return NO_PADS

    def weight_shapes(self, input_shape: Sequence[int | None]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight for an input of a shape; raises ShapeError if it cannot be."""
        self.compute_output_shape(input_shape)
        return {}

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the output for that of an input; None stands for a size that is not known."""
        return self.checked_shape(input_shape)

    def checked_shape(self, shape: Sequence[int | None]) -> Shape:
        """Return a shape as a tuple; raises ShapeError if it has too few axes."""
        sizes: Shape = SIZES.read(f"layer {self.name!r}: input shape", shape)
        if len(sizes) < LEAST_AXES:
            raise ShapeError(
                f"layer {self.name!r}: input has too few dimensions: got {len(sizes)} in {sizes}, "
                f"expected at least {LEAST_AXES} dimensions"
            )
        return sizes

    def shape_to_build(self, given: int | Sequence[int | None] | None) -> Shape:
        """Return the input shape to make weights for: given as such or by its channels, else the declared one."""
        if given is None:
            given = self.batch_input_shape
        if given is None:
            raise ShapeError(f"layer {self.name!r}: number of channels not known: got no input shape, expected one")
        if isinstance(given, (int, np.integer)):
            channels = int(COUNT.read(f"layer {self.name!r}: channels", given))
            return shape_of(channels, self.data_format)
        return self.checked_shape(given)

    def __call__(self, inputs: ArrayLike) -> Array:
        """Return the output, a new C-contiguous array of the layer's dtype; the inputs are not modified.

        Inputs of any real type are cast to the layer's dtype; that integers and bool were cast is logged. A
        layer without weights is built first, with seed 0. Raises LayerError for values that are not real
        numbers, ShapeError if the layer cannot take such an input.
        """
        x = real_array(inputs, f"layer {self.name!r}: input")
        self.compute_output_shape(x.shape)
        if not self.built:
            self.build(x.shape)
        if x.dtype.kind in "biu":
            note("layer %r: %s input cast to %s", self.name, x.dtype, self.dtype)
        y = self.compute(cast_to(cast_to(x, self.dtype), COMPUTED_IN[self.dtype]))
        self._activity = self.activity_loss(y, y.shape[0])
        return np.ascontiguousarray(cast_to(y, self.dtype))

    def compute(self, x: Array) -> Array:
        """Return the output for an input that is checked and cast: a new array."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as Keras writes it; ``from_config`` makes an equal layer of it.

        >>> from conv3d_cli.layers import Conv3D
        >>> Conv3D(8, 3).get_config()["kernel_initializer"]
        {'class_name': 'GlorotUniform', 'config': {'seed': None}}
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if self.batch_input_shape is not None and self.keras == 2:
            config["batch_input_shape"] = self.batch_input_shape
        config["dtype"] = self.dtype if self.keras == 2 else wrapped("DTypePolicy", {"name": self.dtype}, 3, "keras")
        if self.keras == 3 and self.activity_regularizer is not None:
            config["activity_regularizer"] = self._written(self.activity_regularizer)
        config |= {name: self._written(getattr(self, name)) for name in self.own}
        return self.in_order(config)

    def in_order(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a configuration with the keys that Keras writes for the layer's class, in Keras's order."""
        keys = self.written_keys.get(self.keras, ())
        base = tuple(key for key in config if key in keys or not keys or key == "activity_regularizer")
        return {key: config[key] for key in dict.fromkeys((*keys, *base)) if key in config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], keras: int | None = None) -> Layer:
        """Return the layer of a configuration; raises as the constructor does.

        Without ``keras`` the dialect is the one that the configuration is written in.
        """
        arguments = mapping_of(config)
        return cls(**arguments, keras=dialect_of(arguments) if keras is None else keras)

    def _written(self, value: Any) -> Any:
        return value.written(self.keras) if hasattr(value, "written") else value


def shape_of(channels: int | None, data_format: str | None) -> Shape:
    """Return an input shape of which only the channels are known."""
    return (None, channels, None, None, None) if data_format == "channels_first" else (None, None, None, None, channels)


def mapping_of(config: Any) -> Mapping[str, Any]:
    """Return a configuration as it is; raises LayerError if it is no mapping."""
    if not isinstance(config, Mapping):
        raise LayerError(f"config: not a mapping: got {shown(config)}, expected arguments by their names")
    return config


def dialect_of(config: Mapping[str, Any]) -> int:
    """Return the dialect of Keras that wrote a configuration: only 3 names the modules of its objects.

    >>> dialect_of({"filters": 8, "dtype": {"module": "keras", "class_name": "DTypePolicy"}})
    3
    """
    return 3 if any(isinstance(value, Mapping) and "module" in value for value in config.values()) else 2
