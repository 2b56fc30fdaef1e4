"""Compiled long tiles for the method ``fft``: all threads work on one tile together, with lanes along frequency.

They serve large kernels of few channels in float32, with any stride and dilation: the taps of a dilated kernel are
spread before it is transformed, and of a tile only the outputs that are wanted are restored. The kernels' spectra are
kept for the next call with the same kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, packed, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.fft_long_tilings import chunk_of, lanes_of, predicted, tilings_of, volume_bytes
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.problem import Problem
from conv3d_cli.engine.threads import INLINE_SECONDS, carry_out, share
from conv3d_cli.shapes import Triple


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest tiling that fits in ``memory`` bytes (else the leanest); none where none serves.

    >>> from conv3d_cli.engine.candidate import ACCURACIES
    >>> double = Problem((64, 64, 64), (21, 21, 21), dtype="float64")
    >>> candidates(double, 2, ACCURACIES["default"], 1 << 30)
    []
    """
    isa = isas.active()
    if isa == isas.NUMPY or not serves(problem) or not Candidate("fft", local=False).keeps(accuracy):
        return []
    tilings = tilings_of(problem, threads, isa)
    if not tilings.tiles.size:
        return []
    fitting = np.flatnonzero(tilings.scratch <= memory)
    best = int(fitting[np.argmin(tilings.seconds[fitting])]) if fitting.size else int(np.argmin(tilings.scratch))
    d, h, w = (int(n) for n in tilings.tiles[best])
    return [
        Candidate(
            "fft",
            seconds=float(tilings.seconds[best]),
            scratch_bytes=int(tilings.scratch[best]),
            error=1e-6,
            local=False,
            detail=f"compiled long tiles of {d}x{h}x{w}, {isa}",
            tile=(d, h, w),
            transform="float32",
            native=True,
            long=True,
        )
    ]


def serves(problem: Problem) -> bool:
    """Return whether long tiles may serve a problem; a kernel longer than all of them is not served all the same."""
    return (
        problem.dtype == "float32"
        and problem.taps > 1
        and 0 not in problem.output_shape
        and 0 not in problem.input_shape
    )


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    tile: Triple,
    threads: int,
    tick: Callable[[float], None] | None = None,
    isa: str | None = None,
    chunk: int | None = None,
) -> None:
    """Fill ``out`` (N, F, D', H', W') with the convolution of ``x`` (N, C, D, H, W), both of any strides.

    The result has the same bits for any number of threads. ``tick`` hears the share done. ``chunk`` filters of a group
    are restored at once: as many as have room, if it is not given.
    """
    if not (whole_strides(x) and whole_strides(out)):
        x, whole = x.copy(), np.empty(out.shape, out.dtype)
        run(problem, x, kernel, bias, whole, tile=tile, threads=threads, tick=tick, isa=isa, chunk=chunk)
        out[...] = whole
        return
    before = tuple(pads[0] for pads in problem.padding)
    module: Any = isas.native()
    isa = isa or isas.active()
    seconds = predicted(problem, threads, isa, tile)
    chunk = chunk or int(chunk_of(problem, volume_bytes(np.array(tile), lanes_of(isa))))
    spectra = _spectra(problem, packed(kernel), tile, isa, threads if seconds >= INLINE_SECONDS else 1)
    job = module.FftLongJob(spectra, before, problem.strides, chunk, native_boundary(problem), x, packed(bias), out)
    carry_out(job, threads, seconds=seconds, tick=tick)


def _spectra(problem: Problem, kernel: Array, tile: Triple, isa: str, threads: int) -> Any:
    """Return the transforms of the kernels, from the last call if it had the same."""
    module: Any = isas.native()

    def make() -> Any:
        spectra = module.FftLongSpectra(isa, tile, problem.dilation, problem.groups, kernel)
        share(spectra.prepare, threads, stop=spectra.cancel)
        spectra.release()
        return spectra

    key = ("fft_long", isa, tile, problem.dilation, problem.groups)
    return KERNELS.get(key, kernel, make, size=lambda spectra: int(spectra.bytes))
