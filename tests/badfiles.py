"""Volumes that must be refused: how each is made, the exit code, and what the one line must say.

``make(folder)`` returns the reference to open. Processes that hold a file are in HELD; ``release()`` ends them.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

SHAPE = (6, 7, 8)
VOXELS = np.arange(336, dtype="<f4").reshape(SHAPE, order="F")
HELD: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class BadFile:
    """A row: ``max_memory`` is the limit in bytes to read it under, where one is needed for the refusal."""

    name: str
    make: Callable[[Path], str]
    words: tuple[str, ...]
    code: int = 3
    max_memory: int | None = None


def release() -> None:
    while HELD:
        HELD.pop().communicate()


# NIfTI


def nifti(
    dims=(3, *SHAPE, 1, 1, 1, 1),
    datatype=16,
    bitpix=32,
    offset=352.0,
    magic=b"n+1\0",
    size=348,
    slope=0.0,
    inter=0.0,
    pixdim=(1.0, 1, 1, 1, 1, 1, 1, 1),
    order="<",
    data=None,
    sform=None,
    qform_code=0,
    quaternion=(0.0, 0.0, 0.0),
) -> bytes:
    """A NIfTI-1 file by the byte positions of nifti1.h, independent of the library that reads it."""
    header = bytearray(348)

    def put(at: int, form: str, *values: object) -> None:
        struct.pack_into(order + form, header, at, *values)

    put(0, "i", size)
    put(40, "8h", *dims)
    put(70, "2h", datatype, bitpix)
    put(76, "8f", *pixdim)
    put(108, "3f", offset, slope, inter)
    put(123, "B", 2)
    put(252, "2h", qform_code, 0 if sform is None else 1)
    put(256, "3f", *quaternion)
    if sform is not None:
        put(280, "12f", *np.asarray(sform, dtype=float)[:3].ravel())
    header[344:348] = magic
    if data is None:
        data = VOXELS.astype(order + "f4").tobytes(order="F")
    return bytes(header) + bytes(4) + data


def nifti2(**fields: object) -> bytes:
    """A NIfTI-2 file; ``fields`` are position -> (format, values) to spoil."""
    header = bytearray(540)
    good = {
        0: ("i", 540),
        4: ("8s", b"n+2\0\r\n\x1a\n"),
        12: ("2h", 16, 32),
        16: ("8q", 3, *SHAPE, 1, 1, 1, 1),
        104: ("8d", *([1.0] * 8)),
        168: ("q", 544),
        500: ("i", 2),
    }
    for at, (form, *values) in (good | {int(k[1:]): v for k, v in fields.items()}).items():
        struct.pack_into("<" + form, header, at, *values)
    return bytes(header) + bytes(4) + VOXELS.tobytes(order="F")


def plain(content: bytes, name: str = "a.nii") -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def packed(content: bytes, change: Callable[[bytearray], bytes] = bytes) -> Callable[[Path], str]:
    return plain(change(bytearray(gzip.compress(content, 6, mtime=0))), "a.nii.gz")


def sparse(header: bytes, size: int, name: str) -> Callable[[Path], str]:
    """A file that truly has this many bytes, which take no place on the disk."""

    def make(folder: Path) -> str:
        with (folder / name).open("wb") as file:
            file.write(header)
            file.truncate(size)
        return str(folder / name)

    return make


def flip(at: int, bit: int) -> Callable[[bytearray], bytes]:
    def change(content: bytearray) -> bytes:
        content[at] ^= 1 << bit
        return bytes(content)

    return change


def header_dims(*dims: int) -> bytes:
    return nifti(dims=(*dims, *([1] * (8 - len(dims)))))


def pair(header: bytes, voxels: bytes | None) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "a.hdr").write_bytes(header)
        if voxels is not None:
            (folder / "a.img").write_bytes(voxels)
        return str(folder / "a.hdr")

    return make


def with_header_crc(change: int) -> Callable[[bytearray], bytes]:
    """A gzip file whose header has a name, a comment, an extra field and a CRC of its own."""

    def make(content: bytearray) -> bytes:
        header = bytes(content[:3]) + b"\x1f" + bytes(content[4:10]) + b"\2\0xy" + b"name\0" + b"comment\0"
        crc = (zlib.crc32(header) & 0xFFFF) ^ change
        return header + crc.to_bytes(2, "little") + bytes(content[10:])

    return make


GOOD = nifti()
GOOD_PAIR = nifti(magic=b"ni1\0", offset=0.0)
NAN = float("nan")
IN_BYTES = VOXELS.tobytes(order="F")

NIFTI = (
    BadFile("missing", lambda folder: str(folder / "none.nii"), ("No such file",)),
    BadFile("a folder", lambda folder: (folder / "d.nii").mkdir() or str(folder / "d.nii"), ("directory",)),
    BadFile("unknown suffix", plain(GOOD, "a.txt"), ("suffix", ".nii.gz")),
    BadFile("nii empty", plain(b""), ("got 0 bytes", "expected 4")),
    BadFile("nii header cut", plain(GOOD[:200]), ("got 200 bytes", "expected 352")),
    BadFile("nii extension flag cut", plain(GOOD[:350]), ("got 350 bytes", "expected 352")),
    BadFile("nii data cut", plain(GOOD[:-1]), ("got 1695 bytes", "expected 1696")),
    BadFile("nii longer than announced", plain(GOOD + b"x"), ("got 1697 bytes", "expected 1696")),
    BadFile("nii claims 2 GB", plain(header_dims(3, 800, 800, 800)), ("got 1696 bytes", "expected 2048000352")),
    BadFile("nii claims 20 GB", plain(header_dims(3, 1709, 1709, 1709)), ("got 1696 bytes",)),
    BadFile("nii claims 140 TB", plain(header_dims(3, 32767, 32767, 32767)), ("got 1696 bytes",)),
    BadFile("nii claims more than an address", plain(header_dims(7, *[32767] * 7)), ("dim", "2^63")),
    BadFile("nii.gz claims 140 TB", packed(header_dims(3, 32767, 32767, 32767)), ("at most", "compressed")),
    BadFile(
        "nii truly 20 GB",
        sparse(header_dims(3, 1709, 1709, 1709)[:352], 352 + 4 * 1709**3, "big.nii"),
        ("needs", "allowed are"),
        code=5,
        max_memory=1 << 30,
    ),
    BadFile("nii magic", plain(nifti(magic=b"abc\0")), ("magic", "abc")),
    BadFile("nii magic of a pair", plain(nifti(magic=b"ni1\0")), ("magic", "ni1")),
    BadFile("nii magic empty", plain(nifti(magic=bytes(4))), ("magic",)),
    BadFile("nii sizeof_hdr", plain(nifti(size=349)), ("sizeof_hdr", "349", "348 or 540")),
    BadFile("nii dim[0] 9", plain(header_dims(9, *SHAPE)), ("dim[0]", "got 9")),
    BadFile("nii dim[0] 0", plain(header_dims(0, *SHAPE)), ("dim[0]", "got 0")),
    BadFile("nii dim negative", plain(header_dims(3, 6, -7, 8)), ("dim[2]", "got -7")),
    BadFile("nii dim zero", plain(header_dims(3, 6, 7, 0)), ("dim[3]", "got 0")),
    BadFile("nii vox_offset NaN", plain(nifti(offset=NAN)), ("vox_offset", "nan")),
    BadFile("nii vox_offset infinite", plain(nifti(offset=float("inf"))), ("vox_offset", "inf")),
    BadFile("nii vox_offset huge", plain(nifti(offset=1e30)), ("vox_offset", "e+30")),
    BadFile("nii vox_offset far", plain(nifti(offset=1e9)), ("got 1696 bytes", "expected 1000001344")),
    BadFile("nii.gz vox_offset far", packed(nifti(offset=1e9)), ("at most",)),
    BadFile("nii vox_offset in the header", plain(nifti(offset=16.0)), ("vox_offset", "got 16", "352")),
    BadFile("nii vox_offset negative", plain(nifti(offset=-1.0)), ("vox_offset", "-1")),
    BadFile("nii datatype unknown", plain(nifti(datatype=77)), ("datatype", "77")),
    BadFile("nii RGB", plain(nifti(datatype=128, bitpix=24)), ("datatype", "RGB24")),
    BadFile("nii RGBA", plain(nifti(datatype=2304, bitpix=32)), ("datatype", "RGBA32")),
    BadFile("nii complex64", plain(nifti(datatype=32, bitpix=64)), ("datatype", "complex64")),
    BadFile("nii complex128", plain(nifti(datatype=1792, bitpix=128)), ("datatype", "complex128")),
    BadFile("nii float128", plain(nifti(datatype=1536, bitpix=128)), ("datatype", "float128")),
    BadFile("nii bitpix", plain(nifti(bitpix=16)), ("bitpix", "got 16", "32")),
    BadFile("nii scl_inter NaN", plain(nifti(slope=2.0, inter=NAN)), ("scl_inter", "nan")),
    BadFile("nii2 magic", plain(nifti2(_4=("8s", b"n+2\0\n\n\n\n"))), ("magic",)),
    BadFile("nii2 dim", plain(nifti2(_16=("8q", 3, 6, 7, -8, 1, 1, 1, 1))), ("dim[3]", "-8")),
    BadFile(
        "nii2 claims 2^62",
        plain(nifti2(_16=("8q", 3, 1 << 20, 1 << 20, 1 << 20, 1, 1, 1, 1))),
        ("got 1888 bytes",),
    ),
    BadFile("nii2 vox_offset", plain(nifti2(_168=("q", -5))), ("vox_offset", "-5")),
    BadFile("pair without voxels", pair(GOOD_PAIR[:352], None), ("a.img", "No such file")),
    BadFile("pair with cut voxels", pair(GOOD_PAIR[:352], IN_BYTES[:-4]), ("got 1340 bytes", "expected 1344")),
    BadFile("pair with a single file's magic", pair(GOOD[:352], IN_BYTES), ("magic", "n+1")),
    BadFile("nii.gz cut", packed(GOOD, lambda c: bytes(c[: len(c) // 2])), ("cut",)),
    BadFile("nii.gz trailer cut", packed(GOOD, lambda c: bytes(c[:-3])), ("cut",)),
    BadFile("nii.gz empty", plain(b"", "a.nii.gz"), ("empty",)),
    BadFile("nii.gz not gzip", plain(GOOD, "a.nii.gz"), ("not gzip", "1f 8b")),
    BadFile("nii.gz bit flip", packed(GOOD, flip(600, 3)), ("damaged",)),
    BadFile("nii.gz bad CRC", packed(GOOD, lambda c: bytes(c[:-8]) + b"abcd" + bytes(c[-4:])), ("CRC", "64636261")),
    BadFile("nii.gz bad length", packed(GOOD, lambda c: bytes(c[:-1]) + b"\x07"), ("length", "1696")),
    BadFile(
        "nii.gz trailing junk",
        packed(GOOD, lambda c: bytes(c) + b"junk of sorts"),
        ("behind its gzip data", f"bytes at {len(gzip.compress(GOOD, 6))} and after: got 13, expected none"),
    ),
    BadFile(
        "nii.gz trailing byte",
        packed(GOOD, lambda c: bytes(c) + b"\0"),
        ("behind its gzip data", f"bytes at {len(gzip.compress(GOOD, 6))} and after: got 1, expected none"),
    ),
    BadFile(
        "nii.gz second member cut",
        packed(GOOD, lambda c: bytes(c) + gzip.compress(b"")[:5]),
        ("behind its gzip data", "got 5, expected none"),
    ),
    BadFile(
        "nii.gz second member too much",
        packed(GOOD, lambda c: bytes(c) + gzip.compress(b"x")),
        ("more than",),
    ),
    BadFile("nii.gz header CRC", packed(GOOD, with_header_crc(4)), ("CRC of its gzip header",)),
    BadFile("nii.gz method", packed(GOOD, flip(2, 0)), ("method",)),
    BadFile(
        "nii.gz header name without end",
        plain(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 90_000, "a.nii.gz"),
        ("longer",),
    ),
    BadFile("nii.gz bomb", packed(GOOD + bytes(600_000_000)), ("more than its header announces",)),
    BadFile("nii that is gzip", plain(gzip.compress(GOOD)), ("is gzip data", ".gz")),
    BadFile("nii.gz of a npy", packed(b"\x93NUMPY" + bytes(600)), ("sizeof_hdr",)),
)

# .npy


def npy(text: str, data: bytes = bytes(64), version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    head = text.encode("latin1")
    size = len(head) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", size) + head + data


def npy_of(shape: str, descr: str = "'<f4'", data: bytes = bytes(64)) -> Callable[[Path], str]:
    return plain(npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", data), "a.npy")


def saved(array: np.ndarray, cut: int | None = None, tail: bytes = b"") -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / "a.npy"
        np.save(path, array, allow_pickle=True)
        path.write_bytes(path.read_bytes()[:cut] + tail)
        return str(path)

    return make


BIG_NPY = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1709, 1709, 1709), }", b"")

NPY = (
    BadFile("npy empty", plain(b"", "a.npy"), ("got 0 bytes",)),
    BadFile("npy garbage", plain(b"not numpy at all", "a.npy"), ("magic",)),
    BadFile("npy version", plain(npy("{}", version=(9, 9)), "a.npy"), ("version", "9")),
    BadFile("npy header cut", saved(VOXELS, cut=40), ("got 40 bytes",)),
    BadFile("npy header of 4 GB", plain(npy("{}", version=(2, 0), length=0xFFFFFFFF), "a.npy"), ("4294967295",)),
    BadFile("npy header no dictionary", plain(npy("[1, 2]"), "a.npy"), ("damaged",)),
    BadFile("npy header not Python", plain(npy("{'descr': "), "a.npy"), ("damaged",)),
    BadFile("npy header with a call", plain(npy("__import__('os').system('true')"), "a.npy"), ("damaged",)),
    BadFile("npy header nested", plain(npy("(" * 900 + ")" * 900), "a.npy"), ("damaged",)),
    BadFile("npy header with NUL", plain(npy("{'descr': '\0'}"), "a.npy"), ("damaged",)),
    BadFile("npy descr unknown", npy_of("(2, 2, 4)", "'<q9'"), ("damaged",)),
    BadFile("npy object", saved(np.array([None, {}], dtype=object)), ("dtype", "object")),
    BadFile("npy structured", saved(np.zeros(SHAPE, dtype=[("a", "f4")])), ("dtype",)),
    BadFile("npy subarray", npy_of("(2, 2, 2)", "('<f4', (2,))"), ("dtype",)),
    BadFile("npy complex", saved(np.zeros(SHAPE, "c8")), ("dtype", "complex64")),
    BadFile("npy string", saved(np.zeros(SHAPE, "U3")), ("dtype",)),
    BadFile("npy bytes", saved(np.zeros(SHAPE, "S3")), ("dtype",)),
    BadFile("npy datetime", saved(np.zeros(SHAPE, "M8[s]")), ("dtype", "datetime64")),
    BadFile("npy timedelta", saved(np.zeros(SHAPE, "m8[s]")), ("dtype", "timedelta64")),
    BadFile("npy longdouble", saved(np.zeros(SHAPE, "g")), ("dtype", "64 bits")),
    BadFile("npy 0-d", saved(np.array(1.0)), ("single number",)),
    BadFile("npy zero dim", saved(np.zeros((3, 0, 4), "f4")), ("(3, 0, 4)",)),
    BadFile("npy negative dim", npy_of("(4, -2, -2)"), ("(4, -2, -2)",)),
    BadFile("npy shape of floats", npy_of("(4.0, 2, 2)"), ("damaged",)),
    BadFile("npy cut", saved(VOXELS, cut=-1), ("got 1471 bytes", "expected 1472")),
    BadFile("npy trailing", saved(VOXELS, tail=b"x"), ("got 1473 bytes", "expected 1472")),
    BadFile("npy overflowing shape", npy_of(f"({1 << 40}, {1 << 40}, 4)"), ("data is cut", str(1 << 84)[:8])),
    BadFile("npy claims 140 TB", npy_of("(32767, 32767, 32767)"), ("data is cut",)),
    BadFile(
        "npy truly 20 GB",
        sparse(BIG_NPY, len(BIG_NPY) + 4 * 1709**3, "big.npy"),
        ("needs", "allowed are"),
        code=5,
        max_memory=1 << 30,
    ),
)

# HDF5


def hdf5(fill: Callable[[h5py.File], object], name: str | None = "d", change: Callable[[bytearray], bytes] = bytes):
    def make(folder: Path) -> str:
        path = folder / "a.h5"
        with h5py.File(path, "w") as file:
            file["other"] = np.zeros((2, 3, 4), "i2")
            fill(file)
        path.write_bytes(change(bytearray(path.read_bytes())))
        return str(path) if name is None else f"{path}:{name}"

    return make


def external_storage(file: h5py.File) -> None:
    outside = Path(file.filename).with_name("outside.raw")
    outside.write_bytes(VOXELS.tobytes())
    file.create_dataset("d", SHAPE, "f4", external=[(str(outside), 0, 1344)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource("missing.h5", "d", shape=SHAPE)
    file.create_virtual_dataset("d", layout, fillvalue=7)


def external_link(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("target.h5"), "w") as other:
        other["d"] = VOXELS
    file["d"] = h5py.ExternalLink("target.h5", "/d")


def behind_soft_link(file: h5py.File) -> None:
    external_link(file)
    file["way"] = h5py.SoftLink("/d")


def soft_loop(file: h5py.File) -> None:
    file["d"], file["e"] = h5py.SoftLink("/e"), h5py.SoftLink("/d")


def some_chunks(file: h5py.File) -> None:
    file.create_dataset("d", (8, 8, 8), "f4", chunks=(4, 4, 4))[:4] = 1


def shape_bomb(file: h5py.File) -> None:
    """A quarter of a gigabyte in a few kilobytes: deflated twice, each chunk the same few bytes."""
    chunk, count = (1 << 22,), 16
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1, 1, chunk[0]))
    properties.set_deflate(9)
    properties.set_deflate(9)
    space = h5py.h5s.create_simple((count, 1, chunk[0]))
    made = h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_FLOAT, space, properties)
    packed_twice = zlib.compress(zlib.compress(bytes(4 * chunk[0]), 9), 9)
    for i in range(count):
        made.write_direct_chunk((i, 0, 0), packed_twice)


def damaged_filter(file: h5py.File) -> None:
    made = file.create_dataset("d", SHAPE, "f4", chunks=SHAPE, compression="gzip")
    made.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(1344))[:10] + b"\xff" * 9)


def fletcher(file: h5py.File) -> None:
    made = file.create_dataset("d", SHAPE, "f4", chunks=SHAPE, fletcher32=True)
    made.id.write_direct_chunk((0, 0, 0), VOXELS.tobytes() + b"oops")


def unknown_filter(file: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(SHAPE)
    properties.set_filter(400, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(SHAPE)
    h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_FLOAT, space, properties).write_direct_chunk((0, 0, 0), bytes(1344))


def two_volumes(file: h5py.File) -> None:
    file["d"] = VOXELS


def dataset(*args: object, **kwargs: object) -> Callable[[h5py.File], object]:
    return lambda file: file.create_dataset("d", *args, **kwargs)


WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "w", locking=True) as file:
    file["d"] = [[[1.0]]]
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


def in_the_hands_of_a_writer(folder: Path) -> str:
    path = folder / "a.h5"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    HELD.append(writer)
    assert writer.stdout.readline() == b"writing\n"
    return f"{path}:/d"


HDF5 = (
    BadFile("h5 missing", lambda folder: f"{folder / 'none.h5'}:/d", ("No such file",)),
    BadFile("h5 empty", plain(b"", "a.h5"), ("no HDF5 file",)),
    BadFile("h5 garbage", plain(b"\x89HDF\r\n\x1a\n" + b"\xa5" * 900, "a.h5"), ("no HDF5 file",)),
    BadFile("h5 cut", hdf5(two_volumes, change=lambda c: bytes(c[: len(c) // 2])), ("no HDF5 file",)),
    BadFile("h5 without a dataset", hdf5(lambda f: f.pop("other"), None), ("no dataset",)),
    BadFile(
        "h5 with two volumes",
        hdf5(two_volumes, None),
        ("2 volumes", "/d 6x7x8 float32", "/other 2x3x4 int16"),
    ),
    BadFile("h5 dataset missing", hdf5(two_volumes, "x/y"), ("no 'x'", "/other 2x3x4 int16")),
    BadFile("h5 below a dataset", hdf5(two_volumes, "d/y"), ("no 'y'", "/other")),
    BadFile("h5 group", hdf5(lambda f: f.create_group("d")), ("group", "/other")),
    BadFile("h5 named type", hdf5(lambda f: f.__setitem__("d", np.dtype("f4"))), ("named type", "/other")),
    BadFile("h5 root", hdf5(two_volumes, "/"), ("group", "/other")),
    BadFile(
        "h5 dangling soft link",
        hdf5(lambda f: f.__setitem__("d", h5py.SoftLink("/no"))),
        ("no 'no'", "/other"),
    ),
    BadFile("h5 soft-link loop", hdf5(soft_loop), ("circles", "/other")),
    BadFile("h5 external link", hdf5(external_link), ("external link", "target.h5", "/other")),
    BadFile("h5 external link behind a soft one", hdf5(behind_soft_link, "way"), ("external link", "/other")),
    BadFile("h5 external storage", hdf5(external_storage), ("external storage", "/other")),
    BadFile("h5 virtual", hdf5(virtual), ("virtual", "/other")),
    BadFile("h5 compound", hdf5(dataset(SHAPE, [("a", "f4")])), ("real numbers", "/other")),
    BadFile("h5 vlen", hdf5(dataset((3,), h5py.vlen_dtype("f4"))), ("varying length", "/other")),
    BadFile("h5 string", hdf5(dataset((3,), h5py.string_dtype())), ("text", "/other")),
    BadFile("h5 fixed string", hdf5(dataset((3,), "S5")), ("text", "/other")),
    BadFile("h5 reference", hdf5(dataset((3,), h5py.ref_dtype)), ("real numbers", "/other")),
    BadFile("h5 complex", hdf5(dataset(data=np.zeros(SHAPE, "c8"))), ("complex64", "/other")),
    BadFile("h5 longdouble", hdf5(dataset(data=np.zeros(SHAPE, "g"))), ("64 bits", "/other")),
    BadFile("h5 scalar", hdf5(dataset(data=1.0)), ("single number", "/other")),
    BadFile("h5 no dataspace", hdf5(dataset(data=h5py.Empty("f4"))), ("empty", "/other")),
    BadFile("h5 zero dim", hdf5(dataset(data=np.zeros((3, 0, 4)))), ("empty", "/other")),
    BadFile("h5 shape bomb", hdf5(shape_bomb), ("claims 268435456 bytes", "/other")),
    BadFile("h5 huge and unwritten", hdf5(dataset((900, 900, 900), "f4", chunks=True)), ("claims", "/other")),
    BadFile("h5 contiguous unwritten", hdf5(dataset(SHAPE, "f4")), ("never written", "/other")),
    BadFile(
        "h5 chunks unwritten",
        hdf5(dataset(SHAPE, "f4", chunks=(2, 7, 8))),
        ("0 chunks, expected 3", "/other"),
    ),
    BadFile("h5 some chunks unwritten", hdf5(some_chunks), ("4 chunks, expected 8", "/other")),
    BadFile("h5 damaged deflate", hdf5(damaged_filter), ("cannot be read", "/other")),
    BadFile("h5 bad fletcher32", hdf5(fletcher), ("cannot be read", "/other")),
    BadFile("h5 unknown filter", hdf5(unknown_filter), ("filter 400", "/other")),
    BadFile("h5 in the hands of a writer", in_the_hands_of_a_writer, ("no HDF5 file that can be read",)),
)

BAD_FILES = (*NIFTI, *NPY, *HDF5)


def big_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder(">"))


#: Files that look odd and are right: how they are made, their voxels, and what a note must say.
ODD_FILES: tuple[tuple[str, Callable[[Path], str], np.ndarray, str], ...] = (
    ("nii big-endian", plain(nifti(order=">")), VOXELS, "big-endian"),
    ("nii slope 0", plain(nifti(slope=0.0, inter=5.0)), VOXELS, ""),
    ("nii slope NaN", plain(nifti(slope=NAN, inter=5.0)), VOXELS, "unscaled"),
    ("nii slope and intercept", plain(nifti(slope=2.0, inter=1.0)), VOXELS * 2 + 1, "scaled"),
    ("nii pixdim 0", plain(nifti(pixdim=(1.0, 0, 2, 2, 1, 1, 1, 1))), VOXELS, "pixdim[1] is 0, taken as 1"),
    ("nii pixdim -3", plain(nifti(pixdim=(1.0, 2, -3, 2, 1, 1, 1, 1))), VOXELS, "pixdim[2] is -3, taken as 3"),
    ("nii pixdim NaN", plain(nifti(pixdim=(1.0, NAN, 2, 2, 1, 1, 1, 1))), VOXELS, "pixdim[1]"),
    ("nii no sform or qform", plain(GOOD), VOXELS, "spacing alone"),
    ("nii singular sform", plain(nifti(sform=np.zeros((4, 4)))), VOXELS, "sform is singular"),
    (
        "nii impossible qform",
        plain(nifti(qform_code=1, quaternion=(9.0, 9.0, 9.0))),
        VOXELS,
        "qform is singular",
    ),
    ("nii vox_offset 0", plain(nifti(offset=0.0)), VOXELS, ""),
    ("nii vox_offset 368", plain(nifti(offset=368.0, data=bytes(16) + IN_BYTES)), VOXELS, ""),
    ("nii bitpix 0", plain(nifti(bitpix=0)), VOXELS, ""),
    ("nii2", plain(nifti2()), VOXELS, ""),
    ("nii upper case", plain(GOOD, "A.NII"), VOXELS, ""),
    ("nii extension", plain(GOOD[:348] + b"\1" + GOOD[349:]), VOXELS, "extensions"),
    ("nii.gz every header field", packed(GOOD, with_header_crc(0)), VOXELS, ""),
    (
        "nii.gz two members",
        plain(gzip.compress(GOOD[:500]) + gzip.compress(GOOD[500:]), "a.nii.gz"),
        VOXELS,
        "",
    ),
    ("nii.gz empty member at the end", packed(GOOD, lambda c: bytes(c) + gzip.compress(b"")), VOXELS, ""),
    ("pair", pair(GOOD_PAIR[:348], IN_BYTES), VOXELS, ""),
    ("npy Fortran", saved(np.asfortranarray(VOXELS)), VOXELS, ""),
    ("npy C", saved(np.ascontiguousarray(VOXELS)), VOXELS, ""),
    ("npy big-endian", saved(big_endian(VOXELS)), VOXELS, "big-endian"),
    ("npy float16", saved(VOXELS.astype("f2")), VOXELS, ""),
    (
        "npy bool of other bytes",
        plain(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (1, 2, 2)}", b"\0\1\2\xff"), "a.npy"),
        np.array([[[False, True], [True, True]]]),
        "",
    ),
    ("npy bool", saved(VOXELS > 9), VOXELS > 9, ""),
    (
        "npy format 2.0",
        plain(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (6, 7, 8)}", IN_BYTES, (2, 0)), "a.npy"),
        VOXELS,
        "",
    ),
    (
        "npy format 3.0",
        plain(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (6, 7, 8)}", IN_BYTES, (3, 0)), "a.npy"),
        VOXELS,
        "",
    ),
    (
        "h5 soft link",
        hdf5(lambda f: (two_volumes(f), f.__setitem__("way", h5py.SoftLink("/d"))), "way"),
        VOXELS,
        "",
    ),
    ("h5 big-endian", hdf5(dataset(data=big_endian(VOXELS))), VOXELS, ""),
    ("h5 compact", hdf5(lambda f: compact(f)), VOXELS, ""),
    ("h5 bool", hdf5(dataset(data=VOXELS > 9)), VOXELS > 9, ""),
)


def compact(file: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    made = h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple(SHAPE), properties)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(VOXELS))
