"""The register tile of an instruction set: how many outputs its kernels sum at a time."""

from __future__ import annotations

from functools import lru_cache

from conv3d_cli.engine import isa as isas
from conv3d_cli.frozen import frozen


@frozen
class Tile:
    """A kernel's register tile: bytes of a vector, most filters, most rows for 1, 2, 4, 8 filters, longest column."""

    vector_bytes: int
    filters: int
    rows: tuple[int, ...]
    column: int


@lru_cache(maxsize=8)
def tile_of(isa: str) -> Tile:
    """Return the register tile of an instruction set; a typical one where the kernels are not built."""
    module = isas.native()
    return Tile(*module.tile(isa)) if module is not None else Tile(16, 4, (8, 4, 3, 1), 7)
