"""A spec or a model file to a network that is ready to be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.spec import load_spec
from conv3d_cli.weights import assign, channels_of, read_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conv3d_cli.layers import Network


def load_network(spec: str, weights: str | None = None, input_shape: Sequence[int | None] | None = None) -> Network:
    r"""Return the network of a YAML spec or of a Keras model file, with its weights.

    ``weights`` is a weights file, and goes before the one that the spec names or the model holds. ``input_shape``,
    with batch axes and channels, is needed only where a weight's shape follows from it, and not from the weights or
    the spec. A network without weights is not built. Raises SpecError, WeightsError or ShapeError.

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "mean.yaml").write_text("filters: 1\nkernel_size: 2\nuse_bias: false\nweights: mean.npz\n")
    >>> np.savez(folder / "mean.npz", kernel=np.full((2, 2, 2, 1, 1), 1 / 8))
    >>> float(load_network(str(folder / "mean.yaml"))(np.full((1, 2, 2, 2, 1), 5.0)).max())
    5.0
    """
    found = load_spec(spec)
    network, path = found.network, weights or found.weights
    if path is None:
        return network
    values = read_weights(path)
    shape = input_shape or network[0].batch_input_shape or channels_of(network, values)
    assign(network, values, shape, found.entries)
    return network
