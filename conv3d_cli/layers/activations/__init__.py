"""Activations of both dialects of Keras: one table of named functions each.

``tables`` has a row for every function, ``forms`` what may stand where one is named; ``smooth``, ``pieces`` (those
made of straight lines, mostly) and ``mixing`` (those along an axis) compute them, ``slopes`` and ``derivatives``
the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.layers.activations.activation import Activation as Activation
    from conv3d_cli.layers.activations.activation import as_written as as_written
    from conv3d_cli.layers.activations.tables import ACTIVATION_SCHEMA as ACTIVATION_SCHEMA
    from conv3d_cli.layers.activations.tables import ACTIVATIONS as ACTIVATIONS
    from conv3d_cli.layers.activations.tables import ROWS as ROWS
    from conv3d_cli.layers.activations.tables import TABLES as TABLES
    from conv3d_cli.layers.activations.tables import layer_parameters as layer_parameters

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "activation": "Activation as_written",
        "tables": "ACTIVATION_SCHEMA ACTIVATIONS ROWS TABLES layer_parameters",
    },
)
