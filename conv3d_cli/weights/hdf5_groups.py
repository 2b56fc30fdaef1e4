"""Groups and attributes of an HDF5 file that nobody trusts: hard links only, text of bounded length, no objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import WeightsError, quoted

if TYPE_CHECKING:
    import h5py

#: Bounds far above any model's, so that a file made for it cannot keep this busy.
MOST_NAMES, LONGEST_NAME, DEEPEST = 100_000, 10_000, 32


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers by value: ``conv3d_2`` before ``conv3d_10``.

    >>> sorted(["conv3d_10", "conv3d", "conv3d_2"], key=natural)
    ['conv3d', 'conv3d_2', 'conv3d_10']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def child(where: str, group: h5py.Group, name: str) -> Any:
    """Return what a group holds by a name or a path; WeightsError for a link that is not a hard one, or for nothing."""
    import h5py

    here: Any = group
    for part in name.split("/"):
        link = here.get(part, getlink=True) if part not in ("", ".") and isinstance(here, h5py.Group) else None
        if link is None:
            raise WeightsError(f"{where}: {quoted(name)} is missing in {quoted(group.name)}")
        if not isinstance(link, h5py.HardLink):
            kind = "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
            raise WeightsError(f"{where}: {quoted(name)} is {kind} link, which is not followed")
        here = here[part]
    return here


def group_of(where: str, group: h5py.Group, name: str) -> h5py.Group:
    """Return a group in a group."""
    import h5py

    found = child(where, group, name)
    if not isinstance(found, h5py.Group):
        raise WeightsError(f"{where}: {quoted(name)} is no group")
    return found


def texts(where: str, thing: h5py.Group, name: str) -> list[str] | None:
    """Return the strings of an attribute, or of ``name0``, ``name1`` and so on; None if there is no such attribute."""
    if name in thing.attrs:
        return _strings(where, thing, name)
    if f"{name}0" not in thing.attrs:
        return None
    found: list[str] = []
    for i in range(MOST_NAMES):
        if f"{name}{i}" not in thing.attrs:
            break
        found += _strings(where, thing, f"{name}{i}")
    return found


def text(where: str, thing: h5py.Group, name: str) -> str | None:
    """Return the one string of an attribute, or None if it is not there or is something else."""
    if name not in thing.attrs:
        return None
    found = _strings(where, thing, name)
    return found[0] if len(found) == 1 else None


def _strings(where: str, thing: h5py.Group, name: str) -> list[str]:
    """Return the strings of an attribute, whose type and size are looked at before it is read."""
    import h5py

    where = f"{where}: attribute {quoted(name)} of {quoted(thing.name)}"
    attribute = h5py.h5a.open(thing.id, name.encode())
    count, kind = attribute.get_space().get_simple_extent_npoints(), attribute.get_type()
    if count == 0:  # of an empty list Keras writes an empty array of floats
        return []
    if not isinstance(kind, h5py.h5t.TypeStringID):
        raise WeightsError(f"{where}: holds no text: got {attribute.dtype}, expected names")
    if count > MOST_NAMES or (not kind.is_variable_str() and kind.get_size() > LONGEST_NAME):
        raise WeightsError(f"{where}: too long: got {count} names, expected at most {MOST_NAMES}")
    value = thing.attrs[name]
    values = [value] if isinstance(value, (str, bytes)) else list(value.ravel())
    names = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
    if any(len(n) > LONGEST_NAME for n in names):
        raise WeightsError(f"{where}: too long: expected names of at most {LONGEST_NAME} letters")
    return names
