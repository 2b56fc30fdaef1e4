"""Volumetric convolution: Keras's Conv3D layer on arrays and on volume files.

The public names are imported when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.layers import Conv3D as Conv3D
    from conv3d_cli.layers import Convolution3D as Convolution3D
    from conv3d_cli.layers import Network as Network
    from conv3d_cli.layers import convolve as convolve
    from conv3d_cli.layers import make_layer as make_layer
    from conv3d_cli.pipeline.load import load_network as load_network
    from conv3d_cli.volumes import Volume as Volume
    from conv3d_cli.volumes import load_volume as load_volume
    from conv3d_cli.volumes import save_volume as save_volume

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "layers": "Conv3D Convolution3D Network convolve make_layer",
        "pipeline.load": "load_network",
        "volumes": "Volume load_volume save_volume",
    },
)
__all__.append("__version__")
