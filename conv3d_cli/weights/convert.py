"""Weights from one framework's layout to another's, layer by layer: Keras's (kd, kh, kw, C/groups, F) is the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import WeightsError, nearest, quoted
from conv3d_cli.frozen import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from conv3d_cli.weights.mapping import FileLayer, Weights

LAYOUTS = ("keras", "torch")
SHOWN = 20
TO_KERAS, TO_TORCH = (2, 3, 4, 1, 0), (4, 3, 0, 1, 2)


@frozen
class Taken:
    """Arrays in Keras's layout by layer and name, and what a person should know of what was left out."""

    arrays: dict[str, dict[str, NDArray[Any]]]
    notes: list[str] = field(default_factory=list)

    def flat(self, bare: bool = False) -> dict[str, NDArray[Any]]:
        """Return the arrays as ``<layer>/<weight>``; ``bare`` leaves out the name of a single layer."""
        alone = bare and len(self.arrays) == 1
        return {
            weight if alone or not layer else f"{layer}/{weight}": array
            for layer, weights in self.arrays.items()
            for weight, array in weights.items()
        }


TORCH_NAMES = {"kernel": "weight", "alpha": "weight"}
ACTIVATION = ".activation"
"""Name of the PReLU inside a convolution, where PyTorch's names are written."""


def take(weights: Weights, layer: str | None = None, layout: str | None = None) -> Taken:
    """Return the Conv3D layers of a file, and its PReLU layers, in Keras's layout; or one of them by its name.

    ``layout`` is the file's, ``"keras"`` or ``"torch"``; None goes by the names of the arrays. Raises WeightsError for
    a layer that is not there, naming those that are, for one of another kind, and if there is none to take.
    """
    layout = layout or weights.layout or "keras"
    kinds = {path: _kind(one, weights, layout) for path, one in weights.layers.items()}
    known = [path for path, kind in kinds.items() if kind]
    notes: list[str] = []
    if layer is not None:
        chosen = [_find(weights, layer, known, kinds)]
    else:
        chosen = known
        if left := [path for path in kinds if path not in known]:
            notes.append(f"left out, neither Conv3D nor PReLU: {_list(left)}")
    if not chosen:
        raise WeightsError(
            f"{quoted(weights.path)}: holds no Conv3D layer: got {_list(weights.layers)}{_hint(weights, layout)}"
        )
    if square := [path for path in chosen if layout == "torch" and _square(weights, path)]:
        notes.append(f"taken for Conv3d, though a transposed convolution would look the same here: {_list(square)}")
    arrays = {path: _read(weights, weights.layers[path], kinds[path], layout) for path in chosen}
    for path in [path for path in arrays if path.endswith(ACTIVATION) and path.removesuffix(ACTIVATION) in arrays]:
        arrays[path.removesuffix(ACTIVATION)] |= arrays.pop(path)
    return Taken(arrays, notes)


def to_torch(arrays: Mapping[str, Mapping[str, NDArray[Any]]], bare: bool = False) -> dict[str, NDArray[Any]]:
    """Return PyTorch's names and axes (F, C/groups, kd, kh, kw) for arrays in Keras's, by layer.

    >>> kernel = np.zeros((3, 3, 3, 2, 8))
    >>> {name: array.shape for name, array in to_torch({"block/a": {"kernel": kernel}}).items()}
    {'block.a.weight': (8, 2, 3, 3, 3)}
    """
    found: dict[str, NDArray[Any]] = {}
    for layer, weights in arrays.items():
        prefix = "" if (bare and len(arrays) == 1) or not layer else layer.replace("/", ".") + "."
        for name, array in weights.items():
            if name == "alpha" and array.size != max(array.shape, default=1):
                raise WeightsError(
                    f"layer {quoted(layer)}: alpha has a value for each voxel: got shape {array.shape}, "
                    "expected one for each channel, as PyTorch's PReLU has"
                )
            turned = array.transpose(TO_TORCH) if name == "kernel" else array.ravel() if name == "alpha" else array
            inside = f"{ACTIVATION[1:]}." if name == "alpha" and "kernel" in weights else ""
            found[f"{prefix}{inside}{TORCH_NAMES.get(name, name)}"] = np.ascontiguousarray(turned)
    return found


def _kind(layer: FileLayer, weights: Weights, layout: str) -> str | None:
    """Return Conv3D or PReLU, or None for a layer that is neither, as far as class, names and shapes tell."""
    if layer.class_name not in (None, "Conv3D", "Convolution3D", "PReLU"):
        return None
    shapes = {weight: weights.headers[name].shape for weight, name in layer.weights.items()}
    main = shapes.get("weight" if layout == "torch" else "kernel", ())
    if (
        len(main) == 5
        and set(shapes) <= {"kernel", "weight", "bias", "alpha"}
        and "transpose" not in layer.path.rpartition("/")[2]
    ):
        # A bias along another axis is a transposed convolution's.
        filters = main[0] if layout == "torch" else main[4]
        return "Conv3D" if shapes.get("bias", (filters,)) == (filters,) else None
    if layout == "torch":
        return "PReLU" if set(shapes) == {"weight"} and len(main) == 1 else None
    return "PReLU" if set(shapes) == {"alpha"} else None


def _square(weights: Weights, path: str) -> bool:
    """Return whether a kernel of PyTorch has as many filters as channels: a transposed one has them the other way."""
    shape = weights.headers[weights.layers[path].weights["weight"]].shape
    return len(shape) == 5 and shape[0] == shape[1] > 1


def _find(weights: Weights, layer: str, known: list[str], kinds: Mapping[str, str | None]) -> str:
    """Return the path of the layer that a name stands for: its path, or its own name if no other layer has it."""
    paths = [path for path in kinds if path == layer] or [path for path in kinds if path.endswith(f"/{layer}")]
    if len(paths) == 1 and kinds[paths[0]]:
        return paths[0]
    where = quoted(weights.path)
    if len(paths) > 1:
        raise WeightsError(f"{where}: {quoted(layer)} is the name of several layers: expected one of {_list(paths)}")
    if paths:
        one = weights.layers[paths[0]]
        got = ", ".join(f"{w} {weights.headers[name].shape}" for w, name in one.weights.items())
        kind = f"{one.class_name} with " if one.class_name else ""
        raise WeightsError(
            f"{where}: layer {quoted(layer)} is no Conv3D: got {kind}{got}; the Conv3D are {_list(known)}"
        )
    raise WeightsError(
        f"{where}: there is no layer {quoted(layer)}: expected one of {_list(known)}{nearest(layer, known)}"
    )


def _read(weights: Weights, layer: FileLayer, kind: str | None, layout: str) -> dict[str, NDArray[Any]]:
    arrays = {weight: weights[name] for weight, name in layer.weights.items()}
    if layout != "torch":
        return arrays
    main = arrays.pop("weight")
    if kind == "PReLU":
        return {"alpha": main.reshape(1, 1, 1, -1)}
    return {"kernel": np.ascontiguousarray(main.transpose(TO_KERAS)), **arrays}


def _hint(weights: Weights, layout: str) -> str:
    other = next(name for name in LAYOUTS if name != layout)
    if any(_kind(one, weights, other) for one in weights.layers.values()):
        return f"; in {other}'s layout there would be some: try --from {other}"
    return ""


def _list(paths: Mapping[str, object] | list[str]) -> str:
    shown = [quoted(path) if path else "arrays without a layer's name" for path in paths]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "") or "no layer"
