"""Convolutions by ITK, through SimpleITK: images are made before and arrays after, neither is timed."""

from __future__ import annotations

from typing import Any

import numpy as np

from conv3d_cli.bench.cases import Case
from conv3d_cli.bench.scipys import Call, is_plain
from conv3d_cli.engine.blocks import Array


def convolution(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return ITK's direct sum."""
    return _convolution("ConvolutionImageFilter", case, x, kernel, threads)


def fft_convolution(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return ITK's convolution by one transform."""
    return _convolution("FFTConvolutionImageFilter", case, x, kernel, threads)


def box_mean(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return ITK's mean over a box, of volumes whose outermost voxels go on forever."""
    return _named("box", "BoxMeanImageFilter", case, x, threads, lambda taps: {"SetRadius": [taps // 2] * 3})


def laplacian(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return ITK's Laplacian, of volumes whose outermost voxels go on forever."""
    return _named("laplacian", "LaplacianImageFilter", case, x, threads, lambda _: {"SetUseImageSpacing": False})


def recursive_gaussian(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return ITK's recursive filter of Deriche, which approximates a Gaussian."""
    filter_ = "SmoothingRecursiveGaussianImageFilter"
    return _named("gaussian", filter_, case, x, threads, lambda sigma: {"SetSigma": float(sigma)})


def discrete_gaussian(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return ITK's discrete Gaussian, whose kernel is made of Bessel functions, as accurate as it comes."""

    def settings(sigma: int) -> dict[str, float]:
        return {"SetVariance": float(sigma**2), "SetMaximumKernelWidth": 64}

    return _named("gaussian", "DiscreteGaussianImageFilter", case, x, threads, settings)


def _convolution(name: str, case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    if not is_plain(case):
        return None
    import SimpleITK

    made = getattr(SimpleITK, name)()
    made.SetBoundaryCondition(made.ZERO_PAD)
    made.SetOutputRegionMode(made.SAME)
    flipped = SimpleITK.GetImageFromArray(np.ascontiguousarray(kernel[::-1, ::-1, ::-1, 0, 0]))
    return _call(SimpleITK, made, x, threads, flipped)


def _named(kind: str, name: str, case: Case, x: Array, threads: int, settings: Any) -> Call | None:
    if case.values is None or case.values[0] != kind or not is_plain(case):
        return None
    import SimpleITK

    made = getattr(SimpleITK, name)()
    for setter, value in settings(case.values[1]).items():
        getattr(made, setter)(value)
    return _call(SimpleITK, made, x, threads)


def _call(library: Any, made: Any, x: Array, threads: int, *more: Any) -> Call:
    library.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    made.SetNumberOfThreads(threads)
    image = library.GetImageFromArray(x[0, 0])
    held: list[Any] = []

    def call() -> Array:
        held.clear()
        held.append(made.Execute(image, *more))  # the view does not keep its image alive
        values: Array = library.GetArrayViewFromImage(held[0])
        return values[None, None]

    return call
