"""Keras model files: the configuration inside them, a flat list of their layers, and a network where one can run."""

from conv3d_cli.models.entry import Branch, Call, Entry, Model

__all__ = ["Branch", "Call", "Entry", "Model"]
