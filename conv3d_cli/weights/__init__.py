"""Weights files: arrays in and out of a network, one reader for each format."""

from conv3d_cli.weights.assign import assign, check, expected_shapes
from conv3d_cli.weights.files import READERS, WRITERS, named_weights, read_weights, write_weights
from conv3d_cli.weights.mapping import Header, Weights
from conv3d_cli.weights.table import Row, describe

__all__ = [
    "READERS",
    "WRITERS",
    "Header",
    "Row",
    "Weights",
    "assign",
    "check",
    "describe",
    "expected_shapes",
    "named_weights",
    "read_weights",
    "write_weights",
]
