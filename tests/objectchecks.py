"""What Keras accepts, writes and refuses for regularizers, constraints and initializers, as recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded import cases

from conv3d_cli.errors import InputError

FOLDER = Path(__file__).parent / "recorded"
OBJECTS = json.loads((FOLDER / "objects.json").read_text())
DIALECTS = (2, 3)
SHAPES = [tuple(shape) for shape in OBJECTS["shapes"]]
DTYPES = ("float16", "float32", "float64")


def half(keras, kind):
    return OBJECTS[str(keras)][kind]


def cases_of(kind):
    """Return every recorded case of a kind as parameters (dialect, number of the case)."""
    return [
        pytest.param(keras, number, id=f"{keras}-{json.dumps(one['given'])[:60]}")
        for keras in DIALECTS
        for number, one in enumerate(half(keras, kind))
    ]


def arrays():
    with np.load(FOLDER / "objects.npz") as stored:
        return {key: stored[key] for key in stored.files}


def weights(i, dtype):
    return cases.draw(i, [SHAPES[i]], dtype)[0]


def exactly(value):
    """Return a text that tells 2 from 2.0 and True from 1."""
    return json.dumps(value, sort_keys=True)


def check_written(kind, make, keras, number, stricter=(), kinder=(), loosely=()):
    """Hold what is written, or the type of the error, to what Keras did; return the object if there is one.

    ``stricter`` and ``kinder`` are the values that are refused here but not in Keras, and the reverse, as
    (dialect, value); ``loosely`` those whose numbers need only be equal.
    """
    one = half(keras, kind)[number]
    given = one["given"]
    refused = ("error" in one or (keras, given) in stricter) and (keras, given) not in kinder
    if refused:
        builtin = TypeError if one.get("error") == "TypeError" else ValueError
        with pytest.raises(builtin, match=r"^an_argument: ") as caught:
            make(given, "an_argument", keras)
        assert isinstance(caught.value, InputError)
        assert caught.value.argument == "an_argument"
        assert "\n" not in str(caught.value)
        return None
    made = make(given, "an_argument", keras)
    if "error" in one:
        return made
    if given in loosely:
        assert made.written(keras) == one["written"]
    else:
        assert exactly(made.written(keras)) == exactly(one["written"])
    assert make(made.written(keras), "an_argument", keras).written(keras) == made.written(keras)
    return made


EXACT = ("Zeros", "Ones", "Constant")

# Normal numbers differ in the last bits of a logarithm and a sine; orthogonal ones by a whole factorization in float32.
TOLERANCE = {
    ("normal", "float16"): 2e-3,
    ("Orthogonal", "float16"): 2e-3,
    ("normal", "float32"): 5e-7,
    ("normal", "float64"): 1e-15,
    ("Orthogonal", "float32"): 2e-6,
    ("Orthogonal", "float64"): 5e-15,
}


def is_uniform(initializer):
    return "Uniform" in initializer.name or initializer.config.get("distribution") == "uniform"


def assert_same(got, want, initializer, dtype):
    assert got.dtype == want.dtype == np.dtype(dtype)
    assert got.shape == want.shape
    if initializer.name in EXACT or is_uniform(initializer):
        np.testing.assert_array_equal(got, want)
        return
    scale = max(np.abs(want).max(), 1.0)
    limit = TOLERANCE["Orthogonal" if initializer.name == "Orthogonal" else "normal", dtype] * scale
    assert np.abs(got.astype(np.float64) - want).max() <= limit
