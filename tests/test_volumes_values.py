"""Value ranges, blocks, and the conversion to what a file stores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conv3d_cli.errors import UsageError
from conv3d_cli.volumes import scan
from conv3d_cli.volumes.blocks import blocks
from conv3d_cli.volumes.narrow import FLOATS, INTEGERS, Narrow, storage_dtype

SHAPES = hnp.array_shapes(min_dims=1, max_dims=5, max_side=6)


def layouts(array):
    """The same values in C order, in Fortran order, with gaps, and backwards."""
    wide = np.zeros([2 * n for n in array.shape], array.dtype)
    gaps = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    gaps[...] = array
    return [
        np.ascontiguousarray(array),
        np.asfortranarray(array),
        gaps,
        np.ascontiguousarray(array[::-1])[::-1],
    ]


@given(SHAPES, st.integers(1, 40), st.integers(0, 3))
def test_blocks_are_all_elements_in_order(shape, size, layout):
    array = layouts(np.arange(np.prod(shape)).reshape(shape))[layout]
    pieces = list(blocks(array, size))
    assert np.array_equal(np.concatenate([piece.ravel() for piece in pieces]), array.ravel())
    assert all(piece.size <= size for piece in pieces)
    assert all(np.shares_memory(piece, array) for piece in pieces)


@given(hnp.arrays("f4", SHAPES, elements=st.floats(width=32)), st.integers(0, 3))
def test_scan_agrees_with_numpy(array, layout):
    found = scan(layouts(array)[layout])
    finite = array[np.isfinite(array)]
    assert found.nonfinite == array.size - finite.size
    if finite.size:
        assert (found.min, found.max) == (finite.min(), finite.max())
        assert found.mean == pytest.approx(
            finite.mean(dtype="f8"), rel=1e-6, abs=1e-6 * float(np.abs(finite).max()) + 1e-300
        )
    else:
        assert np.isnan([found.min, found.max, found.mean]).all()
    if found.nonfinite:
        assert not np.isfinite(array[found.first_nonfinite])
    else:
        assert found.first_nonfinite is None


def test_scan_finds_one_nan_in_a_later_block():
    array = np.zeros((70, 80, 90), "f4", order="F")
    array[3, 4, 80] = np.nan
    array[1, 2, 85] = -np.inf
    found = scan(array)
    assert (found.nonfinite, found.first_nonfinite, found.min, found.max) == (2, (3, 4, 80), 0, 0)
    assert scan(np.arange(-5, 5, dtype="i2").reshape(1, 2, 5)).mean == -0.5


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing_in_a_scan(threads):
    array = np.random.default_rng(3).normal(size=(130, 120, 110)).astype("f4")
    assert scan(array, threads) == scan(array)
    array[:, 60:] = np.inf
    array[100, 59, 3] = np.nan
    array[90] = np.nan
    assert scan(array, threads) == scan(array)
    assert scan(array, threads).first_nonfinite == (0, 60, 0)
    assert scan(array.T, threads).nonfinite == np.count_nonzero(~np.isfinite(array))


def test_a_sum_beyond_float64_gives_no_mean_and_no_warning():
    found = scan(np.full((4, 4, 4), 1e308))
    assert (found.min, found.max, found.mean, found.nonfinite) == (1e308, 1e308, np.inf, 0)


def exact(value, dtype):
    """The policy in Python's own integers."""
    info = np.iinfo(dtype)
    if np.isnan(value):
        return 0
    if np.isinf(value):
        return info.max if value > 0 else info.min
    return min(max(round(float(value)), info.min), info.max)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("width", [16, 32, 64])
def test_integers_round_clip_and_count(dtype, width):
    info = np.iinfo(dtype)
    edges = [s * v for v in (0.5, 1.5, 2.5, 126.5, 127.5, 255.5, 32767.5, 65504) for s in (1, -1)]
    edges += [np.nan, np.inf, -np.inf, 0.0, -0.0, float(info.max), float(info.min)]
    with np.errstate(over="ignore"):
        values = np.array(edges, f"f{width // 8}")
    narrow = Narrow(np.dtype(dtype))
    found = narrow(values)
    assert found.dtype == dtype
    assert found.tolist() == [exact(value, dtype) for value in values]
    clipped = [v for v in values.tolist() if not np.isnan(v) and (np.isinf(v) or not info.min <= round(v) <= info.max)]
    assert narrow.clipped == len(clipped)
    assert narrow.nans == 1


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("width", [32, 64])
def test_the_first_value_beyond_an_integer_type(dtype, width):
    info = np.iinfo(dtype)
    beyond = np.array([float(2 ** (info.bits - (info.min < 0)))], f"f{width // 8}")
    narrow = Narrow(np.dtype(dtype))
    assert narrow(beyond).tolist() == [info.max]
    assert narrow(np.array([info.min], beyond.dtype)).tolist() == [info.min]
    assert (narrow.clipped, narrow.nans) == (1, 0)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("stored", [*INTEGERS, "bool"])
def test_integers_to_integers(stored, dtype):
    source = (
        np.array([0, 1]) if stored == "bool" else np.array([np.iinfo(stored).min, 0, 1, np.iinfo(stored).max], stored)
    )
    values = source.astype(stored)
    narrow = Narrow(np.dtype(dtype))
    expected = [min(max(int(v), np.iinfo(dtype).min), np.iinfo(dtype).max) for v in values]
    assert narrow(values).tolist() == expected
    assert narrow.clipped == sum(int(v) != e for v, e in zip(values, expected, strict=True))


def test_floats_out_of_range_become_infinite_and_count():
    narrow = Narrow(np.dtype("float16"))
    found = narrow(np.array([1.0, 70000.0, -1e300, np.inf, np.nan]))
    assert np.array_equal(found, [1, np.inf, -np.inf, np.inf, np.nan], equal_nan=True)
    assert (narrow.clipped, narrow.nans) == (2, 0)
    narrow = Narrow(np.dtype("float32"))
    assert np.isinf(narrow(np.array([1e300]))).all()
    assert narrow.clipped == 1
    narrow = Narrow(np.dtype("float16"))
    narrow(np.array([70000, 3]))
    assert narrow.clipped == 1


def test_the_same_dtype_is_not_copied():
    values = np.ones(5, "f4")
    assert Narrow(np.dtype("f4"))(values) is values


def test_storage_dtype_lists_what_is_allowed():
    with pytest.raises(UsageError) as caught:
        storage_dtype("float16", INTEGERS, "nifti")
    assert "nifti cannot store 'float16'" in str(caught.value)
    assert "uint64" in str(caught.value)
    assert storage_dtype("float16", FLOATS, "npy") == np.float16
