"""Compiled long tiles of the method ``fft`` against the oracle, at every instruction set that this machine runs."""

from __future__ import annotations

import subprocess
import sys
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

from conv3d_cli.engine import ACCURACIES, Limits, Problem, choose, execute, fft, fft_long, fft_long_tilings, isa
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.shapes import effective

pytestmark = compiled

ISAS = isa.available()
ROOM = Limits(threads=2, memory=1 << 33)
LINES = isa.native().fft_long_lengths(ISAS[0]) if isa.native() is not None else ()
LARGE = Problem((60, 60, 60), (17, 17, 17), padding=((8, 8),) * 3)


def check(problem, tile, storage="planar", target="planar", with_bias=True, names=ISAS, seed=0, chunk=None):
    """Compare instruction sets with the oracle, and three threads with one."""
    x, kernel, bias = arrays(problem, STORAGE[storage], seed)
    bias = bias if with_bias else None
    want, magnitude = oracle(x, kernel, bias, problem.strides, problem.padding, problem.dilation, problem.groups)
    for name in names:
        one, three = (STORAGE[target](problem.output_shape, "float32") for _ in range(2))
        fft_long.run(problem, x, kernel, bias, one, tile=tile, threads=1, isa=name, chunk=chunk)
        terms = problem.taps * problem.channels // problem.groups + 1
        assert_close("fft", "float32", one, want, magnitude, terms, prod(tile))
        KERNELS.clear()
        if one.flags.aligned and x.flags.aligned:  # jobs take nothing else
            run_by_three(problem, x, kernel, bias, three, tile, name, chunk or 99)
            np.testing.assert_array_equal(one, three, err_msg=f"{name}: three threads, other bits")


def run_by_three(problem, x, kernel, bias, out, tile, name, chunk):
    module = isa.native()
    spectra = module.FftLongSpectra(name, tile, problem.dilation, problem.groups, kernel)
    by_three(spectra.prepare)
    spectra.release()
    before = tuple(pads[0] for pads in problem.padding)
    by_three(module.FftLongJob(spectra, before, problem.strides, chunk, native_boundary(problem), x, bias, out).work)


def by_three(work):
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@st.composite
def tilings(draw):
    axis = st.one_of(st.integers(1, 12), st.integers(1, 40))
    size, kernel = draw(st.tuples(axis, axis, axis)), draw(st.tuples(*[st.integers(1, 8)] * 3))
    strides, dilation = (draw(st.tuples(*[st.sampled_from((1, 1, 2, 3))] * 3)) for _ in range(2))
    extents = [effective(k, d) for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(
        (draw(st.integers(max(k - n, 0), max(k - n, 0) + 4)), draw(st.integers(0, 4)))
        for n, k in zip(size, extents, strict=True)
    )
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    problem = Problem(
        size,
        kernel,
        strides,
        dilation,
        padding,
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.sampled_from((1, 1, 2, 3))),
        filters=groups * draw(st.sampled_from((1, 1, 2, 5))),
        groups=groups,
    )
    tile = tuple(
        draw(st.sampled_from([n for n in (LINES if i < 2 else [2 * m for m in LINES]) if n >= k][:9]))
        for i, k in enumerate(extents)
    )
    return problem, tile


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tilings(), st.sampled_from(sorted(STORAGE)), st.sampled_from(sorted(STORAGE)), st.booleans(), st.data())
def test_random_problems_agree_with_the_oracle(tiling, source, target, with_bias, data):
    chunk = data.draw(st.sampled_from((None, 1, 2)))
    check(*tiling, source, target, with_bias, names=[data.draw(st.sampled_from(ISAS))], chunk=chunk)


@pytest.mark.parametrize("length", LINES)
def test_every_length_along_every_axis(length):
    for axis in range(3):
        whole = 2 * length if axis == 2 else length
        kernel = tuple(min(3, whole) if i == axis else 2 for i in range(3))
        tile = tuple(whole if i == axis else 8 for i in range(3))
        size = tuple(whole + 3 if i == axis else 9 for i in range(3))
        check(Problem(size, kernel), tile, names=[ISAS[(length + axis) % len(ISAS)]], seed=length)


