"""What a class of layers may be given: its arguments, each with default, check, schema and meaning, and the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from conv3d_cli.errors import LayerError, UnknownArgument, nearest
from conv3d_cli.frozen import field, frozen
from conv3d_cli.kinds import FLAG, TEXT, Kind, Schema, one_of, shown, sizes
from conv3d_cli.layers.keras_json import FORMATS, default_data_format
from conv3d_cli.named import WRAPPER, is_own

REQUIRED = object()
DTYPES = ("float16", "float32", "float64")
DIALECTS = (2, 3)
"""Dialects of Keras: that of tf.keras 2.4, and that of Keras 3."""

Refusal: TypeAlias = LayerError | UnknownArgument


@frozen
class Argument:
    """An argument of a layer; ``normalise`` takes a value and the dialect, and returns the canonical value.

    ``described`` returns its JSON schema: that of a table of functions is long, and few ask for it.
    """

    default: Any
    normalise: Callable[[Any, int], Any]
    described: Callable[[], Schema]
    meaning: str

    @property
    def schema(self) -> Schema:
        """The JSON schema of every form that is accepted."""
        return self.described()

    @property
    def required(self) -> bool:
        """Whether a layer must say it."""
        return self.default is REQUIRED


@frozen
class Signature:
    """The arguments of a class of layers by name, and the rules between them.

    A rule takes the canonical values of the arguments that it names and returns what is wrong, or None.
    """

    owner: str
    arguments: Mapping[str, Argument]
    rules: Mapping[tuple[str, ...], Callable[..., str | None]] = field(default_factory=dict)

    def problems(self, config: Mapping[str, Any], keras: int = 2) -> list[Refusal]:
        """Return everything that is wrong with a layer's configuration, in the order of the arguments.

        Each problem carries ``.argument``, the Keras name at fault. ``keras`` is the dialect of names and
        formulas.

        >>> from conv3d_cli.layers import Conv3D
        >>> [str(p) for p in Conv3D.signature.problems({"filters": 0, "kernel_size": 3})]
        ['filters: below 1: got 0, expected a whole number of at least 1']
        """
        return self.normalised(config, keras)[1]

    def read(self, config: Mapping[str, Any], keras: int = 2) -> dict[str, Any]:
        """Return the canonical value of every argument; raises the first problem."""
        values, found = self.normalised(config, keras)
        if found:
            raise found[0]
        return values

    def normalised(self, config: Mapping[str, Any], keras: int) -> tuple[dict[str, Any], list[Refusal]]:
        """Return the canonical values of the arguments that are right, and the problems of the others."""
        if keras not in DIALECTS:
            return {}, [LayerError(f"keras: unknown dialect: got {shown(keras)}, expected 2 or 3", "keras")]
        found: list[Refusal] = [self._unknown(name) for name in config if name not in self.arguments]
        values: dict[str, Any] = {}
        for name, argument in self.arguments.items():
            value = config.get(name, argument.default)
            try:
                if value is REQUIRED:
                    raise LayerError(f"{name}: is missing, expected {argument.meaning}", name)
                values[name] = argument.normalise(value, keras)
            except (LayerError, UnknownArgument) as error:
                found.append(error)
        for names, rule in self.rules.items():
            if all(name in values for name in names) and (message := rule(*(values[name] for name in names))):
                found.append(LayerError(message, names[0]))
        return values, found

    def _unknown(self, name: object) -> UnknownArgument:
        hint = nearest(str(name), self.arguments) or f"; its arguments are {', '.join(self.arguments)}"
        return UnknownArgument(f"{shown(name)}: {self.owner} has no argument of this name{hint}", str(name))


def of_kind(name: str, kind: Kind, meaning: str, default: Any = REQUIRED) -> Argument:
    """Return the argument whose values are of a kind."""
    return Argument(default, lambda value, _: kind.read(name, value), lambda: kind.schema, meaning)


def of_table(name: str, home: str, meaning: str, default: str | None = None) -> Argument:
    """Return the argument that names a function of a table; None is none if that is the default.

    ``home`` is the module of the table and of the class that reads a value, which has the module's name without its s.
    It is imported once a layer is given such a value: most are given none.
    """

    def found() -> ModuleType:
        return import_module(f"conv3d_cli.layers.{home}")

    def normalise(value: Any, keras: int) -> Any:
        if value is None and default is None:
            return None
        return getattr(found(), home.capitalize().removesuffix("s")).of(value, name, keras)

    def described() -> Schema:
        return {"anyOf": [*(table.schema() for table in found().TABLES.values()), {"type": "null"}]}

    return Argument(default, normalise, described, meaning)


def _data_format(value: Any, _: int) -> str:
    return default_data_format() if value is None else str(one_of(*FORMATS).read("data_format", value))


def _dtype(value: Any, _: int) -> str:
    if isinstance(value, Mapping) and set(value) <= WRAPPER and is_own(value) and value.get("class_name") in POLICIES:
        config = value.get("config")
        value = config.get("name") if isinstance(config, Mapping) else value
    if value is None:
        return "float32"
    # Neither "float" nor Python's float is guessed: TensorFlow and NumPy take different types for them.
    is_type = isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic))
    name = np.dtype(value).name if is_type else value
    if not isinstance(name, str) or name not in DTYPES:
        raise LayerError(f"dtype: not supported: got {shown(value)}, expected one of {', '.join(DTYPES)}", "dtype")
    return name


def shapes_agree(input_shape: tuple[int | None, ...] | None, batch: tuple[int | None, ...] | None) -> str | None:
    """Return what is wrong where ``input_shape`` is not the end of ``batch_input_shape``."""
    if input_shape is None or batch is None or batch[-len(input_shape) :] == input_shape:
        return None
    return f"input_shape: not the end of batch_input_shape: got {input_shape}, expected the end of {batch}"


POLICIES = ("Policy", "DTypePolicy")
"""Classes that Keras wraps the name of a type in."""

_INPUT_SHAPE = sizes(4, "those of one input with its channels").or_none("not given")
BATCH_SHAPE = sizes(5, "those of the batch, of the input and of its channels").or_none("not given")
_DTYPE_SCHEMA = {"anyOf": [{"enum": [*DTYPES, None]}, {"type": "object", "required": ["class_name", "config"]}]}

DATA_FORMAT = Argument(
    None,
    _data_format,
    lambda: {"anyOf": [one_of(*FORMATS).schema, {"type": "null"}]},
    "where the channels are; None: as keras.json says, else channels_last",
)

COMMON: Mapping[str, Argument] = {
    "name": of_kind("name", TEXT.or_none("the class's name"), "name of the layer, unique in a network", None),
    "dtype": Argument(None, _dtype, lambda: _DTYPE_SCHEMA, "type of weights, computation and output; None: float32"),
    "trainable": of_kind("trainable", FLAG, "whether training may change the weights; kept, not used here", True),
    "activity_regularizer": of_table("activity_regularizer", "regularizers", "loss of the output; None: none"),
    "input_shape": of_kind("input_shape", _INPUT_SHAPE, "shape of one input, without batch axis", None),
    "batch_input_shape": of_kind("batch_input_shape", BATCH_SHAPE, "shape of the input, with batch axes", None),
}
"""Arguments that every layer has."""

COMMON_RULES: Mapping[tuple[str, ...], Callable[..., str | None]] = {
    ("input_shape", "batch_input_shape"): shapes_agree,
}
