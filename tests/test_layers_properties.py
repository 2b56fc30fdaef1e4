"""Random configurations of both dialects: right ones round-trip and give the oracle's values, others are refused."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layerchecks import assert_layer_close

from conv3d_cli.errors import LayerError, ShapeError, UnknownArgument
from conv3d_cli.layers import Conv3D, make_layer
from conv3d_cli.layers.activations import TABLES as ACTIVATIONS
from conv3d_cli.layers.arguments import ARGUMENTS, CONV3D
from conv3d_cli.layers.catalogue import LAYERS
from conv3d_cli.layers.initializers import TABLES as INITIALIZERS
from conv3d_cli.layers.regularizers import TABLES as REGULARIZERS

DIALECTS = st.sampled_from([2, 3])
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float64"}, "registered_name": None}

triples = st.one_of(
    st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * 3), st.lists(st.integers(1, 3), min_size=3, max_size=3)
)
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
seeds = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
factors = st.floats(0, 100, width=32)
axes = st.sampled_from([0, 1, [0, 1, 2, 3], -1])


def mapping(keras, module, name, /, **config):
    """Return what a dialect writes for an object."""
    own = {"class_name": name, "config": config}
    return own if keras == 2 else {"module": f"keras.{module}", **own, "registered_name": None}


def function_names(table):
    return [name for name in (*table.rows, *table.aliases) if table._row(name).alone]


def some_activations(keras):
    slope = "alpha" if keras == 2 else "negative_slope"
    return st.one_of(
        st.none(),
        st.sampled_from([name for name in function_names(ACTIVATIONS[keras]) if name not in ("glu", "identity")]),
        factors.map(lambda a: mapping(keras, "layers", "LeakyReLU", **{slope: a})),
        st.fixed_dictionaries({"max_value": factors, "negative_slope": factors, "threshold": factors}).map(
            lambda config: mapping(keras, "layers", "ReLU", **config)
        ),
        st.sampled_from([-1, -2, [1, 2]]).map(lambda axis: mapping(keras, "layers", "Softmax", axis=axis)),
        some_initializers(keras, 4).map(
            lambda value: mapping(keras, "layers", "PReLU", shared_axes=[1, 2, 3], alpha_initializer=value)
        ),
    )


def some_initializers(keras, rank):
    alone = function_names(INITIALIZERS[keras])
    bad = "dentity" if rank > 1 else "dentity|rthogonal"
    fine = [name for name in alone if not any(part in name for part in bad.split("|")) and "STFT" not in name]
    return st.one_of(
        st.sampled_from(fine),
        factors.map(lambda value: mapping(keras, "initializers", "Constant", value=value)),
        st.builds(
            lambda s, m: mapping(keras, "initializers", "RandomNormal", stddev=s, mean=m, seed=3), factors, factors
        ),
        seeds.map(lambda seed: mapping(keras, "initializers", "HeUniform", seed=seed)),
        st.builds(
            lambda scale, mode, kind, seed: mapping(
                keras, "initializers", "VarianceScaling", scale=scale, mode=mode, distribution=kind, seed=seed
            ),
            st.floats(0.125, 8, width=32),
            st.sampled_from(["fan_in", "fan_out", "fan_avg"]),
            st.sampled_from(["uniform", "truncated_normal", "untruncated_normal"]),
            seeds,
        ),
    )


def some_regularizers(keras):
    fine = [name for name in function_names(REGULARIZERS[keras]) if "rthogonal" not in name]
    both = st.builds(lambda a, b: mapping(keras, "regularizers", "L1L2", l1=a, l2=b), factors, factors)
    return st.one_of(st.none(), st.sampled_from(fine), both)


def some_constraints(keras, rank):
    fit = axes if rank > 1 else st.sampled_from([0, -1])
    return st.one_of(
        st.none(),
        st.sampled_from(["max_norm", "non_neg", "unit_norm", "min_max_norm"]),
        st.builds(lambda m, a: mapping(keras, "constraints", "MaxNorm", max_value=m, axis=a), factors, fit),
    )


@st.composite
def configs(draw):
    """Return a dialect and a configuration that it takes; every argument is there or not."""
    keras = draw(DIALECTS)
    groups = draw(st.integers(1, 3))
    moves = draw(st.sampled_from(["strides", "dilation_rate"]))
    config = {"filters": groups * draw(st.integers(1, 3)), "kernel_size": draw(triples), moves: draw(triples)}
    first = draw(st.booleans())
    optional = {
        "groups": st.just(groups),
        "padding": st.sampled_from(["valid", "same", "SAME"]),
        "data_format": st.just("channels_first" if first else "channels_last"),
        "activation": some_activations(keras),
        "use_bias": st.booleans(),
        "kernel_initializer": some_initializers(keras, 5),
        "bias_initializer": some_initializers(keras, 1),
        "kernel_regularizer": some_regularizers(keras),
        "bias_regularizer": some_regularizers(keras),
        "activity_regularizer": some_regularizers(keras),
        "kernel_constraint": some_constraints(keras, 5),
        "bias_constraint": some_constraints(keras, 1),
        "name": names,
        "dtype": st.sampled_from(["float16", "float32", "float64", *([POLICY] if keras == 3 else [])]),
        "trainable": st.booleans(),
    }
    return keras, {**config, **{key: draw(value) for key, value in optional.items() if draw(st.booleans())}}


@settings(deadline=None, max_examples=120)
@given(configs())
def test_valid_configurations_round_trip(drawn):
    keras, config = drawn
    assert CONV3D.problems(config, keras) == []
    layer = Conv3D.from_config(config, keras)
    written = layer.get_config()
    text = json.dumps(written)
    for again in (Conv3D.from_config(written), Conv3D.from_config(json.loads(text)), Conv3D(keras=keras, **written)):
        assert again.keras == keras
        assert json.dumps(again.get_config()) == text
    assert json.dumps(make_layer("Conv3D", written).get_config()) == text


@settings(deadline=None, max_examples=60)
@given(
    configs(),
    st.lists(st.integers(1, 7), min_size=3, max_size=3),
    st.lists(st.integers(1, 2), min_size=1, max_size=3),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_valid_configurations_agree_with_the_oracle(drawn, size, batch, parts, seed):
    keras, config = drawn
    layer = Conv3D.from_config(config, keras)
    plain = Conv3D.from_config({**config, "activation": None, "dtype": "float64"}, keras)
    channels = parts * layer.groups
    shape = (*batch, *size, channels) if layer.channels_last else (*batch, channels, *size)
    try:
        expected = layer.compute_output_shape(shape)
        layer.build(shape, seed)
    except ShapeError:
        spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
        assert layer.padding == "valid"
        assert any(n < e for n, e in zip(size, spans, strict=True))
        return
    x = np.random.RandomState(seed).standard_normal(shape).astype(layer.dtype)
    y = layer(x)
    assert (y.shape, y.dtype) == (expected, np.dtype(layer.dtype))
    plain.build(shape)
    plain.set_weights(layer.weights[: 1 + layer.use_bias])
    sums = plain(x)
    assert_layer_close(plain, x, sums)
    if y.size:
        weights = {name: w.astype("f8") for name, w in layer.variables.items()}
        want = layer.activation(sums, weights=weights)
        eps = np.finfo(layer.dtype).eps
        scale = np.abs(sums).max() + np.abs(x).max() * np.abs(layer.kernel.astype("f8")).sum(axis=(0, 1, 2, 3)).max()
        finite = np.isfinite(want) & (np.abs(want) < 1e3) & np.isfinite(y)
        # Steps of an activation may fall to the other side; exponents multiply what was rounded.
        near = np.isclose(y.astype("f8"), want, rtol=0, atol=64 * eps * (1 + scale) * 100) | ~finite
        jumps = any(name in str(layer.activation.written()) for name in ("shrink", "hreshold", "sparsemax"))
        assert near.all() or jumps
    assert len(layer.losses) <= 4
    assert all(loss >= 0 for loss in layer.losses if np.isfinite(loss))


def plain_function(x):
    return x


WRAPPERS = [
    {"module": module, "class_name": name, "config": {}, "registered_name": registered}
    for module in ("my_package.layers", "builtins", "os", "kerasx", "", None, 3, ["keras"])
    for name in ("HeNormal", "relu", "function", "L2", "NonNeg", "DTypePolicy", "__lambda__")
    for registered in (None, "Mine>It", 5)
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.binary(max_size=3),
    st.sampled_from([np.float32, float, object(), np.nan, np.array([1.5, 2]), np.array("x"), {1, 2}, 1j, 2**70, 1e400]),
    st.sampled_from([plain_function, len, np.tanh, dict, range(3), iter([1]), b"\xff", "\ud800", "a\nb", "\x00"]),
    st.sampled_from(WRAPPERS),
)
KEYS = ["class_name", "config", "seed", "alpha", "module", "registered_name", "l1", "value", "axis", "name", 3, None]
CLASSES = ["relu", "HeNormal", "Constant", "PReLU", "Softmax", "L1L2", "MaxNorm", "Activation", "function", "glu"]
anything = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner, inner),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
        st.fixed_dictionaries({"class_name": st.sampled_from(CLASSES), "config": inner}),
        st.fixed_dictionaries(
            {
                "class_name": st.sampled_from(CLASSES),
                "config": st.dictionaries(
                    st.sampled_from(["axis", "value", "shared_axes", "l2", "alpha_initializer"]), inner
                ),
            }
        ),
    ),
    max_leaves=6,
)


def check_refused_or_right(problems, make):
    """Fail unless there are problems of the stated types and ``make`` raises the first, or it makes a layer."""
    assert all(type(problem) in (LayerError, UnknownArgument) for problem in problems)
    assert all(isinstance(problem, (ValueError, TypeError)) for problem in problems)
    assert all("\n" not in str(problem) and len(str(problem)) < 1200 for problem in problems)
    assert all(problem.argument is not None for problem in problems)
    if not problems:
        return make()
    with pytest.raises(type(problems[0])) as caught:
        make()
    assert str(caught.value) == str(problems[0])
    return None


@settings(deadline=None, max_examples=200)
@given(
    DIALECTS,
    st.dictionaries(st.one_of(st.sampled_from(list(ARGUMENTS)), st.text(max_size=5)), anything, max_size=5),
)
def test_random_configurations_raise_nothing_else(keras, config):
    config = {"filters": 2, "kernel_size": 3, **config}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = check_refused_or_right(CONV3D.problems(config, keras), lambda: Conv3D.from_config(config, keras))
    if layer is None:
        return
    functions = [
        a for a in ("activation", *[n for n in ARGUMENTS if "ize" in n or "constraint" in n]) if callable(config.get(a))
    ]
    if not functions:
        again = Conv3D.from_config(layer.get_config(), keras)
        assert again.get_config() == layer.get_config()


@settings(deadline=None, max_examples=200)
@given(
    DIALECTS,
    st.sampled_from([name for name in LAYERS if not name.startswith("Conv")]),
    st.dictionaries(
        st.sampled_from(
            [
                *["padding", "cropping", "data_format", "rate", "seed", "activation", "axis", "alpha", "shared_axes"],
                *["name", "dtype", "input_shape", "batch_input_shape", "max_value", "threshold", "noise_shape", "zzz"],
            ]
        ),
        anything,
        max_size=4,
    ),
)
def test_random_layers_of_other_classes_raise_nothing_else(keras, name, config):
    layer = check_refused_or_right(
        LAYERS[name].signature.problems(config, keras), lambda: make_layer(name, config, keras)
    )
    if layer is not None and not callable(config.get("activation")):
        again = make_layer(name, layer.get_config(), keras)
        assert json.dumps(again.get_config(), default=str) == json.dumps(layer.get_config(), default=str)
