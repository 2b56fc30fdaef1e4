"""Volumes in files: opening, checking, reading, writing, and where their voxels lie."""

from conv3d_cli.volumes.alike import on_grid
from conv3d_cli.volumes.axes import order_of, resolve_axes, spatial
from conv3d_cli.volumes.comparison import CHECKS, Comparison, compare_volumes
from conv3d_cli.volumes.deviation import Deviation, Tolerance, Worst
from conv3d_cli.volumes.files import Saved, check_dtype, check_output, load_volume, same_dtype, save_volume
from conv3d_cli.volumes.formats import FORMATS, files_of, open_volume, path_of, sha256_of, sha256_of_files
from conv3d_cli.volumes.geometry import Geometry
from conv3d_cli.volumes.masks import read_labels, read_mask
from conv3d_cli.volumes.source import Source
from conv3d_cli.volumes.values import Values, scan
from conv3d_cli.volumes.volume import Volume

__all__ = [
    "CHECKS",
    "FORMATS",
    "Comparison",
    "Deviation",
    "Geometry",
    "Saved",
    "Source",
    "Tolerance",
    "Values",
    "Volume",
    "Worst",
    "check_dtype",
    "check_output",
    "compare_volumes",
    "files_of",
    "load_volume",
    "on_grid",
    "open_volume",
    "order_of",
    "path_of",
    "read_labels",
    "read_mask",
    "resolve_axes",
    "same_dtype",
    "save_volume",
    "scan",
    "sha256_of",
    "sha256_of_files",
    "spatial",
]
