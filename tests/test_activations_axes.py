"""Activations that mix values along axes: sparsemax against a search, glu's shapes, axes that are not there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from conv3d_cli.errors import ShapeError
from conv3d_cli.layers.activations import Activation


def of(name, **config):
    return Activation.of({"class_name": name, "config": config}, keras=3)


def nearest_by_force(x):
    """Return the point nearest to x with no value below 0 and sum 1, by trying every set of values above 0."""
    best = None
    for count in range(1, len(x) + 1):
        for kept in itertools.combinations(range(len(x)), count):
            point = np.zeros_like(x)
            point[list(kept)] = x[list(kept)] - (x[list(kept)].sum() - 1) / count
            if point.min() >= 0 and (best is None or np.linalg.norm(point - x) < np.linalg.norm(best - x)):
                best = point
    return best


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis):
    x = np.random.RandomState(3).standard_normal((5, 4, 6)) * np.array([0.1, 0.5, 1, 2, 4])[:, None, None]
    got = of("sparsemax", axis=axis)(x)
    lines = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    want = np.array([nearest_by_force(line) for line in lines])
    np.testing.assert_allclose(np.moveaxis(got, axis, -1).reshape(want.shape), want, atol=1e-14)
    assert {1, 2, 3} <= set(np.count_nonzero(want, axis=1))


def test_sparsemax_of_values_out_of_reach():
    x = np.array([[3e38, -3e38, 3e38, -np.inf], [0, -np.inf, 1e30, np.nan], [1, 1, 1, 1]], np.float32)
    got = of("sparsemax")(x)
    np.testing.assert_array_equal(got, [[0.5, 0, 0.5, 0], [np.nan] * 4, [0.25] * 4])


def test_shapes_of_glu():
    glu = of("glu")
    assert not glu.keeps_shape
    assert of("relu").keeps_shape
    assert glu.output_shape((None, 3, 3, 3, 8)) == (None, 3, 3, 3, 4)
    assert glu.output_shape((2, 3, 3, 3, None)) == (2, 3, 3, 3, None)
    assert of("glu", axis=1).output_shape((2, 6, 3, 3, 5)) == (2, 3, 3, 3, 5)
    out = np.zeros((2, 3, 3, 3, 4), np.float32)
    x = np.random.RandomState(0).standard_normal((2, 3, 3, 3, 8)).astype(np.float32)
    assert glu(x, out=out) is out
    np.testing.assert_allclose(out, x[..., :4] / (1 + np.exp(-x[..., 4:])), rtol=1e-6)


@pytest.mark.parametrize("error", [ShapeError, ValueError])
def test_glu_of_an_odd_size(error):
    with pytest.raises(
        error, match=r"^activation: glu: axis -1 has an odd size: got 3, expected an even one to halve$"
    ):
        of("glu")(np.zeros((1, 2, 2, 2, 3)))
    with pytest.raises(error, match="odd size"):
        of("glu").output_shape((None, None, None, None, 5))


@pytest.mark.parametrize(
    ("name", "axis", "words"),
    [
        ("glu", 5, r"glu: axis: not an axis of the output: got 5, expected -5 to 4"),
        ("sparsemax", -6, r"sparsemax: axis: not an axis of the output: got -6, expected -5 to 4"),
        ("Softmax", [1, 7], r"Softmax: axis: not an axis of the output: got 7, expected -5 to 4"),
        ("Softmax", [1, -4], r"Softmax: axis: has an axis twice: got \[1, -4\], expected different axes"),
    ],
)
def test_axes_that_are_not_there(name, axis, words):
    activation = of(name, axis=axis)
    for use in (lambda: activation(np.zeros((1, 1, 1, 1, 2))), lambda: activation.output_shape((1, 1, 1, 1, 2))):
        with pytest.raises(ShapeError, match=words):
            use()


def test_axes_that_must_stay_whole():
    assert of("softmax").mixed(5) == (4,)
    assert of("Softmax", axis=[3, -4]).mixed(5) == (1, 3)
    assert of("Softmax", axis=[3, -4]).axis == 3
    assert of("relu").mixed(5) == ()
    assert of("relu").axis is None
    assert Activation.of(np.cumsum).mixed(5) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("name", ["log_softmax", "sparsemax", "softmax"])
def test_nan_spreads_along_its_axis_only(name):
    x = np.zeros((2, 3, 4), np.float32)
    x[1, 2, 3] = np.nan
    y = of(name, axis=1)(x)
    assert np.isnan(y).sum() == 3
    assert np.isnan(y[1, :, 3]).all()
