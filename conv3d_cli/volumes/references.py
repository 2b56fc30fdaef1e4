"""What names a volume: a file, or a dataset in a file of HDF5."""

from __future__ import annotations

import os

#: Suffixes of files of HDF5.
HDF5 = (".h5", ".hdf5", ".hdf")


def split_ref(ref: str) -> tuple[str, str | None]:
    """Return file and dataset path of ``scan.h5:/path``; a file that has a colon in its name is a file.

    >>> split_ref("scan.h5:/t0/data"), split_ref("scan.h5")
    (('scan.h5', '/t0/data'), ('scan.h5', None))
    """
    if not os.path.lexists(ref):
        for at, letter in enumerate(ref):
            if letter == ":" and ref[:at].lower().endswith(HDF5):
                return ref[:at], ref[at + 1 :]
    return ref, None
