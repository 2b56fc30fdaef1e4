"""A layer's output against the oracle, by the tolerance of the method that the planner takes for it."""

from __future__ import annotations

import numpy as np
from oracle import oracle_layer
from tolerances import assert_close

from conv3d_cli.engine import Limits, choose


def assert_layer_close(layer, x, y):
    """Fail unless y is what the layer, which has no activation, makes of x."""
    x = np.asarray(x).astype(layer.dtype)
    want, magnitude = oracle_layer(
        x,
        layer.kernel,
        layer.bias,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
        groups=layer.groups,
    )
    method = choose(layer.problem(x.shape), Limits.detect()).method
    if method == "fft":
        # A transform rounds by all that is in its block, also by what no output sees.
        magnitude = np.maximum(magnitude, np.abs(x).max(initial=0) * np.abs(layer.kernel).sum(axis=(0, 1, 2, 3)).max())
    assert_close(method, layer.dtype, y, want, magnitude, layer.kernel[..., 0].size)
