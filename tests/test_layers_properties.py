"""Random configurations: valid ones round-trip and agree with the oracle, invalid ones raise the stated types only."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layerchecks import assert_layer_close

from conv3d_cli.errors import LayerError, ShapeError, UnknownArgument
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.activations import ROWS as ACTIVATIONS
from conv3d_cli.layers.arguments import ARGUMENTS, CONV3D
from conv3d_cli.layers.initializers import ALIASES

triples = st.one_of(st.integers(1, 3), st.lists(st.integers(1, 3), min_size=3, max_size=3))
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
activations = st.one_of(
    st.none(),
    st.sampled_from([name for name, row in ACTIVATIONS.items() if row.alone]),
    st.sampled_from([{"class_name": name, "config": {}} for name in ACTIVATIONS]),
)
initializers = st.sampled_from([name for name in ALIASES if "dentity" not in name])


@st.composite
def configs(draw):
    groups = draw(st.integers(1, 3))
    moves = draw(st.sampled_from(["strides", "dilation_rate"]))
    config = {"filters": groups * draw(st.integers(1, 3)), "kernel_size": draw(triples), moves: draw(triples)}
    optional = {
        "groups": st.just(groups),
        "padding": st.sampled_from(["valid", "same", "SAME"]),
        "data_format": st.sampled_from(["channels_last", "channels_first"]),
        "activation": activations,
        "use_bias": st.booleans(),
        "kernel_initializer": initializers,
        "bias_initializer": initializers.filter(lambda name: "rthogonal" not in name),
        "name": names,
        "dtype": st.sampled_from(["float32", "float64"]),
        "trainable": st.booleans(),
    }
    return {**config, **{key: draw(value) for key, value in optional.items() if draw(st.booleans())}}


@settings(deadline=None, max_examples=150)
@given(configs())
def test_valid_configurations_round_trip(config):
    assert CONV3D.problems(config) == []
    layer = Conv3D.from_config(config)
    written = layer.get_config()
    assert json.loads(json.dumps(written)).keys() == written.keys()
    for again in (Conv3D.from_config(written), Conv3D.from_config(json.loads(json.dumps(written)))):
        assert again.get_config() == written
    if layer.groups == 1 or "groups" in config:
        assert layer.filters % layer.groups == 0


@settings(deadline=None, max_examples=60)
@given(configs(), st.lists(st.integers(1, 7), min_size=3, max_size=3), st.integers(1, 2), st.integers(0, 99))
def test_valid_configurations_agree_with_the_oracle(config, size, parts, seed):
    layer = Conv3D.from_config({**config, "activation": None})
    channels = parts * layer.groups
    shape = (2, *size, channels) if layer.channels_last else (2, channels, *size)
    try:
        layer.build(shape, seed)
        expected = layer.compute_output_shape(shape)
    except ShapeError:
        spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
        assert layer.padding == "valid"
        assert any(n < e for n, e in zip(size, spans, strict=True))
        return
    x = np.random.RandomState(seed).standard_normal(shape).astype(layer.dtype)
    y = layer(x)
    assert y.shape == expected
    assert_layer_close(layer, x, y)


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.binary(max_size=3),
        st.sampled_from([np.float32, float, object(), np.nan, np.array([1.5, 2]), np.array("x"), {1, 2}, len, 1j]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner, inner),
        st.dictionaries(st.sampled_from(["class_name", "config", "seed", "alpha", 3]), inner, max_size=3),
        st.fixed_dictionaries({"class_name": st.sampled_from(["relu", "HeNormal", "Constant"]), "config": inner}),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=400)
@given(st.dictionaries(st.one_of(st.sampled_from(list(ARGUMENTS)), st.text(max_size=5)), anything, max_size=5))
def test_random_configurations_raise_nothing_else(config):
    config = {"filters": 2, "kernel_size": 3, **config}
    found = CONV3D.problems(config)
    assert all(isinstance(problem, (LayerError, UnknownArgument)) for problem in found)
    assert all("\n" not in str(problem) for problem in found)
    assert all(problem.argument is not None for problem in found)
    if found:
        with pytest.raises(type(found[0])) as caught:
            Conv3D.from_config(config)
        assert str(caught.value) == str(found[0])
    else:
        layer = Conv3D.from_config(config)
        assert Conv3D.from_config(layer.get_config()).get_config() == layer.get_config()
