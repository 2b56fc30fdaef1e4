"""NIfTI-1 and NIfTI-2, in one file or as a pair of .hdr and .img, plain or in gzip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.volumes.gzipped import GzipStream
from conv3d_cli.volumes.making import in_extensions
from conv3d_cli.volumes.nifti_fields import SIZES
from conv3d_cli.volumes.nifti_header import DATA_FROM, Header, parse, version_of
from conv3d_cli.volumes.source import Source, fill
from conv3d_cli.volumes.stream import ByteStream, PlainStream, open_raw, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Where the other file of a pair is.
PARTNERS = {".hdr": ".img", ".img": ".hdr"}


class NiftiSource(Source):
    """A NIfTI image whose header is understood; ``data`` is where its voxels come from."""

    def __init__(self, ref: str, header: Header, data: ByteStream) -> None:
        super().__init__(
            ref,
            "nifti",
            header.shape,
            header.dtype,
            order="F",
            geometry=header.geometry,
            meta=header.meta,
            notes=header.notes,
        )
        self.scale = header.scale
        self._header = header
        self._data = data

    def close(self) -> None:
        """Close the file."""
        self._data.close()

    def _fill(self, result: NDArray[Any], start: int) -> None:
        with reading(self.ref):
            self._data.skip_to(self._header.offset)
            fill(result.reshape(-1, order="F"), self._data, self.dtype, self.scale)

    def _finish(self) -> None:
        with reading(self.ref):
            self._data.finish()


def from_stream(ref: str, stream: ByteStream) -> NiftiSource:
    """Return the image in a stream that holds header and voxels."""
    with reading(ref):
        source = NiftiSource(ref, _header(ref, stream, pair=False), stream)
        extended = stream.read(4)[0]
        _announce(source, stream)
        if extended:
            _read_extensions(source, stream, source._header.offset)
    return source


def from_pair(ref: str, open_stream: Callable[[str], ByteStream]) -> NiftiSource:
    """Return the image whose header and voxels are two files, either of which may be named."""
    names = pair_names(ref)
    head = open_stream(names[0])
    try:
        header = _header(names[0], head, pair=True)
        data = open_stream(names[1])
        try:
            source = NiftiSource(ref, header, data)
            _announce(source, data)
            if _is_extended(head):
                _read_extensions(source, head, None)
        except BaseException:
            data.close()
            raise
    finally:
        head.close()
    return source


def pair_names(ref: str) -> tuple[str, str]:
    """Return the names of header and voxels of a pair, in the case and with the compression of the one named.

    >>> pair_names("brain.img.gz")
    ('brain.hdr.gz', 'brain.img.gz')
    """
    gz = ref[-3:] if ref.lower().endswith(".gz") else ""
    stem = ref[: len(ref) - len(gz)]
    own = stem[-4:]
    other = PARTNERS[own.lower()]
    partner = stem[:-4] + (other.upper() if own.isupper() else other) + gz
    return (ref, partner) if own.lower() == ".hdr" else (partner, ref)


def open_bytes(name: str) -> ByteStream:
    """Return the bytes of a file, inflated if its name ends in .gz."""
    raw = open_raw(name)
    return GzipStream(raw, name) if name.lower().endswith(".gz") else PlainStream(raw, name)


def _header(name: str, stream: ByteStream, pair: bool) -> Header:
    start = stream.read(4)
    version, _ = version_of(name, start)
    stream.expected = SIZES[version] if pair else DATA_FROM[version]
    return parse(name, start + stream.read(SIZES[version] - 4), pair)


def _is_extended(head: ByteStream) -> bool:
    """Return whether extensions follow in the header's file of a pair, which may end here."""
    try:
        return head.read(4)[0] != 0
    except VolumeError:
        return False


def _read_extensions(source: NiftiSource, stream: ByteStream, end: int | None) -> None:
    source.provenance, others = in_extensions(stream, end, source._header.order)
    if others:
        source.notes.append("the header's extensions are not carried to an output")


def _announce(source: NiftiSource, stream: ByteStream) -> None:
    total = source._header.offset + source.nbytes_stored
    if total >= 1 << 63:
        raise VolumeError(
            f"{quoted(source.ref)}: the header's dim cannot be right: got {source.shape}, expected less than 2^63 bytes"
        )
    stream.expect(total)
