"""What was read of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.frozen import frozen

if TYPE_CHECKING:
    from conv3d_cli.layers import Network
    from conv3d_cli.models import Entry


@frozen
class Spec:
    """What a spec file says: an unbuilt network, the path of its weights or None, the hash of its bytes.

    ``notes`` say what is read in another way than it is written; ``entries`` are the layers of a model file, by
    which a weights file that only counts layers can be read.
    """

    network: Network
    weights: str | None
    keras: int
    sha256: str
    path: str
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
