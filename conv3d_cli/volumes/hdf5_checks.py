"""Whether an HDF5 dataset is what it claims: in this file, of real numbers, written whole, and no bomb."""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.volumes.gzipped import LARGEST_RATIO
from conv3d_cli.volumes.source import real
from conv3d_cli.volumes.stream import one_line

if TYPE_CHECKING:
    import h5py

#: A listing names this many datasets, out of this many objects looked at.
LISTED, LOOKED_AT = 12, 10_000
LARGEST_LINK_DEPTH = 16
#: Filters whose expansion deflate's bounds: deflate, shuffle, fletcher32, szip, nbit, lzf.
BOUNDED_FILTERS = {1, 2, 3, 4, 5, 32000}
#: Other filters can store constant chunks in a few bytes; beyond this ratio the content is not worth the memory.
LARGEST_OTHER_RATIO = 1 << 14
HEADROOM = 1 << 20


def find(ref: str, file: h5py.File, name: str | None) -> h5py.Dataset:
    """Return the dataset of a path, or the only one of real numbers with 3 axes or more; no link leaves the file."""
    import h5py

    if name is None:
        candidates = [dataset for dataset in datasets(file) if dataset.ndim >= 3 and real(dataset.dtype)]
        if len(candidates) != 1:
            words = (
                "no volume"
                if not candidates
                else f"{len(candidates)} volumes, expected one or a choice like 'scan.h5:/path'"
            )
            raise VolumeError(f"{quoted(ref)}: holds {words}; {listing(file)}")
        return candidates[0]
    found = _follow(ref, file, name)
    if not isinstance(found, h5py.Dataset):
        kind = "group" if isinstance(found, h5py.Group) else "named type"
        raise VolumeError(f"{quoted(ref)}: is a {kind}, expected a dataset; {listing(file)}")
    return found


def check_dataset(ref: str, file: h5py.File, dataset: h5py.Dataset, file_size: int) -> None:
    """Raise VolumeError, naming the datasets that are there, unless every voxel is real and stored in this file."""
    problem = _problem(dataset, file_size)
    if problem:
        raise VolumeError(f"{quoted(ref)}: {quoted(dataset.name)} {problem}; {listing(file)}")


def listing(file: h5py.File) -> str:
    """Return the datasets of a file with shape and dtype, for an error message."""
    found = datasets(file)
    rows = [
        f"{one_line(d.name, 80)} {'x'.join(map(str, d.shape or ())) or 'scalar'} {one_line(d.dtype, 40)}" for d in found
    ]
    if not rows:
        return "there is no dataset in it"
    more = f" and {len(rows) - LISTED} more" if len(rows) > LISTED else ""
    return f"the datasets are {', '.join(rows[:LISTED])}{more}"


def datasets(file: h5py.File) -> list[h5py.Dataset]:
    """Return every dataset that can be reached by hard links, as far as damage lets one look."""
    import h5py

    found: list[h5py.Dataset] = []
    waiting: list[Any] = [file]
    seen: set[Any] = set()
    looked = 0
    while waiting and looked < LOOKED_AT:
        group = waiting.pop(0)
        try:
            names = list(group)
        except (OSError, RuntimeError, KeyError, ValueError):
            continue
        for name in names[:LOOKED_AT]:
            looked += 1
            try:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                thing = group[name]
                info = h5py.h5o.get_info(thing.id)
                if (info.fileno, info.addr) in seen:
                    continue
                seen.add((info.fileno, info.addr))
                if isinstance(thing, h5py.Dataset):
                    assert thing.dtype is not None  # looking at it finds a damaged one
                    found.append(thing)
                elif isinstance(thing, h5py.Group):
                    waiting.append(thing)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError):
                continue
    return found


def _follow(ref: str, file: h5py.File, name: str) -> Any:
    """Walk a path one name at a time, since a soft link may hide an external one behind it."""
    import h5py

    here: Any = file
    parts = [part for part in name.split("/") if part not in ("", ".")]
    jumps = 0
    while parts:
        part = parts.pop(0)
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise VolumeError(f"{quoted(ref)}: there is no {quoted(part)} in {quoted(here.name)}; {listing(file)}")
        if isinstance(link, h5py.ExternalLink):
            raise VolumeError(
                f"{quoted(ref)}: {quoted(part)} is an external link to {quoted(link.filename)}: name that file itself;"
                f" {listing(file)}"
            )
        if isinstance(link, h5py.SoftLink):
            jumps += 1
            if jumps > LARGEST_LINK_DEPTH:
                raise VolumeError(
                    f"{quoted(ref)}: {quoted(part)} is a soft link that goes round in circles; {listing(file)}"
                )
            here = file if link.path.startswith("/") else here
            parts = [p for p in link.path.split("/") if p not in ("", ".")] + parts
            continue
        here = here[part]
    return here


def _problem(dataset: h5py.Dataset, file_size: int) -> str:
    """Return what is wrong with a dataset, or nothing."""
    import h5py

    if dataset.shape is None:
        return "is empty: it has no dataspace"
    if h5py.check_string_dtype(dataset.dtype) or h5py.check_vlen_dtype(dataset.dtype):
        return f"holds text or lists of varying length, expected real numbers: got {one_line(dataset.dtype, 60)}"
    if not real(dataset.dtype):
        return f"holds {one_line(dataset.dtype, 60)}, expected real numbers of at most 64 bits"
    if not dataset.shape:
        return "is a single number, expected at least 3 axes"
    if 0 in dataset.shape:
        return f"is empty: its shape is {dataset.shape}"
    return storage_problem(dataset, file_size)


def storage_problem(dataset: h5py.Dataset, file_size: int) -> str:
    """Return why the values of a dataset with a shape are not all in this file, or nothing."""
    import h5py

    properties = dataset.id.get_create_plist()
    layout = properties.get_layout()
    claimed = prod(dataset.shape) * dataset.dtype.itemsize
    if properties.get_external_count():
        return "is stored in other files (external storage), which is not followed"
    if layout == h5py.h5d.VIRTUAL:
        return "is virtual: its voxels are in other files, which are not followed"
    if layout != h5py.h5d.CHUNKED:
        stored = dataset.id.get_storage_size()
        if stored < claimed or claimed > file_size:
            return f"was never written or is cut: got {min(stored, file_size)} bytes, expected {claimed}"
        return ""
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    ratio = LARGEST_RATIO if _bounded(filters) else LARGEST_OTHER_RATIO
    if claimed > ratio * file_size + HEADROOM:
        return f"claims {claimed} bytes in a file of {file_size}, which no such filter can hold"
    return _missing_filter(filters) or _missing_chunks(dataset)


def _bounded(filters: list[int]) -> bool:
    return set(filters) <= BOUNDED_FILTERS and filters.count(1) <= 1


def _missing_filter(filters: list[int]) -> str:
    import h5py

    missing = [number for number in filters if not h5py.h5z.filter_avail(number)]
    if missing:
        try:
            import_module("hdf5plugin")  # which registers its filters
        except ImportError:
            return f"needs the HDF5 filter {missing[0]}: pip install 'conv3d-cli[hdf5plugin]' may bring it"
    if any(not h5py.h5z.filter_avail(number) for number in missing):
        return f"needs the HDF5 filter {missing[0]}, which is not installed"
    return ""


def _missing_chunks(dataset: h5py.Dataset) -> str:
    """Chunks that were never written would read as zeros."""
    expected = prod(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    written = int(dataset.id.get_num_chunks())
    if written < expected:
        return f"was never written whole: got {written} chunks, expected {expected}"
    return ""
