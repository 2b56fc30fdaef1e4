"""A model's configuration to its tree of layers, nested models opened, in both dialects of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from conv3d_cli.errors import SpecError, quoted
from conv3d_cli.frozen import replace
from conv3d_cli.models import calls
from conv3d_cli.models.entry import Branch, Entry
from conv3d_cli.models.storage import WRAPPED, Counted, below, has_weights, segments

OWN_MODULES = ("keras", "tensorflow", "tf_keras")
#: Keys beside class_name and config that a saver writes for itself.
WRAPPER = frozenset(
    {
        *("class_name", "config", "name", "inbound_nodes", "module", "registered_name"),
        *("build_config", "compile_config", "shared_object_id"),
    }
)


class Tree:
    """Reads the layers of one file; ``path`` names it in errors, ``keras`` is its dialect."""

    def __init__(self, path: str, keras: int) -> None:
        self.path = path
        self.keras = keras
        self._paths: set[str] = set()

    def read(self, written: Any) -> Branch:
        """Return the outermost model; SpecError if what is written is none, or its layers make no sense."""
        if not isinstance(written, dict) or not isinstance(written.get("class_name"), str):
            self._fail("is no Keras model: expected class_name and config at the top")
        if _layers(written) is None:
            self._fail(
                f"{quoted(written['class_name'])} lists no layers: expected a Sequential or functional model;"
                " a model that is a class of its own keeps its layers in code"
            )
        return self._branch(written, "", ("", ""), "")

    def _branch(self, written: dict[str, Any], path: str, places: tuple[str, ...], group: str) -> Branch:
        config = written["config"]
        row = isinstance(config, list) or not ("input_layers" in config or "output_layers" in config)
        listed = _layers(written) or []
        names = [self._name(layer, path) for layer in listed]
        if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
            self._fail(f"{self._where(path)} has two layers named {quoted(twice)}: expected names used once")
        known = frozenset(names)
        counted = [_counted(layer, row) for layer in listed]
        members = tuple(
            self._member(layer, f"{path}/{name}" if path else name, below(places, place), group or name, known)
            for layer, name, place in zip(listed, names, segments(counted), strict=True)
        )
        inputs, outputs = (
            () if row else self._known(self._tensors(config.get(key), path, key), known, f"{self._where(path)}: {key}")
            for key in ("input_layers", "output_layers")
        )
        name = config.get("name", "") if isinstance(config, dict) else ""
        stored = tuple(place for place in places if place)
        return Branch(written["class_name"], str(name), path, row, members, inputs, outputs, storage=stored)

    def _member(
        self, layer: dict[str, Any], path: str, places: tuple[str, ...], group: str, known: frozenset[str]
    ) -> Entry | Branch:
        if path in self._paths:
            self._fail(f"two layers are at {quoted(path)}: expected names without '/'")
        self._paths.add(path)
        try:
            uses = calls.calls(layer.get("inbound_nodes", []))
        except calls.UnreadableError as error:
            self._fail(f"layer {quoted(path)}: inbound_nodes cannot be read: {error}")
        for use in uses:
            self._known(use.inputs, known, f"layer {quoted(path)}: inbound_nodes")
        if _layers(layer) is not None:
            return replace(self._branch(layer, path, places, group), name=self._name(layer, path), calls=uses)
        if (inner := _wrapped(layer)) is not None:
            name = self._name(inner, path)
            inside = below(places, [WRAPPED] * len(places))
            member = self._member(inner, f"{path}/{name}", inside, group, frozenset())
            return Branch(
                layer["class_name"],
                self._name(layer, path),
                path,
                True,
                (member,),
                calls=uses,
                storage=places,
                wrapper=True,
            )
        return Entry(
            layer["class_name"],
            self._name(layer, path),
            path,
            layer["config"],
            self.keras,
            uses,
            group,
            tuple(f"{place}/vars" for place in places),
            _own(layer),
            tuple(sorted(str(key) for key in layer if key not in WRAPPER)),
        )

    def _name(self, layer: Any, path: str) -> str:
        where = self._where(path)
        if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
            self._fail(f"{where} has a layer without class_name: expected class_name and config")
        if not isinstance(layer.get("config"), dict) and _layers(layer) is None:
            self._fail(f"{where}: {quoted(layer['class_name'])} has no config: expected a mapping")
        config = layer["config"]
        inner = config.get("name") if isinstance(config, dict) else None
        name = layer.get("name", inner)
        if not isinstance(name, str) or not name.strip("/") or not name.isprintable():
            self._fail(f"{where}: a layer of class {quoted(layer['class_name'])} has no name that can be used")
        if isinstance(inner, str) and inner != name:
            self._fail(f"{where}: a layer has two names: got {quoted(name)} and {quoted(inner)}, expected one")
        return name

    def _tensors(self, ends: Any, path: str, key: str) -> tuple[calls.Tensor, ...]:
        try:
            return calls.tensors(ends)
        except calls.UnreadableError as error:
            self._fail(f"{self._where(path)}: {key} cannot be read: {error}")

    def _known(
        self, found: tuple[tuple[str, int, int], ...], known: frozenset[str], where: str
    ) -> tuple[tuple[str, int, int], ...]:
        for name, _, _ in found:
            if name not in known:
                self._fail(f"{where} names {quoted(name)}: expected a layer of the same model")
        return found

    def _where(self, path: str) -> str:
        return f"model {quoted(path)}" if path else "the model"

    def _fail(self, text: str) -> NoReturn:
        raise SpecError([f"{quoted(self.path)}: {text}"])


def looks_like_keras_3(written: Any) -> bool:
    """Return whether a model that names no version is Keras 3's: Keras 2 writes its version with the layers.

    >>> looks_like_keras_3({"module": "keras", "class_name": "Sequential", "config": {"layers": []}})
    True
    """
    waiting = [written]
    while waiting:
        layer = waiting.pop()
        if not isinstance(layer, dict):
            continue
        config = layer.get("config")
        if "module" in layer or (isinstance(config, dict) and ("batch_shape" in config or "module" in config)):
            return True
        waiting.extend(_layers(layer) or [])
    return False


def _layers(layer: dict[str, Any]) -> list[Any] | None:
    """Return what a model lists, or None for anything else; the first Sequentials were bare lists."""
    config = layer.get("config")
    if isinstance(config, list):
        return config if layer.get("class_name") == "Sequential" else None
    found = config.get("layers") if isinstance(config, dict) else None
    return found if isinstance(found, list) else None


def _wrapped(layer: dict[str, Any]) -> dict[str, Any] | None:
    """Return the layer inside a wrapper, such as TimeDistributed."""
    config = layer["config"]
    inner = config.get("layer") if isinstance(config, dict) else None
    return inner if isinstance(inner, dict) and isinstance(inner.get("class_name"), str) else None


def _counted(layer: dict[str, Any], row: bool) -> Counted:
    # A Sequential hides its InputLayer; an operation of Keras 3 between layers, such as x + y, is no layer.
    name, module = layer["class_name"], str(layer.get("module") or "")
    operation = ".ops." in f"{module}."
    return Counted(name, any(_weighted(layer)), not operation and not (row and name == "InputLayer"))


def _weighted(layer: Any) -> Iterator[bool]:
    if not isinstance(layer, dict):
        return
    if (inner := _layers(layer)) is not None:
        for member in inner:
            yield from _weighted(member)
    elif isinstance(layer.get("config"), dict) and (wrapped := _wrapped(layer)) is not None:
        yield from _weighted(wrapped)
    else:
        yield has_weights(str(layer.get("class_name")))


def _own(layer: dict[str, Any]) -> bool:
    module, registered = layer.get("module"), layer.get("registered_name")
    return registered in (None, layer["class_name"]) and (
        module is None or (isinstance(module, str) and module.split(".")[0] in OWN_MODULES)
    )
