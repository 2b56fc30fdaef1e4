"""Compiled tiles of the method ``fft`` against the oracle, at every instruction set that this machine runs."""

from __future__ import annotations

import threading
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle
from support import compiled
from test_engine_direct import STORAGE, arrays, planar
from tolerances import assert_close

from conv3d_cli.engine import ACCURACIES, Limits, Problem, choose, execute, fft, fft_tiles, isa
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.errors import MethodError

pytestmark = compiled

ISAS = isa.available()
ROOM = Limits(threads=2, memory=1 << 33)
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
ROW_LENGTHS = tuple(n for n in LENGTHS if n % 2 == 0 and n > 2)
DEFAULT = ACCURACIES["default"]
LAYER = Problem((30, 30, 30), (5, 5, 5), padding=((2, 2),) * 3, channels=8, filters=8)


def check(problem, tile, storage="planar", target="planar", with_bias=True, names=ISAS, seed=0):
    """Compare instruction sets with the oracle, and three threads with one."""
    x, kernel, bias = arrays(problem, STORAGE[storage], seed)
    bias = bias if with_bias else None
    want, magnitude = oracle(x, kernel, bias, problem.strides, problem.padding, problem.dilation, problem.groups)
    if problem.strides != (1, 1, 1):  # an error is relative to all values of a tile, those that are left out too
        _, dense = oracle(x, kernel, bias, (1, 1, 1), problem.padding, problem.dilation, problem.groups)
        magnitude = np.full(want.shape, dense.max())
    for name in names:
        one, three = (STORAGE[target](problem.output_shape, "float32") for _ in range(2))
        fft_tiles.run(problem, x, kernel, bias, one, tile=tile, threads=1, isa=name)
        terms = problem.taps * problem.channels // problem.groups + 1
        assert_close("fft", "float32", one, want, magnitude, terms, prod(tile))
        fft_tiles.run(problem, x, kernel, bias, three, tile=tile, threads=3, isa=name)
        np.testing.assert_array_equal(one, three, err_msg=f"{name}: three threads, other bits")


