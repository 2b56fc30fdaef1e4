"""Where a file holds how it was made: an extension of a NIfTI header, an attribute of an HDF5 dataset.

What stands there is one text, JSON in ASCII, whose meaning the package ``provenance`` knows. Here it is found and
written, and never believed: a text that is damaged or another program's is as good as none, and breaks no reading.

An extension (https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields/nifti1fields_pages/extension.html) is its
size, a multiple of 16 bytes with these eight, a code, and its bytes; 6 is the code of a comment, plain text.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from conv3d_cli.errors import VolumeError

if TYPE_CHECKING:
    import h5py

    from conv3d_cli.volumes.stream import ByteStream

MARK = '{"conv3d_provenance":'
"""What the text begins with: other programs' comments do not."""

ATTRIBUTE = "conv3d_provenance"
COMMENT = 6
MOST_BYTES = 32 << 10
"""Of a text: HDF5 keeps attributes of up to 64 KiB beside the dataset."""

MOST_LOOKED_AT = 1 << 20
"""Bytes of extensions that are read to find ours, which stands in front in what this package writes."""

_HEAD = 8


def extension(text: str) -> bytes:
    """Return a text as a comment of a little-endian NIfTI header.

    >>> extension("{}")
    b'\\x10\\x00\\x00\\x00\\x06\\x00\\x00\\x00{}\\x00\\x00\\x00\\x00\\x00\\x00'
    """
    size = -(-(_HEAD + len(text)) // 16) * 16
    return struct.pack("<ii", size, COMMENT) + text.encode("ascii").ljust(size - _HEAD, b"\0")


def in_extensions(stream: ByteStream, end: int | None, order: str) -> tuple[str | None, bool]:
    """Return the last text of ours among the extensions before ``end``, and whether anything else is announced.

    The stream stands behind the flag that announces them, in front of the first; ``order`` is the byte order, "<" or
    ">". Without an end they end with the stream, as in the header of a pair.
    """
    found, others = None, False
    limit = stream.at + MOST_LOOKED_AT if end is None else min(end, stream.at + MOST_LOOKED_AT)
    try:
        while limit - stream.at >= _HEAD:
            size, code = struct.unpack(order + "ii", stream.read(_HEAD))
            if size < 16 or size % 16 or stream.at + size - _HEAD > limit:
                return found, True
            content = stream.read(size - _HEAD).rstrip(b"\0")
            if code == COMMENT and _is_ours(content):
                found = content.decode()
            else:
                others = True
    except VolumeError:
        if end is not None:  # a pair's header may end here, and what it is cut in holds no voxel
            raise
        return found, others or found is None
    return found, others or found is None or stream.at != end


def _is_ours(content: bytes) -> bool:
    return content.startswith(MARK.encode()) and len(content) <= MOST_BYTES and content.isascii()


def in_attributes(dataset: h5py.Dataset) -> str | None:
    """Return the text of a dataset, or None.

    It is a text of one length: those of varying length lie in heaps, which HDF5 walks without an end if damaged.
    """
    import h5py

    try:
        if not h5py.h5a.exists(dataset.id, ATTRIBUTE.encode()):
            return None
        held = h5py.h5a.open(dataset.id, ATTRIBUTE.encode())
        kind = held.get_type()
        if kind.get_class() != h5py.h5t.STRING or kind.is_variable_str() or held.shape != ():
            return None
        if held.get_storage_size() > MOST_BYTES:
            return None
        content = bytes(dataset.attrs[ATTRIBUTE])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None
    return content.decode() if _is_ours(content) else None
