"""Initializers of both dialects of Keras, with Keras's own random numbers.

``tables`` has a row for every initializer, ``filling`` computes them, ``philox`` draws the random numbers; ``filtered``
makes the kernels of filters.
"""

from conv3d_cli.layers.initializers.filling import fans
from conv3d_cli.layers.initializers.filtered import Filtered
from conv3d_cli.layers.initializers.initializer import Initializer, stream_seed
from conv3d_cli.layers.initializers.tables import ALIASES, INITIALIZERS, ROWS, TABLES

__all__ = ["ALIASES", "INITIALIZERS", "ROWS", "TABLES", "Filtered", "Initializer", "fans", "stream_seed"]