def lengths(taps, stride=1, real=False):
    """Tiles of at least so many taps from which every ``stride``-th voxel can be restored."""
    known = ROW_LENGTHS if real else LENGTHS
    return [n for n in known if n >= taps and (n - taps < stride or (n % stride == 0 and n // stride in known))]


@st.composite
def tilings(draw):
    axis = st.one_of(st.integers(1, 12), st.integers(1, 40))
    size, kernel = draw(st.tuples(axis, axis, axis)), draw(st.tuples(*[st.integers(1, 8)] * 3))
    steps = draw(st.tuples(*[st.sampled_from(((1, 1), (1, 1), (2, 1), (1, 2), (1, 3), (3, 1), (4, 1)))] * 3))
    strides, dilation = zip(*steps, strict=True)
    padding = []
    for n, k, d in zip(size, kernel, dilation, strict=True):
        missing = max((k - 1) * d + 1 - n, 0)
        padding.append((draw(st.integers(missing, missing + 4)), draw(st.integers(0, 4))))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    problem = Problem(
        size,
        kernel,
        strides,
        dilation,
        tuple(padding),
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.sampled_from((1, 2, 3, 5))),
        filters=groups * draw(st.sampled_from((1, 2, 3, 7, 8, 13))),
        groups=groups,
    )
    fit = [lengths(k, s, i == 2)[:5] for i, (k, s) in enumerate(zip(kernel, strides, strict=True))]
    tile = tuple(draw(st.sampled_from(choices)) for choices in fit)
    return problem, tile


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tilings(), st.sampled_from(sorted(STORAGE)), st.sampled_from(sorted(STORAGE)), st.booleans(), st.data())
def test_random_problems_agree_with_the_oracle(tiling, source, target, with_bias, data):
    check(*tiling, source, target, with_bias, names=[data.draw(st.sampled_from(ISAS))])


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_along_every_axis(length, name):
    for axis in range(3):
        if axis == 2 and length not in ROW_LENGTHS:
            continue
        kernel = tuple(min(3, length) if i == axis else 2 for i in range(3))
        tile = tuple(length if i == axis else 8 for i in range(3))
        size = tuple(length + 3 if i == axis else 9 for i in range(3))
        check(Problem(size, kernel, channels=2, filters=2), tile, names=[name], seed=length)


def test_every_size_of_a_row():
    for n in range(1, 41):
        problem = Problem((4, 6, n), (3, 3, 3), padding=((1, 1), (1, 1), (1, 1)), channels=2, filters=2)
        check(problem, (8, 8, 12), names=[ISAS[n % len(ISAS)]])


@pytest.mark.parametrize("channels", [1, 2, 7, 15, 16, 17, 33])
def test_channels_and_filters_that_lie_side_by_side(channels):
    problem = Problem((5, 6, 19), (2, 3, 3), padding=((1, 0), (1, 1), (1, 1)), channels=channels, filters=34 - channels)
    check(problem, (8, 8, 12), "channels_last", "channels_last")


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("filters", [3, 16, 17, 37])
def test_the_filters_of_one_channel_are_taken_in_chunks(filters, name):
    problem = Problem((9, 12, 17), (3, 2, 3), padding=((1, 1), (1, 0), (2, 1)), channels=1, filters=filters)
    for storage in ("planar", "channels_last"):
        check(problem, (8, 6, 12), storage, storage, names=[name])
    check(replace(problem, channels=2, filters=2 * filters, groups=2, strides=(1, 1, 2)), (8, 6, 12), names=[name])


@pytest.mark.parametrize(("channels", "size", "taps"), [(4, 40, 7), (16, 30, 5), (2, 30, 11)])
def test_errors_are_small_against_the_largest_output(channels, size, taps):
    pads = ((taps // 2, taps // 2),) * 3
    problem = Problem((size,) * 3, (taps,) * 3, padding=pads, channels=channels, filters=2)
    x, kernel, bias = arrays(problem)
    want, _ = oracle(x, kernel, bias, padding=pads)
    plan = choose(problem, ROOM, "fft")
    assert plan.candidate.native
    got = execute(plan, x, kernel, bias)
    assert np.abs(got - want).max() < 1e-6 * np.abs(want).max()


def offered(problem, accuracy="default", memory=1 << 40, threads=2):
    return fft_tiles.candidates(problem, threads, ACCURACIES[accuracy], memory)


def test_only_what_they_serve_is_offered():
    [found] = offered(LAYER)
    assert (found.method, found.native, found.transform) == ("fft", True, "float32")
    assert found.detail.startswith("compiled tiles of ")
    assert not found.local
    for other in (
        replace(LAYER, strides=(1, 1, 3), dilation=(1, 1, 2)),
        replace(LAYER, dtype="float64"),
        replace(LAYER, kernel=(1, 1, 1)),
        replace(LAYER, kernel=(17, 1, 1)),
        replace(LAYER, size=(0, 30, 30)),
        replace(LAYER, size=(1, 1, 1), padding=((0, 0),) * 3),
    ):
        assert offered(other) == []
    assert offered(LAYER, "strict") == []
    for served in ({"kernel": (16, 1, 1)}, {"strides": (1, 2, 4)}, {"dilation": (2, 1, 3)}, {"strides": (7, 1, 1)}):
        assert offered(replace(LAYER, **served))


def test_they_are_chosen_for_mid_size_kernels_with_channels(monkeypatch):
    for channels, size, taps in ((16, 64, 7), (8, 64, 11), (32, 64, 5)):
        pads = ((taps // 2, taps // 2),) * 3
        problem = Problem((size,) * 3, (taps,) * 3, padding=pads, channels=channels, filters=channels)
        plan = choose(problem, ROOM, "fft")
        assert plan.candidate.native
        assert 3 * plan.seconds < choose(problem, ROOM, "direct").seconds
    assert choose(replace(LAYER, channels=1, filters=1, kernel=(3, 3, 3)), ROOM).method == "direct"
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    assert not any(c.native for c in choose(LAYER, ROOM, "fft").candidates)


def test_little_memory_takes_smaller_tiles():
    [roomy] = offered(LAYER)
    [lean] = offered(LAYER, memory=roomy.scratch_bytes - 1)
    assert lean.scratch_bytes < roomy.scratch_bytes
    assert lean.seconds >= roomy.seconds
    [leanest] = offered(LAYER, memory=0)
    assert leanest.scratch_bytes <= lean.scratch_bytes


def test_threads_take_no_more_than_their_room():
    large = replace(LAYER, size=(128, 128, 128), channels=96, filters=96)
    for threads, most in ((1, 64 << 20), (2, 64 << 20), (16, 128 << 20)):
        [candidate] = offered(large, threads=threads)
        frequencies = candidate.tile[0] * candidate.tile[1] * (candidate.tile[2] // 2 + 1)
        room = candidate.scratch_bytes - 8 * 96 * 96 * frequencies
        assert 0.1 * most < room <= most
    assert offered(replace(large, channels=4096))


def made(problem, tile, x, kernel, bias, out, **change):
    """A job, and the spectra that it reads."""
    spectra = isa.native().FftSpectra(ISAS[0], tile, problem.groups, kernel)
    spectra.prepare()
    sizes = {"before": tuple(p[0] for p in problem.padding), "stride": problem.strides, "dilation": problem.dilation}
    sizes["boundary"] = native_boundary(problem)
    return isa.native().FftJob(spectra, x=x, bias=bias, out=out, **sizes | change), spectra


@pytest.mark.parametrize("threads", [1, 3])
def test_the_memory_that_is_planned_is_what_is_taken(threads):
    for problem in (
        LAYER,
        replace(LAYER, channels=1),
        replace(LAYER, channels=1, filters=50),
        replace(LAYER, filters=1, kernel=(1, 3, 7), padding=((0, 0), (1, 1), (3, 3))),
        replace(LAYER, groups=4),
        replace(LAYER, channels=1, filters=1),
    ):
        [candidate] = offered(problem, threads=threads)
        for storage in (planar, STORAGE["channels_last"]):
            x, kernel, bias = arrays(problem, storage)
            out = storage(problem.output_shape, "float32")
            job, spectra = made(problem, candidate.tile, x, kernel, bias, out)
            taken = spectra.bytes + threads * job.thread_bytes
            least = 0.8 if storage is not planar else 0.35
            assert least * candidate.scratch_bytes < taken <= candidate.scratch_bytes


@pytest.mark.parametrize(("amplitude", "gain"), [(1e-30, 1.0), (1.0, 1e-30), (1e25, 1.0), (1e34, 1e-4), (1e-4, 1e34)])
def test_values_far_from_one(amplitude, gain):
    problem = Problem((12, 12, 12), (5, 5, 5), channels=2, filters=2)
    x, kernel, _ = arrays(problem)
    x *= np.float32(amplitude)
    kernel *= np.float32(gain)
    want, magnitude = oracle(x, kernel)
    plan = choose(problem, ROOM, "fft")
    assert any(c.native for c in plan.candidates)
    out = np.empty(problem.output_shape, "f4")
    fft.run(problem, x, kernel, None, out, tile=(16, 16, 16), transform="float32", native=True, threads=1)
    assert_close("fft", "float32", out, want, magnitude, problem.taps * 2, 16**3)


def test_sums_near_the_largest_float():
    problem = Problem((12, 12, 12), (5, 5, 5), channels=2, filters=2)
    x, kernel = np.full(problem.input_shape, 1e32, "f4"), np.ones(problem.kernel_shape, "f4")
    out = np.empty(problem.output_shape, "f4")
    fft.run(problem, x, kernel, None, out, tile=(16, 16, 16), transform="float32", native=True, threads=1)
    np.testing.assert_allclose(out, 2.5e34, rtol=1e-6)


def test_what_is_not_finite_takes_another_way():
    x, kernel, bias = arrays(LAYER)
    x[0, 3, 4, 5, 6] = np.nan
    plan = choose(LAYER, ROOM, without=("winograd",))
    assert plan.candidate.native
    got = execute(plan, x, kernel, bias)
    assert np.isnan(got).sum() == 8 * 5**3
    with pytest.raises(MethodError, match="method 'fft': would spread them"):
        execute(choose(LAYER, ROOM, "fft"), x, kernel, bias)


def test_progress_is_told():
    x, kernel, bias = arrays(LAYER)
    out, heard = planar(LAYER.output_shape, "float32"), []
    fft_tiles.run(LAYER, x, kernel, bias, out, tile=(12, 12, 12), threads=2, tick=heard.append)
    assert heard[-1] == 1
    assert heard == sorted(heard)


def test_threads_are_started_where_it_pays(monkeypatch):
    asked, carry_out = [], fft_tiles.carry_out
    monkeypatch.setattr(fft_tiles, "share", lambda work, count, **more: asked.append(count) or work())
    monkeypatch.setattr(
        fft_tiles, "carry_out", lambda job, n, **told: asked.append(told["seconds"]) or carry_out(job, n, **told)
    )
    for problem in (LAYER, Problem((8, 8, 8), (3, 3, 3))):
        x, kernel, bias = arrays(problem)
        [candidate] = offered(problem)
        fft_tiles.run(problem, x, kernel, bias, planar(problem.output_shape, "f4"), tile=candidate.tile, threads=2)
    spectra, whole, small = asked
    assert spectra == 2
    assert small < fft_tiles.INLINE_SECONDS < whole


def test_a_job_can_be_stopped():
    x, kernel, bias = arrays(LAYER)
    out = planar(LAYER.output_shape, "float32")
    job, _ = made(LAYER, (8, 8, 8), x, kernel, bias, out)
    job.cancel()
    workers = [threading.Thread(target=job.work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert job.done == 0 < job.total


@pytest.mark.parametrize(
    ("tile", "groups", "told"),
    [
        ((8, 9, 8), 1, "no transform of this length"),
        ((8, 8, 1), 1, "no transform of this length"),
        ((1, 8, 8), 1, "the kernel must fit into a tile"),
        ((8, 8, 8), 3, "channels, filters and groups do not fit together"),
    ],
)
def test_spectra_that_there_cannot_be_are_refused(tile, groups, told):
    with pytest.raises(ValueError, match=told):
        isa.native().FftSpectra(ISAS[0], tile, groups, arrays(LAYER)[1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bias": np.zeros(3, "f4")}, "bias needs one value a filter"),
        ({"x": np.zeros((1, 3, 30, 30, 30), "f4")}, "channels, filters and groups do not fit together"),
        ({"out": np.zeros((2, 8, 30, 30, 30), "f4")}, "channels, filters and groups do not fit together"),
        ({"out": np.zeros((1, 8, 30, 30, 0), "f4")}, "an axis has no voxel"),
        ({"before": (-1, 0, 0)}, "an axis has no voxel"),
        ({"stride": (0, 1, 1)}, "a stride or a dilation, not both"),
        ({"stride": (2, 1, 1), "dilation": (2, 1, 1)}, "a stride or a dilation, not both"),
        ({"stride": (1, 3, 1)}, "no transform back for this stride"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, told):
    x, kernel, bias = arrays(LAYER)
    given = {"x": x, "bias": bias, "out": planar(LAYER.output_shape, "f4")} | change
    with pytest.raises(ValueError, match=told):
        made(LAYER, (8, 8, 8), kernel=kernel, **given)


def test_spectra_that_are_not_ready_are_not_read():
    x, kernel, bias = arrays(LAYER)
    spectra = isa.native().FftSpectra(ISAS[0], (8, 8, 8), 1, kernel)
    spectra.cancel()
    spectra.prepare()
    with pytest.raises(ValueError, match="not transformed yet"):
        isa.native().FftJob(
            spectra, (2, 2, 2), (1, 1, 1), (1, 1, 1), native_boundary(LAYER), x, bias, planar(LAYER.output_shape, "f4")
        )


@pytest.mark.parametrize("dilation", [7, 1000, 2**30])
def test_phases_without_outputs_are_no_work(dilation):
    problem = Problem(
        (3, 5, 6), (3, 1, 2), dilation=(dilation, 1, dilation), padding=((dilation,) * 2, (0, 0), (0, dilation))
    )
    plan = choose(problem, ROOM, "fft")
    assert plan.candidate.native
    assert plan.seconds < 1e-3
    x, kernel = (
        np.random.default_rng(4).standard_normal((2, 1, 1, 3, 5, 6)).astype("f4")[0],
        np.ones(problem.kernel_shape, "f4"),
    )
    kernel[1, 0] = [[[3]], [[5]]]
    out = np.full(problem.output_shape, np.nan, "f4")
    execute(plan, x, kernel, None, out)
    np.testing.assert_allclose(out, 3 * x, rtol=1e-5, atol=1e-5)
