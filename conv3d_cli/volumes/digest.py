"""The hash of a volume's files, for reports."""

from __future__ import annotations

import hashlib

from conv3d_cli.volumes.formats import STREAM
from conv3d_cli.volumes.stream import PIECE, reading
from conv3d_cli.volumes.volume import files_of


def sha256_of(ref: str) -> str | None:
    """Return the SHA-256 of the bytes of a volume's file, of both files of a pair; None for a stream, which is gone."""
    if ref == STREAM:
        return None
    digest = hashlib.sha256()
    for name in files_of(ref):
        with reading(name), open(name, "rb") as file:  # noqa: PTH123 - a name may hold any byte
            while piece := file.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()
