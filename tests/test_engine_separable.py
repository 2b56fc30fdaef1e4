"""Kernels that are outer products: found, told apart, planned, and summed axis by axis."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import oracle
from support import compiled
from tolerances import assert_close

from conv3d_cli.engine import Limits, Problem, choose, execute, isa, separable, separable_layout, settle, threads
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.factors import factors
from conv3d_cli.errors import MethodError

pytestmark = compiled

ROOM = Limits(threads=2, memory=1 << 33)


def outer(*lines):
    return np.einsum("i,j,k->ijk", *lines)


def gaussian(sigma, reach, order=0):
    x = np.arange(-reach, reach + 1)
    line = np.exp(-(x**2) / (2 * sigma**2))
    line /= line.sum()
    return (line, -x / sigma**2 * line, (x**2 / sigma**4 - 1 / sigma**2) * line)[order]


def laplacian(reach=4, sigma=1.5):
    smooth, second = gaussian(sigma, reach), gaussian(sigma, reach, 2)
    return outer(second, smooth, smooth) + outer(smooth, second, smooth) + outer(smooth, smooth, second)


def blurred(n, k, **more):
    problem = Problem((n,) * 3, (k,) * 3, padding=((k // 2, k // 2),) * 3, **more)
    line = gaussian(k / 5, k // 2)
    pairs = problem.kernel_shape[3:]
    kernel = np.broadcast_to(outer(line, line, line)[..., None, None], (k, k, k, *pairs))
    x = np.random.default_rng(0).standard_normal(problem.input_shape)
    return problem, x.astype(problem.dtype), kernel.astype(problem.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "kernel",
    [
        outer(gaussian(2, 8), gaussian(1, 4), gaussian(3, 6)),
        outer(gaussian(2, 8, 1), gaussian(2, 8), gaussian(2, 8)),
        outer([1, 2, 1], [1, 0, -1], [1, 2, 1]),
        np.full((5, 4, 3), 1 / 60),
        np.zeros((3, 3, 3)),
        1e-30 * outer([1, 2], [3, 4], [5, 6]),
    ],
    ids=["gaussian", "derivative", "sobel", "box", "zero", "tiny"],
)
def test_one_product_is_found_and_its_zeros_are_kept(kernel, dtype):
    kernel = kernel.astype(dtype)
    found = factors(kernel, 0.0)
    assert found.terms == 1
    np.testing.assert_allclose(found.whole(), kernel, rtol=8 * np.finfo(dtype).eps, atol=0)


def test_a_gaussian_computed_voxel_by_voxel_is_one_product():
    z, y, x = np.ogrid[-6:7, -6:7, -6:7]
    kernel = np.exp(-(z * z + y * y + x * x).astype("f4") / np.float32(8))
    assert factors(kernel, 0.0).terms == 1


def test_an_entry_that_differs_by_more_than_rounding_makes_it_no_product():
    kernel = outer(gaussian(2, 4), gaussian(2, 4), gaussian(2, 4)).astype("f4")
    kernel[0, 0, 0] *= 1 + 1e-5
    assert factors(kernel, 0.0, 1) is None
    assert factors(1e-40 * np.random.default_rng(0).random((3, 3, 3)).astype("f4"), 0.0, 1) is None


@pytest.mark.parametrize("axis", range(3))
def test_terms_of_no_size_are_left_out(axis):
    cross = np.moveaxis(np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], "f8"), 0, axis)
    assert factors(cross, 1e-12).terms == 2
    exact = factors(cross, 0.0)  # without a warning, whether rounding leaves something over or not
    assert exact is None or exact.terms == 2


def test_sums_are_found_to_the_residual_that_is_allowed():
    kernel = laplacian().astype("f4")
    found = factors(kernel, 1e-6)
    assert 1 < found.terms <= 4
    assert np.abs(found.whole() - kernel).sum() <= 1e-6 * np.abs(kernel).sum()
    assert factors(kernel, 1e-6, 2) is None
    assert 1 <= found.growth < 2
    z, y, x = np.ogrid[-4:5, -4:5, -4:5]
    for other in ((z * z + y * y + x * x < 17).astype("f4"), np.random.default_rng(0).random((4, 5, 6))):
        assert factors(other, 1e-6) is None
    kernel[0, 0, 0] = np.nan
    assert factors(kernel, 1e-6) is None


def cases(count, seed):
    rng = np.random.default_rng(seed)
    while count:
        groups = int(rng.integers(1, 3))
        kernel, dilation = (tuple(int(n) for n in rng.integers(1, m, 3)) for m in (8, 3))
        problem = Problem(
            size=tuple(int(n) for n in rng.integers(1, 41 if count % 8 == 0 else 20, 3)),
            kernel=kernel,
            strides=tuple(int(n) for n in rng.integers(1, 4, 3)),
            dilation=dilation,
            padding=tuple((int(a), int(b)) for a, b in rng.integers(0, 6, (3, 2))),
            batch=int(rng.integers(1, 3)),
            channels=groups * int(rng.integers(1, 3)),
            filters=groups * int(rng.integers(1, 3)),
            groups=groups,
            dtype=str(rng.choice(["float32", "float64"])),
        )
        if 0 in problem.output_size:
            continue
        count -= 1
        channels = problem.channels // groups
        lines = [rng.standard_normal((n, channels, problem.filters)) for n in kernel]
        weights = np.einsum("icf,jcf,kcf->ijkcf", *lines).astype(problem.dtype)
        x = rng.standard_normal(problem.input_shape).astype(problem.dtype)
        bias = rng.standard_normal(problem.filters).astype(problem.dtype) if rng.random() < 0.5 else None
        if rng.random() < 0.5:
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        outs = [np.full(problem.output_shape, np.nan, problem.dtype) for _ in range(2)]
        if rng.random() < 0.5:
            outs = [np.moveaxis(np.ascontiguousarray(np.moveaxis(out, 1, -1)), -1, 1) for out in outs]
        yield problem, x, weights, bias, outs, tuple(int(n) for n in rng.integers(1, 20, 3))


@pytest.mark.parametrize("name", isa.available())
def test_every_shape_agrees_with_the_oracle_in_one_thread_and_in_two(name, monkeypatch):
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    chosen = separable_layout.layout_of
    for number, (problem, x, kernel, bias, outs, tile) in enumerate(cases(50, 3)):
        cut = separable_layout.Layout(tile, 0, 1.0)
        monkeypatch.setattr(separable, "layout_of", (lambda *a, cut=cut: cut) if number % 2 else chosen)
        for count, out in enumerate(outs, 1):
            separable.run(problem, x, kernel, bias, out, residual=1e-7, threads=count, isa=name)
        np.testing.assert_array_equal(*outs)
        want, magnitude = oracle(x, kernel, bias, problem.strides, problem.padding, problem.dilation, problem.groups)
        terms = problem.taps * problem.channels // problem.groups
        assert_close("separable", problem.dtype, outs[0], want, magnitude, terms)


def boxes(count, seed):
    rng = np.random.default_rng(seed)
    while count:
        kernel = tuple(int(n) for n in rng.choice([1, 3, 16, 17, 18, 19, 24], 3))
        dilation = tuple(int(n) for n in rng.integers(1, 3, 3))
        problem = Problem(
            size=tuple(int(n) for n in rng.integers(1, 41, 3)),
            kernel=kernel,
            strides=(dilation[0], int(rng.integers(1, 3)), int(rng.integers(1, 3))),
            dilation=dilation,
            padding=tuple((int(a), int(b)) for a, b in rng.integers(0, 25, (3, 2))),
            channels=2,
            dtype=str(rng.choice(["float32", "float64"])),
        )
        if 0 in problem.output_size:
            continue
        count -= 1
        lines = [np.ones(n) if rng.random() < 0.8 else rng.standard_normal(n) for n in kernel]
        weights = np.stack([outer(*lines) / 7, -outer(*lines)], -1)[..., None].astype(problem.dtype)
        x = rng.standard_normal(problem.input_shape).astype(problem.dtype)
        x[0, 1, rng.integers(problem.size[0])] = np.nan if rng.random() < 0.3 else 1.0
        yield problem, x, weights, tuple(int(n) for n in rng.integers(1, 30, 3))


@pytest.mark.parametrize("name", isa.available())
def test_boxes_of_any_length_agree_with_the_oracle_however_they_are_cut(name, monkeypatch):
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    for number, (problem, x, kernel, tile) in enumerate(boxes(10, 4)):
        monkeypatch.setattr(separable, "STREAM_BYTES", 0 if number % 2 else 1 << 40)
        outs = []
        for cut in (tile, problem.output_size):
            layout = separable_layout.Layout(cut, 0, 1.0)
            monkeypatch.setattr(separable, "layout_of", lambda *a, layout=layout: layout)
            outs.append(np.full(problem.output_shape, np.nan, problem.dtype))
            separable.run(problem, x, kernel, None, outs[-1], residual=1e-7, threads=2, isa=name)
        np.testing.assert_array_equal(*outs)
        want, magnitude = oracle(x, kernel, None, problem.strides, problem.padding, problem.dilation)
        assert_close("separable", problem.dtype, outs[0], want, magnitude, 2 * problem.taps)


@pytest.mark.parametrize("past", [0, 1 << 40])
@pytest.mark.parametrize("columns", [3, 15, 16, 17, 47, 200])
def test_outputs_may_go_past_the_cache_from_any_address(columns, past, monkeypatch):
    monkeypatch.setattr(separable, "STREAM_BYTES", past)
    problem, x, kernel = blurred(11, 5)
    problem = Problem((11, 11, columns), (5, 5, 5), padding=problem.padding)
    x = np.random.default_rng(0).standard_normal(problem.input_shape).astype("f4")
    want, magnitude = oracle(x, kernel, None, padding=problem.padding)
    whole = np.zeros(problem.output_shape[2] * 11 * columns + 32, "f4")
    for begin in range(16):
        whole[:] = 7
        out = whole[begin : begin + 121 * columns].reshape(problem.output_shape)
        execute(choose(problem, ROOM, "separable", kernel=kernel), x, kernel, None, out)
        assert_close("separable", "float32", out, want, magnitude, 125)
        assert (whole[:begin] == 7).all()
        assert (whole[begin + 121 * columns :] == 7).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_non_finite_voxel_reaches_exactly_the_windows_of_a_box(value):
    problem = Problem((40, 41, 70), (17, 16, 31), padding=((8, 8), (8, 7), (15, 15)))
    kernel = np.full((*problem.kernel, 1, 1), 1e-3, "f4")
    x = np.random.default_rng(0).standard_normal(problem.input_shape).astype("f4")
    x[0, 0, 20, 19, 33] = value
    plan = choose(problem, ROOM, "separable", kernel=kernel)
    assert plan.candidate.detail.startswith("one outer product a filter (a box along D, a box along H, a box along W)")
    y = execute(plan, x, kernel, None)
    reached = np.zeros(problem.output_shape, bool)
    reached[:, :, 12:29, 12:28, 18:49] = True
    np.testing.assert_array_equal(~np.isfinite(y), reached)


def test_a_box_leaves_nothing_of_a_bright_voxel_behind():
    problem = Problem((1, 1, 200), (1, 1, 31), padding=((0, 0), (0, 0), (15, 15)))
    for axis in range(3):
        size, kernel, padding = (t[axis:] + t[:axis] for t in (problem.size, problem.kernel, problem.padding))
        turned = Problem(size, kernel, padding=padding)
        x = np.full(turned.input_shape, 1e-3, "f4")
        x.flat[100] = 1e30
        kernel = np.ones(turned.kernel_shape, "f4")
        y = execute(choose(turned, ROOM, "separable", kernel=kernel), x, kernel, None).ravel()
        np.testing.assert_allclose(y[15:85], 31e-3, rtol=1e-5)
        np.testing.assert_allclose(y[116:185], 31e-3, rtol=1e-5)


def test_a_kernel_is_taken_apart_once(monkeypatch):
    counts = []
    real = separable.factors
    monkeypatch.setattr(separable, "factors", lambda *a: counts.append(a) or real(*a))
    problem, x, kernel = blurred(16, 7)
    kernel = kernel * np.float32(1.25)
    for _ in range(3):
        execute(choose(problem, ROOM, "separable"), x, kernel, None)
    assert len(counts) == 2  # once as it is, and once to see whether infinities may cancel


@pytest.mark.parametrize("accuracy", ["strict", "default", "fast"])
def test_sums_of_products_hold_the_accuracy_that_is_asked(accuracy):
    problem = Problem((24, 25, 26), (9, 9, 9), padding=((4, 4),) * 3)
    kernel = laplacian()[..., None, None].astype("f4")
    x = np.random.default_rng(0).standard_normal(problem.input_shape).astype("f4")
    plan = choose(problem, ROOM, "separable", accuracy, kernel=kernel)
    y = execute(plan, x, kernel, None)
    want, magnitude = oracle(x, kernel, None, padding=problem.padding)
    assert np.abs(y - want).max() <= plan.candidate.error * magnitude.max()
    assert plan.candidate.error <= {"strict": 2e-6, "default": 1e-5, "fast": 1e-4}[accuracy]


def test_filters_may_have_different_numbers_of_terms():
    problem = Problem((17, 18, 19), (9, 9, 9), channels=2, filters=3)
    smooth = outer(*[gaussian(2, 4)] * 3)
    slope = outer(gaussian(2, 4, 1), gaussian(2, 4), gaussian(1, 4))
    nothing, two = np.zeros_like(smooth), smooth + slope  # of which the lines along H are the same
    kernel = np.stack([np.stack(pair, -1) for pair in ((smooth, nothing, slope), (slope, laplacian(), two))], 3)
    found = choose(problem, ROOM, kernel=kernel.astype("f4")).candidates
    assert separable.NEITHER in [c.refused for c in found]  # 1 + 4 terms in the second filter
    kernel[..., 1, 1] = smooth - 2 * slope
    for dtype in ("float32", "float64"):
        typed = Problem((17, 18, 19), (9, 9, 9), channels=2, filters=3, dtype=dtype)
        x, weights = np.random.default_rng(0).standard_normal(problem.input_shape).astype(dtype), kernel.astype(dtype)
        plan = choose(typed, ROOM, "separable", kernel=weights)
        want, magnitude = oracle(x, weights, None)
        error = np.abs(execute(plan, x, weights, None) - want).max()
        assert error < (3e-6 if dtype == "float32" else 1e-14) * magnitude.max()


def test_the_kernel_opens_the_method_and_shapes_alone_do_not():
    problem, x, kernel = blurred(96, 11)
    plan = choose(problem, ROOM)
    assert plan.method != "separable"
    [row] = [c for c in plan.candidates if c.method == "separable"]
    assert row.refused == separable.UNSEEN
    settled = settle(plan, x, kernel)
    assert settled.method == choose(problem, ROOM, kernel=kernel).method == "separable"
    assert {c.method for c in settled.candidates} == {c.method for c in plan.candidates}
    assert settled.why.startswith("one outer product a filter, passes fused in cache")
    kernel[3, 4, 5] *= 2
    kernel[5, 4, 3] *= -3
    kernel[:3] *= np.random.default_rng(0).random((3, 11, 11, 1, 1)).astype("f4")
    settled = settle(plan, x, kernel)
    assert settled.method == plan.method
    assert separable.NEITHER in [c.refused for c in settled.candidates]


def test_a_forced_method_is_held_to_the_values():
    problem, x, kernel = blurred(16, 5)
    plan = choose(problem, ROOM, "separable")
    assert plan.method == "separable"
    want, magnitude = oracle(x, kernel, None, padding=problem.padding)
    assert_close("separable", "float32", execute(plan, x, kernel, None), want, magnitude, problem.taps)
    kernel = np.random.default_rng(0).standard_normal(kernel.shape).astype("f4")
    with pytest.raises(MethodError, match="separable: the kernel is no outer product of three vectors, nor a sum"):
        execute(plan, x, kernel, None)
    with pytest.raises(MethodError, match="the kernel is no outer product"):
        execute(plan, x, kernel, None, settled=True)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"kernel": (1, 1, 1)}, "the kernel is one voxel"),
        ({"channels": 5}, "more than 4 channels in a group"),
        ({"channels": 3, "filters": 90}, "more than 256 pairs of a channel and a filter"),
    ],
    ids=str,
)
def test_what_its_shape_rules_out(more, reason):
    problem = Problem(**{"size": (9, 9, 9), "kernel": (3, 3, 3), **more})
    kernel = np.ones(problem.kernel_shape, "f4")
    for given in (None, kernel):
        assert reason in [c.refused for c in choose(problem, ROOM, kernel=given).candidates]


def test_axes_are_taken_in_memory_order():
    kernel = outer([1, 2], [1, 0, -1], gaussian(1, 2))[..., None, None].astype("f4")
    turned = Problem((12, 13, 14), (2, 3, 5), (1, 1, 2), order=(2, 1, 0))
    x = np.random.default_rng(0).standard_normal(turned.input_shape).astype("f4")
    y = execute(choose(turned, ROOM, "separable"), np.asfortranarray(x), kernel, None)
    want, magnitude = oracle(x, kernel, None, strides=(1, 1, 2))
    assert_close("separable", "float32", y, want, magnitude, 30)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_voxel_reaches_exactly_its_neighbourhood(value):
    problem = Problem((16, 17, 18), (3, 5, 5), padding=((1, 1), (2, 2), (2, 2)), channels=2, filters=2)
    kernel = np.stack([outer([1, 2, 1], gaussian(1, 2), gaussian(1, 2, 1))] * 4, -1).reshape(problem.kernel_shape)
    x = np.random.default_rng(0).standard_normal(problem.input_shape).astype("f4")
    x[0, 1, 7, 8, 9] = value
    y = execute(choose(problem, ROOM, "separable"), x, kernel.astype("f4"), None)
    reached = np.zeros(problem.output_shape, bool)
    reached[:, :, 6:9, 6:11, 7:12] = True
    np.testing.assert_array_equal(~np.isfinite(y), reached)


def test_with_several_terms_infinities_take_another_way():
    problem = Problem((20, 20, 20), (9, 9, 9))
    kernel = laplacian()[..., None, None].astype("f4")
    x = np.zeros(problem.input_shape, "f4")
    plan = choose(problem, ROOM, "separable")
    assert not execute(plan, x, kernel, None).any()
    x[0, 0, 9, 9, 9] = np.inf
    with pytest.raises(MethodError, match=r"1 non-finite values in the input, the first at index \(0, 0, 9, 9, 9\)"):
        execute(plan, x, kernel, None)


def test_large_values_overflow_only_where_the_sum_does():
    problem, x, kernel = blurred(12, 5)
    y = execute(choose(problem, ROOM, "separable"), np.full_like(x, 3e38), kernel, None)
    np.testing.assert_allclose(y[0, 0, 2:-2, 2:-2, 2:-2], 3e38, rtol=1e-5)
    assert np.isinf(execute(choose(problem, ROOM, "separable"), np.full_like(x, 3e38), kernel * 2, None)).any()


def test_predicted_scratch_is_what_is_taken():
    problem, x, _kernel = blurred(40, 7, channels=2, filters=2, groups=2)
    layout = separable_layout.layout_of(problem, 1, 2, isa.active())
    lines = [np.ones((2, 1, 7), "f4")] * 3
    out = np.empty(problem.output_shape, "f4")
    job = isa.native().Separable(
        isa.active(), x, lines, [0, 0], native_boundary(problem), None, out,
        groups=2, strides=(1, 1, 1), dilation=(1, 1, 1), before=(3, 3, 3), box=(False,) * 3, tile=layout.tile,
        stream=False,
    )  # fmt: skip
    assert 0.7 * layout.scratch_bytes < job.scratch <= layout.scratch_bytes


def test_progress_ends_at_the_whole_and_all_threads_are_used(monkeypatch):
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    counts, heard = [], []
    share = threads.share
    monkeypatch.setattr(
        threads, "share", lambda work, count, **more: counts.append(count) or share(work, count, **more)
    )
    problem, x, kernel = blurred(64, 7)
    execute(choose(problem, ROOM, "separable"), x, kernel, None, tick=heard.append)
    assert (counts, heard[-1]) == ([2], 1.0)
    assert heard == sorted(heard)


def test_wrong_arrays_are_refused_before_any_memory_is_touched():
    x, out = np.ones((1, 2, 8, 8, 8), "f4"), np.empty((1, 2, 6, 6, 6), "f4")
    same = {"groups": 2, "strides": (1,) * 3, "dilation": (1,) * 3, "before": (0,) * 3, "tile": (6,) * 3}
    same |= {"box": (False,) * 3, "stream": False}
    lines, zeros = [np.ones((2, 1, 3), "f4")] * 3, isa.native().Boundary(0.0, [(0, 0, [])] * 3)
    for given, channels, changed, words in (
        ([lines[0][:1], *lines[1:]], [0, 0], {}, "weights need the shape"),
        ([lines[0][..., ::2], *lines[1:]], [0, 0], {}, "weights must be contiguous"),
        (lines, [0, 1], {}, "a channel lies outside"),
        (lines, [0], {}, "one channel a term"),
        (lines, [0, 0], {"strides": (1, 1, 0)}, "must be positive"),
        (lines, [0, 0], {"box": (True, False, False)}, "a box must be long, and its stride its dilation"),
        (lines, [0, 0], {"tile": (0, 6, 6)}, "tiles must be positive"),
        (lines, [0, 0], {"groups": 3}, "do not fit together"),
    ):
        with pytest.raises(ValueError, match=words):
            isa.native().Separable("generic", x, given, channels, zeros, None, out, **{**same, **changed})
