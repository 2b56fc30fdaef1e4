"""Every regularizer against the names, configurations, errors and losses of TensorFlow 2.4 and Keras 3."""

from __future__ import annotations

import numpy as np
import objectchecks
import pytest

from conv3d_cli.errors import LayerError, UnknownArgument
from conv3d_cli.layers.regularizers import CHUNK, REGULARIZERS, TABLES, Regularizer

TOLERANCE = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}
"""Relative: Keras sums in the type of the array, float16 with every partial sum rounded."""

TOO_LARGE = {"class_name": "L1", "config": {"l1": 1e50}}


@pytest.mark.parametrize(("keras", "number"), objectchecks.cases_of("regularizers"))
def test_as_in_keras(keras, number):
    made = objectchecks.check_written("regularizers", Regularizer.of, keras, number, stricter=[(2, TOO_LARGE)])
    if made is None:
        return
    for key, want in objectchecks.half(keras, "regularizers")[number]["losses"].items():
        i, dtype = key.split("/")
        w = objectchecks.weights(int(i), dtype)
        if w.ndim != 2 and made.name == "OrthogonalRegularizer":
            assert want == {"error": "ValueError"}
            with pytest.raises(ValueError, match=rf"got {w.ndim} axes, expected a matrix \(2 axes\)$"):
                made(w)
        elif isinstance(want, dict):
            # Keras multiplies by a float32 tensor here, which TensorFlow refuses for other types.
            assert (made.name, want) == ("OrthogonalRegularizer", {"error": "InvalidArgumentError"})
            assert made(w) == pytest.approx(made(w.astype("float32")), rel=5e-3)
        else:
            got = made(w)
            assert type(got) is float
            assert got == float(np.dtype(dtype).type(got))
            assert got == pytest.approx(want, rel=TOLERANCE[dtype])


def test_none_is_none():
    assert Regularizer.of(None) is None
    assert Regularizer.of(None, keras=3) is None


def test_one_of_its_own_stays():
    one = Regularizer.of("l2")
    assert Regularizer.of(one) is one


def test_functions_are_taken():
    def my_loss(w):
        return w.sum() * 2

    made = Regularizer.of(my_loss)
    assert made(np.full((2, 3), 0.5, "float32")) == 6.0
    assert made.refuses(5) is None
    assert made.written() == "my_loss"
    assert made.written(3) == {
        "module": "builtins",
        "class_name": "function",
        "config": "my_loss",
        "registered_name": "function",
    }


class Mine:
    def __call__(self, w):
        return 3

    def get_config(self):
        return {"a": 1}


def test_objects_of_a_class_are_taken():
    made = Regularizer.of(Mine())
    assert made(np.ones(3)) == 3.0
    assert made.written() == {"class_name": "Mine", "config": {"a": 1}}
    assert made.written(3) == {
        "module": __name__,
        "class_name": "Mine",
        "config": {"a": 1},
        "registered_name": "Mine",
    }
    with pytest.raises(LayerError, match=r"^kernel_regularizer: not a regularizer: got <class"):
        Regularizer.of(Mine)


def test_objects_of_keras_are_read():
    of_keras = type("L2", (), {"get_config": lambda self: {"l2": 0.25}, "__module__": "keras.src.regularizers"})
    assert Regularizer.of(of_keras()) == Regularizer.of(of_keras) == Regularizer("L2", {"l2": 0.25})


def test_large_arrays_are_summed_in_double_precision():
    tenths = np.full(CHUNK * 40 + 7, 0.1, "float32")
    total = float(np.float32(float(tenths[0]) * tenths.size))
    assert Regularizer.of({"class_name": "L1", "config": {"l1": 1.0}})(tenths) == total
    strided = np.ones((CHUNK, 5), "float32")[:, ::2]
    assert Regularizer.of({"class_name": "L2", "config": {"l2": 2.0}})(strided) == 2.0 * strided.size


def test_values_that_are_not_finite():
    both = Regularizer.of("l1_l2")
    with np.errstate(all="raise"):
        assert np.isnan(both(np.array([1.0, np.nan])))
        assert both(np.array([1.0, -np.inf])) == np.inf
        assert both(np.full(3, 1e38, "float32")) == np.inf
        assert Regularizer.of("L1L2")(np.array([np.inf])) == 0.0
    assert both(np.empty((0, 3))) == 0.0


def test_orthogonal_regularizer_of_rows():
    orthogonal = Regularizer.of({"class_name": "OrthogonalRegularizer", "config": {"factor": 1.0}}, keras=3)
    assert orthogonal(np.eye(3)) == 0.0
    assert orthogonal(np.ones((3, 2))) == pytest.approx(1.0)
    assert orthogonal(np.zeros((3, 2))) == 0.0
    assert (
        orthogonal.refuses(5) == "OrthogonalRegularizer cannot take this array: got 5 axes, expected a matrix (2 axes)"
    )
    assert orthogonal.refuses(2) is None
    assert Regularizer.of("l2").refuses(5) is None


def test_errors_name_what_is_known():
    with pytest.raises(LayerError, match=r"^a: unknown regularizer: got 'l1l3', expected one of l1, l2, l1l2, orthog"):
        Regularizer.of("l1l3", "a", 3)
    with pytest.raises(UnknownArgument, match=r"^a: L1 has no argument of this name: got 'k', expected l1, l$"):
        Regularizer.of({"class_name": "L1", "config": {"k": 1}}, "a")
    with pytest.raises(LayerError, match=r"^a: L2: l2: too large for float32: got 1e\+39"):
        Regularizer.of({"class_name": "L2", "config": {"l2": 1e39}}, "a", 3)


@pytest.mark.parametrize("keras", objectchecks.DIALECTS)
def test_schema_has_every_name(keras):
    names = set(TABLES[keras].schema()["anyOf"][0]["enum"])
    accepted = {
        one["given"]
        for one in objectchecks.half(keras, "regularizers")
        if isinstance(one["given"], str) and "written" in one
    }
    assert names == accepted
    assert TABLES[2] is REGULARIZERS
