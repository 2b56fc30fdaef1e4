"""Every accepted form of a spec becomes one canonical form: a dialect, a weights file, a list of layers.

The forms are ``layers:`` with a list; the keys of a single Conv3D; and, for a layer in either, Keras's own
``class_name:`` with ``config:``, which is also how a layer of another class than Conv3D is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.errors import nearest
from conv3d_cli.frozen import frozen
from conv3d_cli.layers import LAYERS
from conv3d_cli.layers.arguments import ARGUMENTS
from conv3d_cli.layers.signature import DIALECTS, Signature
from conv3d_cli.named import is_own
from conv3d_cli.spec.problems import Place, Problems, shown
from conv3d_cli.spec.reader import Node

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE_KEYS = {
    "keras": "dialect of names and formulas: 2, the one of tf.keras 2.4, or 3, that of Keras 3",
    "weights": "weights file, relative to the folder of the spec",
    "layers": "layers, each applied to what the one before it gives",
}
WRAPPER_KEYS = {
    "class_name": "class of the layer, as Keras writes it",
    "config": "arguments of the layer",
    "module": "the class's module, as Keras 3 writes it",
    "registered_name": "null, as Keras 3 writes it for its own classes",
}


@frozen
class LayerNode:
    """A layer of a spec: its class, and the mapping from its arguments, which knows its place."""

    class_name: str
    node: Node

    @property
    def place(self) -> Place:
        """Where the arguments begin."""
        return self.node.place

    @property
    def signature(self) -> Signature:
        """The arguments that the class has."""
        return LAYERS[self.class_name].signature


@frozen
class Canonical:
    """A spec in its one form."""

    keras: int
    weights: str | None
    layers: list[LayerNode]


def canonical_form(root: Node, problems: Problems) -> Canonical:
    """Return the canonical form of a spec; what has no place in it goes to ``problems``."""
    if not isinstance(root.value, dict):
        what = "a list" if isinstance(root.value, list) else shown(root.value)
        problems.fail(
            root.place,
            f"the spec must be a mapping: got {what} at the top, expected `layers:` or Conv3D's keys",
        )
    return Canonical(_keras(root, problems), _weights(root, problems), list(_layers(root, problems)))


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message about a key that nothing has, with the nearest name, or else with all names."""
    names = sorted(known)
    return f"unknown key {shown(key)}" + (nearest(key, names) or f": expected one of {', '.join(names)}")


def refuse_unknown(node: Node, known: Iterable[str], problems: Problems) -> None:
    """Note every key of a mapping that is not among the known ones."""
    for key in node.value.keys() - set(known):
        problems.add(node.keys[key], unknown_key(key, known))


def _keras(root: Node, problems: Problems) -> int:
    node = root.value.get("keras")
    if node is None:
        return DIALECTS[0]
    if type(node.value) is int and node.value in DIALECTS:
        return node.value
    known = " or ".join(map(str, DIALECTS))
    problems.add(node.place, f"keras: unknown dialect: got {shown(node.plain())}, expected {known}" + _explained(node))
    return DIALECTS[0]


def _weights(root: Node, problems: Problems) -> str | None:
    node = root.value.get("weights")
    if node is None:
        return None
    if not isinstance(node.value, str) or not node.value:
        problems.add(
            node.place,
            f"weights: must be the name of a file: got {shown(node.plain())}, expected for example edges.npz"
            + _explained(node),
        )
        return None
    return node.value


def _explained(node: Node) -> str:
    return f" ({node.hint})" if node.hint else ""


def _layers(root: Node, problems: Problems) -> Iterable[LayerNode]:
    if "layers" in root.value:
        refuse_unknown(root, FILE_KEYS, problems)
        return _listed(root.value["layers"], problems)
    own = {key: node for key, node in root.value.items() if key not in FILE_KEYS}
    if not own.keys() & (ARGUMENTS.keys() | WRAPPER_KEYS.keys()):
        for key in own:
            problems.add(root.keys[key], unknown_key(key, (*FILE_KEYS, *ARGUMENTS)))
        if not own:
            problems.add(root.place, "no layer: expected `layers:`, or the keys of one Conv3D")
        return []
    for key in own.keys() - ARGUMENTS.keys() - WRAPPER_KEYS.keys():
        problems.add(root.keys[key], unknown_key(key, (*FILE_KEYS, *ARGUMENTS)))
    known = {key: node for key, node in own.items() if key in ARGUMENTS or key in WRAPPER_KEYS}
    first = min(root.keys[key] for key in known)
    return _unwrapped(Node(known, first, root.keys), problems)


def _listed(node: Node, problems: Problems) -> Iterable[LayerNode]:
    if not isinstance(node.value, list) or not node.value:
        what = "an empty list" if node.value == [] else shown(node.plain())
        problems.add(
            node.place,
            f"layers: must be a list of layers: got {what}, expected at least one `- filters: ...`",
        )
        return []
    return [layer for item in node.value for layer in _unwrapped(item, problems)]


def _unwrapped(node: Node, problems: Problems) -> list[LayerNode]:
    """Return a layer in a list, which is empty where there is nothing to check."""
    if not isinstance(node.value, dict):
        problems.add(node.place, f"a layer must be a mapping of Conv3D's keys: got {shown(node.plain())}")
        return []
    if "class_name" not in node.value:
        return [LayerNode("Conv3D", node)] if "config" not in node.value else _half_wrapped(node, problems)
    refuse_unknown(node, WRAPPER_KEYS, problems)
    name, config = node.value["class_name"], node.value.get("config")
    if not isinstance(name.value, str) or name.value not in LAYERS:
        known = ", ".join(LAYERS)
        problems.add(
            name.place,
            f"class_name: no such layer: got {shown(name.plain())}"
            + (_nearest_class(name) or f": expected one of {known}"),
        )
        return []
    if not is_own(node.plain()):
        problems.add(node.place, "class_name: not Keras's own: expected a class of keras")
        return []
    if config is None:
        problems.add(node.place, f"config: missing beside class_name: expected a mapping of {name.value}'s keys")
        return []
    if not isinstance(config.value, dict):
        problems.add(config.place, f"config: must be a mapping of {name.value}'s keys: got {shown(config.plain())}")
        return []
    return [LayerNode(name.value, config)]


def _half_wrapped(node: Node, problems: Problems) -> list[LayerNode]:
    problems.add(node.keys["config"], "config: stands alone: expected `class_name: Conv3D` beside it")
    return []


def _nearest_class(name: Node) -> str:
    if name.value in ("Sequential", "Functional", "Model"):
        return ", expected its layers in a list under `layers:`, or the model's own .json file"
    return nearest(name.value, LAYERS) if isinstance(name.value, str) else ""


def first_place(layer: LayerNode | Node, argument: str) -> Place:
    """Return where an argument of a layer stands; the layer's own place where it is not given."""
    mapping = layer.node if isinstance(layer, LayerNode) else layer
    node: Node | None = mapping.value.get(argument)
    return node.place if node is not None else layer.place
