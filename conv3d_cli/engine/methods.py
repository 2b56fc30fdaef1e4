"""The methods of the engine, in one table: what a new method must bring is a row here."""

from __future__ import annotations

from collections.abc import Callable

from conv3d_cli.engine import direct, fft, pointwise, reference, separable, toom, winograd
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.problem import Problem
from conv3d_cli.frozen import frozen


@frozen
class Method:
    """One way to convolve.

    ``candidates(problem, threads, accuracy, memory)`` offers ways to do it, and
    ``run(problem, x, kernel, bias, out, threads=..., tick=..., **candidate.settings)`` carries one out.
    ``offers(problem, kernel, threads, accuracy, memory)`` offers those that depend on the kernel's values instead, as
    does ``proven``, which is asked only where the method would be taken, since it has to transform the kernel.
    ``unsuitable(problem, x, kernel, threads)`` returns why the values themselves rule the method out, if some do.
    """

    name: str
    summary: str
    candidates: Callable[[Problem, int, Accuracy, int], list[Candidate]]
    run: Callable[..., None]
    unsuitable: Callable[[Problem, Array, Array, int], str | None] | None = None
    offers: Callable[[Problem, Array, int, Accuracy, int], list[Candidate]] | None = None
    proven: Callable[[Problem, Array, int, Accuracy, int], list[Candidate]] | None = None


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "direct",
            "compiled sum over kernel taps, in register tiles",
            direct.candidates,
            direct.run,
            offers=direct.offers,
        ),
        Method("pointwise", "kernels of one voxel as a streamed matrix product", pointwise.candidates, pointwise.run),
        Method(
            "separable",
            "kernels that are outer products of three vectors, axis by axis",
            separable.candidates,
            separable.run,
            separable.unsuitable,
            separable.offers,
        ),
        Method(
            "winograd",
            "Cook-Toom tiles, for kernels of 2 to 5 taps and several channels",
            winograd.candidates,
            winograd.run,
            winograd.unsuitable,
            proven=winograd.proven,
        ),
        Method(
            "toom",
            "direct sums with a Cook-Toom transform along one axis, for few channels",
            toom.candidates,
            toom.run,
            winograd.unsuitable,
            proven=toom.proven,
        ),
        Method(
            "fft",
            "overlap-save tiles, compiled or through scipy.fft, or one whole transform",
            fft.candidates,
            fft.run,
            fft.unsuitable,
        ),
        Method("reference", "NumPy sum over kernel taps in float64", reference.candidates, reference.run),
    )
}

BOUNDED = frozenset(
    {"direct", "fft compiled", "fft long", "fft scipy", "pointwise", "reference", "separable", "toom", "winograd"}
)
"""The ways (``Candidate.way``) that read something else than zeros around a volume, if a problem says so."""
