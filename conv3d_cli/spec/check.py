"""Layers against the rules of their classes, and against each other, each problem at the place that it is about."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from conv3d_cli.errors import Conv3dError, UnknownArgument
from conv3d_cli.layers import Conv3D, Layer, Network, make_layer
from conv3d_cli.spec.forms import Canonical, LayerNode, first_place, unknown_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from conv3d_cli.spec.problems import Place, Problems
    from conv3d_cli.spec.reader import Node


def build_network(spec: Canonical, problems: Problems) -> Network:
    """Return the network of a spec; raises SpecError with everything that is wrong in the file."""
    for layer in spec.layers:
        check_layer(layer, spec.keras, problems)
    _check_names(spec.layers, problems)
    problems.raise_any()
    layers = [make_layer(layer.class_name, layer.node.plain(), spec.keras) for layer in spec.layers]
    for rule in BETWEEN_LAYERS:
        rule(layers, spec.layers, problems)
    problems.raise_any()
    try:
        return Network(layers)
    except Conv3dError as error:
        problems.fail(_of_row(layers, spec.layers, error), str(error))


def _of_row(layers: Sequence[Layer], nodes: Sequence[LayerNode], error: Conv3dError) -> Place:
    """Return the place of the layer at which the row fails; that of its argument, if the error is about one."""
    node = nodes[-1]
    for count in range(1, len(layers)):
        try:
            Network(layers[:count])
        except Conv3dError:
            node = nodes[count - 1]
            break
    # The filters that do not match are those of a layer before.
    argument = getattr(error, "argument", None)
    return node.place if argument in (None, "filters") else first_place(node, argument)


def check_layer(layer: LayerNode, keras: int, problems: Problems) -> None:
    """Note every problem of one layer at the value, key or layer that it is about."""
    node, known = layer.node, layer.signature.arguments
    for problem in layer.signature.problems(node.plain(), keras):
        argument = problem.argument
        if isinstance(problem, UnknownArgument) and argument not in known and argument in node.keys:
            problems.add(node.keys[problem.argument], unknown_key(problem.argument, known))
        elif argument is None or argument not in node.value:
            problems.add(layer.place, str(problem))
        else:
            _explain(node.value[argument], argument, str(problem), problems)


def _explain(node: Node, argument: str, message: str, problems: Problems) -> None:
    """Note a refused value; where YAML read a word in it in an unexpected way, say that too, at that word."""
    words = list(node.walk())
    hints = [word for word in words if word.hint]
    for word in hints:
        problems.add(word.place, f"{message} ({word.hint})")
    if not hints and not any(word.never for word in words):
        problems.add(_inside(node, argument, message), message)


def _inside(node: Node, argument: str, message: str) -> Place:
    """Return the place inside ``{class_name, config}`` that a message is about, or else that of the whole.

    Messages about a parameter of an initializer or an activation begin ``argument: class: parameter:``, those
    about a parameter that it does not have show that parameter as what they got.
    """
    config: Node | None = node.value.get("config") if isinstance(node.value, dict) else None
    if config is None or not isinstance(config.value, dict) or "class_name" not in node.value:
        return node.place
    begin = f"{argument}: {node.value['class_name'].value}: "
    for key, at in config.keys.items():
        if message.startswith(f"{begin}{key}:"):
            return first_place(config, key)
        if f"no argument of this name: got {key!r}" in message:
            return at
    return node.place


def _check_names(layers: Sequence[LayerNode], problems: Problems) -> None:
    first: dict[str, Node] = {}
    for layer in layers:
        name = layer.node.value.get("name")
        if name is None or not isinstance(name.value, str):
            continue
        if name.value in first:
            problems.add(
                name.place,
                f"name: {name.value!r} is taken by the layer at {first[name.value].place}: expected another",
            )
        else:
            first[name.value] = name


def _same_format(layers: Sequence[Layer], nodes: Sequence[LayerNode], problems: Problems) -> None:
    known = [(layer, node) for layer, node in zip(layers, nodes, strict=True) if layer.needed_format is not None]
    for layer, node in known[1:]:
        first, at = known[0]
        if layer.needed_format != first.needed_format:
            problems.add(
                first_place(node, "data_format"),
                f"data_format: differs between layers: got {layer.data_format}, "
                f"expected {first.data_format} as in the layer at {at.place}",
            )


def _channels_fit(layers: Sequence[Layer], nodes: Sequence[LayerNode], problems: Problems) -> None:
    for before, node, layer, at in _neighbours(layers, nodes):
        if before.filters % layer.groups:
            problems.add(
                first_place(at, "groups"),
                f"groups: must divide the input channels: got {layer.groups}, "
                f"expected a divisor of {before.filters}, the filters of the layer at {node.place}",
            )


def _declared_fits(layers: Sequence[Layer], nodes: Sequence[LayerNode], problems: Problems) -> None:
    for before, node, layer, at in _neighbours(layers, nodes):
        declared, made = layer.declared_channels, before.filters
        if declared is not None and declared != made:
            argument = "batch_input_shape" if "batch_input_shape" in at.node.value else "input_shape"
            problems.add(
                first_place(at, argument),
                f"{argument}: must have the channels that come in: got {declared}, "
                f"expected {made}, the filters of the layer at {node.place}",
            )


def _neighbours(
    layers: Sequence[Layer], nodes: Sequence[LayerNode]
) -> Iterator[tuple[Conv3D, LayerNode, Conv3D, LayerNode]]:
    """Yield every two convolutions that follow each other directly, with their places."""
    for (before, node), (layer, at) in pairwise(zip(layers, nodes, strict=True)):
        if isinstance(before, Conv3D) and isinstance(layer, Conv3D) and before.activation.keeps_shape:
            yield before, node, layer, at


BETWEEN_LAYERS: tuple[Callable[[Sequence[Layer], Sequence[LayerNode], Problems], None], ...] = (
    _same_format,
    _channels_fit,
    _declared_fits,
)
