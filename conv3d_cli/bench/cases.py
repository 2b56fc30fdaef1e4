"""What is measured: one volume, float32, padding ``same``, written as ``16->16 64^3 k3 s2``."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

import numpy as np

from conv3d_cli.engine import Problem
from conv3d_cli.engine.blocks import Array
from conv3d_cli.errors import UsageError
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.shapes import Triple, same_padding

TRUNCATE = 4.0  # standard deviations at which a Gaussian ends, as in scipy.ndimage
EXAMPLES = "'16->16 64^3 k3 s2', '1->1 256x256x181 gaussian2' or '32->32 64^3 k3 g32 last'"


@frozen
class Values:
    """A kernel with a name: its taps an axis and its values, both from the number that follows the name."""

    taps: Callable[[int], int]
    values: Callable[[int], Array]


def _outer(a: Array, b: Array, c: Array) -> Array:
    product: Array = np.einsum("i,j,k->ijk", a, b, c)
    return product


def gaussian_vector(sigma: int) -> Array:
    """Return the weights of a Gaussian along one axis, their sum 1, float64.

    >>> len(gaussian_vector(2)), float(gaussian_vector(2).sum().round(12))
    (17, 1.0)
    """
    radius = int(TRUNCATE * sigma + 0.5)
    weights: Array = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    return weights


def _gaussian(sigma: int) -> Array:
    vector = gaussian_vector(sigma)
    return _outer(vector, vector, vector)


def _sobel(_: int) -> Array:
    smooth = np.array([1.0, 2.0, 1.0])
    return _outer(np.array([-1.0, 0.0, 1.0]), smooth, smooth)


def _laplacian(_: int) -> Array:
    kernel = np.zeros((3, 3, 3))
    for axis in range(3):
        for at in (0, 2):
            kernel[tuple(at if i == axis else 1 for i in range(3))] = 1
    kernel[1, 1, 1] = -6
    return kernel


VALUES: dict[str, Values] = {
    "gaussian": Values(lambda sigma: 2 * int(TRUNCATE * sigma + 0.5) + 1, _gaussian),
    "box": Values(lambda taps: taps, lambda taps: np.full((taps,) * 3, taps**-3.0)),
    "sobel": Values(lambda _: 3, _sobel),
    "laplacian": Values(lambda _: 3, _laplacian),
}
"""The kernels with a name; a Gaussian is followed by its standard deviation in voxels, a box by its taps."""

NUMBERED = ("gaussian", "box")


@frozen
class Case:
    """A volume of ``size`` voxels and ``channels``, through ``filters`` kernels of ``kernel`` voxels.

    ``values`` names a kernel of VALUES, with its number if it has one; otherwise the values are random. With ``last``
    the arrays in memory are (N, D, H, W, C).

    >>> Case(16, 16, (64, 64, 64), (3, 3, 3), stride=2).name
    '16->16 64^3 k3 s2'
    """

    channels: int
    filters: int
    size: Triple
    kernel: Triple
    groups: int = 1
    stride: int = 1
    dilation: int = 1
    values: tuple[str, int] | None = None
    last: bool = False

    @property
    def name(self) -> str:
        """What ``parse_case`` reads."""
        parts = [f"{self.channels}->{self.filters}", _cube(self.size, "{}^3")]
        if self.values is None:
            parts.append("k" + _cube(self.kernel, "{}"))
        else:
            word, number = self.values
            parts.append(f"{word}{number}" if word in NUMBERED else word)
        for letter, value in (("g", self.groups), ("s", self.stride), ("d", self.dilation)):
            parts += [f"{letter}{value}"] * (value > 1)
        return " ".join(parts + ["last"] * self.last)

    @property
    def problem(self) -> Problem:
        """The same for the engine."""
        one = [same_padding(n, k, self.stride, self.dilation) for n, k in zip(self.size, self.kernel, strict=True)]
        return Problem(
            self.size,
            self.kernel,
            (self.stride,) * 3,
            (self.dilation,) * 3,
            (one[0], one[1], one[2]),
            channels=self.channels,
            filters=self.filters,
            groups=self.groups,
        )

    @property
    def flops(self) -> int:
        """Floating-point operations of the defining sum: two for each multiply-add."""
        return 2 * self.problem.multiply_adds

    @property
    def bytes(self) -> int:
        """Bytes that must move whatever the method: input and weights are read once, the output is written once."""
        problem = self.problem
        return problem.input_bytes + problem.output_bytes + 4 * prod(problem.kernel_shape)

    def arrays(self) -> tuple[Array, Array]:
        """Return input (N, C, D, H, W) and kernel (kd, kh, kw, C // groups, F), the same ones each time."""
        rng = np.random.default_rng(0)
        x: Array = rng.standard_normal(self._stored(self.problem.input_shape), dtype=np.float32)
        x = self._planar(x)
        if self.values is None:
            return x, rng.standard_normal(self.problem.kernel_shape, dtype=np.float32)
        word, number = self.values
        one = VALUES[word].values(number).astype(np.float32)
        return x, np.broadcast_to(one[..., None, None], self.problem.kernel_shape).copy()

    def output(self) -> Array:
        """Return memory for the output, (N, F, D', H', W')."""
        return self._planar(np.empty(self._stored(self.problem.output_shape), np.float32))

    def _stored(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        n, c, *space = shape
        return (n, *space, c) if self.last else shape

    def _planar(self, block: Array) -> Array:
        return np.moveaxis(block, -1, 1) if self.last else block


def parse_case(text: str) -> Case:
    """Return the case that a text like ``16->16 64^3 k3 s2`` names; UsageError for another.

    The first word has channels and filters, the second the voxels; then follow, in any order, the kernel (``k3``,
    ``k1x3x3``, ``gaussian2``, ``box9``, ``sobel``, ``laplacian``) and, where it has them, groups ``g32``, stride
    ``s2``, dilation ``d2`` and ``last`` for channels that lie last in memory.

    >>> parse_case("1->1 128^3 gaussian2").kernel
    (17, 17, 17)
    """
    words = text.split()
    ends = re.fullmatch(r"([1-9]\d{0,4})->([1-9]\d{0,4})", words[0]) if len(words) > 2 else None
    size = _lengths(words[1], r"{}\^3") if ends else None
    if ends is None or size is None:
        raise _unreadable(text, "this")
    case = Case(int(ends[1]), int(ends[2]), size, (0, 0, 0))
    seen: set[str] = set()
    for word in words[2:]:
        case, kind = _with(case, word, text)
        if kind in seen:
            raise _unreadable(text, f"a second {kind}")
        seen.add(kind)
    if "kernel" not in seen:
        raise _unreadable(text, "no kernel")
    if case.channels % case.groups or case.filters % case.groups:
        raise _unreadable(text, f"{case.groups} groups, which do not divide channels and filters")
    if case.values is not None and (case.channels != case.groups or case.filters != case.groups):
        raise _unreadable(text, f"the kernel {case.values[0]} between several channels, which has only one each")
    return case


def _with(case: Case, word: str, text: str) -> tuple[Case, str]:
    """Return the case with one more word said of it, and what kind of word that was."""
    if word == "last":
        return replace(case, last=True), "last"
    if word.startswith("k") and (kernel := _lengths(word[1:], "{}")):
        return replace(case, kernel=kernel), "kernel"
    match = re.fullmatch(r"([a-z]+)(\d{0,4})", word)
    if match is None:
        raise _unreadable(text, repr(word))
    name, number = match[1], int(match[2] or 0)
    if name in VALUES and bool(number) == (name in NUMBERED):
        return replace(case, kernel=(VALUES[name].taps(number),) * 3, values=(name, number)), "kernel"
    counts = {"g": "groups", "s": "stride", "d": "dilation"}
    if name not in counts or not number:
        raise _unreadable(text, repr(word))
    given = {counts[name]: number}
    return replace(case, **given), counts[name]  # type: ignore[arg-type]


def _lengths(word: str, cube: str) -> Triple | None:
    """Return three lengths, written each by itself or as the one of a cube."""
    one = re.fullmatch(cube.format(r"([1-9]\d{0,4})"), word)
    three = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})", word)
    if one:
        return (int(one[1]),) * 3
    return (int(three[1]), int(three[2]), int(three[3])) if three else None


def _cube(lengths: Triple, word: str) -> str:
    return word.format(lengths[0]) if len(set(lengths)) == 1 else "x".join(map(str, lengths))


def _unreadable(text: str, what: str) -> UsageError:
    return UsageError(f"--case: not a case: got {text!r} with {what}, expected for example {EXAMPLES}")
