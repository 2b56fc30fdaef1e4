"""A spec file to a network: a YAML spec, or a model file of Keras."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath

from conv3d_cli.spec.check import build_network as checked_network
from conv3d_cli.spec.forms import canonical_form
from conv3d_cli.spec.problems import Problems
from conv3d_cli.spec.reader import parse, read_bytes
from conv3d_cli.spec.spec import Spec

MOST_BYTES_OF_A_MODEL = 16 << 20
YAML = (".yaml", ".yml")


def load_spec(path: str) -> Spec:
    r"""Return the network that a YAML file describes, or a model file of Keras: .keras, .h5, .json.

    JSON in the form of a spec is read too. The weights' path is resolved against the folder of the file; a
    model file that holds weights is its own. Raises SpecError, which holds every problem of a spec as
    ``file:line:column: what is wrong: got X, expected Y``, and names every layer of a model that cannot run.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "edges.yaml")
    >>> _ = path.write_text("filters: 4\nkernel_size: 3\nweights: edges.npz\n")
    >>> spec = load_spec(str(path))
    >>> [layer.filters for layer in spec.network], pathlib.Path(spec.weights).name
    ([4], 'edges.npz')
    """
    if is_model(path):
        return _model_spec(path)
    data = read_bytes(path)
    problems = Problems(path)
    canonical = canonical_form(parse(data, problems), problems)
    network = checked_network(canonical, problems)
    weights = canonical.weights and str(Path(path).parent / canonical.weights)
    return Spec(network, weights, canonical.keras, hashlib.sha256(data).hexdigest(), path)


def is_model(path: str) -> bool:
    """Return whether a file is a model: by its suffix, a .json by what it says."""
    suffix = PurePath(path).suffix.lower()
    if suffix in YAML:
        return False
    from conv3d_cli.models import SUFFIXES, is_model_json

    if suffix != ".json" or not Path(path).is_file():
        return suffix in SUFFIXES
    with Path(path).open("rb") as file:
        return is_model_json(file.read(MOST_BYTES_OF_A_MODEL))


def _model_spec(path: str) -> Spec:
    from conv3d_cli.models import build_network, read_model

    model = read_model(path)
    weights = path if model.has_weights else None
    return Spec(build_network(model), weights, model.keras, model.sha256, path, tuple(model.notes), model.entries)
