"""The forms in which an activation may be given besides a name: layers, and functions as Keras 3 writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conv3d_cli.errors import LayerError, UnknownArgument
from conv3d_cli.frozen import field, frozen
from conv3d_cli.kinds import FLAG, TEXT, Kind, RefusedError, Schema, shown
from conv3d_cli.named import WRAPPER, Row, Table, default_name, wrapped

BUILT = "build_config"
"""Key that Keras 3 writes beside ``config`` for a layer which has its weights."""

_WRAPPER: Schema = {key: {} for key in sorted({*WRAPPER, BUILT})}


@frozen
class ObjectKind(Kind):
    """A parameter that is itself a named function; ``of`` reads it and names the subject in its errors."""

    of: Callable[[Any, str, int], Any]
    keras: int

    def read(self, subject: str, value: Any, argument: str | None = None) -> Any:
        """Return the object that a value stands for, or raise as ``of`` does, naming the subject."""
        try:
            return self.of(value, subject, self.keras)
        except (LayerError, UnknownArgument) as error:
            raise type(error)(str(error), argument or subject) from None

    def or_none(self, meaning: str) -> Kind:
        """Return this kind, which reads None as ``of`` does, with None allowed in the schema as well."""
        return ObjectKind(
            f"{self.expected}, or None for {meaning}",
            self.parse,
            {"anyOf": [self.schema, {"type": "null"}]},
            self.of,
            self.keras,
        )


def object_kind(of: Callable[[Any, str, int], Any], keras: int, schema: Schema) -> ObjectKind:
    """Return the kind of a parameter that ``of`` reads in a dialect."""
    return ObjectKind("a name or a mapping", lambda value: of(value, "value", keras), schema, of, keras)


def either(tables: Mapping[int, Table]) -> Schema:
    """Return the JSON schema of every form that the table of any dialect accepts."""
    forms = [form for table in tables.values() for form in table.schema()["anyOf"]]
    return {
        "anyOf": [
            {**form, "properties": {**_WRAPPER, **form["properties"]}} if "properties" in form else form
            for form in forms
        ]
    }


def _type(value: Any) -> Any:
    if value is not None and not isinstance(value, (str, Mapping)):
        raise RefusedError("not a type")
    return value


def _shape(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise RefusedError("not a shape")
    return list(value)


OF_LAYERS: Mapping[str, Kind] = {
    "name": TEXT.or_none("any"),
    "trainable": FLAG,
    "batch_input_shape": Kind("a list of sizes", _shape, {"type": "array"}),
    "dtype": Kind("the name of a type", _type, {"type": ["string", "object", "null"]}),
}
"""What Keras writes of any layer, before the parameters of its own."""

WRITTEN_KEYS: Mapping[str, Mapping[int, tuple[str, ...]]] = {"ELU": {3: ("name", "alpha", "trainable", "dtype")}}
"""Keys of a layer's configuration in the order of a dialect, where it is not that of all layers."""


def whole_config(name: str, config: Mapping[str, Any], keras: int) -> dict[str, Any]:
    """Return the configuration of a layer with what Keras adds to it: a name, whether it is trained, a type.

    >>> whole_config("ReLU", {"threshold": 0.0}, 2)
    {'name': 're_lu', 'trainable': True, 'dtype': 'float32', 'threshold': 0.0}
    """
    dtype = config.get("dtype") or "float32"
    if keras == 3 and isinstance(dtype, str):
        dtype = wrapped("DTypePolicy", {"name": dtype}, 3, "keras")
    of_layer = {
        "name": config.get("name") or default_name(name),
        "trainable": True,
        **{key: config[key] for key in ("trainable", "batch_input_shape") if key in config},
        "dtype": dtype,
    }
    whole = {**of_layer, **{key: value for key, value in config.items() if key not in of_layer}}
    return {key: whole[key] for key in WRITTEN_KEYS.get(name, {}).get(keras, tuple(whole))}


@frozen
class ActivationTable(Table):
    """The activations of one dialect; ``other`` are the rows of the other one, to tell them from misspelt names.

    A row whose name begins with a capital is a layer of Keras: its config may also have what every layer has, which is
    kept beside the parameters.
    """

    other: Mapping[str, Row] = field(default_factory=dict)
    other_keras: int = 0
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def read(self, argument: str, value: Any) -> tuple[str, dict[str, Any]]:
        """Return the row's name and its parameters, after what the config says that every layer has.

        Raises LayerError or UnknownArgument, naming ``argument``.
        """
        if isinstance(value, Mapping):
            if value.get("class_name") == "function" and isinstance(value.get("config"), str):
                value = value["config"]
            else:
                value = {key: part for key, part in value.items() if key != BUILT}
        name = value.get("class_name") if isinstance(value, Mapping) else value
        if isinstance(name, str) and name in self.other and name not in self.rows and name not in self.aliases:
            raise LayerError(
                f"{argument}: {name} is of keras: {self.other_keras}: got {shown(name)}, expected one of "
                f"{', '.join((*self.rows, *self.aliases))}",
                argument,
            )
        of_layer, value = self._split(argument, value)
        try:
            name, parameters = super().read(argument, value)
        except UnknownArgument as error:
            raise UnknownArgument(f"{error}{self._elsewhere(str(name), value['config'])}", argument) from None
        return name, {**of_layer, **parameters}

    def schema(self) -> Schema:
        """Return the JSON schema of every form that ``read`` accepts."""
        names, *forms = super().schema()["anyOf"]
        function = {
            "type": "object",
            "description": "a function as Keras 3 writes it",
            "properties": {**_WRAPPER, "class_name": {"enum": ["function"]}, "config": names},
            "required": ["class_name", "config"],
            "additionalProperties": False,
        }
        return {"anyOf": [names, *map(_with_wrapper, forms), function]}

    def _split(self, argument: str, value: Any) -> tuple[dict[str, Any], Any]:
        """Return what every layer has, and the value without it."""
        config = value.get("config") if isinstance(value, Mapping) else None
        name = value["class_name"] if isinstance(config, Mapping) and "class_name" in value else None
        if not isinstance(name, str) or not isinstance(config, Mapping) or not is_layer(name) or name not in self.rows:
            return {}, value
        of_layer = {
            key: kind.read(f"{argument}: {name}: {key}", config[key], argument)
            for key, kind in OF_LAYERS.items()
            if key in config
        }
        own = {self.renamed.get((name, key), key): part for key, part in config.items() if key not in OF_LAYERS}
        return of_layer, {**value, "config": own}

    def _elsewhere(self, name: str, given: Mapping[Any, Any]) -> str:
        """Return a hint if a parameter is one of the other dialect."""
        parameters = {**self.other[name].parameters} if name in self.other else {}
        found = [key for key in given if key in parameters and key not in self.rows[name].parameters]
        return f"; {found[0]} is of keras: {self.other_keras}" if found else ""


def is_layer(name: str) -> bool:
    """Return whether a name is that of a layer, not of a function."""
    return name[:1].isupper()


def _with_wrapper(form: Schema) -> Schema:
    """Return the schema of a mapping with the keys that Keras 3 writes, and for a layer what every layer has."""
    properties = dict(form["properties"])
    if is_layer(properties["class_name"]["enum"][0]):
        config = properties["config"]
        common = {key: kind.schema for key, kind in OF_LAYERS.items()}
        properties["config"] = {**config, "properties": {**common, **config["properties"]}}
    return {**form, "properties": {**_WRAPPER, **properties}}
