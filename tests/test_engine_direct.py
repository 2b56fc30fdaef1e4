"""The direct method against the oracle, at every instruction set that this machine runs."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle
from storages import STORAGE, every_other_reversed, planar
from support import compiled
from tolerances import assert_close

from conv3d_cli.engine import direct, isa
from conv3d_cli.engine.direct_layout import layout_of
from conv3d_cli.engine.direct_slab import axis_of
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.problem import Problem
from conv3d_cli.limits import second_level_cache

pytestmark = compiled

ISAS = isa.available()
DTYPES = ("float32", "float64")


def arrays(problem, storage=planar, seed=0):
    rng = np.random.default_rng(seed)
    x = storage(problem.input_shape, problem.dtype)
    x[...] = rng.standard_normal(x.shape)
    kernel = rng.standard_normal(problem.kernel_shape).astype(problem.dtype)
    bias = rng.standard_normal(problem.filters).astype(problem.dtype)
    return x, kernel, bias


def convolve(problem, x, kernel, bias=None, *, name=None, threads=1, storage=planar, **options):
    out = storage(problem.output_shape, problem.dtype)
    direct.run(problem, x, kernel, bias, out, threads=threads, isa=name, **options)
    return out


def check(problem, x, kernel, bias=None, **options):
    """Compare every instruction set with the oracle, and three threads with one."""
    geometry = (problem.strides, problem.padding, problem.dilation, problem.groups)
    want, magnitude = oracle(x, kernel, bias, *geometry)
    for name in ISAS:
        out = convolve(problem, x, kernel, bias, name=name, **options)
        terms = problem.taps * problem.channels // problem.groups + 1
        assert_close("direct", problem.dtype, out, want, magnitude, terms)
        again = convolve(problem, x, kernel, bias, name=name, threads=3, **options)
        np.testing.assert_array_equal(out.view(), again, err_msg=f"{name}: three threads, other bits")


def triples(low, high):
    return st.tuples(*[st.integers(low, high)] * 3)


@st.composite
def problems(draw):
    size = draw(st.one_of(triples(1, 9), triples(1, 40)))
    kernel = draw(triples(1, 5 if max(size) > 9 else 9))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    return Problem(
        size,
        kernel,
        strides=draw(st.one_of(st.just((1, 1, 1)), triples(1, 4))),
        dilation=draw(st.one_of(st.just((1, 1, 1)), triples(1, 4))),
        padding=draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 3)),
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.sampled_from((1, 1, 2, 3, 5))),
        filters=groups * draw(st.sampled_from((1, 2, 3, 4, 7, 8, 9, 17))),
        groups=groups,
        dtype=draw(st.sampled_from(DTYPES)),
    )


@settings(max_examples=250, deadline=None, derandomize=True)
@given(problems(), st.sampled_from(sorted(STORAGE)), st.sampled_from(sorted(STORAGE)), st.booleans())
def test_random_problems_agree_with_the_oracle(problem, source, target, with_bias):
    x, kernel, bias = arrays(problem, STORAGE[source])
    check(problem, x, kernel, bias if with_bias else None, storage=STORAGE[target])


SMALL = Problem((9, 9, 9), (3, 3, 3), channels=2, filters=3)
TABLE = {
    "every size of a row to five vectors": [replace(SMALL, size=(3, 3, n)) for n in range(3, 84)],
    "every number of rows": [replace(SMALL, size=(3, n, 5), filters=1) for n in range(3, 22)],
    "every number of filters": [replace(SMALL, size=(3, 4, 35), filters=n) for n in range(1, 20)],
    "every length of a column": [Problem((2, 20, 18), (1, n, 2)) for n in range(1, 21)],
    "kernel larger than the input": [Problem((2, 2, 2), (9, 8, 7), padding=((9, 9), (9, 9), (9, 9)))],
    "an input without a voxel": [Problem((0, 3, 3), (2, 2, 2), padding=((1, 2), (0, 0), (0, 0)), filters=2)],
    "a stride of two along rows of every size": [
        Problem((3, 3, n), (2, 2, 3), strides=(1, 1, 2), filters=2) for n in range(3, 75)
    ],
    "a stride of two along rows of every size, with one filter and columns": [
        Problem((3, 5, n), (2, 3, k), strides=(1, 1, 2)) for n in range(5, 75, 3) for k in (2, 5)
    ],
    "a stride of two with every padding": [
        Problem((3, 4, n), (1, 2, k), strides=(2, 2, 2), padding=((0, 1), (1, 0), (before, after)), filters=2)
        for n in (2, 17, 40) for k in (2, 3, 4, 5) for before in range(5) for after in (0, 1, 3)
    ],
    "strides of one to four along each axis": [
        Problem((9, 10, 37), (3, 4, 3), strides=(s, t, u), padding=((1, 1), (2, 0), (1, 2)), channels=2, filters=4)
        for s in (1, 2, 3, 4) for t in (1, 2, 3, 4) for u in (1, 2, 3, 4)
    ],
    "four filters, rows of one to seven vectors": [
        Problem((2, h + 1, n), (2, 2, 2), filters=f) for h in range(1, 9) for n in (5, 13, 26, 33, 57) for f in (4, 13)
    ],
    "strides beyond the kernel": [Problem((40, 41, 42), (2, 3, 2), strides=(7, 11, 13), filters=2)],
    "a stride beyond the input": [replace(SMALL, strides=s) for s in ((99, 1, 10**12), (1, 99, 99))],
    "dilation beyond the blocks": [Problem((300, 5, 300), (3, 1, 3), dilation=(140, 1, 130), filters=9)],
    "stride and dilation with a common factor": [
        Problem((25, 26, 40), (3, 3, 3), strides=(s, s, s), dilation=(d, d, d), filters=f)
        for s in (2, 3, 4) for d in (2, 3, 4, 6) for f in (1, 8)
    ],
    "many channels, in several chunks": [
        Problem((5, 5, 20), (3, 3, 3), padding=((1, 1),) * 3, channels=700, filters=f) for f in (1, 10)
    ],
    "many channels, and columns in two passes": [Problem((3, 21, 20), (2, 9, 2), channels=500)],
    "many filters": [Problem((3, 3, 3), (2, 2, 2), filters=2048)],
    "depthwise": [Problem((7, 8, 33), (3, 3, 3), channels=24, filters=24, groups=24)],
    "depthwise with a multiplier": [Problem((7, 8, 20), (3, 3, 3), channels=5, filters=15, groups=5)],
    "pointwise": [Problem((7, 8, 20), (1, 1, 1), channels=32, filters=12)],
    "more than a page in a row": [Problem((3, 3, 1030), (3, 3, 3)), Problem((1, 2, 4096), (1, 1, 1))],
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_the_corners(case):
    for number, problem in enumerate(TABLE[case]):
        for dtype in DTYPES if number == 0 else DTYPES[number % 2 :][:1]:
            typed = replace(problem, dtype=dtype)
            check(typed, *arrays(typed, seed=number))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [9, 33, 41, 66])
@pytest.mark.parametrize("filters", [1, 2, 4, 9])
def test_a_row_has_the_same_bits_whatever_rows_are_computed_with_it(filters, width, dtype):
    problem = Problem((5, 19, width), (2, 3, 2), strides=(1, 2, 1), channels=3, filters=filters, dtype=dtype)
    x, kernel, bias = arrays(problem)
    for name in ISAS:
        out = convolve(problem, x, kernel, bias, name=name)
        for y in range(problem.output_size[1]):
            row = replace(problem, size=(5, 3, width))
            alone = convolve(row, x[:, :, :, 2 * y : 2 * y + 3], kernel, bias, name=name)
            np.testing.assert_array_equal(out[:, :, :, y : y + 1], alone)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("taps", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("vectors", [1, 2, 3, 5, 6, 7, 9])
def test_tiles_cover_every_number_of_rows_and_of_vectors(vectors, taps, dtype):
    width = 8 * vectors * 4 // np.dtype(dtype).itemsize - 1  # of 32 bytes; of 16 and 64 there are others
    problem = Problem((2, 24, width), (1, taps, 2), dtype=dtype)
    x, kernel, bias = arrays(problem)
    check(problem, x, kernel, bias)
    for name, rows in itertools.product(ISAS, range(taps, 24)):
        whole = convolve(problem, x, kernel, bias, name=name)
        some = convolve(replace(problem, size=(2, rows, width)), x[:, :, :, :rows], kernel, bias, name=name)
        np.testing.assert_array_equal(some, whole[:, :, :, : rows - taps + 1])


@pytest.mark.parametrize("storage", STORAGE)
def test_a_problem_of_many_blocks_in_every_storage_order(storage):
    problem = Problem((30, 31, 70), (3, 3, 3), padding=((1, 1),) * 3, channels=6, filters=11)
    x, kernel, bias = arrays(problem, STORAGE[storage])
    check(problem, x, kernel, bias, storage=STORAGE[storage])


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_axis_without_outputs_is_no_error(empty):
    size = tuple(2 if i == empty else 5 for i in range(3))
    problem = Problem(size, (3, 3, 3))
    x, kernel, bias = arrays(problem)
    assert convolve(problem, x, kernel, bias).shape == problem.output_shape
    assert direct.seconds(problem, 1) == direct.scratch_bytes(problem, 1) == 0


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("filters", [1, 8])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_reaches_the_kernel_and_no_farther(name, filters, value):
    problem = Problem((12, 13, 40), (3, 3, 3), padding=((1, 1),) * 3, filters=filters)
    x, kernel, _ = arrays(problem)
    kernel[0, 1, 2] = 0  # a weight of zero times a value that is not finite is NaN
    x[0, 0, 6, 7, 19] = value
    out = convolve(problem, x, kernel, name=name)
    reached = np.zeros(out.shape, bool)
    reached[:, :, 5:8, 6:9, 18:21] = True
    np.testing.assert_array_equal(np.isfinite(out), ~reached)
    assert np.isnan(out[0, :, 7, 7, 18]).all()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("width", [22, 33, 49])
def test_nothing_is_written_beyond_the_output(width, stream, monkeypatch):
    problem = Problem((4, 11, width), (2, 2, 2), filters=3)
    monkeypatch.setattr(direct, "layout_of", lambda *args: replace(layout_of(*args), stream=stream))
    x, kernel, bias = arrays(problem)
    n, f, *space = problem.output_shape
    for name in ISAS:
        frame = np.full((n, f, *[m + 2 for m in space]), 7, np.float32)
        inner = (slice(None), slice(None), *[slice(1, -1)] * 3)
        direct.run(problem, x, kernel, bias, frame[inner], threads=1, isa=name)
        assert np.isfinite(frame).all()
        np.testing.assert_array_equal(frame[inner], convolve(problem, x, kernel, bias, name=name))
        frame[inner] = 7
        assert (frame == 7).all()


@pytest.mark.parametrize("filters", [1, 2, 8, 11])
@pytest.mark.parametrize("width", [16, 31, 48, 67])
@pytest.mark.parametrize("dtype", DTYPES)
def test_stores_past_the_cache_change_nothing(filters, width, dtype, monkeypatch):
    problem = Problem((5, 19, width), (3, 9, 3), padding=((1, 1),) * 3, filters=filters, dtype=dtype)
    x, kernel, bias = arrays(problem)
    for name in ISAS:
        plain = convolve(problem, x, kernel, bias, name=name)
        with monkeypatch.context() as patch:
            patch.setattr(direct, "layout_of", lambda *args: replace(layout_of(*args), stream=True))
            for out in (on_lines(plain.shape, dtype), on_lines((*plain.shape, 2), dtype)[..., 0]):
                direct.run(problem, x, kernel, bias, out, threads=2, isa=name)
                np.testing.assert_array_equal(out, plain)


def on_lines(shape, dtype):
    """Return an array that begins at a line of the cache, as rows must that go past it."""
    size = prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def test_outputs_go_past_the_cache_where_that_pays():
    large = Problem((128, 128, 128), (3, 3, 3), padding=((1, 1),) * 3)
    for problem, expected in (
        (large, True),
        (replace(large, channels=8, filters=8, groups=8), True),
        (replace(large, filters=8), False),  # measured: slower
        (replace(large, padding=((0, 0),) * 3), False),  # rows of 126 voxels
        (replace(large, size=(64, 64, 64)), False),  # stays in cache
    ):
        assert layout_of(problem, 2, ISAS[0]).stream is expected
    assert not layout_of(large, 2, ISAS[0], planar=False).stream


@pytest.mark.parametrize("change", [{"slab": (41, 5000, 90000)}, {"out": (41, 5000, 90000)}])
def test_the_kernels_refuse_rows_that_are_no_whole_vectors(change):
    x, kernel, bias = arrays(SMALL)
    layout = replace(layout_of(SMALL, 1, ISAS[0]), **change)
    with pytest.raises(ValueError, match="whole vectors"):
        isa.native().Job(
            ISAS[0],
            direct._native_layout(isa.native(), SMALL.groups, layout),
            native_boundary(SMALL),
            x,
            kernel,
            bias,
            planar(SMALL.output_shape, "float32"),
        )


def test_a_kernel_of_any_strides_and_read_only_arrays():
    problem = replace(SMALL, filters=4)
    x, kernel, bias = arrays(problem)
    want = convolve(problem, x, kernel, bias)
    odd = every_other_reversed(kernel.shape, "float32")
    odd[...] = kernel
    for array in (x, odd):
        array.flags.writeable = False
    np.testing.assert_array_equal(convolve(problem, x, odd, np.repeat(bias, 2)[::2]), want)


SLOW = Problem((90, 90, 90), (11, 11, 11), filters=8)  # at the plain instruction set, more than a few ticks


def test_progress_grows_to_one():
    seen = []
    convolve(SLOW, *arrays(SLOW), name="generic", threads=2, tick=seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == 1.0


def test_an_interrupt_stops_all_threads_before_the_work_is_done():
    def interrupt(done):
        raise KeyboardInterrupt

    out = planar(SLOW.output_shape, "float32")
    with pytest.raises(KeyboardInterrupt):
        direct.run(SLOW, *arrays(SLOW), out, threads=2, tick=interrupt, isa="generic")
    left = out.copy()
    time.sleep(0.05)
    np.testing.assert_array_equal(out, left)  # nobody writes any more
    assert np.isnan(out).any()


def test_a_cancelled_job_computes_no_more():
    x, kernel, bias = arrays(SMALL)
    out = planar(SMALL.output_shape, "float32")
    layout = direct._native_layout(isa.native(), SMALL.groups, layout_of(SMALL, 1, ISAS[0]))
    job = isa.native().Job(ISAS[0], layout, native_boundary(SMALL), x, kernel, bias, out)
    job.cancel()
    job.work()
    assert np.isnan(out).all()
    assert (job.done, job.total > 0) == (0, True)


def test_the_kernels_refuse_what_would_make_them_write_anywhere():
    problem = SMALL
    x, kernel, bias = arrays(problem)
    out = planar(problem.output_shape, "float32")
    layout = direct._native_layout(isa.native(), problem.groups, layout_of(problem, 1, ISAS[0]))
    job = isa.native().Job
    for change, error, message in (
        ({"x": x[:, :1]}, ValueError, "channels"),
        ({"x": x[..., :-1]}, ValueError, "axis"),
        ({"out": out[:, :, 1:]}, ValueError, "axis"),
        ({"bias": bias[1:]}, ValueError, "bias"),
        ({"kernel": kernel[1:]}, ValueError, "axis"),
        ({"kernel": kernel.astype("float64")}, TypeError, "one dtype"),
        (
            {"boundary": isa.native().Boundary(0.0, [(1, 0, [9]), (0, 0, []), (0, 0, [])])},
            ValueError,
            "out of the volume",
        ),
        ({"isa": "x86-64-v9"}, ValueError, "not available"),
    ):
        arrays_ = {"x": x, "kernel": kernel, "bias": bias, "out": out}
        given_ = {"isa": ISAS[0], "layout": layout, "boundary": native_boundary(problem), **arrays_}
        with pytest.raises(error, match=message):
            job(**given_ | change)


@given(problems(), st.integers(1, 9))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_each_slot_of_a_slab_holds_the_position_that_its_tap_reads(problem, block):
    for index in range(3):
        axis = axis_of(problem, index, block, align=4)
        held = {start + i: position + i * axis.stride for position, start, length in axis.bands for i in range(length)}
        read = {}
        for tap, slot in enumerate(axis.slots):
            read |= {slot + o: o * axis.stride + tap * problem.dilation[index] for o in range(block)}
        assert read == held, "each entry is read by a tap, and is the position that the tap means"


@pytest.mark.parametrize("name", ISAS)
def test_blocks_are_large_beside_their_rim_and_leave_room_in_the_cache(name):
    whole = Problem((128, 128, 128), (3, 3, 3), padding=((1, 1),) * 3, filters=16)
    strided = Problem((64, 64, 64), (3, 3, 3), strides=(2, 2, 2), padding=((0, 1),) * 3, channels=16, filters=32)
    for problem, threads in itertools.product((whole, strided), (1, 2)):
        layout = layout_of(problem, threads, name)
        read = prod(a.stride * a.block for a in layout.axes[:2])
        assert prod(a.extent for a in layout.axes[:2]) < 1.4 * read
        assert layout.slab[2] * layout.channel_chunk * 4 < 0.8 * second_level_cache()
        assert layout.items >= threads


def test_what_the_last_block_of_an_axis_lacks_is_not_paid_for():
    whole = Problem((63, 63, 63), (3, 3, 3), padding=((1, 1),) * 3, filters=8)
    more = replace(whole, size=(64, 64, 64))
    assert 0.9 < direct.seconds(whole, 1) / direct.seconds(more, 1) <= 1


def test_scratch_is_bounded_and_the_prediction_grows_with_the_work():
    one = Problem((256, 256, 256), (3, 3, 3), padding=((1, 1),) * 3)
    assert 0 < direct.scratch_bytes(one, 2) < 8 << 20
    assert direct.seconds(one, 1) > direct.seconds(one, 2) > direct.seconds(replace(one, size=(64, 64, 64)), 2)
    wide = replace(one, size=(64, 64, 64), channels=64, filters=64)
    assert direct.scratch_bytes(wide, 2) < 16 << 20
