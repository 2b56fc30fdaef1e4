"""What holds for every convolution, whatever computes it."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Event
from time import sleep

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle
from storages import field_of_a_record
from support import compiled
from ways import USABLE

from conv3d_cli.engine import METHODS, Limits, Problem, choose, execute, fft, reference, threads
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.errors import MethodError, OverLimit
from conv3d_cli.shapes import NO_PADS

ROOM = Limits(threads=2, memory=1 << 33)
triples = st.tuples(*[st.integers(1, 4)] * 3)


@st.composite
def problems(draw) -> Problem:
    groups = draw(st.integers(1, 2))
    kernel, dilation = draw(triples), draw(triples)
    size = tuple(draw(st.integers((k - 1) * d + 1, 20)) for k, d in zip(kernel, dilation, strict=True))
    return Problem(
        size=size,
        kernel=kernel,
        strides=draw(triples),
        dilation=dilation,
        padding=draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 3)),
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.integers(1, 3)),
        filters=groups * draw(st.integers(1, 3)),
        groups=groups,
        dtype="float64",
        order=tuple(draw(st.permutations(range(3)))),
    )


def arrays(problem: Problem, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal(s).astype(problem.dtype)
        for s in (problem.input_shape, problem.kernel_shape, (problem.filters,))
    ]


def run(problem, x, kernel, bias=None, method="auto"):
    return execute(choose(problem, ROOM, method), x, kernel, bias)


@pytest.mark.parametrize("method", USABLE)
@settings(max_examples=25, deadline=None)
@given(problem=problems(), a=st.floats(-4, 4), b=st.floats(-4, 4))
def test_linear_in_the_input(method, problem, a, b):
    x, kernel, _ = arrays(problem)
    other = arrays(problem, 1)[0]
    together = run(problem, a * x + b * other, kernel, method=method)
    apart = a * run(problem, x, kernel, method=method) + b * run(problem, other, kernel, method=method)
    np.testing.assert_allclose(together, apart, atol=1e-11)


@pytest.mark.parametrize("method", USABLE)
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_a_delta_kernel_takes_one_voxel_of_each_window(method, problem):
    problem = replace(problem, channels=1, filters=1, groups=1)
    x = arrays(problem)[0]
    tap = tuple(k - 1 for k in problem.kernel)
    kernel = np.zeros(problem.kernel_shape)
    kernel[tap] = 1
    padded = np.pad(x, [(0, 0), (0, 0), *problem.padding])
    starts = [t * d for t, d in zip(tap, problem.dilation, strict=True)]
    axes = zip(starts, problem.output_size, problem.strides, strict=True)
    want = padded[(..., *(slice(a, a + (n - 1) * s + 1, s) for a, n, s in axes))]
    np.testing.assert_allclose(run(problem, x, kernel, method=method), want, atol=1e-12)


@pytest.mark.parametrize("method", USABLE)
def test_a_shifted_input_gives_a_shifted_output(method):
    problem = Problem((20, 21, 22), (3, 4, 5), dtype="float64")
    x, kernel, _ = arrays(problem)
    y = run(problem, x, kernel, method=method)
    moved = run(problem, np.roll(x, (1, 2, 3), (2, 3, 4)), kernel, method=method)
    np.testing.assert_allclose(moved[..., 1:, 2:, 3:], y[..., :-1, :-2, :-3], atol=1e-12)


@pytest.mark.parametrize("method", USABLE)
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_a_bias_is_added_once(method, problem):
    x, kernel, bias = arrays(problem)
    plain, biased = run(problem, x, kernel, method=method), run(problem, x, kernel, bias, method=method)
    np.testing.assert_allclose(biased, plain + bias[:, None, None, None], atol=1e-12)


@compiled
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_small_products_are_not_lost_beside_a_large_bias(method, order):
    """Added to the bias one by one, products of less than half the distance of two float32 would change nothing."""
    taps, channels = (1, 240) if method == "pointwise" else (3, 1 if method == "separable" else 16)
    problem = Problem((6, 7, 20), (taps,) * 3, padding=((taps // 2,) * 2,) * 3, channels=channels, filters=channels)
    problem = replace(problem, order=order, groups=channels if method == "separable" else 1)
    x, kernel = np.full(problem.input_shape, 0.05, "f4"), np.full(problem.kernel_shape, 0.5, "f4")
    bias = np.full(problem.filters, 2.0**20, "f4")
    plain, biased = run(problem, x, kernel, method=method), run(problem, x, kernel, bias, method=method)
    np.testing.assert_allclose(biased, plain.astype(float) + 2.0**20, rtol=0, atol=2 * np.spacing(bias[0]))


@pytest.mark.parametrize("method", USABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_do_not_depend_on_the_threads(method, dtype):
    problem = Problem((40, 41, 42), (5, 4, 3), strides=(1, 2, 1), channels=3, filters=4, dtype=dtype)
    x, kernel, bias = arrays(problem)
    plan = choose(problem, ROOM, method)
    one, three = (execute(replace(plan, limits=Limits(count, 1 << 33)), x, kernel, bias) for count in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("method", USABLE)
def test_the_order_in_memory_changes_nothing_but_speed(method):
    problem = Problem((9, 12, 15), (2, 3, 4), (1, 2, 3), channels=2, filters=3, dtype="float64")
    x, kernel, bias = arrays(problem)
    y = run(problem, x, kernel, bias, method)
    for order in ((2, 1, 0), (1, 0, 2)):
        turned = np.asfortranarray(x)
        np.testing.assert_allclose(run(replace(problem, order=order), turned, kernel, bias, method), y, atol=1e-12)


def test_the_size_of_the_reference_blocks_changes_no_bit(monkeypatch):
    problem = Problem((12, 13, 14), (3, 3, 3), channels=1, filters=2, dtype="float64")
    x, kernel, bias = arrays(problem)
    whole = run(problem, x, kernel, bias, "reference")
    monkeypatch.setattr(reference, "BLOCK_BYTES", 4096)
    np.testing.assert_array_equal(run(problem, x, kernel, bias, "reference"), whole)


def test_the_size_of_the_fft_tiles_changes_little():
    problem = Problem((50, 51, 52), (7, 6, 5), strides=(2, 1, 3), dtype="float64")
    x, kernel, _ = arrays(problem)
    outs = []
    for tile in ((16, 16, 16), (16, 24, 50), (54, 54, 54)):
        out = np.empty(problem.output_shape)
        fft.run(problem, x, kernel, None, out, tile=tile, transform="float64", threads=2)
        outs.append(out)
    np.testing.assert_allclose(outs[1], outs[0], atol=1e-11)
    np.testing.assert_allclose(outs[2], outs[0], atol=1e-11)


@pytest.mark.parametrize("method", USABLE)
def test_progress_grows_and_ends_at_the_whole(method, monkeypatch):
    problem = Problem((24, 25, 26), (5, 4, 3), batch=3, channels=4, filters=6, groups=2, dtype="float64")
    x, kernel, bias = arrays(problem)
    monkeypatch.setattr(threads, "POLL_SECONDS", 1e-3)
    monkeypatch.setattr(reference, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    heard = []
    execute(choose(problem, ROOM, method), x, kernel, bias, tick=heard.append)
    assert heard == sorted(heard)
    assert 0 <= heard[0] <= heard[-1] == 1


@pytest.mark.parametrize("method", USABLE)
def test_a_plan_works_in_as_many_threads_as_it_may(method, monkeypatch):
    problem = Problem((24, 25, 26), (5, 4, 3), batch=8, dtype="float64")
    x, kernel, _ = arrays(problem)
    asked, share = [], threads.share
    for module in (fft, reference, threads):
        monkeypatch.setattr(
            module, "share", lambda work, count, **more: asked.append(count) or share(work, count, **more)
        )
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    monkeypatch.setattr(threads, "BRIEF", 0)
    execute(choose(problem, Limits(3, 1 << 33), method), x, kernel, None)
    assert asked[-1] == 3


def test_one_transform_is_shared_by_the_threads(monkeypatch):
    from scipy import fft as transforms

    asked = []
    for name in ("rfftn", "irfftn"):
        kept = getattr(transforms, name)
        monkeypatch.setattr(
            transforms,
            name,
            lambda *given, kept=kept, workers, **more: asked.append(workers) or kept(*given, workers=workers, **more),
        )
    problem = Problem((20, 20, 20), (5, 5, 5), dtype="float64")
    x, kernel, _ = arrays(problem)
    out = np.empty(problem.output_shape)
    fft.run(problem, x, kernel, None, out, tile=(20, 20, 20), transform="float64", threads=3)
    assert asked == [3, 3, 3]
    asked.clear()
    fft.run(problem, x, kernel, None, out, tile=(10, 10, 10), transform="float64", threads=3)
    assert set(asked) == {1}


@pytest.mark.parametrize("method", USABLE)
def test_an_output_may_be_given_in_any_layout(method):
    problem = Problem((6, 7, 8), (3, 2, 1), (1, 2, 1), channels=2, filters=3, order=(2, 0, 1), dtype="float64")
    x, kernel, bias = arrays(problem)
    want = run(problem, x, kernel, bias, method)
    out = np.full(problem.output_shape[::-1], np.nan).T
    plan = choose(problem, ROOM, method)
    assert execute(plan, np.asfortranarray(x), kernel, bias, out) is out
    np.testing.assert_allclose(out, want, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_one_voxel_of_a_record_counts_as_contiguous_and_has_odd_strides_all_the_same(method, kernel):
    problem = Problem((1,) * 3, (kernel,) * 3, padding=((kernel // 2,) * 2,) * 3)
    x, weights = field_of_a_record(problem.input_shape, "f4"), np.full(problem.kernel_shape, 0.5, "f4")
    x[...] = 3
    try:
        plan = choose(problem, ROOM, method, kernel=weights)
    except MethodError:
        return
    assert execute(plan, x, weights, None, field_of_a_record(problem.output_shape, "f4")).ravel() == [1.5]


@compiled
@pytest.mark.parametrize("long", [2**40, 2**70])
@pytest.mark.parametrize("method", METHODS)
def test_strides_and_dilations_that_lead_out_of_the_volume_cost_nothing(method, long):
    given = {"channels": 4, "filters": 4, "padding": ((1, 1),) * 3}
    for name, kernel in (("strides", (3, 3, 3)), ("dilation", (1, 3, 3)), ("strides", (1, 1, 1))):
        if (method == "pointwise") != (kernel == (1, 1, 1)):
            continue
        far = Problem((5, 9, 9), kernel, **{name: (long, 1, 1)}, **given, order=(2, 1, 0))
        if method == "pointwise":
            far = replace(far, padding=((0, 0),) * 3)
        near = replace(far, **{name: (7, 1, 1)})
        x, weights, bias = arrays(near)
        weights[...] = weights[0, 0, 0]
        outs = [execute(choose(p, ROOM, method, kernel=weights), x, weights, bias) for p in (far, near)]
        np.testing.assert_array_equal(*outs)


@compiled
@pytest.mark.parametrize("way", ["spread", "pushed out", "far apart"])
@pytest.mark.parametrize("method", METHODS)
def test_the_largest_counts_of_a_layer_are_served(method, way):
    """What surrounds the volume is up to 2^31 - 1 voxels wide; one tap or one output lies in the volume."""
    most, k = 2**31 - 1, 1 if method == "pointwise" else 3
    pads = ((most, most),) * 3
    problem = {
        "spread": Problem((5, 6, 7), (k,) * 3, dilation=(most // k,) * 3, padding=((most // k * (k > 1),) * 2,) * 3),
        "pushed out": Problem((5, 6, 7), (k,) * 3, padding=pads, strides=(most,) * 3),
        "far apart": Problem((5, 6, 7), (k,) * 3, padding=pads, strides=(most,) * 3, dilation=(most // k,) * 3),
    }[way]
    x, weights, bias = arrays(replace(problem, padding=NO_PADS, strides=(1, 1, 1), dilation=(1, 1, 1)))
    weights[...] = weights[0, 0, 0]
    try:
        plan = choose(problem, ROOM, method, kernel=weights)
    except (MethodError, OverLimit):
        assert method != "direct"
        return
    out = execute(plan, x, weights, bias)
    expected = np.full(problem.output_shape, bias[0], "f4")
    for index in np.ndindex(problem.output_size):
        for tap in np.ndindex(problem.kernel):
            at = [
                i * s - p[0] + t * d
                for i, s, p, t, d in zip(index, problem.strides, problem.padding, tap, problem.dilation, strict=True)
            ]
            if all(0 <= place < n for place, n in zip(at, problem.size, strict=True)):
                expected[(0, 0, *index)] += x[(0, 0, *at)] * weights[(*tap, 0, 0)]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 3, 3), (9, 1, 17)])
@pytest.mark.parametrize("name", ["x", "kernel", "bias", "out"])
@pytest.mark.parametrize("method", METHODS)
def test_arrays_may_begin_in_the_middle_of_a_number(method, name, kernel):
    """Such an array counts as contiguous; where a processor lets it be read, it is C++ that does not."""
    n = int(max(kernel) > 1)
    problem = Problem((12, 9, 20), kernel, padding=((n, n),) * 3, channels=4, filters=4)
    given = dict(zip(("x", "kernel", "bias"), arrays(problem), strict=True))
    given["kernel"][...] = given["kernel"][0, 0, 0]
    given["out"] = np.empty(problem.output_shape, "f4")
    try:
        plan = choose(problem, ROOM, method, kernel=given["kernel"])
    except MethodError:
        return
    want = execute(plan, **given).copy()
    bytes_ = np.zeros(given[name].nbytes + 1, "u1")
    odd = bytes_[1:].view("f4").reshape(given[name].shape)
    odd[...] = given[name]
    assert odd.flags.c_contiguous
    assert not odd.flags.aligned
    KERNELS.clear()
    np.testing.assert_array_equal(execute(plan, **given | {name: odd}), want)


@pytest.mark.parametrize("method", USABLE)
def test_taps_that_lie_in_the_padding_alone_add_nothing(method):
    problem = Problem((2, 3, 4), (3, 1, 2), dilation=(4, 1, 5), padding=((7, 5), (0, 2), (6, 3)), dtype="float64")
    x, kernel, _ = arrays(problem)
    want, _ = oracle(x, kernel, None, padding=problem.padding, dilation=problem.dilation)
    np.testing.assert_allclose(run(problem, x, kernel, method=method), want, atol=1e-12)


def test_an_error_in_a_thread_ends_all_of_them():
    pieces, seen = threads.Pieces(iter(range(10**9))), []

    def work() -> None:
        for piece in pieces:
            seen.append(piece)
            if piece == 50:
                raise ValueError("piece 50")

    with pytest.raises(ValueError, match="piece 50"):
        threads.share(work, 3, stop=pieces.close)
    assert len(seen) < 10**6


def test_the_first_error_is_the_one_that_is_raised():
    stopped, names = Event(), iter("ab")

    def work() -> None:
        if next(names) == "b":
            assert stopped.wait(10)
            raise ValueError("the second")
        raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        threads.share(work, 2, stop=stopped.set)


def test_all_threads_work_at_the_same_time():
    meeting = Barrier(3)
    threads.share(lambda: meeting.wait(10) and None, 3, stop=lambda: None)
    assert not meeting.broken


def test_progress_is_told_while_the_threads_work():
    told = Event()

    def work() -> None:
        assert told.wait(10)

    threads.share(work, 1, stop=lambda: None, tick=told.set)


def test_what_interrupts_the_caller_ends_the_threads_first():
    stopped, ended = Event(), []

    def work() -> None:
        assert stopped.wait(10)
        sleep(0.05)
        ended.append(True)

    def tick() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.share(work, 2, stop=stopped.set, tick=tick)
    assert ended == [True, True]


def test_closed_pieces_are_given_to_nobody():
    pieces = threads.Pieces(range(5))
    assert [next(pieces), next(pieces)] == [0, 1]
    pieces.close()
    assert list(pieces) == []
