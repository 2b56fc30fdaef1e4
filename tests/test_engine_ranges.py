"""The range of values, by compiled code of every instruction set and by NumPy, against NumPy in float64."""

import numpy as np
import pytest

from conv3d_cli.engine import isa
from conv3d_cli.engine.ranges import range_of

SIZES = (1, 2, 7, 8, 31, 32, 33, 64, 127, 1000)


@pytest.fixture(params=isa.available())
def instructions(request, monkeypatch):
    monkeypatch.setenv("CONV3D_ISA", request.param)
    return request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_range_and_sum_are_those_of_numpy(instructions, size, dtype):
    values = np.random.default_rng(size).standard_normal(size).astype(dtype)
    for place in {0, size // 2, size - 1}:  # in vectors and behind the last of them
        for extreme in (-9.0, 9.0):
            marked = values.copy()
            marked[place] = extreme
            low, high, total = range_of(marked)
            assert (low, high) == (marked.min(), marked.max())
            assert total == pytest.approx(marked.astype("float64").sum(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", SIZES)
def test_a_value_that_is_not_finite_shows(instructions, size, value, dtype):
    for place in {0, size // 2, size - 1}:
        values = np.ones(size, dtype)
        values[place] = value
        assert not np.isfinite(range_of(values)[:2]).all(), place


def test_a_sum_beyond_float64_spoils_no_range(instructions):
    values = np.full(100, np.finfo("float64").max)
    assert range_of(values) == (values[0], values[0], np.inf)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(24, dtype="float16").reshape(4, 6),
        np.arange(24, dtype=">f4"),
        np.arange(24, dtype="float32").reshape(4, 6)[:, ::2],
        np.arange(24, dtype="int16"),
        np.arange(24) % 3 == 1,
        np.frombuffer(b"\0" + np.arange(24, dtype="float32").tobytes(), "float32", 24, 1),
    ],
    ids=["half", "big endian", "strided", "integers", "truth", "unaligned"],
)
def test_what_compiled_code_does_not_take_is_read_too(values):
    assert range_of(values) == (values.min(), values.max(), values.sum(dtype="float64"))
