"""NIfTI headers: every field that decides what is read is checked here.

The fields are those of nifti1.h and nifti2.h (https://nifti.nimh.nih.gov).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.volumes.geometry import Geometry
from conv3d_cli.volumes.gzipped import MAGIC as GZIP
from conv3d_cli.volumes.nifti_fields import (
    ORDERS,
    SIZES,
    Affine,
    ByteOrder,
    Record,
    qform,
    record,
    sform,
    spacing_affine,
)
from conv3d_cli.volumes.stream import reading

#: sizeof_hdr -> version; and by version: magic in one file, magic of a pair, least data offset.
VERSIONS = {size: version for version, size in SIZES.items()}
SINGLE = {1: b"n+1\0", 2: b"n+2\0\r\n\x1a\n"}
PAIR = {1: b"ni1\0", 2: b"ni2\0\r\n\x1a\n"}
DATA_FROM = {1: 352, 2: 544}
DATATYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
REFUSED = {
    1: "1-bit binary",
    32: "complex64",
    128: "RGB24",
    1536: "float128",
    1792: "complex128",
    2048: "complex256",
    2304: "RGBA32",
}
#: The maps that a header may hold, the one that goes before in front.
FORMS: dict[str, Callable[[Record], Affine | None]] = {"sform": sform, "qform": qform}
#: The low three bits of xyzt_units.
UNITS = {0: "unknown", 1: "m", 2: "mm", 3: "um"}
#: A double counts whole numbers to here: no true offset lies beyond.
LARGEST_OFFSET = float(1 << 53)


@frozen
class Header:
    """What a NIfTI header says, checked.

    ``order`` is "<" or ">", ``offset`` where the voxels start, ``scale`` None for unscaled ones.
    """

    version: int
    order: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    scale: tuple[float, float] | None
    geometry: Geometry
    meta: dict[str, Any]
    notes: list[str]


def version_of(name: str, start: bytes) -> tuple[int, ByteOrder]:
    """Return version and byte order ("<" or ">") from the first four bytes."""
    for order in ORDERS:
        (size,) = struct.unpack(order + "i", start)
        if size in VERSIONS:
            return VERSIONS[size], order
    if start.startswith(GZIP):
        raise VolumeError(f"{quoted(name)}: is gzip data: expected a name that ends in .gz")
    got = int.from_bytes(start, "little", signed=True)
    raise VolumeError(f"{quoted(name)}: is not NIfTI: sizeof_hdr is {got}, expected 348 or 540")


def parse(name: str, block: bytes, pair: bool) -> Header:
    """Return what the 348 or 540 bytes of a header say; VolumeError names the field that cannot be right."""
    version, order = version_of(name, block[:4])
    header = record(version, block, order)
    notes: list[str] = [] if order == "<" else ["the byte order is big-endian"]

    def bad(field: str, got: object, expected: str) -> VolumeError:
        return VolumeError(f"{quoted(name)}: the header's {field} cannot be right: got {got}, expected {expected}")

    magic = block[344:348] if version == 1 else block[4:12]
    wanted = (PAIR if pair else SINGLE)[version]
    if magic != wanted:
        raise bad("magic", magic, f"{wanted!r}")
    dims = header["dim"].tolist()
    if not 1 <= dims[0] <= 7:
        raise bad("dim[0]", dims[0], "a number of axes from 1 to 7")
    shape = tuple(dims[1 : dims[0] + 1])
    for axis, size in enumerate(shape, 1):
        if size < 1:
            raise bad(f"dim[{axis}]", size, "at least 1")
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code not in DATATYPES:
        kinds = f"{code} ({REFUSED[code]})" if code in REFUSED else code
        raise bad("datatype", kinds, "a real type of at most 64 bits")
    dtype = np.dtype(order + DATATYPES[code])
    if bits not in (0, dtype.itemsize * 8):
        raise bad("bitpix", bits, f"{dtype.itemsize * 8} for {dtype}")
    offset = _offset(float(header["vox_offset"]), version, pair, bad)
    scale = _scale(float(header["scl_slope"]), float(header["scl_inter"]), notes, bad)
    with reading(name):
        geometry, meta = _geometry(header, shape, notes)
    return Header(version, order, shape, dtype, offset, scale, geometry, {**meta, "version": version}, notes)


Bad = Callable[[str, object, str], VolumeError]


def _offset(value: float, version: int, pair: bool, bad: Bad) -> int:
    least = 0 if pair else DATA_FROM[version]
    if not math.isfinite(value) or value != int(value) or not 0 <= value < LARGEST_OFFSET:
        raise bad("vox_offset", value, f"a whole number from {least}")
    if value == 0:
        return least
    if value < least:
        raise bad("vox_offset", int(value), f"at least {least}")
    return int(value)


def _scale(slope: float, intercept: float, notes: list[str], bad: Bad) -> tuple[float, float] | None:
    """Return slope and intercept; a slope of 0 means unscaled, and one that is not finite can mean nothing else."""
    if slope == 0 or not math.isfinite(slope):
        if slope != 0:
            notes.append(f"scl_slope is {slope}: the voxels are taken as unscaled")
        return None
    if not math.isfinite(intercept):
        raise bad("scl_inter", intercept, "a finite number beside a finite scl_slope")
    if (slope, intercept) == (1.0, 0.0):
        return None
    notes.append(f"stored values are scaled: value = stored * {slope:.9g} + {intercept:.9g}")
    return slope, intercept


def _geometry(header: Record, shape: tuple[int, ...], notes: list[str]) -> tuple[Geometry, dict[str, Any]]:
    """Return the geometry of nibabel's rules: sform, else qform, else the spacing alone; and what to carry on."""
    _mend_spacing(header, min(3, len(shape)), notes)
    unit = UNITS.get(int(header["xyzt_units"]) & 7, "unknown")
    codes = {form: int(header[f"{form}_code"]) for form in FORMS}
    forms: dict[str, Affine | None] = {}
    for form, code in codes.items():
        affine = _usable(FORMS[form](header)) if code > 0 else None
        if code > 0 and affine is None:
            notes.append(f"the {form} is singular or not finite and is ignored")
        forms[form] = affine
        codes[form] = code if affine is not None else 0
    best = forms["sform"] if forms["sform"] is not None else forms["qform"]
    if best is None:
        best = spacing_affine(header)
        notes.append("neither sform nor qform is set: the geometry is from the spacing alone")
    meta = {
        "affine": best,
        "sform_code": codes["sform"],
        "qform_code": codes["qform"],
        "qform": forms["qform"],
        "turn": (float(header["pixdim"][0]), *header["quatern"].tolist()),
        "xyzt_units": int(header["xyzt_units"]),
        "time_step": float(header["pixdim"][4]),
        "toffset": float(header["toffset"]),
        "descrip": bytes(header["descrip"]),
    }
    return Geometry(best, unit), meta


def _mend_spacing(header: Record, axes: int, notes: list[str]) -> None:
    for axis in range(1, axes + 1):
        value = float(header["pixdim"][axis])
        if not (math.isfinite(value) and value > 0):
            mended = abs(value) if math.isfinite(value) and value else 1.0
            header["pixdim"][axis] = mended
            notes.append(f"pixdim[{axis}] is {value:g}, taken as {mended:g}")
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1


def _usable(affine: Affine | None) -> Affine | None:
    if affine is None or not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        return None
    return affine
