"""How layers are connected: the inbound nodes that both dialects of Keras write.

Keras 2 writes ``[[["conv_a", 0, 0, {}]]]``, a list of calls, each a list of tensors whose last item holds the options.
Keras 3 writes ``[{"args": [...], "kwargs": {...}}]`` with a ``__keras_tensor__`` for each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from conv3d_cli.models.entry import Call

Tensor: TypeAlias = tuple[str, int, int]


class UnreadableError(ValueError):
    """Connections that neither dialect writes; the text says what is wrong."""


def calls(nodes: Any) -> tuple[Call, ...]:
    """Return the uses of a layer; UnreadableError for what is no list of inbound nodes.

    >>> calls([[["conv_a", 0, 0, {"training": True}]]])
    (Call(inputs=(('conv_a', 0, 0),), options={'training': True}),)
    """
    if not isinstance(nodes, list):
        raise UnreadableError(f"got {type(nodes).__name__}, expected a list")
    return tuple(_call(node) for node in nodes)


def tensors(value: Any) -> tuple[Tensor, ...]:
    """Return the tensors in a list, or a mapping, or alone, as input_layers and output_layers have them.

    >>> tensors(["conv_a", 0, 0]), tensors([["conv_a", 0, 0], ["conv_b", 0, 0]])
    ((('conv_a', 0, 0),), (('conv_a', 0, 0), ('conv_b', 0, 0)))
    """
    return tuple(_tensors(value))


def _call(node: Any) -> Call:
    if isinstance(node, dict):
        args, kwargs = node.get("args", []), node.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise UnreadableError("got a call without args and kwargs, expected both")
        options = {key: value for key, value in kwargs.items() if value is not None}
        inside = [tensor for value in options.values() for tensor in _tensors(value)]
        if len(args) > 1 and any(not any(_tensors(value)) for value in args[1:]):
            options["*"] = args[1:]
        return Call((*_tensors(args), *inside), options)
    if isinstance(node, list):
        options = {}
        found: list[Tensor] = []
        for item in node if not _is_tensor(node) else [node]:
            if not _is_tensor(item):
                raise UnreadableError("got an input that is no [layer, call, output], expected one")
            found.append((item[0], item[1], item[2]))
            for key, value in item[3].items() if len(item) > 3 and isinstance(item[3], dict) else ():
                found.extend(_tensors(value))
                if value is not None:
                    options[key] = value
        return Call(tuple(found), options)
    raise UnreadableError(f"got {type(node).__name__}, expected a list or a mapping")


def _tensors(value: Any) -> Iterator[Tensor]:
    if _is_tensor(value):
        yield value[0], value[1], value[2]
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history: Any = config.get("keras_history") if isinstance(config, dict) else None
            if not _is_tensor(history):
                raise UnreadableError("got a tensor without keras_history, expected [layer, call, output]")
            yield history[0], history[1], history[2]
        else:
            for item in value.values():
                yield from _tensors(item)


def _is_tensor(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:3])
    )
