"""The weights that layers hold, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def variables(layer: Any) -> dict[str, NDArray[Any]]:
    """Return the weights of a built layer by name, in Keras's order; a new dict of the same arrays."""
    return {name: array for name in ("kernel", "bias") if (array := getattr(layer, name)) is not None}


def set_variables(layer: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give a layer its weights, of the shapes and the dtype that it has."""
    layer.kernel, layer.bias = arrays["kernel"], arrays.get("bias")
