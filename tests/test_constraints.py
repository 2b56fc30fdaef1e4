"""Every constraint against the names, configurations, errors and projections of TensorFlow 2.4 and Keras 3."""

from __future__ import annotations

import numpy as np
import objectchecks
import pytest

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers.constraints import CONSTRAINTS, TABLES, Constraint

TOLERANCE = {"float16": 4e-3, "float32": 3e-7, "float64": 1e-15}
TWICE = {"class_name": "MaxNorm", "config": {"axis": [0, 0]}}
PER_FILTER = [0, 1, 2, 3]
NORMS = [
    {"class_name": "MaxNorm", "config": {"max_value": 0.5, "axis": PER_FILTER}},
    {"class_name": "MaxNorm", "config": {"max_value": 0.5}},
    {"class_name": "MaxNorm", "config": {"max_value": 0.5, "axis": None}},
    {"class_name": "UnitNorm", "config": {"axis": PER_FILTER}},
    {"class_name": "MinMaxNorm", "config": {"min_value": 2, "max_value": 3, "axis": PER_FILTER}},
    "non_neg",
]


@pytest.fixture(scope="module")
def arrays():
    return objectchecks.arrays()


@pytest.mark.parametrize(("keras", "number"), objectchecks.cases_of("constraints"))
def test_as_in_keras(keras, number, arrays):
    strict = [(k, TWICE) for k in objectchecks.DIALECTS]
    made = objectchecks.check_written("constraints", Constraint.of, keras, number, stricter=strict)
    if made is None:
        return
    errors = objectchecks.half(keras, "constraints")[number]["errors"]
    compared = 0
    for i in range(len(objectchecks.SHAPES)):
        for dtype in objectchecks.DTYPES:
            w = objectchecks.weights(i, dtype)
            # TensorFlow 2.4 multiplies by a float32 mask here, which it refuses for other types.
            refused = f"{i}/{dtype}" in errors and not (made.name == "NonNeg" and keras == 2)
            if refused:
                with pytest.raises(ValueError, match=r"^\w+: |^RadialConstraint cannot take this array"):
                    made(w)
                continue
            got = made(w)
            assert (got.dtype, got.shape) == (w.dtype, w.shape)
            assert not np.shares_memory(got, w)
            want = arrays.get(f"{keras}/constraint/{number}/{i}/{dtype}")
            if want is not None:
                np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
                compared += 1
    assert compared >= 1 or len(errors) == len(objectchecks.SHAPES) * len(objectchecks.DTYPES)


@pytest.mark.parametrize("dtype", objectchecks.DTYPES)
@pytest.mark.parametrize("value", NORMS, ids=str)
def test_projected_weights_satisfy(value, dtype):
    w = objectchecks.weights(0, dtype)
    constraint = Constraint.of(value)
    before = w.copy()
    assert constraint.violation(w) > 0.1
    assert constraint.violation(constraint(w)) == 0.0
    np.testing.assert_array_equal(w, before)


def test_violation_is_the_distance_of_the_norm():
    w = np.zeros((2, 1, 1, 1, 3))
    w[:, 0, 0, 0] = [[3, 0.3, 0], [4, 0.4, 0]]
    per_filter = {"axis": PER_FILTER}

    def violation(name, **config):
        return Constraint.of({"class_name": name, "config": {**config, **per_filter}}).violation(w)

    assert violation("MaxNorm", max_value=2) == pytest.approx(3)
    assert violation("MaxNorm", max_value=5) == 0
    assert violation("UnitNorm") == pytest.approx(4)
    assert violation("MinMaxNorm", min_value=0.75, max_value=6) == pytest.approx(0.75)
    assert violation("MinMaxNorm", min_value=0, max_value=4.5) == pytest.approx(0.5)
    assert Constraint.of("max_norm").violation(w) == pytest.approx(3)
    assert Constraint.of("non_neg").violation(w) == 0
    assert Constraint.of("non_neg").violation(w - 1) == 1
    assert Constraint.of("Constraint").violation(w) == 0


def test_what_epsilon_leaves_is_no_violation():
    unit = Constraint.of({"class_name": "UnitNorm", "config": {"axis": None}})
    assert unit.violation(np.array([1 - 9e-6])) == 0
    assert unit.violation(np.array([1 - 2e-5])) == pytest.approx(2e-5)
    assert unit.violation(np.array([1.003], "float16")) == 0


