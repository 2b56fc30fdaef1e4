"""Every class of layers that a network may have, by its Keras name; Magnitude is this package's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conv3d_cli.errors import LayerError, nearest
from conv3d_cli.kinds import shown
from conv3d_cli.layers.activation_layers import FUNCTION_LAYERS, ActivationOf
from conv3d_cli.layers.borders import Cropping3D, ZeroPadding3D
from conv3d_cli.layers.conv3d import Conv3D
from conv3d_cli.layers.layer import Layer, dialect_of
from conv3d_cli.layers.magnitude import Magnitude
from conv3d_cli.layers.passing import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    InputLayer,
    SpatialDropout3D,
)

LAYERS: Mapping[str, type[Layer]] = {
    "Conv3D": Conv3D,
    "Convolution3D": Conv3D,
    "InputLayer": InputLayer,
    "Activation": ActivationOf,
    **FUNCTION_LAYERS,
    "Dropout": Dropout,
    "SpatialDropout3D": SpatialDropout3D,
    "GaussianDropout": GaussianDropout,
    "GaussianNoise": GaussianNoise,
    "AlphaDropout": AlphaDropout,
    "ZeroPadding3D": ZeroPadding3D,
    "Cropping3D": Cropping3D,
    "Magnitude": Magnitude,
}


def make_layer(class_name: str, config: Mapping[str, Any], keras: int | None = None) -> Layer:
    """Return the layer of a class's name and a configuration as Keras writes them.

    Without ``keras`` the dialect is the one that the configuration is written in. Raises LayerError for a
    class that there is not, and what the class's constructor raises.

    >>> make_layer("Cropping3D", {"cropping": 2}).cropping
    ((2, 2), (2, 2), (2, 2))
    """
    if class_name not in LAYERS:
        raise LayerError(
            f"class_name: no such layer: got {shown(class_name)}, expected one of {', '.join(LAYERS)}"
            + nearest(str(class_name), LAYERS),
            "class_name",
        )
    return LAYERS[class_name].from_config(config, dialect_of(config) if keras is None else keras)
