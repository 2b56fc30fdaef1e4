"""NIfTI headers of outputs: geometry from the volume, units and codes from its input, scaling never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import UsageError
from conv3d_cli.volumes.geometry import Geometry
from conv3d_cli.volumes.making import extension
from conv3d_cli.volumes.nifti_header import DATA_FROM, PAIR, SINGLE, UNITS

if TYPE_CHECKING:
    from conv3d_cli.volumes.volume import Volume

LARGEST_DIM_1 = 32767
MOST_AXES = 7
#: The code of an affine that came from elsewhere: aligned to something, as nibabel writes.
ALIGNED = 2
UNIT_CODES = {unit: code for code, unit in UNITS.items()}


def header_bytes(volume: Volume, dtype: np.dtype[Any], pair: bool) -> bytes:
    """Return header, extension flag and extension of a NIfTI file that holds a volume with the axes xyz in front."""
    from nibabel import Nifti1Header, Nifti2Header

    shape, meta = volume.array.shape, volume.meta if volume.format == "nifti" else {}
    if len(shape) > MOST_AXES:
        raise UsageError(f"output: NIfTI holds at most {MOST_AXES} axes: got {len(shape)}")
    version = 2 if max(shape) > LARGEST_DIM_1 else int(meta.get("version", 1))
    kind: Any = Nifti1Header if version == 1 else Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
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
    return bytes(header.binaryblock) + flag + made


def _set_geometry(header: Any, geometry: Geometry | None, meta: dict[str, Any]) -> None:
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
            header.set_qform(moved, code=qform)  # and with it pixdim, which belongs to the qform
    if sform or (not qform and not np.allclose(header.get_base_affine(), geometry.affine)):
        header.set_sform(geometry.affine, code=sform or ALIGNED)
