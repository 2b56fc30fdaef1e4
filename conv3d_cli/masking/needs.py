"""How a run is masked, how a layer of it is planned, and what that takes."""

from __future__ import annotations

from conv3d_cli import engine
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.problem import ITEMSIZE
from conv3d_cli.errors import MethodError
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.masking.bits import BLOCK_VOXELS
from conv3d_cli.masking.layer import MaskedLayer
from conv3d_cli.masking.regions import Cut, whole_of
from conv3d_cli.masking.rules import Rule
from conv3d_cli.masking.weighing import MOST_KEPT
from conv3d_cli.shapes import voxels

BYTES = {"mask": 1, "labels": 4, "missing": 0}
"""Bytes of each voxel that what is inside takes, at most."""


@frozen
class Masking:
    """How a run is masked.

    ``by`` is what says which voxels are inside: "mask", "labels", or "missing" where only NaN are outside. What voxels
    ``outside`` get is "zero", "keep" for those of the input, or "nan". A voxel of less than ``min_coverage`` has no
    value, and is outside. With ``missing`` a NaN of the input is outside of what the filters read, and is filled from
    its neighbours in what they write.

    The default of ``min_coverage`` is below the weight of a Gaussian's own middle, 1.1e-3 where its full width at half
    of its maximum is 9 voxels: a voxel inside keeps a value, however alone it is.
    """

    by: str
    outside: str = "zero"
    min_coverage: float = 1e-3
    missing: bool = False


@frozen
class Needs:
    """What a masked layer takes: bytes beside its input and output, and how many times the work of an unmasked one."""

    bytes: int
    effort: float


def steady(plan: engine.Plan, kernel: Array | None) -> engine.Plan:
    """Return the plan to compute a layer with inside a mask: one whose errors a division may enlarge.

    A transform's errors are as large where little of a kernel is inside as where much is. So it transforms in float64,
    unless a method whose errors follow the values of each window is as fast.
    """
    if plan.candidate.local or plan.problem.dtype == "float64" or not plan.problem.multiply_adds:
        return plan
    problem = replace(plan.asked, dtype="float64")
    turned = None if kernel is None else kernel.astype("float64")
    precise = engine.choose(problem, plan.limits, plan.method_asked, plan.accuracy, kernel=turned)
    local = [c for c in plan.candidates if c.local and c.refused is None]
    best = min(local, key=lambda c: c.seconds, default=None)
    if best is not None and best.seconds <= precise.seconds:
        return replace(plan, candidate=best, why=f"{best.detail}: as precise in every window, as a mask needs")
    return replace(precise, why=f"{precise.why}; in float64, as a mask enlarges errors")


def needs(plan: engine.Plan, kernel: Array | None, masking: Masking) -> Needs:
    """Return what a layer takes inside a mask; without its kernel (k1, k2, k3, C / groups, F) the most that it may."""
    problem = plan.problem
    rules = None if kernel is None else MaskedLayer(plan, kernel, None, 1.0).rules
    cut = Cut(problem.size, problem.padding, problem.boundary)
    read, written = cut.most
    each, filters = problem.channels // problem.groups, problem.filters
    planes = _planes(rules) if rules is not None else filters * (1 + 2 * each)
    rises = problem.dtype == "float32" and (rules is None or any(rule.mixed for rule in rules))
    itemsize = 8 if rises else ITEMSIZE[problem.dtype]
    masks = problem.channels if masking.missing else 1
    values = read * (problem.channels + masks) + written * (filters + min(planes, MOST_KEPT) + 1)
    apart = masking.by != "mask"
    flags = read * (apart + 2 * masks * masking.missing) + written * (1 + apart)
    flags += problem.batch * voxels(problem.output_shape[1:])
    absent = problem.batch * problem.channels * voxels(problem.size)
    row = voxels(problem.size[1:])
    blocks = 24 * max(BLOCK_VOXELS, row)
    taps = 8 * itemsize * voxels(problem.kernel_shape)
    scratch = (2 if rises else 1) * max(plan.scratch_bytes, _piece_scratch(plan, cut, kernel))
    passes = sum(len(rule.means) for rule in rules) if rules is not None else 0
    effort = 1 + (planes + passes) / (filters * each)
    return Needs(itemsize * values + flags + absent + blocks + taps + scratch, effort)


def _planes(rules: list[Rule]) -> int:
    """Return how many correlations of a mask the filters take, equal ones once."""
    found: set[int] = set()
    for rule in rules:
        if rule.normalised:
            whole, size = rule.over(shared=True)
            found |= {whole.key, size.tap.key}
        found |= {tap.key for mean in rule.means for tap in (mean.tap, mean.magnitude.tap)}
    return len(found)


def _piece_scratch(plan: engine.Plan, cut: Cut, kernel: Array | None) -> int:
    """Return what the engine takes beside input and output of the largest pieces of a volume."""
    piece = next(cut.pieces(whole_of(cut.size)))
    problem = replace(plan.problem, size=piece.window, padding=piece.padding, batch=1)
    try:
        return engine.choose(problem, plan.limits, plan.method, plan.accuracy, kernel=kernel).scratch_bytes
    except MethodError:
        return 0
