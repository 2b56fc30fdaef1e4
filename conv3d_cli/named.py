"""Functions that a configuration names, by a string or by ``{class_name, config}``, looked up in a table.

Keras 3 writes ``module`` and ``registered_name`` beside those two; a name registered by somebody else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from conv3d_cli.errors import LayerError, UnknownArgument, nearest
from conv3d_cli.frozen import field, frozen
from conv3d_cli.kinds import Kind, Schema, shown

WRAPPER = frozenset({"class_name", "config", "module", "registered_name"})
"""Keys of a serialized object; Keras 2 writes the first two only."""

_OF_KERAS_3: Schema = {key: {"type": ["string", "null"]} for key in ("module", "registered_name")}


def is_own(value: Mapping[Any, Any]) -> bool:
    """Return whether a serialized object is of Keras itself, as far as its module and registered name tell."""
    module, registered = value.get("module"), value.get("registered_name")
    return registered in (None, value.get("class_name")) and (
        module is None or (isinstance(module, str) and module.split(".")[0] in ("keras", "tensorflow", "tf_keras"))
    )


def wrapped(name: str, config: Mapping[str, Any], keras: int, module: str) -> dict[str, Any]:
    """Return a serialized object as a dialect of Keras writes it; ``module`` is that of Keras 3.

    >>> wrapped("L2", {"l2": 0.5}, 2, "keras.regularizers")
    {'class_name': 'L2', 'config': {'l2': 0.5}}
    """
    if keras == 2:
        return {"class_name": name, "config": dict(config)}
    return {"module": module, "class_name": name, "config": dict(config), "registered_name": None}


def default_name(class_name: str) -> str:
    """Return the name that Keras gives the first layer of a class.

    >>> default_name("ZeroPadding3D"), default_name("LeakyReLU")
    ('zero_padding3d', 'leaky_re_lu')
    """
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


@frozen
class Parameter:
    """An argument of a named function: its default, and the kind of values that it accepts."""

    default: Any
    kind: Kind


@frozen
class Row:
    """A named function: what it computes, its meaning in a line, the parameters that ``compute`` takes.

    ``alone`` says whether the bare name is accepted; a name that is not ``alone`` must be written as a class
    name.
    """

    compute: Callable[..., Any]
    meaning: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    alone: bool = True


@frozen
class Table:
    """The rows of one kind of function by name, and further names for some of them.

    ``listed`` are the names that an error lists; without any it lists them all.
    """

    kind: str
    rows: Mapping[str, Row]
    aliases: Mapping[str, str] = field(default_factory=dict)
    listed: tuple[str, ...] = ()

    def read(self, argument: str, value: Any) -> tuple[str, dict[str, Any]]:
        """Return the row's name and every parameter that a value stands for.

        Raises LayerError for an unknown name or a refused parameter, UnknownArgument for a parameter that the
        function does not have; both name ``argument``.
        """
        given: Mapping[Any, Any] = {}
        if isinstance(value, str):
            name = value
        elif isinstance(value, Mapping):
            name, given = self._unwrap(argument, value)
        else:
            raise LayerError(
                f"{argument}: not {self.kind}: got {shown(value)}, "
                "expected a name or a mapping with class_name and config",
                argument,
            )
        row = self.rows.get(self.aliases.get(name, name))
        if row is None or not (row.alone or isinstance(value, Mapping)):
            raise LayerError(self._unknown(argument, name, isinstance(value, Mapping)), argument)
        return self.aliases.get(name, name), self._parameters(argument, name, row, given)

    def schema(self) -> Schema:
        """Return the JSON schema of every form that ``read`` accepts."""
        names = [name for name in (*self.rows, *self.aliases) if self._row(name).alone]
        return {"anyOf": [{"enum": names}, *(self._row_schema(name) for name in self.rows)]}

    def _row(self, name: str) -> Row:
        return self.rows[self.aliases.get(name, name)]

    def _row_schema(self, name: str) -> Schema:
        names = [name, *(alias for alias, of in self.aliases.items() if of == name)]
        row = self.rows[name]
        properties = {
            key: {**parameter.kind.schema, "default": parameter.default} for key, parameter in row.parameters.items()
        }
        config = {"type": "object", "properties": properties, "additionalProperties": False}
        return {
            "type": "object",
            "description": row.meaning,
            "properties": {"class_name": {"enum": names}, "config": config, **_OF_KERAS_3},
            "required": ["class_name"],
            "additionalProperties": False,
        }

    def _unwrap(self, argument: str, value: Mapping[Any, Any]) -> tuple[str, Mapping[Any, Any]]:
        name, given = value.get("class_name"), value.get("config", {})
        if set(value) - WRAPPER or not isinstance(name, str) or not isinstance(given, Mapping):
            raise LayerError(
                f"{argument}: not {self.kind}: got {shown(dict(value))}, "
                "expected a name or a mapping with class_name and config",
                argument,
            )
        if not is_own(value):
            raise LayerError(
                f"{argument}: not Keras's own: got {shown(value.get('registered_name') or value.get('module'))}, "
                "expected a class of keras",
                argument,
            )
        return name, given

    def _unknown(self, argument: str, name: str, mapping: bool) -> str:
        known = [n for n in (*self.rows, *self.aliases) if mapping or self._row(n).alone]
        kind = self.kind.split(" ", 1)[1]
        what = f"{argument}: unknown {kind}: got {shown(name)}, expected one of {', '.join(self.listed or known)}"
        if name in self.rows:
            return f"{what}; write it as {{class_name: {name}, config: {{}}}}"
        return what + nearest(name, known)

    def _parameters(self, argument: str, name: str, row: Row, given: Mapping[Any, Any]) -> dict[str, Any]:
        for key in given:
            if key not in row.parameters:
                expected = ", ".join(row.parameters) or "none"
                raise UnknownArgument(
                    f"{argument}: {name} has no argument of this name: got {shown(key)}, expected {expected}"
                    + nearest(str(key), row.parameters),
                    argument,
                )
        return {
            key: parameter.kind.read(f"{argument}: {name}: {key}", given.get(key, parameter.default), argument)
            for key, parameter in row.parameters.items()
        }
