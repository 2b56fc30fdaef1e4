"""Gradients of the layer: against loops in float64, differences, TensorFlow and PyTorch, and as an adjoint."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import oracle, same_pads
from recorded import cases

from conv3d_cli.engine import Limits, Problem, adjoint, choose, isa, products
from conv3d_cli.errors import LayerError, OverLimit, ShapeError
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.gradients import Gradients, gradients

HERE = Path(__file__).parent / "recorded"
FOUND = json.loads((HERE / "gradients.json").read_text())
VALUES = np.load(HERE / "gradients.npz")
EVERY = [(section, case) for section in ("keras2", "torch") for case in FOUND[section]["layers"]]


def by_loops(x, kernel, upstream, strides, padding, dilation, groups):
    """Return the gradients (input, kernel) of planar arrays by their definition, window by window, in float64."""
    x, kernel, upstream = (np.asarray(a, np.float64) for a in (x, kernel, upstream))
    padded = np.pad(x, [(0, 0), (0, 0), *padding])
    by_x, by_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    channels, filters = x.shape[1] // groups, upstream.shape[1] // groups
    for n, f, *o in product(*map(range, upstream.shape)):
        u = upstream[(n, f, *o)]
        mine = slice(f // filters * channels, (f // filters + 1) * channels)
        seen = tuple(
            slice(p * s, p * s + (k - 1) * d + 1, d)
            for p, s, k, d in zip(o, strides, kernel.shape, dilation, strict=False)
        )
        by_x[(n, mine, *seen)] += u * np.moveaxis(kernel[..., f], 3, 0)
        by_kernel[..., f] += u * np.moveaxis(padded[(n, mine, *seen)], 0, 3)
    inside = tuple(slice(before, before + n) for (before, _), n in zip(padding, x.shape[2:], strict=True))
    return by_x[(slice(None), slice(None), *inside)], by_kernel


def triples(low, high):
    return st.tuples(*[st.integers(low, high)] * 3)


@st.composite
def problems(draw):
    groups = draw(st.integers(1, 3))
    problem = Problem(
        size=draw(triples(1, 7)),
        kernel=draw(triples(1, 4)),
        strides=draw(triples(1, 4)),
        dilation=draw(triples(1, 3)),
        padding=draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 3)),
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.integers(1, 2)),
        filters=groups * draw(st.integers(1, 3)),
        groups=groups,
        dtype=draw(st.sampled_from(["float64", "float32"])),
    )
    assume(0 < problem.multiply_adds < 60_000)
    return problem


def held(array, last):
    """Return the same values, with the channels fastest in memory if asked for."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1) if last else array


def assert_near(got, want, magnitude, dtype, product=0.0):
    """``product`` is the largest of two values: what a transform, which meets them all, may leave where none met."""
    limit = 32 * np.finfo(dtype).eps * np.maximum(magnitude, max(np.max(magnitude, initial=0) / 2, product))
    assert got.shape == want.shape
    assert (np.abs(got - want) <= limit).all(), np.abs(got - want).max()


@given(problem=problems(), last=st.booleans(), small=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=120, deadline=None)
def test_every_way_is_the_definition(problem, last, small, seed):
    x, kernel, u = cases.draw(seed, [problem.input_shape, problem.kernel_shape, problem.output_shape], problem.dtype)
    geometry = problem.strides, problem.padding, problem.dilation, problem.groups
    by_x, by_kernel = by_loops(x, kernel, u, *geometry)
    sum_x, sum_kernel = by_loops(np.abs(x), np.abs(kernel), np.abs(u), *geometry)
    limits = Limits(2, 1 << 30)
    got = held(np.full(problem.input_shape, np.nan, problem.dtype), last)
    adjoint.input_gradient(problem, held(u, last), kernel, got, limits)
    if isa.native():
        assert_near(got, by_x, sum_x, problem.dtype)
        assert (got[sum_x == 0] == 0).all()
    else:  # by a transform of the whole volume
        assert_near(got, by_x, sum_x, problem.dtype, np.abs(kernel).max() * np.abs(u).max())

    args, product = (problem, held(x, last), held(u, last)), np.abs(x).max() * np.abs(u).max()
    assert_near(adjoint.kernel_gradient(*args, limits), by_kernel, sum_kernel, problem.dtype, product)
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(products, "BLOCK_VALUES", 40)
            patch.setattr(products, "LONGEST_SUM", 16)
            patch.setattr(products, "SMALL", 20)
            patch.setattr(products, "FEW", 2)
        assert_near(products.kernel_products(*args, 2), by_kernel, sum_kernel, problem.dtype)
        patch.setattr(adjoint.products, "seconds", lambda *_: np.inf)
        assert_near(adjoint.kernel_gradient(*args, limits), by_kernel, sum_kernel, problem.dtype, product)


