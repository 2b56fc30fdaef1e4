"""Keras model files: the configuration inside them, a flat list of their layers, and a network where one can run."""

from conv3d_cli.models.entry import Branch, Call, Entry, Model
from conv3d_cli.models.files import SUFFIXES
from conv3d_cli.models.network import build_network
from conv3d_cli.models.read import read_model
from conv3d_cli.models.storage import legacy_owners
from conv3d_cli.models.text import is_model_json

__all__ = [
    "SUFFIXES",
    "Branch",
    "Call",
    "Entry",
    "Model",
    "build_network",
    "is_model_json",
    "legacy_owners",
    "read_model",
]
