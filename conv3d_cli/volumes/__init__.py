"""Volumes in files: opening, checking, reading, writing, and where their voxels lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.volumes.alike import on_grid as on_grid
    from conv3d_cli.volumes.axes import order_of as order_of
    from conv3d_cli.volumes.axes import resolve_axes as resolve_axes
    from conv3d_cli.volumes.axes import spatial as spatial
    from conv3d_cli.volumes.comparison import CHECKS as CHECKS
    from conv3d_cli.volumes.comparison import Comparison as Comparison
    from conv3d_cli.volumes.comparison import compare_volumes as compare_volumes
    from conv3d_cli.volumes.deviation import Deviation as Deviation
    from conv3d_cli.volumes.deviation import Tolerance as Tolerance
    from conv3d_cli.volumes.deviation import Worst as Worst
    from conv3d_cli.volumes.files import Saved as Saved
    from conv3d_cli.volumes.files import check_dtype as check_dtype
    from conv3d_cli.volumes.files import check_output as check_output
    from conv3d_cli.volumes.files import load_volume as load_volume
    from conv3d_cli.volumes.files import same_dtype as same_dtype
    from conv3d_cli.volumes.files import save_volume as save_volume
    from conv3d_cli.volumes.formats import FORMATS as FORMATS
    from conv3d_cli.volumes.formats import files_of as files_of
    from conv3d_cli.volumes.formats import open_volume as open_volume
    from conv3d_cli.volumes.formats import path_of as path_of
    from conv3d_cli.volumes.formats import sha256_of as sha256_of
    from conv3d_cli.volumes.formats import sha256_of_files as sha256_of_files
    from conv3d_cli.volumes.geometry import Geometry as Geometry
    from conv3d_cli.volumes.masks import read_labels as read_labels
    from conv3d_cli.volumes.masks import read_mask as read_mask
    from conv3d_cli.volumes.source import Source as Source
    from conv3d_cli.volumes.values import Values as Values
    from conv3d_cli.volumes.values import scan as scan
    from conv3d_cli.volumes.volume import Volume as Volume

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "alike": "on_grid",
        "axes": "order_of resolve_axes spatial",
        "comparison": "CHECKS Comparison compare_volumes",
        "deviation": "Deviation Tolerance Worst",
        "files": "Saved check_dtype check_output load_volume same_dtype save_volume",
        "formats": "FORMATS files_of open_volume path_of sha256_of sha256_of_files",
        "geometry": "Geometry",
        "masks": "read_labels read_mask",
        "source": "Source",
        "values": "Values scan",
        "volume": "Volume",
    },
)
