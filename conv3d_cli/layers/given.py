"""What may be given where a table names functions: names, mappings, Python functions, objects of Keras itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

from conv3d_cli.kinds import Kind
from conv3d_cli.named import Table, wrapped

Function = Callable[..., Any]

PACKAGES = ("keras", "tensorflow", "tf_keras")


def looked_up(table: Table, argument: str, value: Any) -> tuple[str, dict[str, Any], Function | None]:
    """Return the name and the parameters that a value stands for, and the function if it is the caller's own.

    A name or a mapping is looked up in the table, as is an object or a class of Keras, by its ``get_config``;
    anything else that can be called is taken as it is, under its ``__name__``. Raises LayerError or
    UnknownArgument, naming ``argument``.

    >>> from conv3d_cli.named import Row
    >>> looked_up(Table("a rule", {"none": Row(float, "nothing")}), "rule", abs)
    ('abs', {}, <built-in function abs>)
    """
    value = _of_keras(value)
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__name__", type(value).__name__), {}, value
    return *table.read(argument, value), None


def written(name: str, config: Mapping[str, Any], function: Function | None, keras: int, module: str) -> Any:
    """Return what Keras of a dialect writes: the object of a table, or the function given in its place.

    ``module`` is that of Keras 3. A function is written by its name alone, so that a configuration which has
    one cannot be read again without it.

    >>> written("my_loss", {}, abs, 2, "keras.regularizers")
    'my_loss'
    """
    if function is None:
        return wrapped(name, config, keras, module)
    if hasattr(function, "get_config"):
        kind = type(function)
        own = {"class_name": kind.__name__, "config": function.get_config()}
        return own if keras == 2 else {"module": kind.__module__, **own, "registered_name": kind.__name__}
    if keras == 2:
        return name
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def exact(kind: Kind) -> Kind:
    """Return a kind of numbers that keeps a whole number whole, as Keras does: its configurations write 2, not 2.0.

    >>> from conv3d_cli.kinds import NUMBER
    >>> exact(NUMBER).parse(2)
    2
    """

    def parse(value: Any) -> Any:
        number = kind.parse(value)
        return int(value) if isinstance(value, Integral) else number

    return Kind(kind.expected, parse, kind.schema)


def _of_keras(value: Any) -> Any:
    """Return the mapping that an object of Keras, or a class of it, stands for; any other value as it is."""
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__.split(".")[0] not in PACKAGES or not hasattr(kind, "get_config"):
        return value
    made = value() if isinstance(value, type) else value
    return {"class_name": kind.__name__, "config": made.get_config()}
