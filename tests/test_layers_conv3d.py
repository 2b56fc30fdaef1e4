"""The layer: shapes, weights, calls with every kind of input, and its configuration."""

from __future__ import annotations

import numpy as np
import pytest
from layerchecks import assert_layer_close
from oracle import same_pads

from conv3d_cli.engine import Problem
from conv3d_cli.errors import LayerError, OverLimit, ShapeError
from conv3d_cli.layers import Conv3D


def built(*args, channels=2, seed=3, **kwargs):
    layer = Conv3D(*args, bias_initializer="random_normal", **kwargs)
    layer.build(channels, seed)
    return layer


def numbers(*shape, dtype="float32", seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(dtype)


def check(layer, x):
    """Call the layer and compare with the oracle; the layer has no activation."""
    y = layer(x)
    assert_layer_close(layer, x, y)
    assert y.flags.c_contiguous
    return y


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3), (2, 1, 2, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_axes_and_formats(data_format, batch, dtype):
    layer = built(3, (2, 3, 1), padding="same", data_format=data_format, dtype=dtype)
    shape = (5, 4, 6, 2) if data_format == "channels_last" else (2, 5, 4, 6)
    y = check(layer, numbers(*batch, *shape))
    assert y.shape == layer.compute_output_shape((*batch, *shape))


# Bug of a framework: with channels_first the bias was added along the width if the width was the number of filters.
def test_bias_goes_to_the_filters_even_if_the_width_has_their_number():
    layer = built(4, 1, data_format="channels_first")
    check(layer, numbers(1, 2, 3, 3, 4))


@pytest.mark.parametrize(
    ("n", "k", "s", "d", "pads"),
    [
        *[
            (6, 2, 1, 1, (0, 1)),
            (6, 4, 1, 1, (1, 2)),
            (6, 3, 2, 1, (0, 1)),
            (7, 3, 2, 1, (1, 1)),
            (6, 2, 2, 1, (0, 0)),
        ],
        *[(7, 2, 2, 1, (0, 1)), (6, 5, 2, 1, (1, 2)), (5, 7, 3, 1, (2, 3)), (10, 4, 3, 1, (1, 2))],
        *[(7, 2, 1, 3, (1, 2)), (8, 4, 1, 3, (4, 5))],
    ],
)
def test_same_padding_of_tensorflow(n, k, s, d, pads):
    layer = Conv3D(1, k, strides=s, dilation_rate=d, padding="same")
    assert layer.pads((n, n, n)) == (pads,) * 3 == same_pads((n,) * 3, (k,) * 3, (s,) * 3, (d,) * 3)
    assert layer.problem((1, n, n, n, 1)).padding == (pads,) * 3
    layer.build(1)
    check(layer, numbers(1, n, n, n, 1))


def test_problem():
    layer = Conv3D(6, (1, 2, 3), strides=(1, 2, 1), groups=3, data_format="channels_first", dtype="float64")
    assert layer.problem((2, 5, 9, 7, 8, 9)) == Problem(
        size=(7, 8, 9),
        kernel=(1, 2, 3),
        strides=(1, 2, 1),
        batch=10,
        channels=9,
        filters=6,
        groups=3,
        dtype="float64",
    )
    with pytest.raises(ShapeError, match="input shape not known"):
        layer.problem((2, 9, None, 8, 9))


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "uint8", "int16", ">i4", "int64", "uint64", "bool", ">f4", "longdouble"]
)
def test_inputs_of_any_real_type_are_cast(dtype):
    x = (10 * numbers(1, 4, 4, 4, 2)).astype(dtype)
    before = x.copy()
    assert check(built(2, 3), x).dtype == np.float32
    np.testing.assert_array_equal(x, before)


def test_inputs_that_are_no_array():
    layer = built(1, 1, channels=1)
    x = [[[[[1], [2]]]]]
    np.testing.assert_array_equal(layer(x), layer(np.array(x)))

    class Holder:
        def __array__(self, dtype=None, copy=None):
            return np.array(x, dtype)

    np.testing.assert_array_equal(layer(Holder()), layer(x))
    with pytest.raises(LayerError, match=r"layer 'conv3d': input: not real numbers: got complex128"):
        layer(np.zeros((1, 2, 2, 2, 1), complex))
    with pytest.raises(LayerError, match=r"layer 'conv3d': input: not real numbers: got <U1"):
        layer("x")
    with pytest.raises(
        LayerError, match=r"layer 'conv3d': input: not an array: got \[\[1\], \[1, 2\]\], expected a regular array"
    ):
        layer([[1], [1, 2]])


