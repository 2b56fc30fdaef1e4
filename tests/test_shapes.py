from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv3d_cli.shapes import ReceptiveField, centre_shift, effective, output_size, same_padding, window

# n, k, s, d -> (before, after), as TensorFlow pads
TENSORFLOW = [
    (6, 2, 1, 1, (0, 1)),
    (6, 4, 1, 1, (1, 2)),
    (6, 3, 2, 1, (0, 1)),
    (7, 3, 2, 1, (1, 1)),
    (6, 2, 2, 1, (0, 0)),
    (7, 2, 2, 1, (0, 1)),
    (6, 5, 2, 1, (1, 2)),
    (5, 7, 3, 1, (2, 3)),
    (10, 4, 3, 1, (1, 2)),
    (7, 2, 1, 3, (1, 2)),
    (8, 4, 1, 3, (4, 5)),
]

AXIS = {"n": st.integers(1, 60), "k": st.integers(1, 12), "s": st.integers(1, 5), "d": st.integers(1, 4)}


@pytest.mark.parametrize(("n", "k", "s", "d", "pads"), TENSORFLOW)
def test_same_padding_is_tensorflows(n, k, s, d, pads):
    assert same_padding(n, k, s, d) == pads


@given(**AXIS)
def test_same_padding_gives_ceil_of_size_over_stride(n, k, s, d):
    pads = same_padding(n, k, s, d)
    assert output_size(n, k, s, d, pads) == -(-n // s)
    assert 0 <= pads[1] - pads[0] <= 1


@given(**AXIS)
def test_output_size_counts_the_windows_that_fit(n, k, s, d):
    fits = [start for start in range(0, n, s) if start + effective(k, d) <= n]
    assert max(output_size(n, k, s, d), 0) == len(fits)


@given(**AXIS)
def test_the_windows_of_all_outputs_cover_no_more_than_the_padded_input(n, k, s, d):
    pads = same_padding(n, k, s, d)
    low, high = window(0, -(-n // s), k, s, d, pads[0])
    assert low == -pads[0]
    assert high <= n + pads[1]


def test_centre_of_the_first_window():
    assert centre_shift(3, 2, 0) == 2.0
    assert centre_shift(4, 1, 1) == 0.5


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4))
def test_receptive_field_is_what_one_output_reads(layers):
    field = ReceptiveField()
    for k, s, d in layers:
        field = field.through((k,) * 3, (s,) * 3, (d,) * 3)
    low, high = 0, 1
    for k, s, d in reversed(layers):
        low, high = window(low, high, k, s, d, 0)
    assert field.size == (high - low,) * 3


def test_receptive_field_of_each_axis():
    field = ReceptiveField().through((3, 2, 1), (1, 2, 3), (1, 1, 1))
    assert (field.size, field.jump) == ((3, 2, 1), (1, 2, 3))
    field = field.through((2, 3, 4), (3, 1, 2), (2, 1, 1))
    assert (field.size, field.jump) == ((3 + 2, 2 + 2 * 2, 1 + 3 * 3), (3, 2, 6))
