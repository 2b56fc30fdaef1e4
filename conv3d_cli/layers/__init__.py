"""What to compute: the layer Conv3D, the layers around it, networks of them, and the tables of their arguments.

``layer`` is what all layers have in common, ``catalogue`` every class of them, ``signature`` how arguments are
checked, ``arguments`` those of Conv3D. ``activations``, ``initializers``, ``regularizers`` and ``constraints``
hold one table of named functions each; a new row in a table is a new function that every spec can name.
``geometry`` has the shape rules, ``gradients`` the way back, ``given`` how a name is looked up, ``operation`` the
convolution without a layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.layers.catalogue import LAYERS as LAYERS
    from conv3d_cli.layers.catalogue import make_layer as make_layer
    from conv3d_cli.layers.conv3d import Conv3D as Conv3D
    from conv3d_cli.layers.conv3d import Convolution3D as Convolution3D
    from conv3d_cli.layers.layer import Layer as Layer
    from conv3d_cli.layers.magnitude import Magnitude as Magnitude
    from conv3d_cli.layers.network import Network as Network
    from conv3d_cli.layers.operation import convolve as convolve

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "catalogue": "LAYERS make_layer",
        "conv3d": "Conv3D Convolution3D",
        "layer": "Layer",
        "magnitude": "Magnitude",
        "network": "Network",
        "operation": "convolve",
    },
)
