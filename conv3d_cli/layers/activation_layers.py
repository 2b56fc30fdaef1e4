"""Activations as layers of their own: Activation itself, and those that Keras has as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from conv3d_cli.errors import LayerError, UnknownArgument
from conv3d_cli.frozen import replace
from conv3d_cli.layers.activations import Activation, as_written, layer_parameters
from conv3d_cli.layers.activations.forms import WRITTEN_KEYS
from conv3d_cli.layers.arguments import ARGUMENTS
from conv3d_cli.layers.constraints import Constraint
from conv3d_cli.layers.initializers import Initializer
from conv3d_cli.layers.layer import Array, Layer, Shape
from conv3d_cli.layers.regularizers import Regularizer
from conv3d_cli.layers.signature import COMMON, COMMON_RULES, REQUIRED, Argument, Refusal, Signature
from conv3d_cli.layers.weighted import about
from conv3d_cli.named import Parameter


class ActivationLayer(Layer):
    """A layer that applies a function to its values; ``activation`` has its parameters and its weights."""

    activation: Activation

    @property
    def initializers(self) -> dict[str, Initializer]:
        """What makes the function's weights."""
        return self.activation.initializers

    @property
    def regularizers(self) -> dict[str, Regularizer | None]:
        """What each weight is charged by."""
        return self.activation.regularizers

    @property
    def constraints(self) -> dict[str, Constraint | None]:
        """What each weight should satisfy."""
        return self.activation.constraints

    def weight_shapes(self, input_shape: Sequence[int | None]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the function's weights for an input of a shape."""
        self.compute_output_shape(input_shape)
        with about(f"layer {self.name!r}"):
            return self.activation.weight_shapes(input_shape)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the output for that of an input; raises ShapeError if the function cannot take it."""
        shape = self.checked_shape(input_shape)
        with about(f"layer {self.name!r}"):
            return self.activation.output_shape(shape)

    def compute(self, x: Array) -> Array:
        """Return the function of the input, as a new array."""
        return self.activation(x, weights=self.computing)

    def arguments(self) -> dict[str, Any]:
        """Return the function of Activation, or the function's parameters."""
        return super().arguments() if self.class_name == "Activation" else dict(self.activation.config)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as Keras writes it; ``from_config`` makes an equal layer of it."""
        config = super().get_config()
        if self.class_name == "Activation":
            return config
        config.pop("activation", None)
        # A function with nothing but defaults is written by its name; its layer has them all.
        whole = {key: as_written(value, self.keras) for key, value in self.activation.config.items()}
        return self.in_order(config | whole)


class FunctionSignature(Signature):
    """The signature of a layer whose arguments are the parameters of one function, in either dialect."""

    def normalised(self, config: Mapping[str, Any], keras: int) -> tuple[dict[str, Any], list[Refusal]]:
        """Return the common arguments and the function; the problems of all of them."""
        common = Signature(self.owner, COMMON, COMMON_RULES)
        values, found = common.normalised({name: config[name] for name in config if name in COMMON}, keras)
        parameters = {name: value for name, value in config.items() if name not in COMMON}
        try:
            given = {"class_name": self.owner, "config": parameters}
            values["activation"] = Activation.of(given, self.owner, keras)
        except (LayerError, UnknownArgument) as error:
            found.append(self._of_parameter(error, parameters))
        return values, found

    def _of_parameter(self, error: Refusal, parameters: Mapping[str, Any]) -> Refusal:
        """Return a refusal that names the parameter at fault, and the owner once."""
        text = str(error).removeprefix(f"{self.owner}: ")
        at = next((k for k in parameters if text.startswith(f"{self.owner}: {k}:") or f"got {k!r}," in text), None)
        return (
            UnknownArgument(text, at or self.owner)
            if isinstance(error, UnknownArgument)
            else LayerError(text, at or "class_name")
        )


class ActivationOf(ActivationLayer):
    """Keras's layer Activation: a function by its name.

    >>> import numpy as np
    >>> float(ActivationOf("relu")(np.full((1, 1, 1, 1, 1), -2.0)).max())
    0.0
    """

    class_name: ClassVar[str] = "Activation"
    signature: ClassVar[Signature] = Signature(
        "Activation", {"activation": replace(ARGUMENTS["activation"], default=REQUIRED), **COMMON}, COMMON_RULES
    )


def _function(name: str) -> FunctionSignature:
    """Return the signature of the layer that is one function, with the parameters of either dialect."""
    own = {key: _argument(name, key, parameter) for key, parameter in layer_parameters(name).items()}
    return FunctionSignature(name, {**own, **COMMON})


def _argument(name: str, key: str, parameter: Parameter) -> Argument:
    kind = parameter.kind
    return Argument(
        parameter.default,
        lambda value, _: kind.read(f"{name}: {key}", value),
        lambda: kind.schema,
        f"parameter of {name}",
    )


class ReLU(ActivationLayer):
    """Keras's ReLU."""

    class_name: ClassVar[str] = "ReLU"
    signature: ClassVar[Signature] = _function("ReLU")


class LeakyReLU(ActivationLayer):
    """Keras's LeakyReLU."""

    class_name: ClassVar[str] = "LeakyReLU"
    signature: ClassVar[Signature] = _function("LeakyReLU")


class ELU(ActivationLayer):
    """Keras's ELU."""

    class_name: ClassVar[str] = "ELU"
    signature: ClassVar[Signature] = _function("ELU")
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = WRITTEN_KEYS["ELU"]


class PReLU(ActivationLayer):
    """Keras's PReLU, whose slope is a weight."""

    class_name: ClassVar[str] = "PReLU"
    signature: ClassVar[Signature] = _function("PReLU")


class ThresholdedReLU(ActivationLayer):
    """Keras 2's ThresholdedReLU."""

    class_name: ClassVar[str] = "ThresholdedReLU"
    signature: ClassVar[Signature] = _function("ThresholdedReLU")


class Softmax(ActivationLayer):
    """Keras's Softmax."""

    class_name: ClassVar[str] = "Softmax"
    signature: ClassVar[Signature] = _function("Softmax")


FUNCTION_LAYERS: Mapping[str, type[ActivationLayer]] = {
    layer.class_name: layer for layer in (ReLU, LeakyReLU, ELU, PReLU, ThresholdedReLU, Softmax)
}
"""The layers that are one function each, by Keras's names."""
