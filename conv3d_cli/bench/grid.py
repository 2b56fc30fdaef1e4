"""The grid: the regions in which people convolve, each with its cases and the speed that the engine is to reach.

Ratios are the fastest peer's time by the engine's. A limit is the machine's own: a time within so many times that of
the measured bandwidth alone, or of the larger of that and the measured peak of multiply-adds.
"""

from __future__ import annotations

from typing import Literal

from conv3d_cli.bench.cases import Case, parse_case
from conv3d_cli.frozen import frozen


@frozen
class Region:
    """Cases of one kind; ``target`` and ``moonshot`` are ratios, ``within`` says how near to ``limit`` to come."""

    name: str
    cases: tuple[Case, ...]
    target: float
    moonshot: float | None = None
    within: float | None = None
    limit: Literal["machine", "bandwidth"] = "machine"


def _cases(*lines: str) -> tuple[Case, ...]:
    """Return the cases of lines like ``1->1 128^3: k3, k5``: what stands before the colon belongs to each."""
    parts = [line.split(":") for line in lines]
    return tuple(parse_case(f"{ends.strip()} {rest.strip()}") for ends, each in parts for rest in each.split(","))


REGIONS = (
    Region(
        "1->1, 3^3 to 7^3",
        _cases(
            "1->1 128^3: k3, k5, k7, sobel, laplacian",
            "1->1 256^3: k3, k5, k7, sobel, laplacian",
            "1->1 197x233x189: k3, k5",
        ),
        target=4,
        within=1.3,
    ),
    Region("1->1, 9^3 to 31^3", _cases("1->1 128^3: k9, k11, k15, k21, k31", "1->1 256^3: k9, k15, k31"), 3, 6),
    Region(
        "separable",
        _cases("1->1 128^3: gaussian2, box5, box9, box31", "1->1 256^3: gaussian2, box5, box9, box31"),
        target=8,
        within=1.5,
        limit="bandwidth",
    ),
    Region(
        "1->8..32, 3^3 to 7^3",
        _cases(
            "1->8 128^3: k3, k5, k7", "1->16 128^3: k3, k5", "1->32 128^3: k3", "1->16 64^3: k7", "1->32 64^3: k5, k7"
        ),
        target=2,
        moonshot=4,
    ),
    Region(
        "C 8..64, 3^3",
        _cases(
            "8->8 32^3: k3",
            "8->8 64^3: k3",
            "16->16 64^3: k3",
            "32->32 64^3: k3, k3 last",
            "64->64 32^3: k3",
            "64->64 64^3: k3",
            "32->1 64^3: k3",
        ),
        target=2,
        moonshot=4,
    ),
    Region(
        "C 8..32, 5^3 and 7^3",
        _cases("8->8 64^3: k5, k7", "16->16 64^3: k5, k7", "32->32 64^3: k5, k7"),
        target=3,
        moonshot=6,
    ),
    Region("depthwise", _cases("32->32 64^3: k3 g32, k5 g32"), target=4, within=1.5, limit="bandwidth"),
    Region("1^3", _cases("8->8 64^3: k1", "16->32 64^3: k1", "32->64 64^3: k1, k1 last", "64->64 64^3: k1"), 1, 1.5),
    Region(
        "stride 2, dilation 2",
        _cases(
            "1->8 128^3: k3 s2",
            "16->32 64^3: k3 s2",
            "16->16 64^3: k5 s2",
            "1->1 128^3: k3 d2",
            "16->16 64^3: k3 d2, k5 d2",
        ),
        target=1,
        moonshot=2,
    ),
)

GRID = tuple(case for region in REGIONS for case in region.cases)

DEFAULT = _cases(
    "1->1 128^3: k3, k7, k15, gaussian2",
    "1->16 64^3: k3",
    "16->16 64^3: k3, k5",
    "32->32 64^3: k3 g32",
    "32->64 64^3: k1",
    "16->32 64^3: k3 s2",
)
"""What is measured where nothing is asked for: a case or two of most regions."""


def region_of(case: Case) -> Region | None:
    """Return the region that holds a case; None for a case of the user's own."""
    return next((region for region in REGIONS if case in region.cases), None)