def test_values_beyond_float32_become_infinite():
    layer = built(1, 1, channels=1)
    assert np.isinf(layer(np.full((1, 1, 1, 1, 1), 1e300))).all()


@pytest.mark.parametrize("order", ["F", "reversed", "sliced", "moved", "readonly", "broadcast"])
def test_inputs_of_any_layout_stay_as_they_are(order):
    x = numbers(2, 6, 5, 7, 2)
    view = {
        "F": lambda: np.asfortranarray(x),
        "reversed": lambda: x[:, ::-1, :, ::-1],
        "sliced": lambda: numbers(2, 12, 5, 14, 4)[:, ::2, :, 1::2, ::2],
        "moved": lambda: np.moveaxis(numbers(2, 2, 6, 5, 7), 1, -1),
        "readonly": lambda: x,
        "broadcast": lambda: np.broadcast_to(x[:1], x.shape),
    }[order]()
    view.flags.writeable = False
    before = view.copy()
    check(built(3, 3, padding="same"), view)
    np.testing.assert_array_equal(view, before)


def test_result_is_new_even_for_the_identity():
    layer = Conv3D(1, 1, kernel_initializer="ones", use_bias=False)
    x = numbers(1, 3, 3, 3, 1)
    y = layer(x)
    np.testing.assert_array_equal(x, y)
    assert not np.shares_memory(x, y)


def test_activation_comes_after_the_bias():
    layer = Conv3D(
        1,
        1,
        kernel_initializer="zeros",
        bias_initializer={"class_name": "constant", "config": {"value": -2}},
        activation="relu",
    )
    assert layer(np.ones((1, 2, 2, 2, 1))).max() == 0
    layer = Conv3D(3, 1, data_format="channels_first", activation={"class_name": "softmax", "config": {"axis": 1}})
    np.testing.assert_allclose(layer(numbers(2, 2, 4, 4, 5)).sum(axis=1), 1, rtol=1e-6)


