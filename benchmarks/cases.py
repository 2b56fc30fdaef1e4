"""What is measured: convolutions that people run, ``same`` padding, float32, one volume."""

from __future__ import annotations

from dataclasses import dataclass

from conv3d_cli.engine.problem import Problem
from conv3d_cli.shapes import same_padding


@dataclass(frozen=True)
class Case:
    """A cube of ``size`` voxels through cubic kernels."""

    channels: int
    filters: int
    size: int
    kernel: int
    groups: int = 1
    stride: int = 1
    dilation: int = 1

    @property
    def name(self) -> str:
        parts = [f"{self.channels}->{self.filters}", f"{self.size}^3", f"k{self.kernel}"]
        parts += [f"g{self.groups}"] * (self.groups > 1)
        parts += [f"s{self.stride}"] * (self.stride > 1) + [f"d{self.dilation}"] * (self.dilation > 1)
        return " ".join(parts)

    @property
    def problem(self) -> Problem:
        pads = same_padding(self.size, self.kernel, self.stride, self.dilation)
        return Problem(
            (self.size,) * 3,
            (self.kernel,) * 3,
            (self.stride,) * 3,
            (self.dilation,) * 3,
            (pads,) * 3,
            channels=self.channels,
            filters=self.filters,
            groups=self.groups,
        )


CASES = (
    Case(1, 1, 128, 3),
    Case(1, 1, 128, 5),
    Case(1, 1, 128, 7),
    Case(1, 1, 128, 11),
    Case(1, 1, 128, 15),
    Case(1, 1, 256, 3),
    Case(1, 16, 128, 3),
    Case(16, 16, 64, 3),
    Case(32, 32, 64, 3),
    Case(32, 32, 64, 5),
    Case(16, 16, 64, 7),
    Case(64, 64, 32, 3),
    Case(32, 32, 64, 3, groups=32),
    Case(32, 32, 64, 5, groups=32),
    Case(32, 64, 64, 1),
    Case(32, 1, 64, 3),
    Case(8, 8, 64, 11),
    Case(1, 8, 128, 3, stride=2),
    Case(16, 32, 64, 3, stride=2),
    Case(1, 1, 128, 3, dilation=2),
    Case(16, 16, 64, 3, dilation=2),
)
