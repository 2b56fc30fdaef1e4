"""PReLU, the activation that has weights: their shapes, what makes and charges them, the values of Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recorded import cases_activations as more

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers.activations import Activation
from conv3d_cli.layers.constraints import Constraint
from conv3d_cli.layers.initializers import Initializer
from conv3d_cli.layers.regularizers import Regularizer

DIALECTS = (2, 3)


def named(name, /, **config):
    return {"class_name": name, "config": config}


def of(name, keras=2, /, **config):
    return Activation.of(named(name, **config), keras=keras)


def test_prelu_has_one_array_of_weights():
    prelu = of(
        "PReLU", alpha_initializer=named("Constant", value=0.25), alpha_regularizer="l1", alpha_constraint="non_neg"
    )
    assert prelu.keeps_shape
    assert prelu.axis is None
    assert prelu.mixed(5) == ()
    assert prelu.initializers == {"alpha": Initializer.of(named("Constant", value=0.25))}
    assert prelu.regularizers == {"alpha": Regularizer.of("l1")}
    assert prelu.constraints == {"alpha": Constraint.of("non_neg")}
    assert of("PReLU").regularizers == {"alpha": None}
    assert prelu.weight_shapes((None, 5, 6, 7, 2)) == {"alpha": (5, 6, 7, 2)}
    assert of("PReLU", shared_axes=[1, 3]).weight_shapes((None, None, 6, None, 2)) == {"alpha": (1, 6, 1, 2)}
    assert of("PReLU", shared_axes=2).weight_shapes((4, 3, 5, 6, 7, 2)) == {"alpha": (3, 1, 6, 7, 2)}
    for name in ("initializers", "regularizers", "constraints"):
        assert getattr(Activation.of("relu"), name) == {}
    assert Activation.of("relu").weight_shapes((1, 2)) == {}


def test_shapes_that_prelu_refuses():
    words = r"^activation: PReLU: alpha: sizes are not known: got \(1, None, 6, 7, 2\), expected known sizes along axes"
    with pytest.raises(ShapeError, match=words):
        of("PReLU").weight_shapes((1, None, 6, 7, 2))
    words = r"^activation: PReLU: shared_axes: not an axis of the output: got 5, expected 1 to 4$"
    with pytest.raises(ShapeError, match=words):
        of("PReLU", shared_axes=[5]).weight_shapes((1, 5, 6, 7, 2))
    with pytest.raises(ShapeError, match=words):
        of("PReLU", shared_axes=[5])(np.zeros((1, 5, 6, 7, 2)), weights={"alpha": np.zeros(2)})
    with pytest.raises(LayerError, match=r"^activation: PReLU: needs weights: got none, expected alpha$"):
        of("PReLU")(np.zeros((1, 2)))
    with pytest.raises(ShapeError, match=r"PReLU: alpha: does not fit: got \(3,\), expected sizes of \(1, 2\) or 1"):
        of("PReLU")(np.zeros((1, 2)), weights={"alpha": np.zeros(3)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("i", range(len(more.PRELU)))
def test_prelu_of_keras(i, keras, dtype):
    with np.load(Path(__file__).parent / "recorded" / f"activations_{keras}.npz") as arrays:
        want = arrays[f"prelu/{i}/{dtype}"]
    x, alpha = more.prelu_arrays(i, dtype)
    prelu = of("PReLU", keras, **more.PRELU[i])
    assert prelu.weight_shapes(x.shape) == {"alpha": alpha.shape}
    others = {"kernel": np.zeros(3), "alpha": alpha}
    np.testing.assert_array_equal(prelu(x, weights=others), want)
    assert prelu(x, out=x, weights=others) is x
    np.testing.assert_array_equal(x, want)


def test_prelu_of_what_is_not_finite():
    x = np.array([np.nan, np.inf, -np.inf, -np.inf, -1, 2], np.float32)
    alpha = np.array([0, 0, 0, 0.5, np.nan, 3])
    got = of("PReLU")(x, weights={"alpha": alpha})
    assert got.dtype == np.float32
    # A slope of 0 is a relu; Keras multiplies it with the infinity and gets NaN.
    np.testing.assert_array_equal(got, [np.nan, np.inf, 0, -np.inf, np.nan, 2])


def test_prelu_in_chunks():
    state = np.random.RandomState(5)
    x, alpha = state.standard_normal((3, 40, 30, 20, 4)), state.standard_normal((40, 1, 20, 4))
    want = np.where(x > 0, x, alpha * x)
    np.testing.assert_array_equal(of("PReLU")(x, weights={"alpha": alpha}), want)
    turned = x.transpose(0, 3, 1, 2, 4)
    got = of("PReLU")(turned, weights={"alpha": alpha[None].transpose(0, 3, 1, 2, 4)})
    np.testing.assert_array_equal(got, want.transpose(0, 3, 1, 2, 4))
