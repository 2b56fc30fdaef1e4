"""Every initializer against TensorFlow's weights for the same seed, and the promises that hold for all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from objectchecks import assert_same
from recorded import cases

from conv3d_cli.errors import LayerError, ShapeError, UnknownArgument
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.layers.initializers import ALIASES, INITIALIZERS, ROWS, Initializer, fans, stream_seed
from conv3d_cli.layers.initializers.philox import Stream

RECORDED = Path(__file__).parent / "recorded" / "keras.npz"
DTYPES = ("float32", "float64")


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as arrays:
        return dict(arrays)


def with_seed(value, seed):
    initializer = Initializer.of(value)
    return initializer.seeded(seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("i", range(len(cases.INITIALIZERS)), ids=lambda i: json.dumps(cases.INITIALIZERS[i]))
def test_weights_of_keras(i, dtype, recorded):
    compared = 0
    for key, want in recorded.items():
        kind, *rest = key.split("/")
        if kind != "initializer" or int(rest[0]) != i or rest[3] != dtype:
            continue
        initializer = with_seed(cases.INITIALIZERS[i], int(rest[1]))
        got = initializer(cases.INITIALIZER_SHAPES[int(rest[2])], dtype)
        assert_same(got, want, initializer, dtype)
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["RandomUniform", "RandomNormal", "TruncatedNormal"])
def test_many_numbers_of_keras(name, dtype, recorded):
    initializer = with_seed({"class_name": name}, 11)
    drawn = initializer((cases.LONG,), dtype)[:: cases.STEP]
    assert_same(drawn, recorded[f"long/{name}/{dtype}"], initializer, dtype)


def test_every_row_is_recorded_or_refused():
    assert {value["class_name"] for value in cases.INITIALIZERS} | {"Identity"} == set(ROWS)


def test_moments():
    count = (200_000,)
    draws = {name: with_seed({"class_name": name}, 3)(count, "float64") for name in ("RandomNormal", "RandomUniform")}
    assert abs(draws["RandomNormal"].std() - 0.05) < 5e-4
    assert abs(draws["RandomNormal"].mean()) < 5e-4
    assert abs(draws["RandomUniform"].std() - 0.1 / np.sqrt(12)) < 5e-4
    cut = with_seed("truncated_normal", 3)(count, "float64")
    assert np.abs(cut).max() < 0.1
    assert abs(cut.std() - 0.05 * 0.87962566) < 5e-4


@pytest.mark.parametrize(
    "name", ["GlorotNormal", "HeNormal", "LecunNormal", "GlorotUniform", "HeUniform", "LecunUniform"]
)
def test_variance_of_scaled_initializers(name):
    shape = (3, 3, 3, 20, 100)
    into, out = 27 * 20, 27 * 100
    expected = {"Glo": 2 / (into + out), "HeN": 2 / into, "HeU": 2 / into, "Lec": 1 / into}[name[:3]]
    assert with_seed(name, 5)(shape, "float64").var() == pytest.approx(expected, rel=0.02)


def test_fans():
    assert fans((3, 3, 3, 2, 8)) == (54, 216)
    assert fans((8,)) == (8, 8)
    assert fans((2, 3)) == (2, 3)


@pytest.mark.parametrize("shape", [(2, 3, 2, 2, 3), (1, 1, 1, 3, 7)])
def test_orthogonal_is_orthogonal(shape):
    matrix = with_seed({"class_name": "Orthogonal", "config": {"gain": 2.0}}, 1)(shape, "float64")
    matrix = matrix.reshape(-1, shape[-1]) / 2
    small = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_constant_takes_an_array():
    values = np.arange(6.0).reshape(1, 1, 1, 2, 3)
    constant = Initializer.of({"class_name": "Constant", "config": {"value": values}})
    np.testing.assert_array_equal(constant((1, 1, 1, 2, 3)), values.astype(np.float32))
    assert json.loads(json.dumps(constant.written())) == constant.written()
    with pytest.raises(ShapeError, match=r"got 6, expected 1 or 4 for \(4,\)"):
        constant((4,))


def test_identity_is_for_matrices():
    identity = Initializer.of({"class_name": "Identity", "config": {"gain": 3.0}})
    np.testing.assert_array_equal(identity((2, 3)), [[3, 0, 0], [0, 3, 0]])
    with pytest.raises(
        LayerError, match=r"Identity cannot make this array: got 5 axes, expected a matrix \(2 axes\) only"
    ):
        identity((1, 1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"kernel_initializer: Identity cannot make"):
        Conv3D(2, 3, kernel_initializer="identity")


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias):
    assert Initializer.of(alias) == Initializer.of(ALIASES[alias])


def test_none_is_glorot_uniform():
    assert Initializer.of(None) == Initializer() == Initializer.of("glorot_uniform")


@pytest.mark.parametrize("name", ROWS)
def test_written_form_means_the_same(name):
    initializer = Initializer.of(name)
    assert Initializer.of(initializer.written()) == initializer


def test_seeds():
    unseeded = Initializer.of("he_normal")
    assert unseeded.random
    assert unseeded.seed is None
    assert unseeded.seeded(3).seed == 3
    assert unseeded.seeded(3).seeded(4).seed == 3
    assert unseeded.seed is None
    assert Initializer.of("zeros").seeded(3) == Initializer.of("zeros")
    with pytest.raises(LayerError, match="HeNormal: has no seed"):
        unseeded((2, 2))


def test_unseeded_weights_follow_the_run_and_the_names():
    def kernels(seed, *names):
        network = Network([Conv3D(2, 3, name=name, bias_initializer="normal") for name in names])
        network.build(2, seed)
        return [weight for layer in network for weight in layer.get_weights()]

    first, again, other = kernels(0, "a", "b"), kernels(0, "a", "b"), kernels(1, "a", "b")
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not any(np.array_equal(x, y) for x, y in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[2])
    np.testing.assert_array_equal(kernels(0, "c", "b")[2], first[2])
    # The streams of a run must not change between versions: a report's seed has to give the same weights again.
    assert stream_seed(0, "conv3d", "kernel") == 7008891823831528384


def test_a_given_seed_is_not_touched_by_the_run():
    given = {"class_name": "HeNormal", "config": {"seed": 7}}
    first, second = (
        Conv3D(2, 3, kernel_initializer=given),
        Conv3D(2, 3, kernel_initializer=given, name="other"),
    )
    first.build(1, seed=0)
    second.build(1, seed=5)
    np.testing.assert_array_equal(first.kernel, second.kernel)


def test_streams_start_at_their_beginning():
    stream = Stream(3)
    for draw in (stream.uniform, stream.normal, stream.truncated_normal):
        np.testing.assert_array_equal(draw(7, "float32"), draw(1000, "float32")[:7])
        assert draw(0, "float64").size == 0


REFUSED = [
    (
        "glorot",
        LayerError,
        r"kernel_initializer: unknown initializer: got 'glorot', expected one of zeros, ones, constant, r",
    ),
    ("GLOROT_UNIFORM", LayerError, r"; did you mean 'glorot_uniform'\?"),
    (7, LayerError, r"not an initializer: got 7"),
    (
        {"class_name": "HeNormal", "config": {"stddev": 1}},
        UnknownArgument,
        r"HeNormal has no argument of this name",
    ),
    ({"class_name": "Zeros", "config": {"value": 1}}, UnknownArgument, r"got 'value', expected none"),
    ({"class_name": "HeNormal", "config": {"seed": 1.5}}, LayerError, r"seed: not a whole number: got 1.5"),
    ({"class_name": "HeNormal", "config": {"seed": 2**63}}, LayerError, r"seed: does not fit into 64 bits"),
    ({"class_name": "VarianceScaling", "config": {"scale": 0}}, LayerError, r"scale: not above 0: got 0"),
    (
        {"class_name": "VarianceScaling", "config": {"mode": "FAN_IN"}},
        LayerError,
        r"mode: unknown: got 'FAN_IN'",
    ),
    (
        {"class_name": "VarianceScaling", "config": {"distribution": 1}},
        LayerError,
        r"distribution: not a word",
    ),
    ({"class_name": "Constant", "config": {"value": "1"}}, LayerError, r"value: not a number: got '1'"),
    (
        {"class_name": "Constant", "config": {"value": [[1], [1, 2]]}},
        LayerError,
        r"value: not a regular array",
    ),
    (
        {"class_name": "Constant", "config": {"value": ["a"]}},
        LayerError,
        r"value: not an array of finite numbers",
    ),
    (
        {"class_name": "RandomNormal", "config": {"mean": float("nan")}},
        LayerError,
        r"mean: not a finite number",
    ),
    ({"class_name": "RandomNormal", "config": {"mean": 10**400}}, LayerError, r"mean: too large a number"),
]


@pytest.mark.parametrize(("value", "kind", "words"), REFUSED, ids=lambda v: str(v)[:40])
def test_refused(value, kind, words):
    with pytest.raises(kind, match=words) as caught:
        Initializer.of(value)
    assert caught.value.argument == "kernel_initializer"
    assert "\n" not in str(caught.value)


def test_schema_has_every_name():
    schema = INITIALIZERS.schema()["anyOf"]
    assert set(schema[0]["enum"]) == set(ROWS) | set(ALIASES)
    scaling = next(entry for entry in schema[1:] if "VarianceScaling" in entry["properties"]["class_name"]["enum"])
    assert scaling["properties"]["config"]["properties"]["mode"]["enum"] == ["fan_in", "fan_out", "fan_avg"]


def test_kernel_and_bias_have_numbers_of_their_own():
    layer = Conv3D(6, 1, kernel_initializer="normal", bias_initializer="normal")
    layer.build(1)
    assert not np.array_equal(layer.kernel.reshape(-1), layer.bias)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pieces_do_not_show(dtype, monkeypatch):
    stream = Stream(5)
    whole = [draw(5000, dtype) for draw in (stream.uniform, stream.normal, stream.truncated_normal)]
    monkeypatch.setattr("conv3d_cli.layers.initializers.philox.PIECE", 37)
    pieces = [draw(5000, dtype) for draw in (stream.uniform, stream.normal, stream.truncated_normal)]
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)
