"""The table of formats: which suffix means what, how it is opened, and how it is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from conv3d_cli.errors import UsageError, VolumeError, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.paths import is_fifo, is_file
from conv3d_cli.volumes import nifti, npy, references, writers
from conv3d_cli.volumes.gzipped import MAGIC as GZIP
from conv3d_cli.volumes.gzipped import GzipStream
from conv3d_cli.volumes.narrow import FLOATS, INTEGERS, Narrow
from conv3d_cli.volumes.stream import Hashing, PlainStream, open_raw, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from conv3d_cli.volumes.source import Source
    from conv3d_cli.volumes.volume import Volume

Write: TypeAlias = "Callable[[Volume, BinaryIO, Narrow, str], None]"
NIFTI_TYPES = ("float32", "float64", *INTEGERS)
ALL_TYPES = (*FLOATS, *INTEGERS)


@frozen
class Format:
    """A row of FORMATS. ``write`` is None for pairs, which are two files; ``order`` is the axes' order on the disk."""

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[str], Source]
    write: Write | None
    dtypes: tuple[str, ...]
    order: Callable[[Volume], str]


def _open_single(ref: str) -> Source:
    return _closing(nifti.open_bytes(ref), lambda stream: nifti.from_stream(ref, stream))


def _open_pair(ref: str) -> Source:
    return nifti.from_pair(ref, nifti.open_bytes)


def _open_npy(ref: str) -> Source:
    return _closing(nifti.open_bytes(ref), lambda stream: npy.NpySource(ref, stream))


def _open_hdf5(ref: str) -> Source:
    from conv3d_cli.volumes.hdf5 import Hdf5Source

    return Hdf5Source(ref)


def _write_hdf5(volume: Volume, file: BinaryIO, narrow: Narrow, ref: str) -> None:
    from conv3d_cli.volumes.hdf5_out import write_hdf5

    write_hdf5(volume, file, narrow, ref)


def _closing(stream: Any, understand: Callable[[Any], Source]) -> Source:
    try:
        return understand(stream)
    except BaseException:
        stream.close()
        raise


def _nifti_order(volume: Volume) -> str:
    """Space in front, as the standard wants; what comes from another format follows as time, channels, batch."""
    others = [letter for letter in volume.axes if letter not in "xyz"]
    return "xyz" + "".join(others if volume.format == "nifti" else sorted(others, key="tcb".index))


def _hdf5_order(volume: Volume) -> str:
    """Of NIfTI, whose first axis varies fastest, the reverse, with channels last; all else as it is."""
    if volume.format != "nifti":
        return volume.axes
    return "".join(sorted(volume.axes, key="btzyxc".index))


def _own_order(volume: Volume) -> str:
    return volume.axes


FORMATS = (
    Format("nifti", (".nii",), _open_single, writers.write_nifti, NIFTI_TYPES, _nifti_order),
    Format("nifti", (".nii.gz",), _open_single, writers.write_nifti_gz, NIFTI_TYPES, _nifti_order),
    Format("nifti", (".hdr", ".img", ".hdr.gz", ".img.gz"), _open_pair, None, NIFTI_TYPES, _nifti_order),
    Format("npy", (".npy",), _open_npy, writers.write_npy, ALL_TYPES, _own_order),
    Format("hdf5", references.HDF5, _open_hdf5, _write_hdf5, ALL_TYPES, _hdf5_order),
)
#: Bytes that are hashed at once: little beside a volume, for this happens while one is convolved.
HASHED = 1 << 22
#: What a stream to the standard output is, by the volume's format.
STREAMS = {"nifti": FORMATS[0], "npy": FORMATS[3], "hdf5": FORMATS[3]}
STREAM = "-"


def path_of(ref: str) -> str:
    """Return the file of a reference: the part in front of a dataset's path.

    >>> path_of("scan.h5:/t0")
    'scan.h5'
    """
    return references.split_ref(ref)[0]


def files_of(*refs: str) -> tuple[str, ...]:
    """Return the files that references stand for: both of a pair, none for a stream.

    >>> files_of("a.hdr", "scan.h5:/t0", "-")
    ('a.hdr', 'a.img', 'scan.h5')
    """
    files: list[str] = []
    for ref in refs:
        form = format_of(ref)
        if form is not None and form.write is None:
            files += nifti.pair_names(ref)
        elif ref != STREAM:
            files.append(path_of(ref))
    return tuple(files)


def format_of(ref: str) -> Format | None:
    """Return the format that the suffix means, whatever its case, or None."""
    name = path_of(ref).lower()
    return next((row for row in FORMATS if name.endswith(row.suffixes)), None)


def output_format(ref: str, volume_format: str | None = None) -> Format:
    """Return the format to write; UsageError if the suffix means none."""
    if ref == STREAM:
        return STREAMS[volume_format or "npy"]
    found = format_of(ref)
    if found is None:
        raise UsageError(f"output: the suffix of {quoted(ref)} means no format, expected one of {_suffixes()}")
    return found


def open_volume(ref: str) -> Source:
    """Open a volume and check its header, reading no voxel; ``-`` is the standard input.

    ``scan.h5:/path`` names a dataset. VolumeError for everything that is wrong with the file.
    """
    if ref == STREAM:
        if sys.stdin is None:
            raise VolumeError("'standard input': cannot be read: it is closed")
        if sys.stdin.isatty():
            raise UsageError("'standard input': is a terminal: expected a .npy or .nii stream from a pipe or a file")
        return _sniff(Hashing(sys.stdin.buffer), "standard input")
    found = format_of(ref)
    if found is not None and not is_fifo(ref):
        return found.open(ref)
    if not is_file(ref):
        return _closing(Hashing(open_raw(ref)), lambda file: _sniff(file, ref))
    raise VolumeError(f"{quoted(ref)}: the suffix means no format, expected one of {_suffixes()}")


def sha256_of(source: Source) -> str:
    """Return the SHA-256 of the bytes of a volume's files, of both of a pair; of a stream, of what was read of it."""
    return sha256_of_files(*files_of(source.ref)) if source.hashing is None else source.hashing.digest.hexdigest()


def sha256_of_files(*names: str) -> str:
    """Return the SHA-256 of the bytes of files, one after the other. VolumeError if one cannot be read."""
    import hashlib

    digest = hashlib.sha256()
    piece = memoryview(bytearray(HASHED))
    for name in names:
        with reading(name), open_raw(name) as file:
            while count := file.readinto(piece):  # type: ignore[attr-defined]
                digest.update(piece[:count])
    return digest.hexdigest()


def _sniff(file: Hashing, name: str) -> Source:
    """Open what a pipe brings, told by its first bytes."""
    with reading(name):
        head = file.read(4)
    raw = cast("BinaryIO", file)
    if len(head) < 4:
        raise VolumeError(f"{quoted(name)}: is cut: got {len(head)} bytes, expected a .npy or .nii stream")
    if head == npy.MAGIC[:4]:
        source: Source = npy.NpySource(name, PlainStream(raw, name, head))
    else:
        stream = GzipStream(raw, name, head) if head.startswith(GZIP) else PlainStream(raw, name, head)
        source = nifti.from_stream(name, stream)
    source.hashing = file
    return source


def _suffixes() -> str:
    return ", ".join(suffix for row in FORMATS for suffix in row.suffixes)
