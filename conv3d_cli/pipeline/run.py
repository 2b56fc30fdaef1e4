"""Carry out a plan: the volume through every layer, counting and timing on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from conv3d_cli import engine
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.recycled import OUTPUTS
from conv3d_cli.errors import MethodError
from conv3d_cli.frozen import field, frozen
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.borders import fit
from conv3d_cli.pipeline.activate import activated
from conv3d_cli.pipeline.arrange import paired_blocks
from conv3d_cli.pipeline.plan import RunPlan
from conv3d_cli.pipeline.step import Step
from conv3d_cli.shapes import NO_PADS
from conv3d_cli.volumes.values import Values, scan

if TYPE_CHECKING:
    from conv3d_cli.pipeline.inside import Counts, Labels, LayerCounts, MaskedRun

Tick = Callable[[float], None]


@frozen
class StepOutcome:
    """What a layer did: the plan that was carried out in the end, its time in seconds, the loss of its output."""

    step: Step
    plan: engine.Plan | None
    seconds: float
    activity_loss: float | None
    counts: LayerCounts | None = None


@frozen
class Outcome:
    """The output in the file's order of axes, the values going in and coming out, and what each layer did."""

    array: Array
    steps: tuple[StepOutcome, ...]
    input_values: Values
    output_values: Values
    warnings: tuple[str, ...] = field(default=())
    counts: Counts | None = None
    """What was counted of a mask; None without one."""


def run(plan: RunPlan, read: Callable[[], Array], tick: Tick | None = None, labels: Labels | None = None) -> Outcome:
    """Run the network over the array that ``read`` returns, which has the plan's input shape and dtype.

    It is read here and let go after the first layer, so that at most two arrays are held at once. ``tick`` hears the
    share of the predicted work that is done, ``labels`` say what is inside of a mask where the plan has one. Raises
    MethodError where a forced method cannot take the values.
    """
    masked = _masked(plan, labels)
    array = read()
    threads = plan.options.limits.threads
    values = scan(array, threads)
    if masked is not None:
        array = masked.begin(plan.steps[0], array, values.nonfinite)
    warnings = []
    if masked is not None and masked.counts.nonfinite:
        warnings.append(
            f"the input has {masked.counts.nonfinite} non-finite voxels inside of the mask: they spread as far as the "
            "kernel reaches"
        )
    elif masked is None and values.nonfinite:
        warnings.append(
            f"the input has {values.nonfinite} non-finite voxels, the first at index {values.first_nonfinite}: "
            "they spread as far as the kernel reaches"
        )
    whole, done, outcomes = max(plan.seconds, 1e-9), 0.0, []
    known: Values | None = values
    for step in plan.steps:
        start, share_of, used, counts = perf_counter(), step.seconds / whole, None, None
        part = tick and _part(tick, done, share_of)
        if step.plan is not None and masked is not None:
            with _refusals(step, step.plan, known):
                array, used, counts = masked.convolve(step, step.plan, array, part)
        elif step.plan is not None:
            array, used = _convolve(step, step.plan, array, known, part)
        elif step.pads != NO_PADS:
            array = _bordered(step, array)
        array = activated(step, array, plan.channels_first, threads)
        if masked is not None:
            masked.activated(step)
        known = None if step.copies or not step.idle else known
        done += share_of
        seconds = perf_counter() - start
        batch = (step.target.batch_shape or (1,))[0]
        outcomes.append(StepOutcome(step, used, seconds, step.layer.activity_loss(array, batch), counts))
    OUTPUTS.clear()
    if masked is not None:
        masked.finish(plan.target, array)
        warnings += masked.warnings
    found = None if masked is None else masked.counts
    return Outcome(array, tuple(outcomes), values, scan(array, threads), tuple(warnings), found)


def _masked(plan: RunPlan, labels: Labels | None) -> MaskedRun | None:
    if plan.options.masking is None:
        return None
    from conv3d_cli.pipeline.inside import MaskedRun

    return MaskedRun(plan, plan.options.masking, labels)


def _part(tick: Tick, start: float, length: float) -> Tick:
    return lambda fraction: tick(start + length * fraction)


def _bordered(step: Step, array: Array) -> Array:
    """Return the array with zeros around it, or with voxels cut off."""
    margins = dict(zip(step.source.space, step.pads, strict=True))
    return fit(array, [margins.get(axis, (0, 0)) for axis in step.source.axes], step.middle.empty(array.dtype))


def _convolve(
    step: Step, planned: engine.Plan, array: Array, known: Values | None, tick: Tick | None
) -> tuple[Array, engine.Plan]:
    """Return the layer's output before its activation, and the plan that the values allowed.

    ``known`` holds the values of the file, if this is what the layer takes: a refusal then names the file's own index.
    """
    problem, layer = planned.asked, step.layer
    assert isinstance(layer, Conv3D)
    kernel = layer.taps(problem.dtype)
    bias = layer.variables["bias"].astype(problem.dtype, copy=False) if "bias" in layer.variables else None
    out = step.middle.empty(problem.dtype)
    pairs = list(paired_blocks(step.source.planar(array), step.middle.planar(out)))
    with _refusals(step, planned, known):
        plan = engine.settle(planned, step.source.planar(array), kernel)
    for i, (x, y) in enumerate(pairs):
        engine.execute(plan, x, kernel, bias, y, tick and _part(tick, i / len(pairs), 1 / len(pairs)), settled=True)
    return out, plan


@contextmanager
def _refusals(step: Step, planned: engine.Plan, known: Values | None) -> Iterator[None]:
    """Name the layer, and the file's own index where that is known, if a method refuses the values."""
    name = step.layer.name
    try:
        yield
    except MethodError as error:
        if known is None or not known.nonfinite:
            raise MethodError(f"layer {name!r}: {error}") from None
        raise MethodError(
            f"layer {name!r}: method {planned.method!r} would spread non-finite voxels: got "
            f"{known.nonfinite}, the first at index {known.first_nonfinite}, expected none, or another method"
        ) from None