def test_values_that_are_not_finite():
    with np.errstate(all="raise"):
        assert np.isnan(Constraint.of("max_norm").violation(np.array([1.0, np.nan])))
        assert Constraint.of("max_norm").violation(np.array([np.inf])) == np.inf
        assert Constraint.of("max_norm").violation(np.array([1e200])) == np.inf
        np.testing.assert_array_equal(Constraint.of("max_norm")(np.array([np.inf])), [np.nan])
        np.testing.assert_array_equal(Constraint.of("unit_norm")(np.zeros(3)), np.zeros(3))
        cut = Constraint.of("non_neg")(np.array([-0.5, -np.inf, np.nan, 2.0]))
    np.testing.assert_array_equal(cut, [0, 0, np.nan, 2])
    assert not np.signbit(cut[0])
    assert Constraint.of("max_norm").violation(np.empty((0, 2))) == 0.0


def test_float16_norms_do_not_overflow():
    w = np.full((4, 1), 300, "float16")
    assert Constraint.of("max_norm")(w)[0, 0] == 1.0
    assert Constraint.of("max_norm").violation(w) == 598.0


def test_what_cannot_be_constrained():
    radial = Constraint.of("radial_constraint")
    words = "RadialConstraint cannot take this array: got 5 axes, expected the 4 of a kernel of Conv2D"
    assert radial.refuses(5) == words
    with pytest.raises(ValueError, match=words):
        radial(np.ones((3, 3, 3, 1, 1)))
    assert radial.refuses(4) is None
    with pytest.raises(ShapeError, match=r"not square kernels: got \(1, 1\)"):
        radial(np.ones((1, 1, 1, 1)))
    per_filter = Constraint.of({"class_name": "MaxNorm", "config": {"axis": PER_FILTER}})
    assert per_filter.refuses(5) is None
    assert per_filter.refuses(1) == (
        "MaxNorm: axis: not axes of this array: got [0, 1, 2, 3], expected different ones of -1 to 0"
    )
    assert Constraint.of({"class_name": "MaxNorm", "config": {"axis": [0, -5]}}).refuses(5)
    for refused in (per_filter, radial):
        with pytest.raises(LayerError):
            refused.violation(np.ones(3))


def test_functions_are_taken():
    def halved(w):
        return w / 2

    made = Constraint.of(halved)
    np.testing.assert_array_equal(made(np.array([2.0, 4.0], "float32")), np.array([1, 2], "float32"))
    assert made.violation(np.array([2.0, -4.0])) == 2.0
    assert made.written() == "halved"
    assert made.meaning == "what halved returns"
    with pytest.raises(ShapeError, match=r"^halved: wrong shape: got \(1,\), expected \(2,\)"):
        Constraint("halved", {}, lambda w: w[:1])(np.ones(2))
    w = np.ones(2)
    assert not np.shares_memory(Constraint("same", {}, lambda w: w)(w), w)


def test_axes_as_arrays_and_numpy_integers():
    listed = Constraint.of({"class_name": "UnitNorm", "config": {"axis": np.array([0, 1])}})
    assert listed.config == {"axis": [0, 1]}
    assert Constraint.of({"class_name": "UnitNorm", "config": {"axis": np.int64(2)}}).config == {"axis": 2}
    assert Constraint.of({"class_name": "UnitNorm", "config": {"axis": (0, 1)}}).written()["config"] == {"axis": (0, 1)}
    with pytest.raises(LayerError, match=r"^a: UnitNorm: axis: not a whole number: got \[0, 1.5\]"):
        Constraint.of({"class_name": "UnitNorm", "config": {"axis": [0, 1.5]}}, "a")


def test_none_and_its_own():
    assert Constraint.of(None) is None
    one = Constraint.of("max_norm")
    assert Constraint.of(one) is one
    assert one.meaning == "norms of at most max_value"


def test_errors_name_what_is_known():
    expected = "max_norm, non_neg, unit_norm, min_max_norm, radial_constraint; did you mean 'maxnorm'"
    with pytest.raises(LayerError, match=rf"^a: unknown constraint: got 'maxnor', expected one of {expected}"):
        Constraint.of("maxnor", "a")


@pytest.mark.parametrize("keras", objectchecks.DIALECTS)
def test_schema_has_every_name(keras):
    names = set(TABLES[keras].schema()["anyOf"][0]["enum"])
    accepted = {
        one["given"]
        for one in objectchecks.half(keras, "constraints")
        if isinstance(one["given"], str) and "written" in one
    }
    assert names == accepted
    assert TABLES[2] is CONSTRAINTS


def test_projected_weights_satisfy_even_if_they_were_small():
    """Epsilon takes 1e-7 / n off a norm n: of small weights more than rounding does."""
    unit = Constraint.of({"class_name": "UnitNorm", "config": {"axis": None}})
    assert unit.violation(unit(np.array([0.02, 0.01], np.float32))) == 0
