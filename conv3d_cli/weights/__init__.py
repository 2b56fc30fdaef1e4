"""Weights files: arrays in and out of a network, one reader for each format."""

from conv3d_cli.weights.assign import assign, channels_of, check, expected_shapes
from conv3d_cli.weights.convert import LAYOUTS, Taken, take, to_torch
from conv3d_cli.weights.files import (
    FREE,
    READERS,
    WRITERS,
    check_writable,
    named_weights,
    read_weights,
    suffix_of,
    write_arrays,
    write_weights,
)
from conv3d_cli.weights.hdf5 import hdf5_holds
from conv3d_cli.weights.mapping import FileLayer, Header, Weights
from conv3d_cli.weights.models import named_by
from conv3d_cli.weights.projecting import Projected, project
from conv3d_cli.weights.slices import kernel_text, small, values_text
from conv3d_cli.weights.table import Row, describe

__all__ = [
    "FREE",
    "LAYOUTS",
    "READERS",
    "WRITERS",
    "FileLayer",
    "Header",
    "Projected",
    "Row",
    "Taken",
    "Weights",
    "assign",
    "channels_of",
    "check",
    "check_writable",
    "describe",
    "expected_shapes",
    "hdf5_holds",
    "kernel_text",
    "named_by",
    "named_weights",
    "project",
    "read_weights",
    "small",
    "suffix_of",
    "take",
    "to_torch",
    "values_text",
    "write_arrays",
    "write_weights",
]