@st.composite
def layers(draw, activation=None):
    """Return a built float64 layer and the shape of an input that it can take."""
    groups = draw(st.integers(1, 2))
    strides, dilation = draw(st.sampled_from([((1, 1, 1), (1, 1, 1)), ((2, 1, 3), (1, 1, 1)), ((1, 1, 1), (2, 1, 3))]))
    first = draw(st.booleans())
    layer = Conv3D(
        groups * draw(st.integers(1, 2)),
        draw(triples(1, 3)),
        strides=strides,
        padding=draw(st.sampled_from(["valid", "same"])),
        data_format="channels_first" if first else "channels_last",
        dilation_rate=dilation,
        groups=groups,
        activation=activation,
        use_bias=activation is not None,
        kernel_initializer={"class_name": "RandomNormal", "config": {"stddev": 1.0}},
        bias_initializer="random_normal",
        dtype="float64",
    )
    channels = groups * draw(st.integers(1, 2))
    size, batch = draw(triples(4, 7)), draw(st.sampled_from([(1,), (2,), (2, 1, 2)]))
    assume(all(n > (k - 1) * d for n, k, d in zip(size, layer.kernel_size, dilation, strict=True)))
    shape = (*batch, channels, *size) if first else (*batch, *size, channels)
    layer.build(shape, seed=draw(st.integers(0, 99)))
    return layer, shape


