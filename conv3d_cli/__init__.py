"""Volumetric convolution: Keras's Conv3D layer on arrays and on volume files.

The public names are imported when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conv3d_cli.layers import Conv3D, Convolution3D, Network, convolve, make_layer
    from conv3d_cli.pipeline.load import load_network
    from conv3d_cli.volumes import Volume, load_volume, save_volume

__version__ = "0.1.0"

_HOMES = {
    "Conv3D": "conv3d_cli.layers",
    "Convolution3D": "conv3d_cli.layers",
    "Network": "conv3d_cli.layers",
    "Volume": "conv3d_cli.volumes",
    "convolve": "conv3d_cli.layers",
    "load_network": "conv3d_cli.pipeline.load",
    "load_volume": "conv3d_cli.volumes",
    "make_layer": "conv3d_cli.layers",
    "save_volume": "conv3d_cli.volumes",
}

__all__ = [
    "Conv3D",
    "Convolution3D",
    "Network",
    "Volume",
    "__version__",
    "convolve",
    "load_network",
    "load_volume",
    "make_layer",
    "save_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
