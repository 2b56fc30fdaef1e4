"""What to compute: the layer Conv3D, the layers around it, networks of them, and the tables of their arguments.

``layer`` is what all layers have in common, ``catalogue`` every class of them. ``arguments`` holds Conv3D's
arguments and their checks, ``activations``, ``initializers``, ``regularizers`` and ``constraints`` one table
each of named functions; a new row in a table is a new function that every spec can name. ``functions`` computes
the activations, ``derivatives`` and ``gradients`` the way back, ``philox`` draws Keras's random numbers,
``kinds`` says what values an argument may have, ``named`` how a name is looked up, ``geometry`` has the shape
rules, ``operation`` is the convolution without a layer.
"""

from conv3d_cli.layers.catalogue import LAYERS, make_layer
from conv3d_cli.layers.conv3d import Conv3D
from conv3d_cli.layers.layer import Layer
from conv3d_cli.layers.network import Network
from conv3d_cli.layers.operation import convolve

Convolution3D = Conv3D
"""Keras's other name of the layer."""

__all__ = ["LAYERS", "Conv3D", "Convolution3D", "Layer", "Network", "convolve", "make_layer"]
