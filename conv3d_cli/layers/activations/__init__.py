"""Activations of both dialects of Keras: one table of named functions each.

``tables`` has a row for every function, ``forms`` what may stand where one is named; ``smooth``, ``pieces`` (those
made of straight lines, mostly) and ``mixing`` (those along an axis) compute them, ``slopes`` and ``derivatives``
the way back.
"""

from conv3d_cli.layers.activations.activation import (
    ACTIVATION_SCHEMA,
    ACTIVATIONS,
    ROWS,
    TABLES,
    Activation,
    as_written,
    layer_parameters,
)

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_SCHEMA",
    "ROWS",
    "TABLES",
    "Activation",
    "as_written",
    "layer_parameters",
]
