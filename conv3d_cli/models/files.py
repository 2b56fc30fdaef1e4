"""The configuration inside a model file: a zip of Keras 3, a legacy HDF5 file, or JSON; told apart by their bytes."""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from conv3d_cli.errors import SpecError, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.heaps import heaps_are_sound
from conv3d_cli.models.text import MOST_BYTES, read_json

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".keras", ".h5", ".hdf5")
"""Names of model files that are not text; ``.json`` may be a model or a spec."""

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_EMPTY_ZIP = b"PK\x05\x06"
_BLOCK = 1 << 20
#: Beside the configuration a ``.keras`` holds two or three files, and perhaps the assets of some layers.
_MOST_MEMBERS = 10_000


@frozen
class Written:
    """What a file says: its form, its configuration as a JSON value, the version that it names, its hash."""

    form: str
    config: Any
    version: str
    sha256: str


def read_written(path: str) -> Written:
    """Return the configuration that a model file holds; SpecError, in one line, unless it can be read.

    No code is read from a file, no link in it is followed.
    """
    with _opened(path) as file:
        sha256 = _hash(path, file)
        magic = _at(file, 0, 8)
        if magic.startswith((_ZIP, _EMPTY_ZIP)):
            form, (config, version) = "keras", _from_zip(path, file)
        elif any(_at(file, place, 8) == _HDF5 for place in (0, 512, 1024, 2048)):
            if not heaps_are_sound(file):
                raise SpecError([f"{quoted(path)}: is HDF5 that cannot be read: a heap of it is damaged"])
            form, (config, version) = "hdf5", _from_hdf5(path)
        elif Path(path).suffix.lower() in SUFFIXES:
            raise SpecError(
                [f"{quoted(path)}: is neither a zip nor HDF5: got {magic[:8]!r} at its start, expected a Keras model"]
            )
        else:
            form, config = "json", read_json(_at(file, 0, MOST_BYTES + 1), path)
            version = str(config.get("keras_version", "")) if isinstance(config, dict) else ""
    return Written(form, config, version, sha256)


def _opened(path: str) -> BinaryIO:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise SpecError([f"{quoted(path)}: not a regular file: expected a Keras model"])
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SpecError([f"{quoted(path)}: the model cannot be read: {why}"]) from error


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _hash(path: str, file: BinaryIO) -> str:
    digest = hashlib.sha256()
    try:
        while block := file.read(_BLOCK):
            digest.update(block)
    except OSError as error:
        raise SpecError([f"{quoted(path)}: the model cannot be read: {error.strerror or error}"]) from error
    return digest.hexdigest()


def _from_zip(path: str, file: BinaryIO) -> tuple[Any, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            config = read_json(_member(path, archive, "config.json"), path, "config.json in it")
            metadata: Any = {}
            if "metadata.json" in archive.namelist():
                metadata = read_json(_member(path, archive, "metadata.json"), path, "metadata.json in it")
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError([f"{quoted(path)}: is a zip that cannot be read: {_line(error)}"]) from error
    version = metadata.get("keras_version", "") if isinstance(metadata, dict) else ""
    return config, str(version)


def _member(path: str, archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member that is there once, and no more of it than a model may need."""
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise SpecError([f"{quoted(path)}: is a zip of {len(archive.infolist())} files: expected a Keras model"])
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise SpecError([f"{quoted(path)}: is a zip with {len(found) or 'no'} {name}: expected a Keras model"])
    [info] = found
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SpecError(
            [f"{quoted(path)}: {name} in it is compressed by method {info.compress_type}: expected none or deflate"]
        )
    with archive.open(info) as member:
        return member.read(MOST_BYTES + 1)


def _from_hdf5(path: str) -> tuple[Any, str]:
    import h5py

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            data = _attribute(path, file, "model_config")
            version = _attribute(path, file, "keras_version") or b""
            if data is None:
                held = "weights only" if "layer_names" in file.attrs or "layers" in file else "no Keras model"
                raise SpecError(
                    [
                        f"{quoted(path)}: holds {held}: got no attribute model_config, expected the file of a whole"
                        " model; weights go with a spec, as --weights"
                    ]
                )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError([f"{quoted(path)}: is HDF5 that cannot be read: {_line(error)}"]) from error
    return read_json(data, path, "model_config in it"), version.decode("ascii", "replace")


def _attribute(path: str, file: h5py.File, name: str) -> bytes | None:
    """Return the bytes of a text attribute of the root, or None if there is none."""
    import h5py

    if not h5py.h5a.exists(file.id, name.encode()):
        return None
    found = h5py.h5a.open(file.id, name.encode())
    if found.get_type().get_class() != h5py.h5t.STRING or found.shape not in ((), (1,)):
        raise SpecError([f"{quoted(path)}: its attribute {name} is no text: expected a Keras model"])
    if found.get_storage_size() > MOST_BYTES:
        raise SpecError([f"{quoted(path)}: its attribute {name} is too large: expected at most {MOST_BYTES} bytes"])
    value = file.attrs[name]
    if getattr(value, "shape", ()) == (1,):
        value = value[0]
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def _line(error: BaseException) -> str:
    return quoted(" ".join(str(error).split())[:200] or type(error).__name__)[1:-1]