@pytest.mark.parametrize("before", range(6))
def test_padding_that_wraps_round_to_the_other_side(before):
    problem = Problem((11, 11, 11), (6, 6, 6), padding=((before, 5 - before),) * 3)
    for length in (12, 16, 20):
        assert fft_long_tilings.cut(problem, 0, length).tiles == 1 or length < 11 + max(before, 5 - before)
        check(problem, (length,) * 3, seed=before)


def test_more_padding_than_the_kernel_reaches():
    for stride in (1, 9):
        problem = Problem((1, 2, 3), (2, 2, 2), (stride,) * 3, padding=((5, 9), (5, 9), (5, 9)))
        for length in (6, 8, 12, 16, 20):
            check(problem, (length, length, 2 * length), seed=stride)


def test_a_single_tap_may_be_dilated_beyond_the_tile():
    check(Problem((9, 9, 9), (1, 3, 1), dilation=(40, 1, 40), channels=2), (4, 12, 8))


def test_the_tiles_are_those_that_were_planned():
    x, kernel, _ = arrays(LARGE)
    for length in (24, 60, 72, 80, 96):
        for stride in (1, 2, 3):
            problem = replace(LARGE, strides=(stride,) * 3)
            out = planar(problem.output_shape, "float32")
            spectra = isa.native().FftLongSpectra(ISAS[0], (length,) * 3, (1, 1, 1), 1, kernel)
            spectra.prepare()
            job = isa.native().FftLongJob(spectra, (8, 8, 8), (stride,) * 3, 1, native_boundary(problem), x, None, out)
            assert job.tiles == fft_long_tilings.cut(problem, 0, length).tiles ** 3


def test_errors_are_small_against_the_largest_output():
    x, kernel, bias = arrays(LARGE)
    want, _ = oracle(x, kernel, bias, padding=LARGE.padding)
    plan = choose(LARGE, ROOM, "fft")
    assert plan.candidate.long
    got = execute(plan, x, kernel, bias)
    assert np.abs(got - want).max() < 1e-6 * np.abs(want).max()


def offered(problem, accuracy="default", memory=1 << 40, threads=2):
    return fft_long.candidates(problem, threads, ACCURACIES[accuracy], memory)


def test_only_what_they_serve_is_offered(monkeypatch):
    [found] = offered(LARGE)
    assert (found.method, found.native, found.long, found.transform) == ("fft", True, True, "float32")
    assert found.detail.startswith("compiled long tiles of ")
    assert not found.local
    assert offered(replace(LARGE, strides=(2, 1, 3), dilation=(1, 2, 1)))
    for other in (
        replace(LARGE, dtype="float64"),
        replace(LARGE, kernel=(1, 1, 1)),
        replace(LARGE, size=(300, 1, 1), kernel=(257, 1, 1)),
        replace(LARGE, size=(0, 60, 60)),
        replace(LARGE, size=(1, 1, 1), padding=((0, 0),) * 3),
    ):
        assert offered(other) == []
    assert offered(LARGE, "strict") == []
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    assert offered(LARGE) == []