def test_softmax_mixes_the_last_axis_whatever_the_format():
    layer = Conv3D(3, 1, data_format="channels_first", activation="softmax")
    np.testing.assert_allclose(layer(numbers(2, 2, 4, 4, 5)).sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_what_is_not_finite_reaches_as_far_as_the_kernel(value, activation):
    layer = Conv3D(1, 3, padding="same", kernel_initializer="ones", activation=activation)
    x = np.zeros((1, 9, 9, 9, 1), np.float32)
    x[0, 4, 4, 4, 0] = value
    y = layer(x)
    reached = np.zeros(x.shape, bool)
    reached[0, 3:6, 3:6, 3:6] = True
    hidden = activation == "relu" and value == -np.inf
    np.testing.assert_array_equal(~np.isfinite(y), reached & (not hidden))
    assert (y[~reached] == 0).all()


def test_nan_times_zero_is_nan():
    layer = Conv3D(1, 3, padding="same", kernel_initializer="zeros", activation="relu")
    x = np.zeros((1, 5, 5, 5, 1), np.float32)
    x[0, 2, 2, 2, 0] = np.nan
    assert np.isnan(layer(x)).sum() == 27


@pytest.mark.parametrize(
    ("shape", "out"),
    [
        ((1, 2, 2, 2, 1), (1, 0, 0, 0, 2)),
        ((1, 2, 5, 5, 1), (1, 0, 3, 3, 2)),
        ((0, 5, 5, 5, 1), (0, 3, 3, 3, 2)),
        ((3, 0, 5, 5, 5, 1), (3, 0, 3, 3, 3, 2)),
    ],
)
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_empty_outputs(shape, out, activation):
    layer = Conv3D(2, 3, activation=activation)
    assert layer.compute_output_shape(shape) == out
    y = layer(np.zeros(shape, np.float32))
    assert y.shape == out
    assert y.dtype == np.float32


def test_same_padding_of_an_empty_input():
    assert Conv3D(2, 3, padding="same")(np.zeros((1, 0, 5, 5, 1))).shape == (1, 0, 5, 5, 2)


SHAPE_ERRORS = [
    (
        {},
        (4, 4, 4, 1),
        r"^layer 'conv3d': input has too few dimensions: got 4 in \(4, 4, 4, 1\), expected at least 5 dimensions$",
    ),
    ({}, (), r"got 0 in \(\), expected at least 5 dimensions"),
    (
        {"groups": 2},
        (1, 4, 4, 4, 3),
        r"^layer 'conv3d': the input's channels do not divide into groups: got 3 channels in \(1, 4, 4, 4, 3\), "
        r"expected a multiple of groups 2$",
    ),
    ({}, (1, 4, 4, 4, 0), r"got 0 channels in \(1, 4, 4, 4, 0\)"),
    (
        {"kernel_size": 6},
        (1, 4, 9, 9, 1),
        r"^layer 'conv3d': kernel larger than the input along axis 1: got 4 voxels, effective kernel 6, stride 1, "
        r"in \(1, 4, 9, 9, 1\), expected at least 5 voxels$",
    ),
    (
        {"dilation_rate": (1, 1, 3), "data_format": "channels_first", "name": "a"},
        (2, 1, 1, 9, 9, 5),
        r"^layer 'a': kernel larger than the input along axis 5: got 5 voxels, effective kernel 7",
    ),
    (
        {"kernel_size": 8, "strides": 2},
        (1, 4, 9, 9, 1),
        r"effective kernel 8, stride 2, .*expected at least 6 voxels",
    ),
    (
        {"batch_input_shape": (None, 9, 9, 9, 2)},
        (1, 9, 9, 9, 3),
        r"^layer 'conv3d': wrong number of channels on axis -1 of the input: got 3 in \(1, 9, 9, 9, 3\), expected 2$",
    ),
]


@pytest.mark.parametrize(("change", "shape", "words"), SHAPE_ERRORS, ids=lambda v: str(v)[:30])
def test_inputs_that_do_not_fit(change, shape, words):
    layer = Conv3D(**{"filters": 2, "kernel_size": 3, **change})
    for attempt in (layer.compute_output_shape, layer.problem, lambda s: layer(np.zeros(s, np.float32))):
        with pytest.raises(ShapeError, match=words):
            attempt(shape)
    assert not layer.built


def test_a_later_call_with_other_channels():
    layer = built(2, 3, channels=2)
    for data_format, axis, shape in (
        ("channels_last", -1, (1, 5, 5, 5, 3)),
        ("channels_first", -4, (1, 3, 5, 5, 5)),
    ):
        layer = built(2, 3, data_format=data_format)
        with pytest.raises(
            ShapeError,
            match=rf"wrong number of channels on axis {axis} of the input: got 3 in .*, expected 2",
        ):
            layer(np.zeros(shape))


def test_unknown_sizes_stay_unknown():
    layer = Conv3D(2, 3, strides=2, data_format="channels_first")
    assert layer.compute_output_shape((None, None, 9, None, 7)) == (None, 2, 4, None, 3)


@pytest.mark.parametrize(
    "given",
    [
        2,
        np.int64(2),
        (1, 5, 5, 5, 2),
        [None, None, None, None, 2],
        np.array([1, 5, 5, 5, 2]),
        (2, 3, 5, 5, 5, 2),
    ],
)
def test_build(given):
    layer = Conv3D(4, (1, 2, 3), groups=2)
    assert not layer.built
    assert layer.channels is None
    assert layer.weights == []
    layer.build(given)
    assert layer.built
    assert layer.channels == 2
    assert layer.kernel.shape == layer.kernel_shape(2) == (1, 2, 3, 1, 4)
    assert layer.bias.shape == (4,)
    assert layer.count_params() == 28


def test_build_from_the_declared_shape():
    layer = Conv3D(4, 1, input_shape=(5, 5, 5, 3))
    assert layer.batch_input_shape == (None, 5, 5, 5, 3)
    layer.build()
    assert layer.channels == 3
    with pytest.raises(ShapeError, match="wrong number of channels"):
        layer.build((1, 5, 5, 5, 2))
    with pytest.raises(ShapeError, match=r"wrong number of channels on axis -1 of the input: got 2, expected 3"):
        layer.build(2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "number of channels not known: got no input shape"),
        ((1, 5, 5, 5, None), r"number of channels not known: got \(1, 5, 5, 5, None\)"),
        (0, r"channels: below 1: got 0"),
        (3, r"do not divide into groups: got 3 channels, expected a multiple of groups 2"),
        ((5, 5, 5, 2), "too few dimensions"),
    ],
)
def test_build_refused(given, words):
    with pytest.raises(LayerError, match=words):
        Conv3D(2, 3, groups=2).build(given)


