"""NIfTI headers of outputs: geometry from the volume, units and codes from its input, scaling never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import UsageError
from conv3d_cli.volumes.geometry import Geometry
from conv3d_cli.volumes.making import extension
from conv3d_cli.volumes.nifti_fields import Record, record, set_qform, set_sform, spacing_affine
from conv3d_cli.volumes.nifti_header import DATA_FROM, DATATYPES, PAIR, SINGLE, UNITS

if TYPE_CHECKING:
    from conv3d_cli.volumes.volume import Volume

LARGEST_DIM_1 = 32767
MOST_AXES = 7
#: The code of an affine that came from elsewhere: aligned to something, as nibabel writes.
ALIGNED = 2
CODES = {kind: code for code, kind in DATATYPES.items()}
UNIT_CODES = {unit: code for code, unit in UNITS.items()}


def header_bytes(volume: Volume, dtype: np.dtype[Any], pair: bool) -> bytes:
    """Return header, extension flag and extension of a NIfTI file that holds a volume with the axes xyz in front."""
    shape, meta = volume.array.shape, volume.meta if volume.format == "nifti" else {}
    if len(shape) > MOST_AXES:
        raise UsageError(f"output: NIfTI holds at most {MOST_AXES} axes: got {len(shape)}")
    version = 2 if max(shape) > LARGEST_DIM_1 else int(meta.get("version", 1))
    header = record(version)
    header["datatype"], header["bitpix"] = CODES[f"{dtype.kind}{dtype.itemsize}"], 8 * dtype.itemsize
    header["dim"][0], header["dim"][1 : len(shape) + 1] = len(shape), shape
    header["magic"] = (PAIR if pair else SINGLE)[version]
    made = b"" if volume.provenance is None else extension(volume.provenance)
    header["vox_offset"] = 0 if pair else DATA_FROM[version] + len(made)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["descrip"] = meta.get("descrip", b"")
    _set_geometry(header, volume.geometry, meta)
    if "t" in volume.axes and meta:
        header["pixdim"][1 + volume.axes.index("t")] = meta["time_step"]
        header["toffset"] = meta["toffset"]
    flag = b"" if pair and not made else bytes([bool(made), 0, 0, 0])
    return header.tobytes() + flag + made


def _set_geometry(header: Record, geometry: Geometry | None, meta: dict[str, Any]) -> None:
    if geometry is None:
        return
    header["pixdim"][1:4] = geometry.spacing
    time_unit = int(meta.get("xyzt_units", 0)) & ~7
    header["xyzt_units"] = time_unit | UNIT_CODES[geometry.unit]
    sform, qform = int(meta.get("sform_code", 0)), int(meta.get("qform_code", 0))
    if qform:
        # What happened to the indices since reading applies to both maps, even where they lead to different worlds.
        moved = np.asarray(meta["qform"]) @ np.linalg.solve(np.asarray(meta["affine"]), geometry.affine)
        if not Geometry(moved).sheared:
            # And with it pixdim, which belongs to the qform.
            set_qform(header, moved, qform, np.asarray(meta["qform"]), meta["turn"])
    if sform or (not qform and not np.allclose(spacing_affine(header), geometry.affine)):
        set_sform(header, geometry.affine, sform or ALIGNED)
