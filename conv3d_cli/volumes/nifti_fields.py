"""The fields of NIfTI headers in both versions, and the affine maps that they stand for, as nifti1.h defines them.

nibabel knows them too, and is asked for a quaternion that no header holds yet; but importing it takes several times as
long as smoothing a brain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Record: TypeAlias = NDArray[Any]
"""A header: an array without axes whose fields have the names of nifti1.h."""
Affine: TypeAlias = NDArray[np.float64]
ByteOrder: TypeAlias = Literal["<", ">"]
ORDERS: tuple[ByteOrder, ...] = ("<", ">")

#: Field -> type and offset in version 1, and in version 2.
FIELDS: Mapping[str, tuple[tuple[str, int], tuple[str, int]]] = {
    "sizeof_hdr": (("i4", 0), ("i4", 0)),
    "magic": (("S4", 344), ("S8", 4)),
    "dim": (("(8,)i2", 40), ("(8,)i8", 16)),
    "datatype": (("i2", 70), ("i2", 12)),
    "bitpix": (("i2", 72), ("i2", 14)),
    "pixdim": (("(8,)f4", 76), ("(8,)f8", 104)),
    "vox_offset": (("f4", 108), ("i8", 168)),
    "scl_slope": (("f4", 112), ("f8", 176)),
    "scl_inter": (("f4", 116), ("f8", 184)),
    "xyzt_units": (("u1", 123), ("i4", 500)),
    "toffset": (("f4", 136), ("f8", 216)),
    "descrip": (("S80", 148), ("S80", 240)),
    "qform_code": (("i2", 252), ("i4", 344)),
    "sform_code": (("i2", 254), ("i4", 348)),
    "quatern": (("(3,)f4", 256), ("(3,)f8", 352)),
    "qoffset": (("(3,)f4", 268), ("(3,)f8", 376)),
    "srow": (("(3,4)f4", 280), ("(3,4)f8", 400)),
}
SIZES = {1: 348, 2: 540}
#: What rounding may take from a quaternion of length 1: a smaller 1 - b^2 - c^2 - d^2 is 0.
ROUNDED = {1: 3 * float(np.finfo(np.float32).eps), 2: 3 * float(np.finfo(np.float64).eps)}
#: How far the direction of an axis may move by rounding alone.
STRAIGHT = 1e-9


def record(version: int, block: bytes | None = None, order: ByteOrder = "<") -> Record:
    """Return the header in a block of bytes, or one of a volume without axes."""
    kinds, offsets = zip(*(row[version - 1] for row in FIELDS.values()), strict=True)
    layout: np.dtype[Any] = np.dtype(
        {"names": list(FIELDS), "formats": kinds, "offsets": offsets, "itemsize": SIZES[version]}
    )
    if block is not None:
        return np.ndarray((), layout.newbyteorder(order), bytearray(block))
    header = np.zeros((), layout.newbyteorder(order))
    header["sizeof_hdr"] = SIZES[version]
    header["dim"][1:] = 1
    header["pixdim"] = 1
    return header


def spacing_affine(header: Record) -> Affine:
    """Return the map of a header with neither form, as nibabel has it: x to the left, the middle at the origin."""
    count = min(3, int(header["dim"][0]))
    size, spacing = np.ones(3), np.ones(3)
    size[:count], spacing[:count] = header["dim"][1 : count + 1], header["pixdim"][1 : count + 1]
    spacing[0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing)
    affine[:3, 3] = -(size - 1) / 2 * spacing
    return affine


def sform(header: Record) -> Affine:
    """Return the map whose rows the header holds."""
    affine = np.eye(4)
    affine[:3] = header["srow"]
    return affine


@np.errstate(all="ignore")
def qform(header: Record) -> Affine | None:
    """Return the map of the quaternion (a, b, c, d), a = sqrt(1 - b^2 - c^2 - d^2) >= 0; None if there is no such a.

    Its rotation comes after a scaling by the spacing, the third axis turned around where pixdim[0] is -1.
    """
    b, c, d = header["quatern"].astype(np.longdouble)
    rest = 1 - (b * b + c * c + d * d)
    small = abs(rest) < ROUNDED[1 if header.dtype.itemsize == SIZES[1] else 2]
    spacing = header["pixdim"][1:4].astype(np.float64)
    if (rest < 0 and not small) or (spacing < 0).any():
        return None
    a = np.longdouble(0) if small else np.sqrt(rest)
    spacing[2] *= header["pixdim"][0]
    # The length is 1 but for rounding: dividing by its square makes the matrix a rotation again.
    twice = 2 / (a * a + b * b + c * c + d * d)
    rotation = np.eye(3) + twice * np.array(
        [
            [-c * c - d * d, b * c - a * d, b * d + a * c],
            [b * c + a * d, -b * b - d * d, c * d - a * b],
            [b * d - a * c, c * d + a * b, -b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = header["qoffset"]
    return affine


def set_sform(header: Record, affine: Affine, code: int) -> None:
    """Put the rows of a map into a header."""
    header["srow"], header["sform_code"] = affine[:3], code


def set_qform(header: Record, affine: Affine, code: int, held: Affine, turn: tuple[float, ...]) -> None:
    """Put a map without shear into a header, and its spacing.

    ``turn`` is pixdim[0] and the quaternion of the map ``held``: they stay as they are where the axes point as there.
    """
    spacing, before = (np.sqrt((form[:3, :3] ** 2).sum(axis=0)) for form in (affine, held))
    if not np.allclose(affine[:3, :3] / spacing, held[:3, :3] / before, rtol=0, atol=STRAIGHT):
        turn = _turn(affine)
    header["pixdim"][:4] = [turn[0], *spacing]
    header["quatern"] = turn[1:]
    header["qoffset"] = affine[:3, 3]
    header["qform_code"] = code


def _turn(affine: Affine) -> tuple[float, ...]:
    """Return pixdim[0] and the quaternion of a map."""
    from nibabel import Nifti2Header

    kind: Any = Nifti2Header
    header = kind()
    header.set_qform(affine)
    return (float(header["pixdim"][0]), *(float(header[f"quatern_{letter}"]) for letter in "bcd"))
