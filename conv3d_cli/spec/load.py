"""A spec file to a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conv3d_cli.spec.check import build_network
from conv3d_cli.spec.forms import canonical_form
from conv3d_cli.spec.problems import Problems
from conv3d_cli.spec.reader import parse, read_bytes

if TYPE_CHECKING:
    from conv3d_cli.layers import Network


@dataclass(frozen=True)
class Spec:
    """What a spec file says: an unbuilt network, the path of its weights or None, the hash of its bytes."""

    network: Network
    weights: str | None
    keras: int
    sha256: str
    path: str


def load_spec(path: str) -> Spec:
    r"""Return the network that a YAML file describes; JSON is read too.

    The weights' path is resolved against the folder of the file. Raises SpecError, which holds every problem
    of the file as ``file:line:column: what is wrong: got X, expected Y``.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "edges.yaml")
    >>> _ = path.write_text("filters: 4\nkernel_size: 3\nweights: edges.npz\n")
    >>> spec = load_spec(str(path))
    >>> [layer.filters for layer in spec.network], pathlib.Path(spec.weights).name
    ([4], 'edges.npz')
    """
    data = read_bytes(path)
    problems = Problems(path)
    canonical = canonical_form(parse(data, problems), problems)
    network = build_network(canonical, problems)
    weights = canonical.weights and str(Path(path).parent / canonical.weights)
    return Spec(network, weights, canonical.keras, hashlib.sha256(data).hexdigest(), path)
