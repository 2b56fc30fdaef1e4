"""What lies around a volume, where methods cut it into tiles: at every size, in any cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracle import oracle, pad
from storages import STORAGE, planar
from support import compiled
from tolerances import assert_close

from conv3d_cli.engine import (
    Limits,
    Problem,
    choose,
    execute,
    fft,
    fft_long,
    fft_long_tilings,
    fft_tiles,
    isa,
    separable,
    settle,
    winograd,
    winograd_layout,
)
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.kept import KERNELS

pytestmark = compiled

TEXTS = ("zero", "reflect", "mirror", "nearest", "wrap", "constant:-2.5")
ISAS = isa.available()
ROOM = Limits(threads=2, memory=1 << 33)
NONE = [(0, 0, [])] * 3


def by_winograd(problem, x, kernel, out, number, threads):
    tiles = list(winograd_layout.tiles_for(problem))
    tile = tiles[number % len(tiles)]
    winograd.run(problem, x, kernel, None, out, tile=tile, transform=problem.dtype, threads=threads)


def by_tiles(problem, x, kernel, out, number, threads):
    tiles = fft_tiles._tiles(problem, isa.active())
    tile = tuple(int(n) for n in tiles[number * 7 % len(tiles)])
    fft_tiles.run(problem, x, kernel, None, out, tile=tile, threads=threads)


def by_long_tiles(problem, x, kernel, out, number, threads):
    tiles = fft_long_tilings.tilings_of(problem, 1, isa.active()).tiles
    tile = tuple(int(n) for n in tiles[number * 7 % len(tiles)])
    fft_long.run(problem, x, kernel, None, out, tile=tile, threads=threads)


def by_sums(problem, x, kernel, out, number, threads):
    separable.run(problem, x, kernel, None, out, residual=1e-7, threads=threads)


METHODS = {"winograd": by_winograd, "fft": by_tiles, "fft long": by_long_tiles, "separable": by_sums}


def arrays(problem, storage=planar, seed=0):
    """An input, and kernels that are outer products, which all methods serve."""
    rng = np.random.default_rng(seed)
    x = storage(problem.input_shape, problem.dtype)
    x[...] = rng.standard_normal(x.shape) + 1
    lines = [rng.standard_normal((n, *problem.kernel_shape[3:])) for n in problem.kernel]
    return x, np.einsum("icf,jcf,kcf->ijkcf", *lines).astype(problem.dtype)


def check(method, problem, number=0, storages=(planar, planar), run=None):
    """Compare a method with the oracle, and three threads with one."""
    x, kernel = arrays(problem, storages[0], number)
    geometry = (problem.padding, problem.dilation, problem.groups, str(problem.boundary))
    want, magnitude = oracle(x, kernel, None, problem.strides, *geometry)
    if method != "separable":  # a tile rounds by all that is in it, also where an output sees little of it
        heavy = np.abs(kernel).sum(axis=(0, 1, 2, 3)).max()
        around = pad(x, problem.padding, str(problem.boundary))
        magnitude = np.full(want.shape, (10 if method == "winograd" else 2) * np.abs(around).max() * heavy)
    outs = [storages[1](problem.output_shape, problem.dtype) for _ in range(2)]
    for threads, out in zip((1, 3), outs, strict=True):
        (run or METHODS[method])(problem, x, kernel, out, number, threads)
    terms = problem.taps * problem.channels // problem.groups
    assert_close(method.partition(" ")[0], problem.dtype, outs[0], want, magnitude, terms, 100)
    assert outs[0].tobytes() == outs[1].tobytes(), "three threads, other bits"
    return outs[0]


def problem_of(size, text, method):
    """A problem that has so many voxels along one axis, with a kernel that may be longer than they are."""
    axis = size % 3
    taps = (2, 5, 3, 4)[size % 4] if method == "winograd" else (3, 8, 5, 13)[size % 4]
    strides, dilation = ((1, 1), (2, 1), (1, 1), (1, 3), (3, 1))[size % 5]
    extent = (taps - 1) * dilation + 1
    before = (extent // 2, 0, extent, 1)[size % 4]
    padding = (before, max(extent - size - before, 0) + size % 7)

    def along(value, other):
        return tuple(value if i == axis else other for i in range(3))

    groups = 1 + (size % 6 == 0)
    return Problem(
        size=along(size, 6),
        kernel=along(taps, 3),
        strides=along(strides, 1),
        dilation=along(dilation, 1),
        padding=along(padding, (1, 2)),
        batch=1 + (size % 8 == 0),
        channels=groups * (4 if method == "winograd" else 2),
        filters=groups * (1 + size % 3),
        groups=groups,
        dtype="float64" if method in ("winograd", "separable") and size % 4 == 3 else "float32",
        boundary=Boundary.parse(text),
    )


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("method", METHODS)
def test_every_size_from_1_to_20(method, text, monkeypatch):
    storages = list(STORAGE.values())
    for size in range(1, 21):
        monkeypatch.setenv(isa.VARIABLE, ISAS[size % len(ISAS)])
        problem = problem_of(size, text, method)
        check(method, problem, size, (storages[size % 4], storages[size // 4 % 4]))


@pytest.mark.parametrize("text", TEXTS[1:])
@pytest.mark.parametrize("method", METHODS)
def test_kernels_longer_than_the_volume(method, text, monkeypatch):
    monkeypatch.setenv(isa.VARIABLE, ISAS[TEXTS.index(text) % len(ISAS)])
    channels = 4 if method == "winograd" else 1
    kernel = (5, 4, 3) if method == "winograd" else (4, 5, 9)
    padding = [(n - 1, n - 1) for n in kernel]
    problem = Problem((2, 3, 1), kernel, padding=tuple(padding), channels=channels, boundary=Boundary.parse(text))
    check(method, problem, 3)
    for axis in range(3):
        far = tuple((17, 40) if i == axis else pads for i, pads in enumerate(padding))
        check(method, replace(problem, size=(1, 2, 3), padding=far), 4)


def test_long_tiles_do_not_wrap_round_what_is_not_zero():
    padding = ((3, 2),) * 3
    for text in TEXTS:
        problem = Problem((11, 11, 11), (6, 6, 6), padding=padding, boundary=Boundary.parse(text))
        x, kernel = arrays(problem)
        for length in (12, 16, 20):
            cut = fft_long_tilings.cut(problem, 0, length)
            spectra = isa.native().FftLongSpectra(ISAS[0], (length,) * 3, (1, 1, 1), 1, kernel)
            spectra.prepare()
            out = planar(problem.output_shape, "f4")
            boundary = native_boundary(problem)
            job = isa.native().FftLongJob(spectra, (3, 3, 3), (1, 1, 1), 1, boundary, x, None, out)
            assert job.tiles == cut.tiles**3
            job.work()
            want, _ = oracle(x, kernel, padding=padding, boundary=text)
            assert np.abs(out - want).max() < 2e-6 * np.abs(want).max()
        assert fft_long_tilings.cut(problem, 0, 16).tiles == 1
        assert fft_long_tilings.cut(problem, 0, 16).inside == (11 if text == "zero" else 16)
        assert (fft_long_tilings.cut(problem, 0, 15).tiles == 1) == (text == "zero")


def jobs(x, out, boundary):
    """Constructors of a job of each method, for a kernel of three voxels an axis."""
    module, kernel, ones = isa.native(), np.ones((3, 3, 3, 4, 4), "f4"), (1, 1, 1)
    problem = Problem(x.shape[2:], (3, 3, 3), channels=4, filters=4)
    layout = winograd_layout.active_layout(problem, (4, 4, 4), 1)
    kernels = winograd.transformed(problem, kernel, (4, 4, 4), 1)
    spectra, long = (make(problem, kernel) for make in (short_spectra, long_spectra))
    weights = [np.ones((4, 1, 3), "f4")] * 3
    cut = {"groups": 1, "strides": ones, "dilation": ones, "before": ones, "box": (False,) * 3, "tile": (9, 9, 9)}
    yield lambda: module.WinogradJob(
        kernels, winograd._axes(module, problem, layout.step, layout.tiles), boundary, x, None, out
    )
    yield lambda: module.FftJob(spectra, ones, ones, ones, boundary, x, None, out)
    yield lambda: module.FftLongJob(long, ones, ones, 4, boundary, x, None, out)
    yield lambda: module.Separable(ISAS[0], x, weights, [0] * 4, boundary, None, out, stream=False, **cut)


def short_spectra(problem, kernel):
    return fft_tiles._spectra(problem, kernel, (8, 8, 8), 1, ISAS[0])


def long_spectra(problem, kernel):
    return fft_long._spectra(problem, kernel, (8, 8, 8), ISAS[0], 1)


def test_a_table_that_leads_out_of_the_volume_is_refused():
    x, out = np.ones((1, 4, 6, 7, 8), "f4"), np.ones((1, 4, 6, 7, 8), "f4")
    for axis, size in enumerate(x.shape[2:]):
        for entry, refused in ((size, True), (-2, True), (1 << 40, True), (size - 1, False), (-1, False)):
            tables = [(1, 1, [0, 0])] * 3
            tables[axis] = (1, 1, [0, entry])
            for job in jobs(x, out, isa.native().Boundary(0.0, tables)):
                if refused:
                    with pytest.raises(ValueError, match="leads out of the volume"):
                        job()
                else:
                    job().work()
    for wrong in ([], [(0, 0, [])] * 2):
        with pytest.raises(ValueError, match="three axes"):
            isa.native().Boundary(0.0, wrong)


def test_tables_that_are_too_short_for_the_padding_read_nothing_else():
    """Positions that no table knows are the constant: what a job was told of its padding is not believed."""
    x, out = np.ones((1, 4, 6, 7, 8), "f4"), np.full((1, 4, 6, 7, 8), np.nan, "f4")
    for boundary in (isa.native().Boundary(0.0, NONE), isa.native().Boundary(0.0, [(0, 1, [0])] * 3)):
        for job in jobs(x, out, boundary):
            out[...] = np.nan
            job().work()
            assert np.isfinite(out).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_of_zero_has_the_bits_of_zeros(method):
    bits = {}
    for text in ("zero", "constant:0"):
        problem = problem_of(17, text, method)
        bits[text] = check(method, problem, 17).tobytes()
    assert bits["zero"] == bits["constant:0"]


def test_a_huge_constant_counts_among_the_values():
    small = Problem((9, 9, 9), (3, 3, 3), padding=((1, 1),) * 3, channels=4, boundary=Boundary("constant", 1e36))
    x, kernel = arrays(small)
    assert "may overflow: up to 1e+36" in winograd.unsuitable(small, x, kernel)
    assert winograd.unsuitable(replace(small, boundary=Boundary("constant", 1e6)), x, kernel) is None
    x[0, 0, 0, 0, 0] = np.nan
    assert "non-finite" in winograd.unsuitable(small, x, kernel)
    assert "non-finite" in fft.unsuitable(small, x, kernel)


@pytest.mark.parametrize("text", TEXTS[1:])
def test_a_kept_kernel_serves_every_boundary(text):
    problem = Problem((40, 40, 40), (3, 3, 3), padding=((1, 1),) * 3, channels=4, filters=4)
    x, kernel = arrays(problem)
    for method in ("winograd", "fft", "separable"):
        KERNELS.clear()
        plans = [
            settle(choose(replace(problem, boundary=Boundary.parse(b)), ROOM, method), x, kernel)
            for b in ("zero", text)
        ]
        execute(plans[0], x, kernel, None, settled=True)
        kept = KERNELS.bytes
        out = execute(plans[1], x, kernel, None, settled=True)
        assert KERNELS.bytes == kept > 0
        want, _ = oracle(x, kernel, padding=problem.padding, boundary=text)
        assert np.abs(out - want).max() < 1e-5 * np.abs(want).max()
