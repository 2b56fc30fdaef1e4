"""What to compute: the layer Conv3D, the layers around it, networks of them, and the tables of their arguments.

``layer`` is what all layers have in common, ``catalogue`` every class of them, ``signature`` how arguments are
checked, ``arguments`` those of Conv3D. ``activations``, ``initializers``, ``regularizers`` and ``constraints``
hold one table of named functions each; a new row in a table is a new function that every spec can name.
``geometry`` has the shape rules, ``gradients`` the way back, ``given`` how a name is looked up, ``operation`` the
convolution without a layer.
"""

from conv3d_cli.layers.catalogue import LAYERS, make_layer
from conv3d_cli.layers.conv3d import Conv3D
from conv3d_cli.layers.layer import Layer
from conv3d_cli.layers.magnitude import Magnitude
from conv3d_cli.layers.network import Network
from conv3d_cli.layers.operation import convolve

Convolution3D = Conv3D
"""Keras's other name of the layer."""

__all__ = ["LAYERS", "Conv3D", "Convolution3D", "Layer", "Magnitude", "Network", "convolve", "make_layer"]
