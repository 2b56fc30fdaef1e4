"""What lies around a volume, in every mode, by every way of every method."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from unittest import mock

import fuzz_ways
import numpy as np
import pytest
from fuzz_bounds import Exact
from fuzz_problems import KERNELS, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle, pad
from scipy import ndimage
from storages import STORAGE
from support import compiled

from conv3d_cli.engine import METHODS, Limits, Problem, choose, execute, fft, isa, methods, settle
from conv3d_cli.engine.blocks import padded_window
from conv3d_cli.engine.boundary import MODES, WORDS, ZERO, Boundary
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.errors import LayerError, MethodError, OverLimit, ShapeError

TEXTS = ("reflect", "mirror", "nearest", "wrap", "constant:-2.5")
ISAS = isa.available()
ROOM = Limits(threads=2, memory=1 << 33)


@pytest.mark.parametrize("text", TEXTS)
def test_places_are_those_of_numpy(text):
    """As far as one likes: twelve voxels beyond an axis of one to five."""
    boundary = Boundary.parse(text)
    for size in range(1, 6):
        for before in range(13):
            places = boundary.places(size, before, 12 - before)
            line = np.arange(size, dtype=float)[None, None, :, None, None] + 1
            want = pad(line, ((before, 12 - before), (0, 0), (0, 0)), text).ravel()
            np.testing.assert_array_equal(np.where(places < 0, boundary.value, places + 1), want)


@pytest.mark.parametrize("text", [*TEXTS, "zero"])
def test_the_oracle_is_scipys(text):
    boundary, rng = Boundary.parse(text), np.random.default_rng(3)
    for size, kernel in (((6, 7, 8), (3, 5, 3)), ((2, 3, 4), (9, 7, 11)), ((1, 5, 1), (3, 3, 5))):
        x, weights = rng.standard_normal(size), rng.standard_normal(kernel)
        padding = [(n // 2, n // 2) for n in kernel]
        got, _ = oracle(x[None, None], weights[..., None, None], padding=padding, boundary=text)
        want = ndimage.correlate(x, weights, mode=boundary.scipy, cval=boundary.value)
        np.testing.assert_allclose(got[0, 0], want, atol=1e-12)


def test_the_words_of_numpy_are_those_of_its_modes():
    line = np.arange(1.0, 5)
    for mode, row in MODES.items():
        places = Boundary(mode).places(4, 3, 2)
        np.testing.assert_array_equal(np.pad(line, (3, 2), mode=row.numpy), np.where(places < 0, 0, line[places]))


def test_texts_and_what_is_refused():
    for text in (*TEXTS, "zero", "constant:3.5", "constant:-1e-3", "constant:.5"):
        assert Boundary.parse(str(Boundary.parse(text))) == Boundary.parse(text)
    assert Boundary.parse("constant:0") is not None
    assert str(Boundary.parse("constant:-0.0")) == "zero"
    assert hash(Boundary.parse("constant:0")) == hash(ZERO)
    for text, words in (
        ("reflct", "unknown: got 'reflct', expected one of zero, reflect, .*; did you mean 'reflect'"),
        ("", "unknown: got ''"),
        ("Reflect", "did you mean 'reflect'"),
        ("reflect:1", "unknown"),
        ("constant", "no number after 'constant:'"),
        ("constant:nan", "no number after"),
        ("constant:1_0", "no number after"),
        ("constant:3 ", "no number after"),
        ("constant:1e39", "float32 holds: got 1e[+]39"),
    ):
        with pytest.raises(LayerError, match=words):
            Boundary.parse(text)
    for mode, value, words in (("zero", 0, "unknown"), ("wrap", 1, "no value"), ("constant", np.inf, "float32 holds")):
        with pytest.raises(LayerError, match=words):
            Boundary(mode, value)
    assert list(WORDS) == ["zero", *TEXTS[:4], "constant:V"]
    with pytest.raises(ShapeError, match="'wrap': got an axis of 0 voxels"):
        Boundary("wrap").places(0, 2, 2)
    assert ZERO.places(0, 1, 1).tolist() == [-1, -1]


def test_sorted_axes_keep_their_boundary():
    problem = Problem(
        (3, 4, 5), (3, 1, 1), padding=((1, 0), (0, 0), (0, 0)), order=(2, 0, 1), boundary=Boundary("wrap")
    )
    assert problem.in_memory_order().boundary == problem.boundary
    assert problem.bounded
    assert not replace(problem, boundary=ZERO).bounded
    assert not replace(problem, padding=((0, 0),) * 3).bounded


def same(kernel):
    return tuple((k // 2, k // 2) for k in kernel)


ODD = Problem((7, 9, 21), (3, 5, 7), padding=same((3, 5, 7)))
TABLE = {
    "odd": ODD,
    "uneven": replace(ODD, padding=((3, 0), (0, 4), (5, 1))),
    "strides": replace(ODD, strides=(2, 3, 2), padding=((2, 2), (1, 4), (6, 5))),
    "dilation": replace(ODD, dilation=(3, 1, 2), padding=((4, 3), (2, 2), (6, 6))),
    "strides and dilation": replace(ODD, strides=(1, 2, 3), dilation=(2, 3, 2), padding=((5, 1), (6, 6), (7, 4))),
    "longer than the volume": Problem((2, 3, 4), (9, 7, 11), padding=same((9, 7, 11))),
    "one voxel": Problem((1, 1, 1), (5, 3, 4), padding=((2, 2), (3, 1), (1, 3))),
    "a line": Problem((1, 70, 1), (3, 1, 3), padding=same((3, 1, 3))),
    "far around": Problem((4, 5, 3), (2, 3, 3), padding=((9, 8), (11, 0), (0, 17))),
    "rows of several vectors": Problem((3, 4, 83), (3, 3, 3), padding=same((3, 3, 3))),
    "channels": Problem((9, 10, 11), (3, 3, 3), padding=same((3, 3, 3)), channels=6, filters=9, batch=2),
    "groups": Problem((6, 7, 12), (3, 2, 5), padding=((1, 1), (0, 1), (2, 2)), channels=6, filters=4, groups=2),
    "strided channels": Problem((9, 8, 13), (3, 3, 3), (2, 2, 2), (1, 1, 1), same((3, 3, 3)), channels=5, filters=8),
    "turned": replace(ODD, order=(2, 0, 1), channels=2, filters=2),
    "one tap around": Problem((4, 5, 6), (1, 1, 1), padding=((2, 0), (1, 3), (0, 4))),
    "float64": replace(ODD, dtype="float64", channels=2, filters=3),
}


def case_of(problem, text, kernel="normal", storage="planar", seed=0):
    """Return a case with its boundary; a kernel that is an outer product is served axis by axis too."""
    rng, problem = np.random.default_rng(seed), replace(problem, boundary=Boundary.parse(text))
    x = STORAGE[storage](problem.input_shape, problem.dtype)
    x[...] = rng.standard_normal(x.shape)
    weights = KERNELS[kernel](rng, problem.kernel_shape).astype(problem.dtype)
    return Case(problem, x, weights, rng.standard_normal(problem.filters).astype(problem.dtype), storage, kernel)


def check_all_ways(case, names, rng):
    """Compare every way that a method offers with the oracle, and other threads with it to the bit; return the ways."""
    exact, seen = Exact(case), set()
    for name in names:
        with mock.patch.dict(os.environ, {isa.VARIABLE: name}):
            for method in METHODS:
                for plan in fuzz_ways.offered(case.problem, case.kernel, method, 2, rng):
                    try:
                        plan = settle(plan, case.x, case.kernel)
                    except MethodError:
                        continue
                    outs = []
                    for threads in (1, 3):
                        out = STORAGE[case.target](case.problem.output_shape, case.problem.dtype)
                        limited = replace(plan, limits=Limits(threads, ROOM.memory))
                        outs.append(execute(limited, case.x, case.kernel, case.bias, out, settled=True))
                    told = exact.excess(plan.candidate, outs[0])[1]
                    assert not told, f"{name} {plan.candidate.way}, {plan.candidate.detail}: {told}"
                    assert outs[0].tobytes() == outs[1].tobytes(), f"{name} {plan.candidate.way}: threads"
                    seen.add(plan.candidate.way)
    return seen


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", TABLE)
def test_every_way_of_every_method(name, text):
    rng, storages = np.random.default_rng(1), list(STORAGE)
    storage = storages[(list(TABLE).index(name) + TEXTS.index(text)) % len(storages)]
    seen = check_all_ways(case_of(TABLE[name], text, storage=storage), ISAS or ("",), rng)
    assert {"fft scipy", "reference"} <= seen
    assert not ISAS or "direct" in seen


@compiled
@pytest.mark.parametrize("text", TEXTS)
def test_every_method_takes_part(text):
    kernels = {"odd": "outer", "longer than the volume": "outer", "one voxel": "gaussian", "channels": "normal"}
    cases = [case_of(TABLE[name], text, kernel) for name, kernel in kernels.items()]
    seen = set().union(*(check_all_ways(case, ISAS[:1], np.random.default_rng(1)) for case in cases))
    assert seen == methods.BOUNDED - {"pointwise"}  # which has nothing around a kernel of one voxel


def test_a_window_takes_no_more_memory_than_itself_again():
    """Also one at an edge of a volume that is much larger than the window."""
    problem = Problem((90, 90, 90), (9, 9, 9), padding=same((9, 9, 9)), boundary=Boundary("wrap"))
    x = np.zeros((1, 90, 90, 90), "f4")
    tracemalloc.start()
    try:
        window = padded_window(problem, x, ((0, 4), (0, 5), (0, 6)), "f8")
        assert window.shape == (1, 12, 13, 14)
        assert tracemalloc.get_traced_memory()[1] < 2 * window.nbytes + (64 << 10)
    finally:
        tracemalloc.stop()


@st.composite
def cases(draw):
    sizes, taps = draw(st.tuples(*[st.integers(1, 9)] * 3)), draw(st.tuples(*[st.integers(1, 6)] * 3))
    strides, dilation = (draw(st.tuples(*[st.sampled_from((1, 1, 2, 3))] * 3)) for _ in range(2))
    padding = []
    for n, k, d in zip(sizes, taps, dilation, strict=True):
        missing = max((k - 1) * d + 1 - n, 0)
        padding.append((draw(st.integers(0, missing + 3)), draw(st.integers(missing, missing + 3))))
    groups = draw(st.sampled_from((1, 1, 2)))
    problem = Problem(
        size=sizes,
        kernel=taps,
        strides=strides,
        dilation=dilation,
        padding=tuple(padding),
        channels=groups * draw(st.integers(1, 3)),
        filters=groups * draw(st.integers(1, 3)),
        groups=groups,
        dtype=draw(st.sampled_from(("float32", "float64"))),
        order=tuple(draw(st.permutations(range(3)))),
    )
    kernel = draw(st.sampled_from(("normal", "outer")))
    return case_of(problem, draw(st.sampled_from(TEXTS)), kernel, draw(st.sampled_from(list(STORAGE))))


@given(cases(), st.sampled_from(ISAS or ("",)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_problem(case, name):
    check_all_ways(case, (name,), np.random.default_rng(0))


@pytest.mark.parametrize("text", TEXTS[:4])
def test_a_nan_reaches_exactly_the_windows_that_hold_it(text):
    case = case_of(replace(TABLE["uneven"], channels=2), text)
    case.x[0, 1, 6, 0, 20], case.x[0, 0, 0, 4, 1] = np.nan, np.inf
    exact = Exact(case)
    assert 0 < np.isfinite(exact.want).sum() < exact.want.size
    for method in ("direct", "reference") if ISAS else ("reference",):
        plan = choose(case.problem, ROOM, method)
        told = exact.excess(plan.candidate, execute(plan, case.x, case.kernel, case.bias))[1]
        assert not told, told
    with pytest.raises(MethodError, match="non-finite values in the input"):
        execute(choose(case.problem, ROOM, "fft"), case.x, case.kernel, case.bias)


def test_a_huge_constant_does_not_overflow_a_transform():
    case = case_of(replace(ODD, channels=3, filters=4), "constant:2e38")
    case.kernel[...] /= np.abs(case.kernel).sum() * 4
    exact = Exact(case)
    assert np.isfinite(exact.want).all()
    for method in ("auto", "fft"):
        plan = choose(case.problem, ROOM, method)
        told = exact.excess(plan.candidate, execute(plan, case.x, case.kernel, case.bias))[1]
        assert not told, told
    assert fft.unsuitable(replace(case.problem, dtype="float64"), case.x, case.kernel * np.float32(1e38)) is None


@pytest.mark.parametrize("method", [pytest.param("direct", marks=compiled), "reference"])
def test_a_method_that_does_not_know_a_boundary_is_refused(method, monkeypatch):
    monkeypatch.setattr("conv3d_cli.engine.offers.BOUNDED", methods.BOUNDED - {method})
    problem = Problem((5, 5, 5), (3, 3, 3), padding=same((3, 3, 3)), channels=3, boundary=Boundary("wrap"))
    with pytest.raises(MethodError, match=f"cannot serve this convolution: {method}: does not know boundary wrap"):
        choose(problem, Limits(1, 1 << 32), method)
    assert choose(replace(problem, padding=((0, 0),) * 3), Limits(1, 1 << 32), "reference").method == "reference"


@compiled
def test_the_tables_of_a_far_reach_are_in_the_memory_that_is_predicted():
    far = ((0, 0), (0, 0), (200_000, 200_000))
    problem = Problem((2, 3, 900), (1, 1, 3), dilation=(1, 1, 200_000), padding=far, boundary=Boundary("mirror"))
    constant = replace(problem, boundary=Boundary("constant", 2.0))
    plan, x, kernel = (
        choose(problem, ROOM, "direct"),
        np.ones(problem.input_shape, "f4"),
        np.ones(problem.kernel_shape, "f4"),
    )
    tracemalloc.start()
    execute(plan, x, kernel, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.3 * plan.scratch_bytes < peak < plan.scratch_bytes
    assert choose(constant, ROOM, "direct").scratch_bytes < plan.scratch_bytes / 10
    with pytest.raises(OverLimit, match=r"got 4 MiB \(unlimited\), expected at least 3\d"):
        choose(problem, Limits(1, 4 << 20), "direct")


@compiled
def test_the_tables_of_compiled_code():
    problem = Problem((3, 4, 5), (3, 3, 3), padding=((1, 2), (0, 0), (7, 0)))
    given_ = []
    with mock.patch.object(isa.native(), "Boundary", lambda *words: given_.append(words)):
        for boundary in (Boundary("wrap"), Boundary("constant", 2.0)):
            native_boundary(replace(problem, boundary=boundary))
    assert given_ == [
        (0.0, [(1, 2, [2, 0, 1]), (0, 0, []), (7, 0, [3, 4, 0, 1, 2, 3, 4])]),
        (2.0, [(1, 2, []), (0, 0, []), (7, 0, [])]),
    ]
    assert native_boundary(problem) is native_boundary(replace(problem, size=(9, 9, 9)))  # zeros, of any size
    for words, message in (
        ((np.nan, [(0, 0, [])] * 3), "finite"),
        ((0.0, [(0, 0, [])] * 2), "three axes"),
        ((0.0, [(1, 0, [0, 0]), (0, 0, []), (0, 0, [])]), "an entry for each"),
        ((0.0, [(-1, 2, [0]), (0, 0, []), (0, 0, [])]), "an entry for each"),
    ):
        with pytest.raises(ValueError, match=message):
            isa.native().Boundary(*words)