@given(drawn=layers(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_input_gradient_is_the_adjoint(drawn, seed):
    layer, shape = drawn
    x, u = cases.draw(seed, [shape, layer.compute_output_shape(shape)], "float64")
    found = gradients(layer, x, u)
    inner = np.sum(layer(x) * u)
    scale = np.linalg.norm(layer(x)) * np.linalg.norm(u)
    assert abs(np.sum(found.input * x) - inner) <= 1e-13 * scale
    assert abs(np.sum(found.kernel * layer.kernel) - inner) <= 1e-13 * scale
    assert found.bias is None
    assert found.alpha is None


@given(drawn=layers(activation="tanh"), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_gradients_are_the_limits_of_differences(drawn, seed):
    layer, shape = drawn
    weights = layer.get_weights()
    x, u, *turns = cases.draw(
        seed, [shape, layer.compute_output_shape(shape), shape, *(w.shape for w in weights)], "float64"
    )
    found = gradients(layer, x, u)
    step = 1e-6

    def value(sign, which):
        moved = [a + sign * step * t * (i == which) for i, (a, t) in enumerate(zip([x, *weights], turns, strict=True))]
        layer.set_weights(moved[1:])
        return np.sum(u * layer(moved[0]))

    for which, got in enumerate(found[:3]):
        slope = (value(1, which) - value(-1, which)) / (2 * step)
        assert np.sum(got * turns[which]) == pytest.approx(slope, rel=1e-6, abs=1e-6 * np.linalg.norm(u))


@pytest.mark.parametrize(("section", "case"), EVERY, ids=lambda v: v if isinstance(v, str) else str(v["seed"]))
def test_gradients_are_those_of_the_frameworks(section, case):
    config = case["config"]
    x, kernel, bias = cases.case_arrays(case)
    size = x.shape[-4:-1] if config["data_format"] == "channels_last" else x.shape[-3:]
    if max(config["strides"]) > 1 and max(config["dilation_rate"]) > 1:
        axes = (config[key] for key in ("kernel_size", "strides", "dilation_rate"))
        zeros = same_pads(size, *axes) if config["padding"] == "same" else 0
        layer = Conv3D(**{**config, "padding": zeros}, dialect="torch")
    else:
        layer = Conv3D(**config)
    layer.build(x.shape)
    layer.set_weights([kernel, bias][: 1 + layer.use_bias])
    upstream = cases.draw(case["seed"] + 500, [layer.compute_output_shape(x.shape)], config["dtype"])[0]
    found = gradients(layer, x, upstream)
    last = layer.channels_last
    planar = [
        np.moveaxis(a.reshape(-1, *a.shape[-4:]), -1, 1) if last else a.reshape(-1, *a.shape[-4:])
        for a in (x, upstream)
    ]
    pads = ((0, 0),) * 3
    if config["padding"] == "same":
        pads = same_pads(planar[0].shape[2:], config["kernel_size"], config["strides"], config["dilation_rate"])
    sums = by_loops(
        np.abs(planar[0]),
        np.abs(kernel),
        np.abs(planar[1]),
        config["strides"],
        pads,
        config["dilation_rate"],
        layer.groups,
    )
    largest = {"input": sums[0].max(), "kernel": sums[1].max(), "bias": np.abs(planar[1]).sum(axis=(0, 2, 3, 4)).max()}
    for name in ("input", "kernel", "bias"):
        got, key = getattr(found, name), f"{section}/{case['seed']}/{name}"
        assert (got is None) == (key not in VALUES)
        if got is not None:
            assert got.dtype == np.dtype(config["dtype"])
            assert got.flags.c_contiguous
            # Both round; an activation's slope also sees the rounding of what it is taken at.
            atol = 64 * np.finfo(got.dtype).eps * largest[name]
            np.testing.assert_allclose(got, VALUES[key], rtol=0, atol=atol)


def test_an_activation_scales_the_upstream_by_its_slope():
    layer = Conv3D(1, 1, activation="relu", use_bias=True, kernel_initializer="ones", dtype="float64")
    layer.build(1)
    x = np.array([-2.0, 0.0, 3.0, 4.0]).reshape(1, 1, 1, 4, 1)
    found = gradients(layer, x, np.full_like(x, 2))
    assert isinstance(found, Gradients)
    assert found.input.ravel().tolist() == [0, 0, 2, 2]
    assert found.kernel.ravel().tolist() == [14]
    assert found.bias.tolist() == [4]


def test_a_layer_with_an_activation_that_mixes_channels():
    layer = Conv3D(3, 2, activation="softmax", kernel_initializer="ones", bias_initializer="random_normal")
    layer.build(1, seed=1)
    u = cases.draw(1, [(2, 3, 3, 3, 3)], "float64")[0]
    found = gradients(layer, np.zeros((2, 4, 4, 4, 1)), u)
    y = layer(np.zeros((2, 4, 4, 4, 1)))
    want = (y * (u - np.sum(u * y, axis=-1, keepdims=True))).sum(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(found.bias, want, rtol=1e-4, atol=1e-5)


def test_arguments_of_any_kind_are_taken_and_left_as_they_are():
    layer = Conv3D(2, 3, padding="same")
    layer.build(2, seed=1)
    x = np.arange(2 * 5 * 6 * 7 * 2, dtype=np.int16).reshape(2, 7, 6, 5, 2).transpose(0, 3, 2, 1, 4)
    u = cases.draw(2, [(2, 7, 6, 5, 2)], "float64")[0].transpose(0, 3, 2, 1, 4)
    kept = x.copy(), u.copy()
    found = gradients(layer, x, u)
    again = gradients(layer, np.ascontiguousarray(x, np.float32), np.ascontiguousarray(u, np.float32))
    assert (x == kept[0]).all()
    assert (u == kept[1]).all()
    for got, same in zip(found[:3], again[:3], strict=True):
        assert got.dtype == np.float32
        assert got.flags.c_contiguous
        np.testing.assert_allclose(got, same, rtol=0, atol=1e-5 * np.abs(same).max())


def test_an_unbuilt_layer_is_built_first():
    layer = Conv3D(2, 2, kernel_initializer="ones")
    assert gradients(layer, np.ones((1, 3, 3, 3, 1)), np.ones((1, 2, 2, 2, 2))).input.max() == 16
    assert layer.built


def test_a_wrong_upstream_is_named():
    layer = Conv3D(2, 3, name="a")
    with pytest.raises(
        ShapeError,
        match=r"layer 'a': wrong shape of the upstream gradient: got \(1, 3, 3, 3, 1\), expected \(1, 3, 3, 3, 2\)",
    ):
        gradients(layer, np.ones((1, 5, 5, 5, 1)), np.ones((1, 3, 3, 3, 1)))


def test_a_function_of_python_has_no_gradient():
    layer = Conv3D(1, 1, activation=np.absolute)
    with pytest.raises(LayerError, match="its derivative is not known"):
        gradients(layer, np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 1, 1, 1)))


@pytest.mark.parametrize("shape", [(0, 4, 4, 4, 1), (1, 2, 4, 4, 1)])
def test_an_empty_output_has_gradients_of_zero(shape):
    layer = Conv3D(2, 3, activation="softmax")
    layer.build(1)
    found = gradients(layer, np.ones(shape), np.ones(layer.compute_output_shape(shape)))
    assert found.input.shape == shape
    assert found.kernel.shape == (3, 3, 3, 1, 2)
    assert not found.input.any()
    assert not found.kernel.any()
    assert found.bias.tolist() == [0, 0]


def test_voxels_that_no_window_reads_have_none():
    layer = Conv3D(1, 2, strides=3, kernel_initializer="ones")
    found = gradients(layer, np.ones((1, 7, 7, 7, 1)), np.ones((1, 2, 2, 2, 1)))
    line = [1, 1, 0, 1, 1, 0, 0]
    assert (found.input[0, ..., 0] == np.einsum("i,j,k->ijk", line, line, line)).all()


def test_a_nan_reaches_the_voxels_of_its_window_only():
    layer = Conv3D(1, 3, padding="same", dilation_rate=2, kernel_initializer="ones", dtype="float64")
    u = np.ones((1, 9, 9, 9, 1))
    u[0, 4, 4, 4, 0] = np.nan
    bad = np.isnan(gradients(layer, np.ones_like(u), u).input[0, ..., 0])
    line = np.isin(np.arange(9), [2, 4, 6])
    assert (bad == (line[:, None, None] & line[:, None] & line)).all()


def test_patches_take_one_convolution_a_class_of_phases(monkeypatch):
    ran = []
    monkeypatch.setattr(
        adjoint, "choose", lambda problem, *rest, **more: ran.append(problem) or choose(problem, *rest, **more)
    )
    problem = Problem(size=(16, 16, 17), kernel=(8, 8, 8), strides=(8, 8, 8), filters=2)
    kernel, u = cases.draw(1, [problem.kernel_shape, problem.output_shape], "float32")
    got = np.empty(problem.input_shape, np.float32)
    adjoint.input_gradient(problem, u, kernel, got, Limits.detect())
    assert len(ran) == 1
    np.testing.assert_allclose(
        got[0, 0, 8:, :8, 8:16], np.einsum("xyzf,f->xyz", kernel[:, :, :, 0], u[0, :, 1, 0, 1]), rtol=1e-5, atol=1e-6
    )
    assert not got[..., 16].any()


def test_little_memory_is_told_or_kept_to():
    problem = Problem(size=(12, 12, 12), kernel=(3, 3, 3), channels=2, filters=2)
    x, kernel, u = cases.draw(1, [problem.input_shape, problem.kernel_shape, problem.output_shape], "float32")
    with pytest.raises(OverLimit):
        adjoint.input_gradient(problem, u, kernel, np.empty_like(x), Limits(1, 1000))
    want = by_loops(x, kernel, u, problem.strides, problem.padding, problem.dilation, 1)[1]
    np.testing.assert_allclose(adjoint.kernel_gradient(problem, x, u, Limits(1, 1000)), want, atol=1e-3)


def test_long_sums_of_one_sign_keep_the_precision_of_the_type():
    problem = Problem(size=(40, 40, 40), kernel=(2, 2, 2), channels=2, filters=2)
    x, u = (np.abs(a) for a in cases.draw(1, [problem.input_shape, problem.output_shape], "float32"))
    got = products.kernel_products(problem, x, u, 2)
    want = np.einsum("cdhw,fdhw->cf", x[0, :, 1:, 1:, 1:].astype(np.float64), u[0].astype(np.float64))
    np.testing.assert_allclose(got[1, 1, 1], want, rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [((64, 64, 64), 3, 32), ((90, 80, 70), 9, 8), ((6, 300, 300), 3, 1), ((8, 8, 8), 3, 512)]
)
def test_blocks_keep_to_their_sizes(shape):
    size, taps, channels = shape
    problem = Problem(size=size, kernel=(taps,) * 3, channels=channels, filters=2)
    blocks = list(products._blocks(problem))
    for block in blocks:
        planes, rows, tapped = (hi - lo for lo, hi in (block.planes, block.rows, block.taps))
        assert planes * rows * problem.output_size[2] <= products.LONGEST_SUM
        assert planes * rows * problem.output_size[2] * tapped * channels <= products.BLOCK_VALUES
    work = sum(np.prod([hi - lo for lo, hi in (b.planes, b.rows, b.taps)]) for b in blocks)
    assert work == (problem.output_size[0] + taps - 1) * problem.output_size[1] * taps**2


def test_large_kernels_go_through_the_engine_and_small_ones_through_products(monkeypatch):
    monkeypatch.setattr(products, "kernel_products", lambda problem, *_: np.full(problem.kernel_shape, 7.0))
    limits = Limits(2, 1 << 32)
    for kernel, by_products in [((3, 3, 3), True), ((15, 15, 15), False)]:
        problem = Problem(size=(32, 32, 32), kernel=kernel, channels=8, filters=8)
        x, u = cases.draw(1, [problem.input_shape, problem.output_shape], "float32")
        assert bool((adjoint.kernel_gradient(problem, x, u, limits) == 7).all()) == by_products


def test_the_oracles_of_both_directions_agree():
    shape = {"strides": (2, 1, 2), "padding": ((1, 0), (0, 2), (1, 1)), "dilation": (1, 2, 1), "groups": 2}
    x, kernel = cases.draw(3, [(1, 4, 5, 6, 4), (2, 2, 3, 2, 4)], "float64")
    y, _ = oracle(x, kernel, **shape)
    u = cases.draw(4, [y.shape], "float64")[0]
    by_x, by_kernel = by_loops(x, kernel, u, *(shape[key] for key in ("strides", "padding", "dilation", "groups")))
    assert np.sum(by_x * x) == pytest.approx(np.sum(y * u), rel=1e-12)
    assert np.sum(by_kernel * kernel) == pytest.approx(np.sum(y * u), rel=1e-12)