def test_build_again_for_other_channels():
    layer = built(2, 3, channels=2)
    layer.build((1, 5, 5, 5, 3))
    assert layer.channels == 3


def test_weights_beyond_the_memory(monkeypatch):
    with pytest.raises(
        OverLimit, match=r"^layer 'conv3d': not enough memory to make the kernel: got \d+ bytes .*expected"
    ):
        Conv3D(10**9, 1000).build(1)
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "1M")
    with pytest.raises(OverLimit, match=r"got 1048576 bytes \(CONV3D_MAX_MEMORY\), expected at least 12388608"):
        Conv3D(1000, 10).build(1)


def test_making_weights_takes_the_memory_that_is_counted():
    import tracemalloc

    layers = [Conv3D(300, 10, kernel_initializer=name, use_bias=False) for name in ("he_uniform", "he_normal")]
    for layer in layers:
        tracemalloc.start()
        layer.build(1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < layer.kernel_initializer.making_bytes(layer.kernel.shape, layer.dtype) + 2**22


def test_seed_must_be_whole():
    with pytest.raises(LayerError, match=r"seed: not a whole number: got 1\.5"):
        Conv3D(2, 3).build(1, seed=1.5)


def test_weights():
    layer = built(2, 1, channels=1, dtype="float64")
    kernel, bias = layer.get_weights()
    kernel += 1
    assert not np.array_equal(layer.kernel, kernel)
    layer.set_weights([kernel.astype(np.float32), [1, 2]])
    assert layer.kernel.dtype == layer.bias.dtype == np.float64
    np.testing.assert_array_equal(layer.bias, [1, 2])
    given = np.array(kernel, order="F")
    layer.set_weights([given, bias])
    given += 1
    np.testing.assert_array_equal(layer.kernel, kernel)
    assert layer.kernel.flags.c_contiguous
    bare = built(2, 1, channels=1, use_bias=False)
    assert bare.bias is None
    assert len(bare.get_weights()) == 1
    assert bare.count_params() == 2
    bare.set_weights([np.zeros((1, 1, 1, 1, 2))])
    assert (bare(np.ones((1, 1, 1, 1, 1))) == 0).all()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([], "layer 'edge': wrong number of weights: got 0, expected kernel and bias"),
        ([np.zeros((3, 3, 3, 1, 2))], "got 1, expected kernel and bias"),
        (
            [np.zeros((3, 3, 3, 2, 1)), np.zeros(2)],
            r"layer 'edge': kernel: wrong shape: got \(3, 3, 3, 2, 1\), expected \(3, 3, 3, 1, 2\)",
        ),
        ([np.zeros((3, 3, 3, 1, 2)), np.zeros(1)], r"layer 'edge': bias: wrong shape: got \(1,\), expected \(2,\)"),
        ([np.zeros((3, 3, 3, 1, 2), complex), np.zeros(2)], "layer 'edge': kernel: not real numbers: got complex128"),
    ],
)
def test_weights_refused(weights, words):
    layer = built(2, 3, channels=1, name="edge")
    before = layer.get_weights()
    with pytest.raises(LayerError, match=words):
        layer.set_weights(weights)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_weights_before_build():
    with pytest.raises(LayerError, match="layer 'conv3d': has no weights yet: got 2 arrays, expected build first"):
        Conv3D(2, 3).set_weights([1, 2])
    with pytest.raises(LayerError, match="layer 'conv3d': has no weights yet"):
        Conv3D(2, 3).count_params()
    assert Conv3D(2, 3).get_weights() == []


def test_config_round_trip():
    layer = Conv3D(
        4,
        (1, 2, 3),
        strides=(2, 1, 1),
        padding="same",
        data_format="channels_first",
        groups=2,
        activation={"class_name": "LeakyReLU", "config": {"alpha": 0.1}},
        kernel_initializer={"class_name": "HeNormal", "config": {"seed": 3}},
        name="a",
        dtype="float64",
        trainable=False,
        input_shape=(2, None, 5, 5),
    )
    config = layer.get_config()
    again = Conv3D.from_config(config)
    assert again.get_config() == config
    assert again.activation.written() == layer.activation.written()
    assert again.kernel_initializer == layer.kernel_initializer
    assert repr(layer) == "Conv3D(4, (1, 2, 3), name='a')"


def test_calls_give_the_same_bits():
    x = numbers(1, 9, 9, 9, 2)
    np.testing.assert_array_equal(built(3, 3)(x), built(3, 3)(x))
