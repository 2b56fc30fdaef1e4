"""The way of a volume from a file and back to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import OutputError, UsageError, quoted
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.outfile import (
    check_apart,
    check_not_a_terminal,
    check_target,
    replacing,
    replacing_all,
    standard_output,
)
from conv3d_cli.paths import exists
from conv3d_cli.volumes.axes import NIFTI, order_of, resolve_axes
from conv3d_cli.volumes.formats import STREAM, Format, files_of, open_volume, output_format, path_of
from conv3d_cli.volumes.narrow import Narrow, storage_dtype
from conv3d_cli.volumes.nifti import pair_names
from conv3d_cli.volumes.volume import Volume
from conv3d_cli.volumes.writers import write_nifti_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from conv3d_cli.volumes.source import Source


@frozen
class Saved:
    """What was written: bytes of voxels, values clipped to the dtype's range, NaN that became 0, the file's axes."""

    bytes: int
    clipped: int
    nans: int
    axes: str
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()


def load_volume(
    ref: str,
    axes: str | None = None,
    dtype: DTypeLike = "float32",
    data_format: str = "channels_last",
    limit_bytes: int | None = None,
) -> Volume:
    """Return a volume of a file, in the file's index and storage order, in native byte order, scaled.

    VolumeError if the file is damaged, UsageError if ``axes`` do not fit it, OverLimit if it needs too much memory.
    """
    with open_volume(ref) as source:
        letters = resolve_axes(source.format, len(source.shape), axes, data_format)
        array = source.read(dtype, limit_bytes)
        return Volume(array, letters, source.geometry_for(letters), source.format, source.meta, tuple(source.notes))


def save_volume(volume: Volume, ref: str, dtype: str = "float32", overwrite: bool = False) -> Saved:
    """Write a volume to a file in the format of its suffix, whole or not at all; ``-`` is the standard output.

    ``dtype`` is what the file stores: integers are rounded half to even and clipped. OutputError if it cannot be
    written, UsageError for a dtype that the format cannot store.

    >>> import numpy as np, os, tempfile
    >>> name = os.path.join(tempfile.mkdtemp(), "a.npy")
    >>> save_volume(Volume(np.full((2, 2, 2), 300.0), "zyx"), name, dtype="uint8").clipped
    8
    >>> float(load_volume(name).array.max())
    255.0
    """
    form = output_format(ref, volume.format)
    narrow = Narrow(storage_dtype(dtype, form.dtypes, form.name))
    axes = form.order(volume)
    ordered = replace(volume, array=_transposed(volume.array, volume.axes, axes), axes=axes)
    if ref == STREAM:
        with standard_output() as file:
            _write(form, ordered, file, narrow, ref)
    elif form.write is None:
        names = pair_names(ref)
        with replacing_all(names, overwrite) as files:
            write_nifti_pair(ordered, files, narrow, gz=ref.lower().endswith(".gz"))
    else:
        with replacing(path_of(ref), overwrite) as file:
            _write(form, ordered, file, narrow, ref)
    stored = volume.array.size * narrow.dtype.itemsize
    return Saved(stored, narrow.clipped, narrow.nans, axes, ordered.array.shape, tuple(_lost(ordered, form)))


def check_output(ref: str, overwrite: bool = False, inputs: Sequence[str] = (), dtype: str | None = None) -> None:
    """Refuse, before any work, every output that is already known to fail.

    OutputError if it exists, is an input under any name, or its folder cannot take it; UsageError for a suffix that
    means no format, a dtype that it cannot store, and for a terminal.
    """
    form = output_format(ref)
    if dtype is not None and ref != STREAM:
        storage_dtype(dtype, form.dtypes, form.name)
    if ref == STREAM:
        check_not_a_terminal()
        return
    for path in files_of(ref):
        check_apart(path, files_of(*inputs))
        check_target(path, overwrite)
    if form.name == "hdf5" and exists(path_of(ref)):
        _check_alone(ref)


def check_dtype(ref: str, dtype: str, volume_format: str) -> None:
    """Raise UsageError for a type that the format of an output cannot store."""
    form = output_format(ref, volume_format)
    storage_dtype(dtype, form.dtypes, form.name)


def same_dtype(source: Source) -> str:
    """Return the name of the type that a volume is stored in, for an output that is to have it too.

    Scale and intercept are not taken over: UsageError for integers that stand for other than whole numbers, of which
    rounding would leave nothing, and for truth values.

    >>> import numpy as np
    >>> from conv3d_cli.volumes import Source
    >>> same_dtype(Source("a.npy", "npy", (2, 2, 2), np.dtype(">i2")))
    'int16'
    """
    name = source.dtype.newbyteorder("=").name
    if source.dtype.kind == "b":
        raise UsageError("--dtype: 'same' would be truth values: expected a type by its name, such as uint8 or float32")
    if source.dtype.kind in "iu" and source.scale is not None and any(value % 1 for value in source.scale):
        slope, intercept = source.scale
        raise UsageError(
            f"--dtype: 'same' would round what is stored as {name} times {slope:.9g} plus {intercept:.9g} to whole "
            "numbers: expected a type by its name, such as float32"
        )
    return name


def _write(form: Format, volume: Volume, file: Any, narrow: Narrow, ref: str) -> None:
    assert form.write is not None
    form.write(volume, file, narrow, ref)


def _transposed(array: NDArray[Any], old: str, new: str) -> NDArray[Any]:
    """Return a view with the axes in another order; several batch axes keep theirs."""
    return array.transpose(order_of(new, old))


def _check_alone(ref: str) -> None:
    """Refuse to replace a file for one dataset where others that nobody spoke of would go with it."""
    import h5py

    from conv3d_cli.volumes.hdf5_checks import datasets

    _, wanted = (path_of(ref), ref[len(path_of(ref)) + 1 :] or None)
    try:
        with h5py.File(path_of(ref), "r", locking="best-effort") as file:
            names = [dataset.name for dataset in datasets(file)]
    except OSError:
        return
    others = [name for name in names if wanted is None or name.strip("/") != wanted.strip("/")]
    if len(names) > 1 and others:
        raise OutputError(
            f"{quoted(ref)}: overwriting replaces the whole file, and it holds {len(names)} datasets, such as"
            f" {quoted(others[0])}: expected a file of its own"
        )


def _lost(volume: Volume, form: Format) -> list[str]:
    """Return what a reader of the file will not find in it."""
    notes = []
    if volume.geometry is not None and form.name != "nifti":
        notes.append(f"{form.name} does not hold {'geometry' if form.name == 'npy' else 'orientation and origin'}")
    if not _is_default(volume.axes, form.name):
        notes.append(f"the meaning of the axes is not stored: reading it needs --axes {volume.axes}")
    if volume.format != "hdf5":
        return notes
    from conv3d_cli.volumes.hdf5_attributes import Attributes, dropped_words

    found = volume.meta.get("attributes")
    if isinstance(found, Attributes):
        kept, dropped = found.carried(volume.array.ndim)
        if form.name != "hdf5" and kept:
            notes.append(f"{form.name} does not hold the attributes {dropped_words(tuple(kept))}")
        if dropped:
            notes.append(f"attributes that may not hold of the output are left out: {dropped_words(dropped)}")
    return notes


def _is_default(axes: str, form: str) -> bool:
    """Return whether the format's own default for some data_format gives these axes."""
    if form == "nifti":
        return axes == NIFTI.get(len(axes))
    return axes in {resolve_axes(form, len(axes), None, data) for data in ("channels_last", "channels_first")}
