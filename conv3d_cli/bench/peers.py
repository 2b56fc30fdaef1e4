"""The libraries that people would use instead, in one table: what a new one must bring is a row here.

A row's library is imported when a case is prepared for it, never before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata, util

from conv3d_cli.bench import frameworks, itk, scipys
from conv3d_cli.bench.cases import Case
from conv3d_cli.engine.blocks import Array
from conv3d_cli.frozen import frozen

Call = Callable[[], Array]


@frozen
class Peer:
    """One way to have a convolution done by another library.

    ``prepare(case, x, kernel, threads)`` returns the call to be timed, whose result is an array (N, F, D', H', W'), or
    None where the case is not its own. ``direct`` tells whether it sums over the kernel's taps: then a call may take
    absurdly long. ``error`` is what a result may be off, relative to the largest; without ``edges`` it sees no zeros
    beyond the volume; ``approximate`` says how it differs.
    """

    name: str
    library: str
    module: str
    prepare: Callable[[Case, Array, Array, int], Call | None]
    direct: bool = False
    error: float = 2e-5
    edges: bool = True
    approximate: str | None = None


RECURSIVE = "a recursive filter that approximates the Gaussian; other borders"
BESSEL = "the discrete Gaussian of Lindeberg, another kernel; other borders"
BORDERS = "other borders"

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("PyTorch", "PyTorch", "torch", frameworks.torch, direct=True),
        Peer("PyTorch avg_pool3d", "PyTorch", "torch", frameworks.torch_pool, direct=True),
        Peer("ONNX Runtime", "ONNX Runtime", "onnxruntime", frameworks.onnxruntime, direct=True),
        Peer("OpenVINO", "OpenVINO", "openvino", frameworks.openvino, direct=True),
        Peer("TensorFlow", "TensorFlow", "tensorflow", frameworks.tensorflow, direct=True),
        Peer("scipy.ndimage correlate", "scipy", "scipy", scipys.correlate, direct=True),
        Peer("scipy.ndimage filter", "scipy", "scipy", scipys.named),
        Peer("scipy.signal fftconvolve", "scipy", "scipy", scipys.fftconvolve),
        Peer("scipy.signal oaconvolve", "scipy", "scipy", scipys.oaconvolve),
        Peer("ITK Convolution", "ITK", "SimpleITK", itk.convolution, direct=True),
        Peer("ITK FFTConvolution", "ITK", "SimpleITK", itk.fft_convolution),
        Peer("ITK BoxMean", "ITK", "SimpleITK", itk.box_mean, edges=False, approximate=BORDERS),
        Peer("ITK Laplacian", "ITK", "SimpleITK", itk.laplacian, edges=False, approximate=BORDERS),
        Peer(
            "ITK RecursiveGaussian",
            "ITK",
            "SimpleITK",
            itk.recursive_gaussian,
            error=0.1,
            edges=False,
            approximate=RECURSIVE,
        ),
        Peer(
            "ITK DiscreteGaussian",
            "ITK",
            "SimpleITK",
            itk.discrete_gaussian,
            error=0.1,
            edges=False,
            approximate=BESSEL,
        ),
    )
}

DISTRIBUTIONS = {
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "scipy": ("scipy",),
    "SimpleITK": ("SimpleITK",),
}
"""Names under which the module's package may be installed."""

ALSO = {"onnxruntime": "onnx"}
"""What else a module needs so that a model can be made for it."""


def installed() -> dict[str, str]:
    """Return the version of each library of PEERS that is installed; none is imported."""
    found = {}
    for peer in PEERS.values():
        needs = [peer.module, ALSO.get(peer.module, peer.module)]
        if all(util.find_spec(module) is not None for module in needs):
            found[peer.library] = _version(peer.module)
    return found


def _version(module: str) -> str:
    for name in DISTRIBUTIONS[module]:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
