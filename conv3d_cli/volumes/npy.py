""".npy files: any real dtype, either byte order, C or Fortran order, never a pickle and never a memory map."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.volumes.source import Source, fill, real
from conv3d_cli.volumes.stream import ByteStream, reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
#: Bytes of the length field of the header, by format version.
LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
LONGEST_HEADER = 10_000


class NpySource(Source):
    """A .npy file or stream whose header is understood."""

    def __init__(self, ref: str, stream: ByteStream) -> None:
        with reading(ref):
            shape, fortran, dtype = _header(stream)
        _check(ref, shape, dtype)
        super().__init__(ref, "npy", shape, dtype, order="F" if fortran else "C")
        stream.expect(stream.at + self.nbytes_stored)
        self._stream = stream
        if not dtype.isnative and dtype.itemsize > 1:
            self.notes.append(f"the byte order is {'big' if dtype.byteorder == '>' else 'little'}-endian")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _fill(self, result: NDArray[Any], start: int) -> None:
        with reading(self.ref):
            # In memory order this is a view, since the result has the file's order.
            fill(result.reshape(-1, order="A"), self._stream, self.dtype, None)

    def _finish(self) -> None:
        with reading(self.ref):
            self._stream.finish()


def _header(stream: ByteStream) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    start = stream.read(8)
    if start[:6] != MAGIC:
        raise ValueError(f"the magic is {start[:6]!r}, expected {MAGIC!r}")
    version = (start[6], start[7])
    if version not in LENGTH_BYTES:
        raise ValueError(f"the .npy version is {version}, expected one of {list(LENGTH_BYTES)}")
    count = stream.read(LENGTH_BYTES[version])
    length = int.from_bytes(count, "little")
    # numpy would read this many bytes before it looks at any of them.
    if length > LONGEST_HEADER:
        raise ValueError(f"the header has {length} bytes, expected at most {LONGEST_HEADER}")
    text = io.BytesIO(count + stream.read(length))
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy remarks on files that Python 2 wrote, which are fine
        try:
            shape, fortran, dtype = parse(text)
        except MemoryError as error:  # what Python's parser raises for deep nesting
            raise ValueError("the header nests too deeply") from error
    return shape, fortran, dtype


def _check(ref: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not real(dtype):
        raise VolumeError(
            f"{quoted(ref)}: the dtype cannot be convolved: got {dtype}, expected real numbers of at most 64 bits"
        )
    if not shape:
        raise VolumeError(f"{quoted(ref)}: holds a single number: got shape (), expected at least 3 axes")
    if any(isinstance(n, bool) or n < 1 for n in shape):
        raise VolumeError(f"{quoted(ref)}: the shape is not usable: got {shape}, expected sizes of at least 1")


def header(shape: tuple[int, ...], dtype: np.dtype[Any], fortran: bool) -> bytes:
    r"""Return the bytes in front of the data, of format version 1.0.

    >>> header((2, 3), np.dtype("<f4"), False)[:6]
    b'\x93NUMPY'
    """
    out = io.BytesIO()
    fields = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": fortran,
        "shape": tuple(map(int, shape)),
    }
    np.lib.format.write_array_header_1_0(out, fields)
    return out.getvalue()