def test_they_are_chosen_for_large_kernels():
    for size, taps in ((128, 15), (128, 21), (256, 21), (256, 31), (256, 64)):
        pads = ((taps // 2, (taps - 1) // 2),) * 3
        plan = choose(Problem((size,) * 3, (taps,) * 3, padding=pads), ROOM)
        assert plan.candidate.long
    many = Problem((64, 64, 64), (5, 5, 5), padding=((2, 2),) * 3, channels=32, filters=32)
    assert not choose(many, ROOM, "fft").candidate.long


def test_windows_that_meet_no_voxel_are_planned_and_computed():
    problem = Problem((1, 8, 8), (2, 3, 3), (9, 1, 1), padding=((5, 9), (1, 1), (1, 1)))
    [candidate] = offered(problem)
    check(problem, candidate.tile)
    check(problem, (4, 8, 8))


def test_little_memory_takes_smaller_tiles():
    [roomy] = offered(LARGE)
    [lean] = offered(LARGE, memory=roomy.scratch_bytes - 1)
    assert lean.scratch_bytes < roomy.scratch_bytes
    assert lean.seconds >= roomy.seconds
    [leanest] = offered(LARGE, memory=0)
    assert leanest.scratch_bytes <= lean.scratch_bytes


def test_a_tile_of_many_filters_takes_no_more_than_its_room():
    for filters in (1, 16, 64):
        problem = replace(LARGE, size=(160, 160, 160), filters=filters)
        [candidate] = offered(problem)
        assert buffer_and_rest(problem, candidate, 2)[0] <= fft_long_tilings.ROOM


def buffer_and_rest(problem, candidate, threads):
    """Return the bytes of a tile and what a job takes beside it, at its worst."""
    x, kernel, bias = arrays(problem)
    module, out = isa.native(), planar(problem.output_shape, "float32")
    spectra = module.FftLongSpectra(isa.active(), candidate.tile, problem.dilation, problem.groups, kernel)
    spectra.prepare()
    before = tuple(p[0] for p in problem.padding)
    lanes = module.fft_long_lanes(isa.active())
    volume = fft_long_tilings.volume_bytes(np.array(candidate.tile), lanes)
    chunk = int(fft_long_tilings.chunk_of(problem, volume))
    job = module.FftLongJob(spectra, before, problem.strides, chunk, native_boundary(problem), x, bias, out)
    taken = spectra.bytes + max(spectra.planes_bytes, job.buffer_bytes) + threads * job.thread_bytes
    return job.buffer_bytes, taken


@pytest.mark.parametrize("threads", [1, 3])
def test_the_memory_that_is_planned_is_what_is_taken(threads):
    for problem in (
        LARGE,
        replace(LARGE, channels=2, filters=3),
        replace(LARGE, groups=2, channels=2, filters=4, strides=(2, 2, 2)),
        replace(LARGE, kernel=(9, 9, 9), dilation=(2, 2, 2)),
        replace(LARGE, kernel=(1, 31, 1), padding=((0, 0), (15, 15), (0, 0))),
    ):
        [candidate] = offered(problem, threads=threads)
        _, taken = buffer_and_rest(problem, candidate, threads)
        assert 0.9 * candidate.scratch_bytes < taken <= candidate.scratch_bytes


def test_a_kernel_is_transformed_once(monkeypatch):
    x, kernel, bias = arrays(LARGE)
    plan = choose(LARGE, ROOM, "fft")
    KERNELS.clear()
    first = execute(plan, x, kernel, bias)
    kept = KERNELS.bytes
    assert kept > kernel.nbytes
    np.testing.assert_array_equal(execute(plan, x, kernel, bias), first)
    assert KERNELS.bytes == kept
    kernel[3, 4, 5] += 1
    assert not np.array_equal(execute(plan, x, kernel, bias), first)


def test_what_is_kept_is_gone_before_the_interpreter():
    code = (
        "import numpy as np; from conv3d_cli.engine import *; p = Problem((24, 24, 24), (13, 13, 13));"
        "k = np.ones(p.kernel_shape, 'f4'); x = np.ones(p.input_shape, 'f4');"
        "execute(choose(p, Limits(threads=2, memory=1 << 33), 'fft'), x, k, None)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == ""  # nanobind tells there of what is left


@pytest.mark.parametrize(("amplitude", "gain"), [(1e-30, 1.0), (1.0, 1e-30), (1e25, 1.0), (1e34, 1e-4), (1e-4, 1e34)])
def test_values_far_from_one(amplitude, gain):
    problem = Problem((12, 12, 12), (5, 5, 5), channels=2, filters=2)
    x, kernel, _ = arrays(problem)
    x *= np.float32(amplitude)
    kernel *= np.float32(gain)
    want, magnitude = oracle(x, kernel)
    out = np.empty(problem.output_shape, "f4")
    fft.run(problem, x, kernel, None, out, tile=(16,) * 3, transform="float32", native=True, long=True, threads=1)
    assert_close("fft", "float32", out, want, magnitude, problem.taps * 2, 16**3)


def test_sums_near_the_largest_float():
    problem = Problem((12, 12, 12), (5, 5, 5), channels=2, filters=2)
    x, kernel = np.full(problem.input_shape, 1e32, "f4"), np.ones(problem.kernel_shape, "f4")
    out = np.empty(problem.output_shape, "f4")
    fft.run(problem, x, kernel, None, out, tile=(16,) * 3, transform="float32", native=True, long=True, threads=1)
    np.testing.assert_allclose(out, 2.5e34, rtol=1e-6)


def test_what_is_not_finite_takes_another_way():
    problem = Problem((24, 24, 24), (13, 13, 13), padding=((6, 6),) * 3)
    x, kernel, bias = arrays(problem)
    x[0, 0, 4, 5, 6] = np.inf
    plan = choose(problem, ROOM, "fft")
    assert fft.unsuitable(plan.problem, x, kernel)
    got = execute(choose(problem, ROOM), x, kernel, bias)
    assert (~np.isfinite(got)).sum() == 11 * 12 * 13


def test_progress_is_told():
    x, kernel, bias = arrays(LARGE)
    out, heard = planar(LARGE.output_shape, "float32"), []
    fft_long.run(LARGE, x, kernel, bias, out, tile=(36, 36, 40), threads=2, tick=heard.append)
    assert heard[-1] == 1
    assert heard == sorted(heard)


def test_work_can_be_stopped():
    x, kernel, bias = arrays(LARGE)
    out, module = planar(LARGE.output_shape, "float32"), isa.native()
    spectra = module.FftLongSpectra(ISAS[0], (36, 36, 40), (1, 1, 1), 1, kernel)
    spectra.cancel()
    by_three(spectra.prepare)
    with pytest.raises(ValueError, match="the kernels' spectra are not ready"):
        module.FftLongJob(spectra, (8, 8, 8), (1, 1, 1), 1, native_boundary(LARGE), x, bias, out)
    spectra = module.FftLongSpectra(ISAS[0], (36, 36, 40), (1, 1, 1), 1, kernel)
    spectra.prepare()
    job = module.FftLongJob(spectra, (8, 8, 8), (1, 1, 1), 1, native_boundary(LARGE), x, bias, out)
    job.cancel()
    by_three(job.work)
    assert job.done == 0 < job.total


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tile": (32, 34, 32)}, "no transform of this length"),
        ({"tile": (32, 32, 33)}, "no transform of this length"),
        ({"tile": (0, 32, 32)}, "no transform of this length"),
        ({"tile": (16, 32, 32)}, "the kernel must fit into a tile"),
        ({"dilation": (1, 3, 1)}, "the kernel must fit into a tile"),
        ({"dilation": (1, 0, 1)}, "the kernel must fit into a tile"),
        ({"groups": 2}, "filters and groups do not fit together"),
        ({"before": (-1, 0, 0)}, "an axis has no voxel"),
        ({"strides": (1, 0, 1)}, "strides must be positive"),
        ({"chunk": 0}, "one at least"),
        ({"bias": np.zeros(2, "f4")}, "one value a filter"),
        ({"x": np.zeros((1, 2, 9, 9, 9), "f4")}, "channels, filters and groups do not fit together"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, told):
    x, kernel, bias = arrays(LARGE)
    given = {"tile": (32, 32, 32), "dilation": (1, 1, 1), "groups": 1} | change
    work = {"before": (8, 8, 8), "strides": (1, 1, 1), "chunk": 1, "x": x, "bias": bias} | change
    out = planar(LARGE.output_shape, "f4")
    with pytest.raises(ValueError, match=told):
        make(given, kernel, work, out)


def make(given, kernel, work, out):
    module = isa.native()
    spectra = module.FftLongSpectra(ISAS[0], given["tile"], given["dilation"], given["groups"], kernel)
    spectra.prepare()
    work = {"boundary": native_boundary(LARGE)} | work
    names = ("before", "strides", "chunk", "boundary", "x", "bias")
    return module.FftLongJob(spectra, **{name: work[name] for name in names}, out=out)
