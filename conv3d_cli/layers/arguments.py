"""The arguments of Conv3D: one table with the default, the check, the JSON schema and the meaning of each.

The names, defaults and rules are those of ``tf.keras.layers.Conv3D`` 2.4. ``dialect: torch`` adds PyTorch's
paddings, and its strides together with dilation; ``flip`` makes the correlation a true convolution; ``boundary`` says
what lies around the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.engine.boundary import PATTERN, WORDS, Boundary
from conv3d_cli.filters import FILTERS
from conv3d_cli.frozen import replace
from conv3d_cli.kinds import COUNT, FLAG, MOST, PADS, TRIPLE, Kind, RefusedError, Schema, one_of
from conv3d_cli.layers.activations import Activation
from conv3d_cli.layers.initializers import Filtered, Initializer
from conv3d_cli.layers.signature import COMMON, COMMON_RULES, DATA_FORMAT, Argument, Signature, of_kind, of_table
from conv3d_cli.shapes import NO_PADS, Pads, Triple, effective

if TYPE_CHECKING:
    from conv3d_cli.layers.constraints import Constraint
    from conv3d_cli.layers.regularizers import Regularizer

_WORDS = one_of("valid", "same")


def _padding(value: Any) -> str | Pads:
    if isinstance(value, str) and value.lower() == "causal":
        raise RefusedError("'causal' is for Conv1D only")
    numbers = isinstance(value, (Integral, list, tuple, np.ndarray)) and not isinstance(value, bool)
    read: str | Pads = (PADS if numbers else _WORDS).parse(value)
    return read


def _boundary(value: Any) -> str:
    if not isinstance(value, str):
        raise RefusedError("not a word")
    return str(Boundary.parse(value))


BOUNDARY = Kind(
    f"one of {', '.join(WORDS)}",
    _boundary,
    {"type": "string", "pattern": PATTERN, "examples": [*WORDS[:-1], "constant:3.5"]},
)


PADDING = Kind(
    f"{_WORDS.expected}, or with dialect torch zeros on each side",
    _padding,
    {"anyOf": [_WORDS.schema, PADS.schema]},
)


def _kernel_initializer(meaning: str) -> Argument:
    """Return the argument that takes an initializer of Keras or a filter, whose names are its own."""
    name = "kernel_initializer"
    keras_own = of_table(name, "initializers", meaning, "glorot_uniform")

    def normalise(value: Any, keras: int) -> Initializer:
        return Filtered.named(value, name, keras) or keras_own.normalise(value, keras)

    def described() -> Schema:
        return {"anyOf": [keras_own.schema, FILTERS.schema()]}

    return replace(keras_own, normalise=normalise, described=described)


_ACTIVATION = of_table("activation", "activations", "function of the output; None: none")

ARGUMENTS: Mapping[str, Argument] = {
    "filters": of_kind("filters", COUNT, "number of kernels, and of channels of the output"),
    "kernel_size": of_kind("kernel_size", TRIPLE, "voxels of the kernel along each axis"),
    "strides": of_kind("strides", TRIPLE, "voxels from one output to the next along each axis", (1, 1, 1)),
    "padding": of_kind(
        "padding",
        PADDING,
        "valid: none; same: as much as ceil(size / stride) outputs need; with dialect torch also voxels on each side",
        "valid",
    ),
    "data_format": DATA_FORMAT,
    "dilation_rate": of_kind("dilation_rate", TRIPLE, "voxels from one tap to the next along each axis", (1, 1, 1)),
    "groups": of_kind("groups", COUNT, "parts into which channels and filters are divided", 1),
    "activation": replace(_ACTIVATION, normalise=lambda value, keras: Activation.of(value, "activation", keras)),
    "use_bias": of_kind("use_bias", FLAG, "whether a number for each filter is added", True),
    "kernel_initializer": _kernel_initializer("values of a kernel that is not loaded, or a filter's"),
    "bias_initializer": of_table("bias_initializer", "initializers", "values of a bias that is not loaded", "zeros"),
    "kernel_regularizer": of_table("kernel_regularizer", "regularizers", "loss of the kernel; None: none"),
    "bias_regularizer": of_table("bias_regularizer", "regularizers", "loss of the bias; None: none"),
    "activity_regularizer": COMMON["activity_regularizer"],
    "kernel_constraint": of_table(
        "kernel_constraint", "constraints", "projection of the kernel, on demand; None: none"
    ),
    "bias_constraint": of_table("bias_constraint", "constraints", "projection of the bias, on demand; None: none"),
    "dialect": of_kind(
        "dialect",
        one_of("keras", "torch", any_case=False),
        "whose padding and strides: keras, or torch with zeros on each side and strides with dilation",
        "keras",
    ),
    "flip": of_kind("flip", FLAG, "true convolution: whether the kernel is turned around along each axis", False),
    "boundary": of_kind(
        "boundary",
        BOUNDARY,
        "what the padding holds, as scipy.ndimage names it: zero, reflect, mirror, nearest, wrap or constant:V",
        "zero",
    ),
    **COMMON,
}


def nothing_around(boundary: str, padding: str | Pads) -> str | None:
    """Return what is wrong with a boundary where a layer's padding has it read nothing outside of its volume.

    >>> nothing_around("reflect", "same"), nothing_around("zero", "valid")
    (None, None)
    """
    if boundary == "zero" or padding == "same" or padding not in ("valid", NO_PADS):
        return None
    return (
        f"boundary: nothing around the volume is read with padding {padding!r}: got {boundary!r}, expected padding "
        "'same' or voxels on each side"
    )


def reaches_too_far(dilation_rate: Triple, kernel_size: Triple) -> str | None:
    """Return what is wrong where a dilation takes the taps of a kernel farther apart than a count may be.

    >>> reaches_too_far((1, 1, 2**30), (3, 3, 2)), reaches_too_far((1, 1, 2**30), (3, 3, 3))  # doctest: +ELLIPSIS
    (None, 'dilation_rate: ... got (1, 1, 1073741824) with kernel_size (3, 3, 3), expected at most 2147483647 voxels')
    """
    if max(map(effective, kernel_size, dilation_rate)) <= MOST:
        return None
    return (
        "dilation_rate: spreads the kernel too far along an axis: "
        f"got {dilation_rate} with kernel_size {kernel_size}, expected at most {MOST} voxels"
    )


def _padding_of_dialect(padding: str | Pads, dialect: str, strides: Triple) -> str | None:
    if dialect == "keras":
        if isinstance(padding, str):
            return None
        return f"padding: not a word: got {padding}, expected {PADDING.expected}"
    if padding != "same" or max(strides) == 1:
        return None
    return f"padding: 'same' needs strides of 1 in PyTorch: got strides {strides}, expected 1, or zeros on each side"


def _strides_or_dilation(strides: Triple, dilation_rate: Triple, dialect: str) -> str | None:
    if max(strides) == 1 or max(dilation_rate) == 1 or dialect == "torch":
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


def _can_be_used(argument: str, rank: int) -> Callable[..., str | None]:
    def rule(value: Initializer | Constraint | Regularizer | None, wanted: bool = True) -> str | None:
        refusal = value.refuses(rank) if value is not None and wanted else None
        return f"{argument}: {refusal}" if refusal else None

    return rule


RULES: Mapping[tuple[str, ...], Callable[..., str | None]] = {
    ("padding", "dialect", "strides"): _padding_of_dialect,
    ("strides", "dilation_rate", "dialect"): _strides_or_dilation,
    ("dilation_rate", "kernel_size"): reaches_too_far,
    ("groups", "filters"): _groups_divide,
    ("boundary", "padding"): nothing_around,
    ("kernel_initializer",): _can_be_used("kernel_initializer", 5),
    ("bias_initializer", "use_bias"): _can_be_used("bias_initializer", 1),
    ("kernel_regularizer",): _can_be_used("kernel_regularizer", 5),
    ("bias_regularizer", "use_bias"): _can_be_used("bias_regularizer", 1),
    ("activity_regularizer",): _can_be_used("activity_regularizer", 5),
    ("kernel_constraint",): _can_be_used("kernel_constraint", 5),
    ("bias_constraint", "use_bias"): _can_be_used("bias_constraint", 1),
    **COMMON_RULES,
}

CONV3D = Signature("Conv3D", ARGUMENTS, RULES)
