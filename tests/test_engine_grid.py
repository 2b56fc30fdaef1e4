"""Random layers, every method that can serve them, every instruction set of this machine, against the oracle.

Each layer is a Keras layer: strides or dilation, groups, both paddings, both data formats, both precisions, even and
odd anisotropic kernels, sizes 1 to 9 and some to 40.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracle import oracle_layer
from support import GENERAL
from tolerances import assert_close

from conv3d_cli.engine import Limits, convolve_array, isa
from conv3d_cli.layers import Conv3D

LAYERS, PART = 2000, 100


def random_layer(number: int):
    """Return a layer and an input that it takes, the same ones for the same number."""
    rng = np.random.default_rng(number)
    largest = 40 if number % 8 == 0 else 9
    size = [int(n) for n in rng.integers(1, largest + 1, 3)]
    padding = str(rng.choice(["valid", "same"]))
    kernel = [int(k) for k in rng.integers(1, 6, 3)]
    spread = [int(s) for s in rng.integers(1, 4, 3)]
    strides, dilation = ([1, 1, 1], spread) if rng.random() < 0.5 else (spread, [1, 1, 1])
    if padding == "valid":
        size = [max(n, (k - 1) * d + 1) for n, k, d in zip(size, kernel, dilation, strict=True)]
    groups = int(rng.integers(1, 4))
    channels = groups * int(rng.integers(1, 5))
    layer = Conv3D(
        groups * int(rng.integers(1, 6)),
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding=padding,
        groups=groups,
        use_bias=bool(rng.random() < 0.7),
        data_format=str(rng.choice(["channels_last", "channels_first"])),
        dtype=str(rng.choice(["float32", "float64"])),
    )
    batch = [int(n) for n in rng.integers(1, 3, int(rng.integers(1, 3)))]
    last = layer.data_format == "channels_last"
    x = rng.standard_normal((*batch, *size, channels) if last else (*batch, channels, *size)).astype(layer.dtype)
    layer.build(x.shape)
    weights = [rng.standard_normal(array.shape).astype(layer.dtype) for array in layer.get_weights()]
    layer.set_weights(weights)
    return layer, x


def exact(layer, x):
    return oracle_layer(
        x,
        layer.kernel,
        layer.bias,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
        groups=layer.groups,
    )


def transform_floor(layer, x) -> float:
    """Return the largest product of a voxel and a weight: a transform rounds at that scale.

    The sum itself may be smaller, even empty: with dilation every tap of a small axis can fall into the padding.
    """
    return float(np.abs(x).max(initial=0) * np.abs(layer.kernel).max())


def served(layer, x, method: str):
    return convolve_array(
        layer.problem(x.shape),
        x,
        layer.kernel,
        layer.bias,
        channels_last=layer.data_format == "channels_last",
        limits=Limits(2, 1 << 32),
        method=method,
        accuracy="strict" if x.size % 2 else "default",
    )


@pytest.mark.parametrize("part", range(LAYERS // PART))
def test_methods_agree_with_the_oracle(part, monkeypatch):
    ways = [(method, "") for method in GENERAL if method != "direct"] + [("direct", name) for name in isa.available()]
    assert isa.native() is None or len(ways) >= 3
    for number in range(part * PART, (part + 1) * PART):
        layer, x = random_layer(number)
        want, magnitude = exact(layer, x)
        terms = int(np.prod(layer.kernel.shape[:4]))
        for method, name in ways:
            monkeypatch.setenv(isa.VARIABLE, name)
            floor = transform_floor(layer, x) if method == "fft" else 0.0
            assert_close(method, layer.dtype, served(layer, x, method), want, np.maximum(magnitude, floor), terms)


def test_a_wrong_tap_is_seen():
    layer, x = random_layer(8)
    want, magnitude = exact(layer, x)
    kernel, bias = layer.kernel.copy(), layer.bias
    kernel[0, 0, 0, 0, 0] *= 1.001
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    for method in ("reference", "fft"):
        with pytest.raises(AssertionError, match="beyond the tolerance"):
            assert_close(method, layer.dtype, served(layer, x, method), want, magnitude, kernel[..., 0].size)
