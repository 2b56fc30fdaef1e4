"""The arguments of Conv3D: one table with the default, the check, the JSON schema and the meaning of each.

The names, defaults and rules are those of ``tf.keras.layers.Conv3D`` 2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from conv3d_cli.errors import LayerError, UnknownArgument, nearest
from conv3d_cli.layers.activations import ACTIVATIONS, Activation
from conv3d_cli.layers.initializers import INITIALIZERS, Initializer
from conv3d_cli.layers.keras_json import FORMATS, default_data_format
from conv3d_cli.layers.kinds import COUNT, FLAG, TEXT, TRIPLE, Kind, Schema, one_of, shown, sizes

REQUIRED = object()
DTYPES = ("float32", "float64")
DIALECTS = (2,)

Refusal: TypeAlias = LayerError | UnknownArgument


@dataclass(frozen=True)
class Argument:
    """An argument of a layer; ``normalise`` returns the canonical value or raises a Refusal."""

    default: Any
    normalise: Callable[[Any], Any]
    schema: Schema
    meaning: str

    @property
    def required(self) -> bool:
        """Whether a layer must say it."""
        return self.default is REQUIRED


def _of(name: str, kind: Kind, meaning: str, default: Any = REQUIRED) -> Argument:
    return Argument(default, lambda value: kind.read(name, value), kind.schema, meaning)


def _padding(value: Any) -> str:
    if isinstance(value, str) and value.lower() == "causal":
        raise LayerError("padding: 'causal' is for Conv1D only: got 'causal', expected 'valid' or 'same'", "padding")
    return str(one_of("valid", "same").read("padding", value))


def _data_format(value: Any) -> str:
    return default_data_format() if value is None else str(one_of(*FORMATS).read("data_format", value))


def _dtype(value: Any) -> str:
    if value is None:
        return DTYPES[0]
    # Neither "float" nor Python's float is guessed: TensorFlow and NumPy take different types for them.
    is_type = isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic))
    name = np.dtype(value).name if is_type else value
    if not isinstance(name, str) or name not in DTYPES:
        raise LayerError(f"dtype: not supported: got {shown(value)}, expected {' or '.join(DTYPES)}", "dtype")
    return name


def _unset(name: str, meaning: str) -> Argument:
    def normalise(value: Any) -> None:
        if value is not None:
            raise LayerError(f"{name}: not supported: got {shown(value)}, expected None", name)

    return Argument(None, normalise, {"type": "null"}, f"{meaning}; only None is allowed")


def _initializer(name: str, default: str, meaning: str) -> Argument:
    schema = {"anyOf": [INITIALIZERS.schema(), {"type": "null"}]}
    return Argument(default, lambda value: Initializer.of(value, name), schema, meaning)


_INPUT_SHAPE = sizes(4, "those of one input with its channels").or_none("not given")
_BATCH_SHAPE = sizes(5, "those of the batch, of the input and of its channels").or_none("not given")

ARGUMENTS: Mapping[str, Argument] = {
    "filters": _of("filters", COUNT, "number of kernels, and of channels of the output"),
    "kernel_size": _of("kernel_size", TRIPLE, "voxels of the kernel along each axis"),
    "strides": _of("strides", TRIPLE, "voxels from one output to the next along each axis", (1, 1, 1)),
    "padding": Argument(
        "valid",
        _padding,
        one_of("valid", "same").schema,
        "valid: no zeros; same: zeros for ceil(size / stride) outputs",
    ),
    "data_format": Argument(
        None,
        _data_format,
        {"anyOf": [one_of(*FORMATS).schema, {"type": "null"}]},
        "where the channels are; None: as keras.json says, else channels_last",
    ),
    "dilation_rate": _of("dilation_rate", TRIPLE, "voxels from one tap to the next along each axis", (1, 1, 1)),
    "groups": _of("groups", COUNT, "parts into which channels and filters are divided", 1),
    "activation": Argument(
        None,
        Activation.of,
        {"anyOf": [ACTIVATIONS.schema(), {"type": "null"}]},
        "function of the output; None: none",
    ),
    "use_bias": _of("use_bias", FLAG, "whether a number for each filter is added", True),
    "kernel_initializer": _initializer("kernel_initializer", "glorot_uniform", "values of a kernel that is not loaded"),
    "bias_initializer": _initializer("bias_initializer", "zeros", "values of a bias that is not loaded"),
    "kernel_regularizer": _unset("kernel_regularizer", "loss of the kernel"),
    "bias_regularizer": _unset("bias_regularizer", "loss of the bias"),
    "activity_regularizer": _unset("activity_regularizer", "loss of the output"),
    "kernel_constraint": _unset("kernel_constraint", "projection of the kernel"),
    "bias_constraint": _unset("bias_constraint", "projection of the bias"),
    "name": _of("name", TEXT.or_none("conv3d"), "name of the layer, unique in a network", None),
    "dtype": Argument(
        None, _dtype, {"enum": [*DTYPES, None]}, "type of weights, computation and output; None: float32"
    ),
    "trainable": _of("trainable", FLAG, "whether training may change the weights; kept, not used here", True),
    "input_shape": _of("input_shape", _INPUT_SHAPE, "shape of one input, without batch axis", None),
    "batch_input_shape": _of("batch_input_shape", _BATCH_SHAPE, "shape of the input, with batch axes", None),
}


def problems(config: Mapping[str, Any], keras: int = 2) -> list[Refusal]:
    """Return everything that is wrong with a layer's configuration, in the order of the arguments.

    Each problem carries ``.argument``, the Keras name at fault. ``keras`` is the dialect of names and
    formulas.

    >>> [str(p) for p in problems({"filters": 0, "kernel_size": 3})]
    ['filters: below 1: got 0, expected a whole number of at least 1']
    """
    return normalised(config, keras)[1]


def normalised(config: Mapping[str, Any], keras: int = 2) -> tuple[dict[str, Any], list[Refusal]]:
    """Return the canonical values of the arguments that are right, and the problems of the others."""
    found: list[Refusal] = []
    if keras not in DIALECTS:
        found.append(LayerError(f"keras: unknown dialect: got {shown(keras)}, expected {DIALECTS[0]}", "keras"))
    found.extend(_unknown(name) for name in config if name not in ARGUMENTS)
    values: dict[str, Any] = {}
    for name, argument in ARGUMENTS.items():
        value = config.get(name, argument.default)
        try:
            if value is REQUIRED:
                raise LayerError(f"{name}: is missing, expected {argument.meaning}", name)
            values[name] = argument.normalise(value)
        except (LayerError, UnknownArgument) as error:
            found.append(error)
    for names, rule in RULES.items():
        if all(name in values for name in names) and (message := rule(*(values[name] for name in names))):
            found.append(LayerError(message, names[0]))
    return values, found


def _unknown(name: object) -> UnknownArgument:
    hint = nearest(str(name), ARGUMENTS) or f"; its arguments are {', '.join(ARGUMENTS)}"
    return UnknownArgument(f"{shown(name)}: Conv3D has no argument of this name{hint}", str(name))


def _strides_or_dilation(strides: tuple[int, ...], dilation_rate: tuple[int, ...]) -> str | None:
    if max(strides) == 1 or max(dilation_rate) == 1:
        return None
    return (
        "strides: above 1 not supported in conjunction with dilation_rate above 1: "
        f"got strides {strides} and dilation_rate {dilation_rate}, expected one of them to be 1"
    )


def _groups_divide(groups: int, filters: int) -> str | None:
    if filters % groups == 0:
        return None
    return (
        f"groups: do not divide the filters: got {groups} groups and {filters} filters, expected a divisor of {filters}"
    )


def _kernel_can_be_made(initializer: Initializer) -> str | None:
    refusal = initializer.refuses(5)
    return f"kernel_initializer: {refusal}" if refusal else None


def _bias_can_be_made(initializer: Initializer, use_bias: bool) -> str | None:
    refusal = initializer.refuses(1) if use_bias else None
    return f"bias_initializer: {refusal}" if refusal else None


def _shapes_agree(input_shape: tuple[int | None, ...] | None, batch: tuple[int | None, ...] | None) -> str | None:
    if input_shape is None or batch is None or batch[-len(input_shape) :] == input_shape:
        return None
    return f"input_shape: not the end of batch_input_shape: got {input_shape}, expected the end of {batch}"


RULES: Mapping[tuple[str, ...], Callable[..., str | None]] = {
    ("strides", "dilation_rate"): _strides_or_dilation,
    ("groups", "filters"): _groups_divide,
    ("kernel_initializer",): _kernel_can_be_made,
    ("bias_initializer", "use_bias"): _bias_can_be_made,
    ("input_shape", "batch_input_shape"): _shapes_agree,
}
